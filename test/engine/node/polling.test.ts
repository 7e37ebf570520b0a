// Waiting for a software adapter leaves the processor to it: Dawn asks whether it is done, but not at every turn of the
// event loop.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { listAdapters, openAdapter } from '../../../engine/node/adapters.ts'
import { timedWait } from '../../../engine/runtime/waiting.ts'

/** Calls of the global `setImmediate`. */
let turns = 0
let device: GPUDevice
let software: boolean
/** Whether listing the adapters left `setImmediate` as it was. */
let isUntouched: boolean
beforeAll(async () => {
  const { setImmediate } = globalThis
  const counting = new Proxy(setImmediate, {
    apply(immediate, self, args) {
      turns++
      return Reflect.apply(immediate, self, args)
    },
  })
  globalThis.setImmediate = counting
  await listAdapters()
  isUntouched = globalThis.setImmediate === counting
  const { adapter, info } = await openAdapter()
  software = info.fallback
  device = await adapter.requestDevice()
})
afterAll(() => device.destroy())

const notSoftware = 'the adapter is a GPU, which Dawn may ask as often as it likes'

const compile = (): Promise<GPUComputePipeline> =>
  device.createComputePipelineAsync({
    layout: 'auto',
    compute: { module: device.createShaderModule({ code: '@compute @workgroup_size(1) fn main() {}' }) },
  })

test('listing adapters does not change how Dawn polls', () => {
  expect(isUntouched).toBe(true)
})

test('while shaders compile, Dawn asks by a timer alone', async ({ skip }) => {
  skip(!software, notSoftware)
  turns = 0
  await compile()
  expect(turns).toBe(0)
})

test('while something is timed, it asks at every turn', async () => {
  turns = 0
  await timedWait(compile)
  expect(turns).toBeGreaterThan(0)
})

test('right after a submit it asks at every turn, so that small results come soon', async ({ skip }) => {
  skip(!software, notSoftware)
  turns = 0
  // A busy machine may let the moment pass.
  for (let i = 0; i < 100 && turns === 0; i++) {
    device.queue.submit([])
    await device.queue.onSubmittedWorkDone()
  }
  expect(turns).toBeGreaterThan(0)
})

test('the promisified form and the arguments of setImmediate are still there', async () => {
  const { promisify } = await import('node:util')
  expect(await promisify(setImmediate)('value')).toBe('value')
  expect(await new Promise(done => setImmediate((a: number, b: number) => done(a + b), 1, 2))).toBe(3)
})
