// Scans along an axis: every candidate against float64, for shapes that do not divide by tiles or chunks.
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import '../../engine/index.ts'
import { findOp } from '../../engine/graph.ts'
import type { DType, Traits } from '../../shaders/kernel.ts'
import { checkOp, expectClose, noises, opInput, referenceOf, runCandidates } from '../support/ops.ts'
import { type TestDevice, openTestDevice } from '../support/launch.ts'
import { SEED } from '../support/seed.ts'

let bench: TestDevice
let dtypes: DType[]
beforeAll(async () => {
  bench = await openTestDevice()
  dtypes = bench.traits.f16 ? ['f32', 'f16'] : ['f32']
})
afterAll(() => bench.close())

const scans = ['cumsum', 'cumprod', 'linearScan'] as const
const cases = fc.record({
  name: fc.constantFrom(...scans),
  outer: fc.constantFrom(1, 2, 5),
  length: fc.constantFrom(1, 2, 31, 32, 33, 255, 257, 1000, 4099),
  inner: fc.constantFrom(1, 1, 3, 40),
  exclusive: fc.boolean(),
  reverse: fc.boolean(),
  half: fc.boolean(),
  seed: fc.nat(1e6),
})

/** Factors near ±1, so that products neither grow nor vanish. */
const factors = (count: number, seed: number): Float64Array =>
  noises(count, seed).map(n => Math.sign(n) * Math.exp(0.02 * n))

/** Inputs of a scan whose results stay of a size. */
function inputsOf(name: (typeof scans)[number], shape: readonly number[], dtype: DType, seed: number) {
  const count = shape.reduce((n, m) => n * m, 1)
  const values = name === 'cumsum' ? [noises(count, seed)] : [factors(count, seed)]
  if (name === 'linearScan') values.push(noises(count, seed + 1))
  return values.map(numbers => opInput(numbers, shape, dtype))
}

test('every candidate gives the float64 result on any shape, to the same bits each time', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ name, outer, length, inner, exclusive, reverse, half, seed }) => {
      const shape = [outer, length, length > 1000 ? 1 : inner]
      const dtype = half ? dtypes[dtypes.length - 1] : 'f32'
      const inputs = inputsOf(name, shape, dtype, seed)
      const tolerance = dtype === 'f16' ? 1e-2 : 2e-6 * Math.max(1, Math.sqrt(length) / 4)
      await checkOp(bench, name, inputs, { axis: 1, exclusive, reverse }, tolerance)
    }),
    { numRuns: 10, seed: SEED },
  )
})

test('plans for adapters with no subgroups, and for a GPU, divide long rows in other ways to the same results', async () => {
  const gpu: Traits = { ...bench.traits, cpu: false }
  for (const [name, traits] of [
    ['linearScan', gpu],
    ['cumprod', { ...gpu, subgroupSize: 0 }],
  ] as const) {
    const inputs = inputsOf(name, [2, 17_001, 1], 'f32', 7)
    const attributes = { axis: 1, exclusive: false, reverse: name === 'cumprod' }
    const [expected] = referenceOf(name, inputs, attributes)
    for (const run of await runCandidates(bench, name, inputs, attributes, traits))
      expectClose(run.outputs[0], expected, 5e-5, run.label)
  }
})

describe('numbers that hurt', () => {
  const attributes = { axis: 0, exclusive: false, reverse: false }

  test('NaN and infinities reach all that comes after them, and nothing before', async () => {
    const values = new Float64Array(600).fill(1)
    values[300] = NaN
    const infinite = values.with(300, Infinity)
    for (const [name, x, after] of [
      ['cumsum', values, NaN],
      ['cumsum', infinite, Infinity],
      ['cumprod', infinite, Infinity],
    ] as const) {
      for (const { outputs, label } of await runCandidates(bench, name, [opInput(x, [600])], attributes)) {
        expect([outputs[0][299], outputs[0][300], outputs[0][599]], label).toEqual([
          name === 'cumsum' ? 300 : 1,
          after,
          after,
        ])
      }
    }
  })

  test('a recurrence that stays at 0 is 0, although the product of its factors overflows', async () => {
    const [a, b] = [new Float64Array(2000).fill(3), new Float64Array(2000)]
    b[1999] = 5
    const runs = await runCandidates(bench, 'linearScan', [opInput(a, [2000]), opInput(b, [2000])], attributes)
    for (const { outputs, label } of runs) expect(Array.from(outputs[0]), label).toEqual(Array.from(b))
  })

  test('integers keep their low 32 bits', async () => {
    const x = opInput(new Float64Array(70).fill(3), [70], 'u32')
    const [sums] = await runCandidates(bench, 'cumsum', [opInput([2 ** 31, 2 ** 31, 5], [3], 'u32')], attributes)
    expect(Array.from(sums.outputs[0])).toEqual([2 ** 31, 0, 5])
    await checkOp(bench, 'cumprod', [x], attributes, 0)
  })
})

test('axes that do not exist and operands that do not fit are refused by name', () => {
  const f32 = (...shape: number[]) => ({ shape, dtype: 'f32' }) as const
  const attributes = { axis: 1, exclusive: false, reverse: false }
  expect(() => findOp('cumsum').infer([f32(3)], attributes)).toThrow('cumsum: f32[3] has no axis 1')
  expect(() => findOp('linearScan').infer([f32(2, 3), f32(3, 2)], attributes)).toThrow(
    'linearScan: b is f32[3, 2], but f32[2, 3] was expected (as a is f32[2, 3])',
  )
  expect(() => findOp('linearScan').infer([{ shape: [2, 3], dtype: 'i32' }, f32(2, 3)], attributes)).toThrow(
    'linearScan takes floats, not i32[2, 3]',
  )
})
