// Reading values outside of compiled functions: expressions of equal structure replay one plan, with the bits of a plan
// of their own, and what is kept of them holds nothing of their user's.
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { EAGER_PLANS, eagerPlans, forgetEagerPlans } from '../../engine/compile/eager.ts'
import {
  type Device,
  type Tensor,
  type TensorData,
  compile,
  currentDevice,
  dropout,
  full,
  readAll,
  scalar,
  tensor,
  variable,
} from '../../engine/node/index.ts'
import { collected } from '../support/collect.ts'
import { SEED } from '../support/seed.ts'

let device: Device
beforeAll(async () => {
  device = await currentDevice()
})
afterEach(() => {
  vi.restoreAllMocks()
  forgetEagerPlans()
})
afterAll(() => device.close())

const list = async (t: Tensor): Promise<number[]> => [...(await t.data())]

/** What each call gives, and how many plans all of them have made. */
async function plansOf<R>(calls: readonly (() => Promise<R>)[]): Promise<{ results: R[]; plans: number }> {
  const before = eagerPlans(device)
  const results: R[] = []
  for (const call of calls) results.push(await call())
  return { results, plans: eagerPlans(device) - before }
}

describe('one plan is used for an expression', () => {
  test('of other host data', async () => {
    const { results, plans } = await plansOf([1, 2, 3].map(n => () => list(tensor([n, 2 * n]).add(tensor([10, 20])))))
    expect(results).toEqual([
      [11, 22],
      [12, 24],
      [13, 26],
    ])
    expect(plans).toBe(1)
  })

  test("of other numbers, in each dtype, including those that JSON can't express", async () => {
    const numbers = [3, 0, -0, -1.5, NaN, Infinity, -Infinity, 1e-30, 3e38]
    const floats = await plansOf(numbers.map(n => () => list(tensor([0, 0]).add(scalar(n)))))
    floats.results.forEach((result, i) =>
      expect(result).toEqual([Math.fround(numbers[i]) + 0, Math.fround(numbers[i]) + 0]),
    )
    expect(floats.plans).toBe(1)
    const integers = await plansOf([0, -1, 2 ** 31 - 1, -(2 ** 31)].map(n => () => list(full([3], n, 'i32'))))
    expect(integers.results.map(([n]) => n)).toEqual([0, -1, 2 ** 31 - 1, -(2 ** 31)])
    const unsigned = await plansOf([0, 1, 2 ** 32 - 1].map(n => () => list(full([3], n, 'u32'))))
    expect(unsigned.results.map(([n]) => n)).toEqual([0, 1, 2 ** 32 - 1])
    expect([integers.plans, unsigned.plans]).toEqual([1, 1])
  })

  test("whose numbers have the bits of a template's numbers", async () => {
    const denormal = new Float32Array(Uint32Array.of(0x80000001).buffer)[0]
    const { results, plans } = await plansOf(
      [5, 6].map(n => () => list(tensor([1, 2]).pad([1], [0], denormal).mul(n).add(0.5))),
    )
    expect(results).toEqual([5, 6].map(n => [0.5, n + 0.5, 2 * n + 0.5]))
    const seeds = await plansOf(
      [1, 2].map(
        step => () => list(dropout(full([64], 1), 0.5, 0, tensor(Uint32Array.of(step), []), 0x80000001).add(3)),
      ),
    )
    const same = await compile((step: Tensor) => dropout(full([64], 1), 0.5, 0, step, 0x80000001).add(3))(
      tensor(Uint32Array.of(2), []),
    )
    expect(seeds.results[1]).toEqual(await list(same))
    expect([plans, seeds.plans]).toEqual([1, 1])
  })

  test('of other variables, of results, and of variables that have changed', async () => {
    const [v, w] = ['v', 'w'].map(name => variable({ shape: [2000], dtype: 'f32' }, name))
    await v.write(new Float32Array(2000).fill(1))
    await w.write(new Float32Array(2000).fill(2))
    const result = await compile((x: Tensor) => x.mul(3))(v.tensor)
    const sum = (t: Tensor) => (): Promise<number> => t.add(1).sum().item()
    const { results, plans } = await plansOf([
      sum(v.tensor),
      sum(w.tensor),
      sum(result),
      sum(v.tensor),
      async () => {
        await v.write(new Float32Array(2000).fill(9))
        return sum(v.tensor)()
      },
      sum(tensor(new Float32Array(2000).fill(4))),
    ])
    expect(results).toEqual([4000, 6000, 8000, 4000, 20000, 10000])
    expect(plans).toBe(1)
  })

  test('of small and large host data, used once or several times', async () => {
    for (const n of [1, 1024, 1025, 50_000]) {
      const kept = tensor(new Float32Array(n).fill(1))
      for (const value of [2, 3, 4]) {
        expect(
          await kept
            .mul(tensor(new Float32Array(n).fill(value)))
            .sum()
            .item(),
        ).toBe(n * value)
      }
    }
  })

  test('and another one for other attributes, dtypes, shapes, views or sharing', async () => {
    const x = tensor([
      [1, 2],
      [3, 4],
    ])
    const y = tensor([
      [1, 2],
      [3, 4],
    ])
    const { results, plans } = await plansOf([
      () => list(x.sum(0)),
      () => list(x.sum(1)),
      () => list(x.transpose().sum(0)),
      () => list(x.slice([0, 0], [1, 2]).sum(0)),
      () => list(x.sub(x)),
      () => list(x.sub(y)),
      () => list(x.mul(2).add(3)),
      () => list(x.mul(2).add(2)),
      () =>
        list(
          tensor(
            [
              [1, 2],
              [3, 4],
            ],
            [2, 2],
            'f32',
          )
            .reshape([4])
            .sum(0),
        ),
      () => list(tensor(Int32Array.of(1, 2, 3, 4), [2, 2]).sum(0)),
    ])
    expect(results).toEqual([
      [4, 6],
      [3, 7],
      [3, 7],
      [1, 2],
      [0, 0, 0, 0],
      [0, 0, 0, 0],
      [5, 7, 9, 11],
      [4, 6, 8, 10],
      [10],
      [4, 6],
    ])
    expect(plans).toBe(10)
  })

  test('until kernel choices change', async () => {
    const product = (): Promise<number[]> => list(tensor([[1, 2]]).matmul(tensor([[3], [4]])))
    const { results, plans } = await plansOf([
      product,
      async () => {
        device.tuning.override((_question, count) => count - 1)
        try {
          return await product()
        } finally {
          device.tuning.override()
        }
      },
    ])
    expect(results).toEqual([[11], [11]])
    expect(plans).toBe(2)
  })

  test('in concurrent calls', async () => {
    const calls = Array.from({ length: 20 }, (_, n) =>
      Promise.all([tensor([n]).mul(n).data(), tensor(new Float32Array(3000).fill(n)).sum().item()]),
    )
    ;(await Promise.all(calls)).forEach(([[square], sum], n) => expect([square, sum]).toEqual([n * n, 3000 * n]))
  })
})

