// Which free buffers are kept for reuse.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Device, currentDevice } from '../../../engine/node/index.ts'
import { Buffers } from '../../../engine/runtime/buffers.ts'
import { Scratch } from '../../../engine/runtime/scratch.ts'

let device: Device
beforeAll(async () => {
  device = await currentDevice()
})
afterAll(() => device.close())

const MEBI = 1024 * 1024

test('of too many free buffers the longest unused are destroyed', () => {
  const buffers = new Buffers(device.gpu)
  const [old, middle, late] = [24, 25, 26].map(size => buffers.acquire(size * MEBI, `${size} MiB`, { zeroed: false }))
  buffers.release(old)
  buffers.release(middle)
  expect(buffers).toMatchObject({ count: 3, bytes: 75 * MEBI })
  buffers.release(late)
  expect(buffers, 'the first one is gone').toMatchObject({ count: 2, bytes: 51 * MEBI })
  expect(buffers.acquire(26 * MEBI, 'again', { zeroed: false })).toBe(late)
  expect(buffers.acquire(25 * MEBI, 'again', { zeroed: false })).toBe(middle)
  expect(buffers.acquire(24 * MEBI, 'anew', { zeroed: false })).not.toBe(old)
  expect(buffers.count).toBe(3)
})

test('a buffer larger than the pool is destroyed at once, and others are kept', () => {
  const buffers = new Buffers(device.gpu)
  const [small, large] = [
    buffers.acquire(MEBI, 'small', { zeroed: false }),
    buffers.acquire(80 * MEBI, 'large', { zeroed: false }),
  ]
  buffers.release(small)
  buffers.release(large)
  expect(buffers).toMatchObject({ count: 1, bytes: MEBI })
})

test('scratch memory is freed after a failed allocation, and its bind groups are made again', () => {
  const buffers = new Buffers(device.gpu)
  const scratch = new Scratch(buffers)
  const before = scratch.reserve([3 * MEBI, MEBI])[0]
  const { generation } = scratch
  scratch.destroy()
  expect(buffers).toMatchObject({ count: 0, bytes: 0 })
  expect(scratch.generation).not.toBe(generation)
  expect(scratch.reserve([3 * MEBI])[0]).not.toBe(before)
})
