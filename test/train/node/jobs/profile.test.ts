// Profiles: what is timed, how it is added up, and that a timed step is the step itself.
import { afterAll, describe, expect, test } from 'vitest'
import { type KernelTime, compile, currentDevice, tensor } from '../../../../engine/node/index.ts'
import type { Tensor } from '../../../../engine/tensor.ts'
import { byLabel, profileTable, traceEvents } from '../../../../train/node/jobs/profile.ts'

afterAll(async () => (await currentDevice()).close())

const kernels: KernelTime[] = [
  { label: 'matmul', start: 0, nanoseconds: 3_000_000, operations: 6e9, bytes: 1e6 },
  { label: 'gelu', start: 3_500_000, nanoseconds: 500_000, operations: undefined, bytes: 5e6 },
  { label: 'matmul', start: 4_000_000, nanoseconds: 1_000_000, operations: 2e9, bytes: 1e6 },
]

describe('the table of a step', () => {
  test('adds dispatches up by kernel, the longest first', () => {
    expect(byLabel(kernels)).toEqual([
      { label: 'matmul', count: 2, nanoseconds: 4_000_000, operations: 8e9, bytes: 2e6 },
      { label: 'gelu', count: 1, nanoseconds: 500_000, operations: 0, bytes: 5e6 },
    ])
  })

  test('gives each kernel its share of the time and of what the adapter reached', () => {
    const lines = profileTable(kernels, { operations: 4e12, bytes: 2e10 }).split('\n')
    expect(lines[1].split(/ {2,}/)).toEqual(['matmul', '2', '4.00', '88.9 %', '2000.0', '0.5', '50.0 %'])
    expect(lines[2].split(/ {2,}/)).toEqual(['gelu', '1', '0.50', '11.1 %', '–', '10.0', '50.0 %'])
    expect(lines.join('\n')).toContain('3 dispatches: 4.5 ms, of 5.0 ms from the first to the last (busy 90.0 %)')
  })

  test('is a trace in microseconds, too', () => {
    const [name, first, second] = traceEvents(kernels).traceEvents
    expect(name).toMatchObject({ ph: 'M', args: { name: 'GPU queue' } })
    expect(first).toMatchObject({ name: 'matmul', ph: 'X', ts: 0, dur: 3000 })
    expect(second).toMatchObject({ name: 'gelu', ts: 3500, dur: 500, args: { bytes: 5e6 } })
  })
})

test('a profiled call gives what a plain call gives, a time a dispatch', async ({ skip }) => {
  const device = await currentDevice()
  skip(!device.gpu.features.has('timestamp-query'), `${device.info.name} has no timestamps`)
  const x = tensor(
    Float32Array.from({ length: 96 * 64 }, (_, i) => Math.sin(i)),
    [96, 64],
  )
  const step = compile((t: Tensor) => ({ y: t.matmul(t.transpose()).softmax().matmul(t).gelu() }))
  const plain = await step(x)
  const { result, kernels: timed } = await step.profile(x)
  expect(await result.y.data()).toEqual(await plain.y.data())
  expect(timed.map(({ label }) => label)).toEqual(await step.kernels(x))
  const products = timed.filter(({ operations }) => operations !== undefined)
  expect(products.map(({ operations }) => operations)).toEqual([2 * 96 * 96 * 64, 2 * 96 * 64 * 96])
  timed.forEach(({ nanoseconds, start, bytes }, i) => {
    expect(nanoseconds).toBeGreaterThanOrEqual(0)
    expect(start).toBeGreaterThanOrEqual(i === 0 ? 0 : timed[i - 1].start)
    expect(bytes).toBeGreaterThan(0)
  })
})
