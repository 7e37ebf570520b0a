// Softmax, log-softmax and their gradients: every candidate against float64, and the gradients against differences.
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import '../../engine/ops/softmax.ts'
import { findOp } from '../../engine/graph.ts'
import { findReference } from '../../engine/references/index.ts'
import type { DType } from '../../shaders/kernel.ts'
import {
  checkOp,
  expectClose,
  expectDirectional,
  noises,
  opInput,
  referenceOf,
  rootMeanSquare,
  runCandidates,
} from '../support/ops.ts'
import { type TestDevice, openTestDevice } from '../support/launch.ts'
import { SEED } from '../support/seed.ts'

let bench: TestDevice
let dtypes: DType[]
beforeAll(async () => {
  bench = await openTestDevice()
  dtypes = bench.traits.f16 ? ['f32', 'f16'] : ['f32']
})
afterAll(() => bench.close())

const widths = fc.constantFrom(1, 2, 3, 4, 7, 16, 31, 32, 33, 64, 129, 255, 256, 257, 768, 1021, 3072)
const rowCounts = fc.constantFrom(1, 2, 3, 7, 31, 32, 33, 65)
const cases = fc.record({
  width: widths,
  rows: rowCounts,
  half: fc.boolean(),
  scale: fc.constantFrom(0.1, 1, 30),
  seed: fc.nat(1e6),
})

const tolerance = (dtype: DType, width: number) => (dtype === 'f16' ? 1e-2 : 1e-5 * Math.max(1, Math.sqrt(width) / 4))

describe.each(['softmax', 'logSoftmax'])('%s', name => {
  test('every candidate gives the float64 result on any shape, to the same bits each time', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ width, rows, half, scale, seed }) => {
        const dtype = half ? dtypes[dtypes.length - 1] : 'f32'
        const x = opInput(noises(rows * width, seed, scale), [rows, width], dtype)
        await checkOp(bench, name, [x], {}, tolerance(dtype, width))
      }),
      { numRuns: 8, seed: SEED },
    )
  })

  test('the gradient kernel gives the float64 result on any shape, to the same bits each time', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ width, rows, half, scale, seed }) => {
        const dtype = half ? dtypes[dtypes.length - 1] : 'f32'
        const x = opInput(noises(rows * width, seed, scale), [rows, width], dtype)
        const y = opInput(referenceOf(name, [x])[0], [rows, width], dtype)
        const dy = opInput(noises(rows * width, seed + 1), [rows, width], dtype)
        // Where one entry has nearly all the probability, the terms cancel.
        const terms = rootMeanSquare(name === 'softmax' ? dy.data.map((g, i) => g * y.data[i]) : dy.data)
        await checkOp(bench, `${name}Gradient`, [y, dy], {}, tolerance(dtype, width), [terms])
      }),
      { numRuns: 8, seed: SEED },
    )
  })

  test('any rank is rows of its last axis', async () => {
    for (const shape of [[5], [2, 3, 8], [2, 1, 3, 5]]) {
      const size = shape.reduce((n, m) => n * m, 1)
      await checkOp(bench, name, [opInput(noises(size, 3), shape)], {}, 1e-5)
    }
  })

  test('hurting rows: huge logits, equal maxima, −∞ entries, a row of nothing but −∞', async () => {
    const width = 36
    const rows = [
      Array.from({ length: width }, (_, i) => (i % 2 ? 1e4 : -1e4)),
      new Array(width).fill(1e4),
      new Array(width).fill(-3e38),
      Array.from({ length: width }, (_, i) => (i < 20 ? -Infinity : i / 7)),
      Array.from({ length: width }, (_, i) => (i === 35 ? 2 : -Infinity)),
      new Array(width).fill(-Infinity),
      noises(width, 5),
    ]
    const x = opInput(
      rows.flatMap(r => [...r]),
      [rows.length, width],
    )
    const expected = referenceOf(name, [x])[0]
    expect(expected.subarray(5 * width, 6 * width).every(Number.isNaN)).toBe(true)
    expect(expected[3 * width]).toBe(name === 'softmax' ? 0 : -Infinity)
    await checkOp(bench, name, [x], {}, 1e-5)
  })

  test('NaN or +∞ in a row makes the whole row NaN, and no other; so does NaN its gradient', async () => {
    const width = 20
    const values = noises(3 * width, 6)
    values[7] = NaN
    values[width + 9] = Infinity
    const spec = [3, width]
    const isNaNs = (xs: ArrayLike<number>) => Array.from(xs, Number.isNaN)
    const expected = Array.from({ length: 3 * width }, (_, i) => i < 2 * width)
    const runs = await runCandidates(bench, name, [opInput(values, spec)])
    for (const run of runs) expect(isNaNs(run.outputs[0]), run.label).toEqual(expected)
    const dy = opInput(noises(3 * width, 8), spec)
    for (const run of await runCandidates(bench, `${name}Gradient`, [opInput(runs[0].outputs[0], spec), dy])) {
      expect(isNaNs(run.outputs[0]), run.label).toEqual(expected)
    }
  })

  test('its gradient agrees with central differences in float64', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 3 }), fc.nat(1e6), (width, rows, seed) => {
        const shape = [rows, width]
        const x = noises(rows * width, seed, 2)
        const weights = noises(rows * width, seed + 1)
        const forward = (point: Float64Array) => reference64(name, [point], shape)
        const loss = (point: Float64Array) => forward(point).reduce((sum, y, i) => sum + y * weights[i], 0)
        const gradient = reference64(`${name}Gradient`, [forward(x), weights], shape)
        expectDirectional(loss, x, gradient, noises(rows * width, seed + 2), `${name} [${shape.join(', ')}]`)
      }),
      { seed: SEED },
    )
  })

  test('integers, scalars and gradients of other shapes are refused by name', () => {
    expect(() => findOp(name).infer([{ shape: [2, 3], dtype: 'i32' }], {})).toThrow(`${name}: x is i32[2, 3]`)
    expect(() => findOp(name).infer([{ shape: [], dtype: 'f32' }], {})).toThrow(`${name}: x is f32[]`)
    expect(() =>
      findOp(`${name}Gradient`).infer(
        [
          { shape: [2, 3], dtype: 'f32' },
          { shape: [3, 2], dtype: 'f32' },
        ],
        {},
      ),
    ).toThrow(`${name}Gradient: dy is f32[3, 2], but f32[2, 3] was expected`)
  })
})

/** The reference with no rounding of its inputs. */
function reference64(name: string, inputs: readonly Float64Array[], shape: readonly number[]): Float64Array {
  const op = findOp(name)
  if (op.kind !== 'kernel') throw new Error(`${name} has no kernel`)
  const spec = { shape, dtype: 'f32' } as const
  return findReference(op)(inputs, { inputs: inputs.map(() => spec), outputs: [spec] }, {})[0]
}

test('plans for adapters with no subgroups, and for a large GPU, give the same softmax', async () => {
  const x = opInput(noises(5 * 1000, 9, 3), [5, 1000])
  const [expected] = referenceOf('softmax', [x])
  const gpu = { ...bench.traits, cpu: false }
  for (const traits of [{ ...bench.traits, subgroupSize: 0 }, gpu, { ...gpu, subgroupSize: 0 }]) {
    for (const run of await runCandidates(bench, 'softmax', [x], {}, traits)) {
      expectClose(run.outputs[0], expected, 2e-5, run.label)
    }
  }
})
