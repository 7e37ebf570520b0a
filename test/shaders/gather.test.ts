// Gather and the gradient of its table: every candidate against float64, on ids of every distribution.
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import '../../engine/ops/gather.ts'
import { findOp } from '../../engine/graph.ts'
import { findReference } from '../../engine/references/index.ts'
import type { DType } from '../../shaders/kernel.ts'
import { checkOp, expectDirectional, noises, opInput, referenceOf, runCandidates } from '../support/ops.ts'
import { type TestDevice, openTestDevice } from '../support/launch.ts'
import { SEED } from '../support/seed.ts'

let bench: TestDevice
beforeAll(async () => {
  bench = await openTestDevice()
})
afterAll(() => bench.close())

/** Ids by a rule: spread evenly, mostly the same few, all one, in rising order, or also outside the table. */
const RULES = {
  even: (rows: number) => (z: number) => Math.floor(Math.abs(z) * 1e6) % rows,
  few: (rows: number) => (z: number) => (z > 1 ? Math.floor(z * 1e6) % rows : rows - 1),
  one: (rows: number) => () => rows >> 1,
  rising: (rows: number) => (_: number, i: number) => i % rows,
  outside: (rows: number) => (z: number) => Math.floor(z * rows),
} satisfies Record<string, (rows: number) => (z: number, i: number) => number>

const cases = fc.record({
  rule: fc.constantFrom(...(Object.keys(RULES) as (keyof typeof RULES)[])),
  positions: fc.constantFrom<number[]>(1, 2, 15, 16, 17, 63, 64, 65, 127, 129, 300, 1000),
  rows: fc.constantFrom<number[]>(1, 2, 3, 63, 64, 65, 257, 1009),
  width: fc.constantFrom<number[]>(1, 2, 3, 4, 31, 32, 66),
  half: fc.boolean(),
  seed: fc.nat(1e6),
})

function idsOf(rule: keyof typeof RULES, positions: number, rows: number, seed: number) {
  return opInput(noises(positions, seed).map(RULES[rule](rows)), [positions], 'i32')
}

test('every candidate copies the very rows, and zeros for ids outside the table', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ rule, positions, rows, width, half, seed }) => {
      const dtype: DType = half && bench.traits.f16 ? 'f16' : 'f32'
      const table = opInput(noises(rows * width, seed + 1), [rows, width], dtype)
      await checkOp(bench, 'gather', [table, idsOf(rule, positions, rows, seed)], {}, 0)
    }),
    { numRuns: 10, seed: SEED },
  )
})

test('every candidate of the gradient gives the float64 sums, to the same bits each time', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ rule, positions, rows, width, half, seed }) => {
      const dtype: DType = half && bench.traits.f16 ? 'f16' : 'f32'
      const dy = opInput(noises(positions * width, seed + 1), [positions, width], dtype)
      await checkOp(bench, 'gatherGradient', [idsOf(rule, positions, rows, seed), dy], { rows }, 1e-5)
    }),
    { numRuns: 15, seed: SEED },
  )
})

describe.each(Object.keys(RULES) as (keyof typeof RULES)[])('ids that are %s', rule => {
  test('sum as in float64 over many blocks and chunks', async () => {
    for (const [positions, rows] of [
      [3001, 2],
      [2048, 512],
      [515, 3000],
    ]) {
      const width = 12
      const dy = opInput(noises(positions * width, 3), [positions, width])
      await checkOp(bench, 'gatherGradient', [idsOf(rule, positions, rows, 7), dy], { rows }, 1e-5)
    }
  })
})

test('ids at the far ends of i32 are outside like any other', async () => {
  const ids = opInput([-2147483648, 2147483647, -1, 2, 3], [5], 'i32')
  const table = opInput(noises(12, 1), [3, 4])
  const dy = opInput(noises(20, 2), [5, 4])
  await checkOp(bench, 'gather', [table, ids], {}, 0)
  await checkOp(bench, 'gatherGradient', [ids, dy], { rows: 3 }, 1e-6)
  const [dtable] = referenceOf('gatherGradient', [ids, dy], { rows: 3 })
  expect([...dtable]).toEqual([...new Array<number>(8).fill(0), ...dy.data.subarray(12, 16)])
})

test('ids of any shape keep it, a single number included', async () => {
  const table = opInput(noises(20, 1), [5, 4])
  for (const shape of [[], [2, 3], [2, 1, 2]]) {
    const count = shape.reduce((n, m) => n * m, 1)
    const ids = opInput(
      Array.from({ length: count }, (_, i) => i % 5),
      shape,
      'i32',
    )
    expect(findOp('gather').infer([table, ids], {})).toEqual([{ shape: [...shape, 4], dtype: 'f32' }])
    await checkOp(bench, 'gather', [table, ids], {}, 0)
    await checkOp(bench, 'gatherGradient', [ids, opInput(noises(count * 4, 2), [...shape, 4])], { rows: 5 }, 1e-6)
  }
})

test('equal ids add in the order of their positions: the last bits are those of a plain f32 loop', async () => {
  const [positions, width] = [15, 3]
  const ids = opInput(new Array<number>(positions).fill(1), [positions], 'i32')
  const dy = opInput(noises(positions * width, 9), [positions, width])
  const expected = new Float32Array(3 * width)
  for (let i = 0; i < positions * width; i++) expected[width + (i % width)] += dy.data[i]
  for (const { outputs, label } of await runCandidates(bench, 'gatherGradient', [ids, dy], { rows: 3 })) {
    expect(outputs[0], label).toEqual(expected)
  }
})

test('its gradient agrees with central differences in float64', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 9 }),
      fc.nat(1e6),
      (rows, positions, seed) => {
        const width = 3
        const run = (name: string, values: Float64Array[], shapes: number[][], dtypes: DType[]) => {
          const op = findOp(name)
          if (op.kind !== 'kernel') throw new Error(name)
          const inputs = shapes.map((shape, i) => ({ shape, dtype: dtypes[i] }))
          const attributes = name === 'gather' ? { rows: 0 } : { rows }
          return findReference(op)(values, { inputs, outputs: op.infer(inputs, attributes) }, attributes)[0]
        }
        const ids = idsOf('outside', positions, rows, seed).data
        const weights = noises(positions * width, seed + 1)
        const table = noises(rows * width, seed + 2)
        const loss = (point: Float64Array) =>
          run('gather', [point, ids], [[rows, width], [positions]], ['f32', 'i32']).reduce(
            (sum, y, i) => sum + y * weights[i],
            0,
          )
        const gradient = run('gatherGradient', [ids, weights], [[positions], [positions, width]], ['i32', 'f32'])
        expectDirectional(loss, table, gradient, noises(rows * width, seed + 3), `gather ${positions} of ${rows}`)
      },
    ),
    { seed: SEED },
  )
})

test('wrong shapes and dtypes are refused by name', () => {
  const infer =
    (name: string, a: [number[], DType], b: [number[], DType], rows = 3) =>
    () =>
      findOp(name).infer(
        [
          { shape: a[0], dtype: a[1] },
          { shape: b[0], dtype: b[1] },
        ],
        { rows },
      )
  expect(infer('gather', [[3], 'f32'], [[2], 'i32'])).toThrow('gather: the table is f32[3], but [rows, width]')
  expect(infer('gather', [[3, 2], 'f32'], [[2], 'f32'])).toThrow('gather: ids are f32[2], but i32 was expected')
  expect(infer('gatherGradient', [[3], 'i32'], [[2, 4], 'f32'])).toThrow(
    'gatherGradient: dy is f32[2, 4], but floats of shape [...ids.shape, width] were expected',
  )
})
