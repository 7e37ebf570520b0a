// Random tensors: their distributions, what their keys determine, and what they cost.
import { afterAll, describe, expect, test } from 'vitest'
import { reference } from '../../../engine/reference.ts'
import { apply } from '../../../engine/tensor.ts'
import {
  type Tensor,
  compile,
  currentDevice,
  randomBernoulli,
  randomCategorical,
  randomNormal,
  randomPermutation,
  randomUniform,
  readAll,
  tensor,
  zeros,
} from '../../../engine/node/index.ts'
import { randomWord } from '../../../shaders/random.ts'

afterAll(async () => (await currentDevice()).close())

const COUNT = 20_000
const key = { seed: 7, stream: 3 }

/** The largest distance between the shares of numbers below a bound and the distribution function there. */
function distance(numbers: Float64Array, below: (x: number) => number): number {
  const sorted = numbers.toSorted()
  return sorted.reduce((largest, x, i) => {
    const share = below(x)
    return Math.max(largest, Math.abs(share - i / sorted.length), Math.abs(share - (i + 1) / sorted.length))
  }, 0)
}
/** Kolmogorov's distance that one draw in ten thousand passes. */
const BOUND = 2.23 / Math.sqrt(COUNT)

const moment = (numbers: Float64Array, n: number): number =>
  numbers.reduce((sum, x) => sum + x ** n, 0) / numbers.length

describe('distributions', () => {
  test('uniform numbers fill their interval evenly', () => {
    const [numbers] = reference([randomUniform([COUNT], key, { low: -2, high: 3 })])
    expect(numbers.every(x => x >= -2 && x < 3)).toBe(true)
    expect(distance(numbers, x => (x + 2) / 5)).toBeLessThan(BOUND)
  })

  test('normal numbers have the moments of their mean and deviation', () => {
    const [numbers] = reference([randomNormal([COUNT], key, { mean: 1, deviation: 2 })])
    const standard = numbers.map(x => (x - 1) / 2)
    expect(moment(standard, 1)).toBeCloseTo(0, 1)
    expect(moment(standard, 2)).toBeCloseTo(1, 1)
    expect(moment(standard, 3)).toBeCloseTo(0, 0)
    expect(Math.abs(moment(standard, 4) - 3)).toBeLessThan(0.2)
  })

  test('bernoulli numbers are ones as often as their probabilities say', () => {
    const [ones] = reference([randomBernoulli(0.3, key, [COUNT])])
    expect(moment(ones, 1)).toBeCloseTo(0.3, 1.5)
    const [sure] = reference([randomBernoulli(tensor([0, 1, 0, 1]), key)])
    expect([...sure]).toEqual([0, 1, 0, 1])
  })

  test('classes are drawn with the probabilities of their logits', () => {
    const probabilities = [0.5, 0, 0.2, 0.3]
    const logits = tensor(probabilities.map(Math.log)).broadcastTo([COUNT / 4, 4])
    const [classes] = reference([randomCategorical(logits, key)])
    probabilities.forEach((p, c) => {
      const share = classes.filter(found => found === c).length / classes.length
      if (p === 0) expect(share).toBe(0)
      else expect(Math.abs(share - p)).toBeLessThan(0.03)
    })
  })

  test('permutations have every number once, and every number may come first', () => {
    const firsts = Array.from({ length: 60 }, (_, step) => {
      const [order] = reference([randomPermutation(5, { seed: 1, step })])
      expect(order.toSorted()).toEqual(Float64Array.of(0, 1, 2, 3, 4))
      return order[0]
    })
    expect(new Set(firsts).size).toBe(5)
  })
})

test('a key determines the numbers: the device draws those of the host, others for another seed, stream or step', async () => {
  const shape = [3, 5]
  const fractions = (seed: number, stream: number, step: number): number[] =>
    Array.from({ length: 15 }, (_, i) => (randomWord(i, stream, step, seed) >>> 8) * 2 ** -24)
  const found = await readAll([
    randomUniform(shape, { seed: 7 }),
    randomUniform(shape, { seed: 8 }),
    randomUniform(shape, { seed: 7, stream: 1 }),
    randomUniform(shape, { seed: 7, step: 1 }),
    randomUniform(shape, { seed: 7, step: tensor(1, [], 'u32') }),
    randomCategorical(zeros([2, 6]), { seed: 7 }),
    randomPermutation(100, { seed: 7 }),
  ])
  const expected = [fractions(7, 0, 0), fractions(8, 0, 0), fractions(7, 1, 0), fractions(7, 0, 1), fractions(7, 0, 1)]
  expected.forEach((numbers, k) => expect([...found[k]]).toEqual(numbers))
  const exact = reference([randomCategorical(zeros([2, 6]), { seed: 7 }), randomPermutation(100, { seed: 7 })])
  expect([...found[5]]).toEqual([...exact[0]])
  expect([...found[6]]).toEqual([...exact[1]])
})

test('normal numbers are those of their bits within 1e-6, in the tails and next to 0', async () => {
  const powers = Array.from({ length: 32 }, (_, k) => 2 ** k)
  const words = [...powers, ...powers.map(n => 2 ** 32 - n), ...powers.map(n => (2 ** 31 + n) % 2 ** 32)]
  const drawn = Uint32Array.from({ length: 4000 }, (_, i) => words[i] ?? randomWord(i, 0, 0, 1))
  const normal = apply('normalOfBits', [tensor(drawn)])
  const [exact] = reference([normal])
  const found = await normal.data()
  const worst = exact.reduce((most, x, i) => Math.max(most, Math.abs(found[i] - x) / Math.abs(x)), 0)
  expect(worst).toBeLessThan(1e-6)
})

test('noise takes no memory: it is part of what it is added to', async () => {
  const noisy = compile((x: Tensor, step: Tensor) =>
    x.add(randomNormal([64, 64], { seed: 1, step }, { deviation: 0.1 })),
  )
  const { dispatches } = await noisy.prepare(zeros([64, 64]), tensor(1, [], 'u32'))
  expect(dispatches).toBe(1)
})

test.each<[string, () => unknown]>([
  [
    'random numbers: the seed is -1, but an integer from 0 to 2³² − 1 was expected',
    () => randomUniform([2], { seed: -1 }),
  ],
  ['random numbers: the step is 0.5', () => randomNormal([2], { seed: 1, step: 0.5 })],
  ['random numbers: the step is f32[], but u32[] was expected', () => randomNormal([2], { seed: 1, step: zeros([]) })],
  ['randomUniform: operands have to be floats, not i32', () => randomUniform([2], { seed: 1 }, { dtype: 'i32' })],
  ['randomCategorical: axis 1 is not one of 1 axes', () => randomCategorical(zeros([3]), { seed: 1 }, 1)],
])('%s', (message, act) => {
  expect(act).toThrow(message)
})
