// What shaders/math promises of every f32, of all exponents: the relative error of each function, on the device, of
// numbers drawn by their bits and of those that are hard for it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Tensor, type TensorData, currentDevice, readAll, tensor } from '../../engine/node/index.ts'

afterAll(async () => (await currentDevice()).close())

/** Draws 32 bits at a time. */
function words(seed: number): () => number {
  let state = seed
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0)
}

const COUNT = 2 ** 14
const next = words(1)
const share = (): number => next() / 2 ** 32
const single = new Float32Array(1)
const wordOf = new Uint32Array(single.buffer)
const anyFloat = (): number => {
  wordOf[0] = next()
  return single[0]
}

/** Of all exponents; in usual ranges; next to multiples of π/2, to ±1 and to powers of two. */
const kinds: readonly ((i: number) => number)[] = [
  anyFloat,
  anyFloat,
  () => 4 * share() - 2,
  () => 200 * share() - 100,
  i => (i * Math.PI) / 2,
  i => (i % 2 === 0 ? 1 : -1) * (1 + (share() - 0.5) * 2 ** -(i % 24)),
  i => 2 ** ((i % 240) - 120) * (1 + (i % 3) * 2 ** -23),
]
const drawn = Float32Array.from({ length: COUNT }, (_, i) => kinds[i % kinds.length](i)).filter(
  // What is below the normal numbers may be 0 before it comes here.
  x => Math.abs(x) >= 2 ** -126 || Number.isNaN(x),
)
const x = tensor(drawn)

const sigmoid = (a: number): number => 1 / (1 + Math.exp(-a))
/** By name: the function in float64, and its promise. Those with the adapter's own exp in them promise 1e-5. */
const promised = {
  exp: [Math.exp, 1e-5],
  exp2: [a => 2 ** a, 1e-6],
  expm1: [Math.expm1, 1e-5],
  log: [Math.log, 1e-6],
  log2: [Math.log2, 1e-6],
  log1p: [Math.log1p, 1e-6],
  sin: [Math.sin, 1e-6],
  cos: [Math.cos, 1e-6],
  tan: [Math.tan, 1e-6],
  asin: [Math.asin, 1e-6],
  acos: [Math.acos, 1e-6],
  atan: [Math.atan, 1e-6],
  sinh: [Math.sinh, 1e-5],
  cosh: [Math.cosh, 1e-5],
  tanh: [Math.tanh, 1e-6],
  asinh: [Math.asinh, 1e-6],
  acosh: [Math.acosh, 1e-6],
  atanh: [Math.atanh, 1e-6],
  sigmoid: [sigmoid, 1e-5],
  silu: [a => (a === -Infinity ? NaN : a * sigmoid(a)), 1e-5],
  softplus: [a => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))), 1e-5],
} as const satisfies Record<string, readonly [(a: number) => number, number]>

/** Smaller results may be 0. */
const SMALLEST = 2 ** -120
/** Larger ones may be infinite: f32 ends at 3.403e38. */
const LARGEST = 3.4e38

/** Infinite where one of them is no number, or the wrong infinity. */
function errorOf(actual: number, expected: number): number {
  const rounded = Math.fround(expected)
  if (Object.is(actual, rounded) || actual === rounded) return 0
  if (Math.abs(expected) < SMALLEST && Math.abs(actual) <= 1.01 * SMALLEST) return 0
  if (Math.abs(expected) > LARGEST && Math.abs(actual) > LARGEST && actual > 0 === expected > 0) return 0
  const error = Math.abs(actual - expected) / Math.abs(expected)
  return Number.isNaN(error) ? Infinity : error
}

/** Fails with the number at which the error is largest. */
function expectPromised(
  actual: ArrayLike<number>,
  expected: (i: number) => number,
  bound: number,
  shown: (i: number) => string,
): void {
  const errors = Array.from(actual, (value, i) => errorOf(value, expected(i)))
  const worst = errors.reduce((at, error, i) => (error > errors[at] ? i : at), 0)
  const text = `${shown(worst)} is ${actual[worst]}, not ${expected(worst)}`
  expect(errors[worst], text).toBeLessThanOrEqual(bound)
}

