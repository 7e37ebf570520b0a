// What happens when the GPU refuses a command or its memory runs out: nobody gets numbers that were never made.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  type Device,
  UserError,
  compile,
  currentDevice,
  openDevice,
  tensor,
  useDevice,
  variable,
} from '../../engine/node/index.ts'
import { openAdapter } from '../../engine/node/adapters.ts'
import type { Tensor } from '../../engine/tensor.ts'

let device: Device
beforeEach(async () => {
  const { adapter, info } = await openAdapter()
  device = await openDevice(adapter, info)
  useDevice(device)
})
afterEach(() => {
  vi.restoreAllMocks()
  device.close()
})

/** The next buffer with this label is none. */
function refuseOne(label: string): void {
  const make = device.gpu.createBuffer.bind(device.gpu)
  vi.spyOn(device.gpu, 'createBuffer').mockImplementation(descriptor => {
    if (descriptor.label !== label) return make(descriptor)
    vi.restoreAllMocks()
    return make({ ...descriptor, size: 2 ** 50 })
  })
}

/** As where a driver has no room: the next scopes for want of memory tell of it. */
function refuseMemory(scopes: number): void {
  const right = Object.getPrototypeOf(device.gpu) as GPUDevice
  const open: GPUErrorFilter[] = []
  vi.spyOn(device.gpu, 'pushErrorScope').mockImplementation(filter => {
    open.push(filter)
    return right.pushErrorScope.call(device.gpu, filter)
  })
  vi.spyOn(device.gpu, 'popErrorScope').mockImplementation(async () => {
    const refused = open.pop() === 'out-of-memory' && scopes-- > 0
    const error = await right.popErrorScope.call(device.gpu)
    return refused ? new GPUOutOfMemoryError('no room') : error
  })
}

test.each([
  ['compiled', () => compile((x: Tensor) => x.mul(2).add(1))],
  ['eager', () => async (x: Tensor) => x.mul(2).add(1)],
])('a first run (%s) that memory does not hold is tried once more, after a collection', async (_, make) => {
  const collected = vi.spyOn(device, 'collect')
  const run = make()
  refuseMemory(1)
  expect([...(await (await run(tensor([1, 2]))).data())]).toEqual([3, 5])
  expect(collected).toHaveBeenCalledTimes(1)
})

describe('a run whose result has no memory', () => {
  test('makes only the next use of the device throw', async () => {
    const w = variable({ shape: [1], dtype: 'f32' }, 'w')
    const step = compile((x: Tensor) => {
      w.assign(w.tensor.add(x))
      return { y: w.tensor.mul(2), z: x.mul(3) }
    })
    const x = tensor([1])
    await step(x)
    refuseOne('result')
    await expect((async () => (await step(x)).y.data())()).rejects.toThrow('the GPU refused a command')
    const { y, z } = await step(x)
    expect([(await y.data())[0], (await z.data())[0]]).toEqual([2, 3])
    expect((await w.read())[0]).toBe(2)
  })

  test('makes reading a variable throw, too', async () => {
    const w = variable({ shape: [4], dtype: 'f32' }, 'w')
    refuseOne('readback')
    await expect(w.read()).rejects.toThrow('the GPU refused a command')
    expect([...(await w.read())]).toEqual([0, 0, 0, 0])
  })
})

test('a first run that runs out of memory leaves no refused buffer in the pool', async () => {
  expect((await currentDevice()).buffers.count).toBe(0)
  const numbers = (value: number): Tensor => tensor(new Float32Array(256).fill(value))
  const w = variable({ shape: [256], dtype: 'f32' }, 'w')
  const step = compile((x: Tensor) => {
    w.assign(w.tensor.add(x))
    return { y: w.tensor.mul(x) }
  })
  await step.prepare(numbers(0))
  const made: GPUBuffer[] = []
  const make = device.gpu.createBuffer.bind(device.gpu)
  vi.spyOn(device.gpu, 'createBuffer').mockImplementation(descriptor => {
    const buffer = make(descriptor)
    made.push(buffer)
    return buffer
  })
  // After a collection, too.
  refuseMemory(2)
  await expect(step(numbers(0))).rejects.toThrow(UserError)
  const refused = new Set(made)
  made.length = 0
  const { y } = await step(numbers(1))
  expect([...new Set(await y.data())]).toEqual([0])
  expect([...new Set(await w.read())]).toEqual([1])
  expect(made.filter(buffer => refused.has(buffer))).toEqual([])
  expect(made.map(({ label }) => label)).toEqual(expect.arrayContaining(['w', 'result']))
})

test('a candidate without enough memory to be measured costs nothing but its measurement', async () => {
  const failures: string[] = []
  device.tuning.configure({
    mode: 'full',
    onFailure: reason => {
      failures.push(reason)
    },
  })
  refuseOne('trial')
  const x = tensor([
    [1, 2],
    [3, 4],
  ])
  expect([...(await x.softmax().sum(1).data())]).toEqual([1, 1])
  expect(failures).toEqual([expect.stringMatching(/^softmax: rows 2, .* does not run on this adapter: Buffer size/)])
  device.tuning.configure({ mode: 'off' })
  // Refused buffers did not return to the pool.
  expect([...(await x.mul(2).data())]).toEqual([2, 4, 6, 8])
})