test('several values are read together, including odd lengths and half precision', async () => {
  const x = tensor([1, 2, 3])
  const values = [x.add(1), x.sum(), x, x.mul(2).cast('i32'), ...(device.traits.f16 ? [x.cast('f16')] : [])]
  for (let i = 0; i < 2; i++)
    expect((await readAll(values)).map(data => [...data])).toEqual(
      [[2, 3, 4], [6], [1, 2, 3], [2, 4, 6], [1, 2, 3]].slice(0, values.length),
    )
  const large = tensor(new Float32Array(200_000).fill(1))
  const [sums, doubled] = await readAll([large.add(1), large.mul(2).reshape([2, 100_000])])
  expect([sums.length, sums[199_999], doubled.length, doubled[0]]).toEqual([200_000, 2, 200_000, 2])
})

/** A random expression: how it is built of given inputs, by instructions that name earlier values. */
const instruction = fc.record({
  op: fc.nat(9),
  a: fc.nat(20),
  b: fc.nat(20),
  number: fc.constantFrom(0, 1, 0.5, -2, 3),
})
function build(
  inputs: readonly Tensor[],
  program: readonly { op: number; a: number; b: number; number: number }[],
): Tensor {
  const values = [...inputs]
  for (const { op, a, b, number } of program) {
    const [x, y] = [values[a % values.length], values[b % values.length]]
    values.push(
      [
        () => x.add(y),
        () => x.mul(number),
        () => x.sub(number),
        () => x.mul(y).add(number),
        () => x.transpose(),
        () => x.matmul(y),
        () => x.softmax(),
        () => x.sum(1, true).add(y),
        () => x.maximum(number).tanh(),
        () => x.slice([1], [4]).pad([1, 0], [0, 0], number),
      ][op](),
    )
  }
  return values[values.length - 1]
}