describe('a function of one float has its relative error at every number', () => {
  const names = Object.keys(promised) as (keyof typeof promised)[]
  let results: TensorData[]
  beforeAll(async () => {
    results = await readAll(names.map(name => x[name]()))
  })
  names.forEach((name, k) => {
    const [value, bound] = promised[name]
    test(`${name}: ${bound}`, () =>
      expectPromised(
        results[k],
        i => value(drawn[i]),
        bound,
        i => `${name}(${drawn[i]})`,
      ))
  })
})

/** By name: two numbers, what they give in float64, and the promise. */
const pairs: Readonly<
  Record<
    string,
    {
      draw: (i: number) => [number, number]
      value: (a: number, b: number) => number
      bound: number
      make: (a: Tensor, b: Tensor) => Tensor
    }
  >
> = {
  // Results of all exponents, of bases far from 1 and near it.
  pow: {
    draw: i => {
      const a = i % 2 === 0 ? 2 ** (200 * share() - 100) : 0.5 + share()
      return [a, ((250 * share() - 125) / Math.log2(a)) * (i % 7 === 0 ? 0 : 1)]
    },
    value: (a, b) => a ** b,
    bound: 1e-6,
    make: (a, b) => a.pow(b),
  },
  atan2: {
    draw: i => (i % 2 === 0 ? [anyFloat(), anyFloat()] : [share() - 0.5, share() - 0.5]),
    value: Math.atan2,
    bound: 1e-6,
    make: (a, b) => a.atan2(b),
  },
  // Exact, however large the quotient, but for one rounding.
  mod: {
    draw: i => (i % 2 === 0 ? [anyFloat(), anyFloat()] : [1e6 * (share() - 0.5), 10 * (share() - 0.5)]),
    value: (a, b) => {
      const rest = a % b
      if (Number.isFinite(a) && Math.abs(b) === Infinity) return a === 0 || a > 0 === b > 0 ? a : b
      return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest
    },
    bound: 2 ** -24,
    make: (a, b) => a.mod(b),
  },
}

describe('so has a function of two', () => {
  const cases = Object.entries(pairs).map(([name, { draw, ...rest }]) => {
    const both = Array.from({ length: COUNT }, (_, i) => draw(i).map(Math.fround)).filter(list =>
      list.every(n => Math.abs(n) >= 2 ** -126 || n === 0 || Number.isNaN(n)),
    )
    return { name, both, ...rest }
  })
  let results: TensorData[]
  beforeAll(async () => {
    results = await readAll(
      cases.map(({ both, make }) => make(tensor(both.map(([a]) => a)), tensor(both.map(([, b]) => b)))),
    )
  })
  cases.forEach(({ name, both, value, bound }, k) =>
    test(`${name}: ${bound}`, () =>
      expectPromised(
        results[k],
        i => value(both[i][0], both[i][1]),
        bound,
        i => `${name}(${both[i].join(', ')})`,
      )),
  )
})

test('powers and logarithms of whole numbers are whole where they should be', async () => {
  const exponents = Array.from({ length: 253 }, (_, i) => i - 126)
  const [logarithms, twos, powers] = await readAll([
    tensor(exponents.map(e => 2 ** e)).log2(),
    tensor(exponents).exp2(),
    tensor([2, 3, 5, -7, 10, -2]).pow(tensor([20, 15, 10, 3, 7, 31])),
  ])
  expect(Array.from(logarithms)).toEqual(exponents)
  expect(Array.from(twos)).toEqual(exponents.map(e => 2 ** e))
  expect(Array.from(powers)).toEqual([2 ** 20, 3 ** 15, 5 ** 10, -343, 1e7, -(2 ** 31)])
})
