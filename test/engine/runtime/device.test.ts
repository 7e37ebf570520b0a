// Which device graphs run on where nobody has chosen one.
import { afterAll, expect, test, vi } from 'vitest'
import { UserError, currentDevice, openDevice, setDeviceProvider, tensor } from '../../../engine/index.ts'
import { openAdapter } from '../../../engine/node/adapters.ts'

afterAll(async () => (await currentDevice()).close())

test('reading a value without a device or provider throws; a provider is called again after it failed, and only then', async () => {
  await expect(tensor([1]).add(1).data()).rejects.toThrow(
    new UserError('WebGPU is not available: this environment has no navigator.gpu and no device was chosen'),
  )
  const provider = vi.fn(async () => {
    const { adapter, info } = await openAdapter()
    return openDevice(adapter, info)
  })
  provider.mockRejectedValueOnce(new UserError('the driver is busy'))
  setDeviceProvider(provider)
  const both = await Promise.allSettled([currentDevice(), currentDevice()])
  expect(
    both.map(({ status }) => status),
    'who asks meanwhile fails with it',
  ).toEqual(['rejected', 'rejected'])
  expect(provider).toHaveBeenCalledTimes(1)
  expect([...(await tensor([1]).add(1).data())]).toEqual([2])
  await currentDevice()
  expect(provider).toHaveBeenCalledTimes(2)
})
