// Sorting rows and keeping their first elements: every way against float64, on rows with ties, NaN and infinities.
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { zeros } from '../../engine/node/index.ts'
import type { DType } from '../../shaders/kernel.ts'
import { sortCandidates } from '../../shaders/sort.ts'
import { checkOp, noises, opInput } from '../support/ops.ts'
import { type TestDevice, openTestDevice } from '../support/launch.ts'
import { SEED } from '../support/seed.ts'

let bench: TestDevice
beforeAll(async () => {
  bench = await openTestDevice()
})
afterAll(() => bench.close())

const HARD = [NaN, Infinity, -Infinity, 0, -0, -1, 1]

const cases = fc.record({
  rows: fc.constantFrom(1, 2, 5, 33),
  length: fc.constantFrom(1, 2, 15, 16, 17, 33, 64, 65, 129, 300, 1025, 2048, 2049, 5000),
  keep: fc.constantFrom(1, 3, 16, 17, 200, Infinity, Infinity),
  dtype: fc.constantFrom<DType>('f32', 'f32', 'f16', 'i32', 'u32'),
  kind: fc.constantFrom('normal', 'few', 'hard'),
  descending: fc.boolean(),
  seed: fc.nat(1e6),
})

test('every way sorts, keeps equal elements in order, and takes NaN for the largest', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ length, kind, descending, seed, ...rest }) => {
      const dtype = rest.dtype === 'f16' && !bench.traits.f16 ? 'f32' : rest.dtype
      const rows = length > 1000 ? Math.min(rest.rows, 2) : rest.rows
      const number = (z: number, i: number): number => {
        if (kind === 'hard' && i % 5 === 0) return HARD[Math.floor(Math.abs(z) * 1e6) % HARD.length]
        return kind === 'few' ? Math.round(2 * z) : 100 * z
      }
      const whole = (z: number, i: number): number => (dtype === 'u32' ? Math.abs(100 * z) : number(z, i) || 0)
      const numbers = noises(rows * length, seed).map(dtype === 'i32' || dtype === 'u32' ? whole : number)
      const data = numbers.map(n => (dtype === 'i32' && !Number.isFinite(n) ? 7 : n))
      const x = opInput(data, [rows, length], dtype)
      await checkOp(bench, 'sort', [x], { keep: Math.min(rest.keep, length), descending }, 0)
    }),
    { numRuns: 8, seed: SEED },
  )
})

test('long rows are sorted in blocks that are merged, and few elements of them are selected', async () => {
  for (const keep of [5000, 100, 4]) {
    const x = opInput(noises(10_000, 3), [2, 5000])
    await checkOp(bench, 'sort', [x], { keep, descending: true }, 0)
  }
})

test('what is kept of a row is never more than a workgroup holds', () => {
  for (const length of [1, 64, 1000, 2048, 1e6]) {
    for (const keep of [1, 16, 1000].filter(n => n <= length)) {
      for (const config of sortCandidates({ rows: 1, length, keep }, bench.traits)) {
        if (config.way === 'block') expect(config.size * 8).toBeLessThanOrEqual(bench.traits.maxWorkgroupStorage)
        if (config.way === 'select') expect(config.shares * keep).toBeLessThanOrEqual(2048)
      }
    }
  }
})

const x = zeros([3, 4])
test.each<[string, () => unknown]>([
  ['sort: axis 2 is not one of 2 axes', () => x.sort(2)],
  ['argsort: f32[] has no axis', () => zeros([]).argsort()],
  ['topK: 5 elements of axis -1 of f32[3, 4] were asked for, which has 4', () => x.topK(5)],
  ['topK: -1 elements of axis 0 of f32[3, 4] were asked for, which has 3', () => x.topK(-1, 0)],
])('%s', (message, act) => {
  expect(act).toThrow(message)
})
