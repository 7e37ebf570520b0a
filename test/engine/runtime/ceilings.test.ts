// The most that an adapter reaches, measured by timestamps.
import { afterAll, expect, test } from 'vitest'
import { currentDevice } from '../../../engine/node/index.ts'
import { measureCeilings, shareOf } from '../../../engine/runtime/ceilings.ts'

afterAll(async () => (await currentDevice()).close())

test('ceilings are measured on the adapter in use', async ({ skip }) => {
  const device = await currentDevice()
  skip(!device.gpu.features.has('timestamp-query'), `${device.info.name} has no timestamps`)
  const { operations, halfOperations, bytes } = await measureCeilings(device)
  expect(operations).toBeGreaterThan(1e8)
  expect(bytes).toBeGreaterThan(1e8)
  expect(halfOperations !== undefined).toBe(device.traits.f16)
})

test('a share is of the nearer ceiling', () => {
  const ceilings = { operations: 1000, bytes: 100 }
  expect(shareOf(ceilings, 500, 10, 1000)).toBe(0.5)
  expect(shareOf(ceilings, 100, 80, 1000)).toBe(0.8)
  expect(shareOf(ceilings, 100, 80, 2000)).toBe(0.4)
})