test('a replay gives the same bits as a new plan, for any expression', async () => {
  const draw = fc.record({
    program: fc.array(instruction, { minLength: 1, maxLength: 6 }),
    seeds: fc.tuple(fc.nat(99), fc.nat(99)),
    others: fc.array(fc.constantFrom(0.25, 7, -1, 0), { minLength: 6, maxLength: 6 }),
  })
  const inputs = (seed: number): Tensor[] =>
    [0, 1].map(k =>
      tensor(
        Float32Array.from({ length: 16 }, (_, i) => Math.sin(1 + i + 16 * k + seed)),
        [4, 4],
      ),
    )
  await fc.assert(
    fc.asyncProperty(draw, async ({ program, seeds: [first, second], others }) => {
      // Same structure where the other numbers are equal where these are.
      const map = new Map<number, number>()
      const other = program.map((step, i) => {
        const number = map.get(step.number) ?? others[i] + i / 8
        map.set(step.number, number)
        return { ...step, number: step.op === 9 ? step.number : number }
      })
      forgetEagerPlans()
      const bits = (data: TensorData): number[] => [...new Uint32Array(data.buffer, data.byteOffset, data.length)]
      await build(inputs(first), program).data()
      const replayed = bits(await build(inputs(second), other).data())
      forgetEagerPlans()
      expect(replayed).toEqual(bits(await build(inputs(second), other).data()))
    }),
    { numRuns: 12, seed: SEED },
  )
})

describe('the cache of plans', () => {
  test('holds a bounded number of plans and buffers', async () => {
    for (let n = 1; n <= EAGER_PLANS + 40; n++) expect(await tensor(new Float32Array(n).fill(1)).sum().item()).toBe(n)
    expect(eagerPlans(device)).toBe(EAGER_PLANS)
    await collected()
    expect(device.buffers.live).toBeLessThan(EAGER_PLANS + 10)
  }, 60_000)

  test('holds no host data, no variable and no result', async () => {
    const use = async (): Promise<WeakRef<object>[]> => {
      const data = [new Float32Array(8).fill(1), new Float32Array(20_000).fill(1)]
      const v = variable({ shape: [8], dtype: 'f32' }, 'v')
      const [small, large] = data.map(values => tensor(values))
      const result = await compile((x: Tensor) => x.mul(2))(small)
      for (let i = 0; i < 3; i++) await readAll([small.add(v.tensor).add(result), large.sum()])
      return [...data, v, small, large, result].map(one => new WeakRef(one))
    }
    const refs = await use()
    expect(eagerPlans(device)).toBeGreaterThan(0)
    await collected()
    expect(refs.map(ref => ref.deref())).toEqual(refs.map(() => undefined))
  })

  test("doesn't grow with large inputs in a hundred calls", async () => {
    const call = (i: number): Promise<number> =>
      tensor(new Float32Array(1 << 18).fill(i))
        .add(1)
        .sum()
        .item()
    await call(0)
    const before = device.buffers.bytes
    for (let i = 0; i < 100; i++) expect(await call(i)).toBe((i + 1) * 2 ** 18)
    expect(device.buffers.bytes - before, 'without any collection').toBeLessThanOrEqual(2 ** 20)
  })
})
