// Gathering and scattering along an axis: every way against float64, on indices of every distribution.
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { tensor, zeros } from '../../engine/node/index.ts'
import type { DType } from '../../shaders/kernel.ts'
import { scatterAddCandidates } from '../../shaders/scatter.ts'
import { checkOp, noises, opInput, referenceOf } from '../support/ops.ts'
import { type TestDevice, openTestDevice } from '../support/launch.ts'
import { SEED } from '../support/seed.ts'

let bench: TestDevice
beforeAll(async () => {
  bench = await openTestDevice()
})
afterAll(() => bench.close())

const cases = fc.record({
  outer: fc.constantFrom(1, 2, 5),
  length: fc.constantFrom(1, 3, 64, 300),
  count: fc.constantFrom(1, 31, 33, 1100),
  inner: fc.constantFrom(1, 4, 17),
  dtype: fc.constantFrom<DType>('f32', 'f16', 'i32', 'u32'),
  spread: fc.constantFrom(0.6, 3, 1000),
  seed: fc.nat(1e6),
})

test('elements are those that the indices name; sums and largest ones are those of float64', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ outer, length, count, inner, spread, seed, ...rest }) => {
      const dtype = rest.dtype === 'f16' && !bench.traits.f16 ? 'f32' : rest.dtype
      const shape = [outer, count, inner]
      const size = outer * count * inner
      // Few different ones, all, or mostly none of the axis.
      const index = opInput(
        noises(size, seed).map(z => Math.floor(z * spread)),
        shape,
        'i32',
      )
      const numbers = (n: number, from: number) =>
        noises(n, from).map(z => (dtype === 'u32' ? Math.abs(z * 9) : dtype === 'i32' ? z * 9 : z))
      const source = opInput(numbers(size, seed + 1), shape, dtype)
      const x = opInput(numbers(outer * length * inner, seed + 2), [outer, length, inner], dtype)
      await checkOp(bench, 'gatherAlong', [x, index], { axis: 1 }, 0)
      await checkOp(bench, 'scatterAdd', [index, source], { axis: 1, length, unique: false }, 1e-5)
      await checkOp(bench, 'scatterMax', [x, index, source], { axis: 1 }, 0)
    }),
    { numRuns: 8, seed: SEED },
  )
})

test('indices at the far ends of i32 are outside like any other', async () => {
  const index = opInput([-2147483648, 2147483647, -1, 2, 3], [5], 'i32')
  const source = opInput([1, 2, 3, 4, 5], [5])
  await checkOp(bench, 'scatterAdd', [index, source], { axis: 0, length: 3, unique: false }, 0)
  expect([...referenceOf('scatterAdd', [index, source], { axis: 0, length: 3, unique: false })[0]]).toEqual([0, 0, 4])
  await checkOp(bench, 'gatherAlong', [opInput([7, 8, 9], [3]), index], { axis: 0 }, 0)
})

test('a line with many indices is never one invocation alone', () => {
  const ways = (count: number) =>
    scatterAddCandidates({ outer: 1, length: 10, count, inner: 1, dtype: 'f32' }, false, bench.traits).map(c => c.way)
  expect(ways(100)).toContain('lines')
  expect(ways(1e6)).not.toContain('lines')
})

test('of equal indices the last one is put', async () => {
  const y = zeros([4]).scatter(0, tensor([2, 0, 2, 9, 0], [5], 'i32'), tensor([1, 2, 3, 4, 5]))
  expect([...(await y.data())]).toEqual([5, 0, 3, 0])
})

const x = zeros([3, 4])
const index = (shape: readonly number[]) => zeros(shape, 'i32')

test.each<[string, () => unknown]>([
  ['gather along axis 1: the index i32[2, 2, 2] does not fit f32[3, 4]', () => x.gather(1, index([2, 2, 2]))],
  ['gather along axis 1: the index i32[5, 2] does not fit f32[3, 4]', () => x.gather(1, index([5, 2]))],
  ['gather: the index is f32[3, 4], but i32 was expected', () => x.gather(0, x)],
  ['gather: axis 2 is not one of 2 axes', () => x.gather(2, index([3, 4]))],
  [
    'scatterAdd along axis 0: the index i32[2, 5] and the source f32[2, 5] do not fit f32[3, 4]',
    () => x.scatterAdd(0, index([2, 5]), zeros([2, 5])),
  ],
  [
    'scatterMax along axis 0: the index i32[3, 4] and the source f32[2, 4] do not fit f32[3, 4]',
    () => x.scatterMax(0, index([3, 4]), zeros([2, 4])),
  ],
  ['scatter: the source is i32[3, 4], but x is f32[3, 4]', () => x.scatter(0, index([3, 4]), index([3, 4]))],
  ['gather: ids are f32[], but i32 was expected', () => x.take(tensor(1))],
  ['take: axis 2 is not one of 2 axes', () => x.take(index([1]), 2)],
])('%s', (message, act) => {
  expect(act).toThrow(message)
})
