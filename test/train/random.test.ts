// The host's generator: the published algorithm's numbers, no bias, independent streams, a state that can be kept.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../engine/errors.ts'
import { Random, stream } from '../../train/random.ts'

const seeds = fc.nat({ max: Number.MAX_SAFE_INTEGER })

/** xoshiro128** written once more in BigInt, as a second opinion on the 32-bit arithmetic. */
function* xoshiro(state: readonly number[]) {
  const mask = (1n << 32n) - 1n
  const rotate = (x: bigint, k: bigint) => ((x << k) | (x >> (32n - k))) & mask
  let [a, b, c, d] = state.map(BigInt)
  for (;;) {
    yield Number((rotate((b * 5n) & mask, 7n) * 9n) & mask)
    const t = (b << 9n) & mask
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= t
    d = rotate(d, 11n)
  }
}

describe('random numbers on the host', () => {
  test('the first draws from state 1, 2, 3, 4 are those of xoshiro128**', () => {
    const random = new Random([1, 2, 3, 4])
    expect(Array.from({ length: 4 }, () => random.bits())).toEqual([11520, 0, 5927040, 70819200])
  })

  test('every state draws what the algorithm in whole-number arithmetic draws', () => {
    const word = fc.nat({ max: 0xffffffff })
    fc.assert(
      fc.property(fc.tuple(word, word, word, word), state => {
        fc.pre(state.some(part => part !== 0))
        const random = new Random(state)
        const expected = xoshiro(state)
        for (let i = 0; i < 20; i++) expect(random.bits()).toBe(expected.next().value)
      }),
    )
  })

  test('the same seed and name give the same numbers, another seed or name others', () => {
    const draw = (seed: number, name: string) => {
      const random = stream(seed, name)
      return Array.from({ length: 8 }, () => random.bits()).join()
    }
    fc.assert(
      fc.property(seeds, seeds, fc.string(), fc.string(), (seed, otherSeed, name, otherName) => {
        expect(draw(seed, name)).toBe(draw(seed, name))
        if (name !== otherName) expect(draw(seed, name)).not.toBe(draw(seed, otherName))
        if (seed !== otherSeed) expect(draw(seed, name)).not.toBe(draw(otherSeed, name))
      }),
    )
  })

  test('neighbouring seeds give uncorrelated numbers', () => {
    let sum = 0
    for (let seed = 0; seed < 2000; seed++)
      sum += (stream(seed, 'a').next() - 0.5) * (stream(seed + 1, 'a').next() - 0.5)
    expect(Math.abs((sum / 2000) * 12)).toBeLessThan(0.1)
  })

  test('a saved state goes on with the same numbers, through JSON too', () => {
    fc.assert(
      fc.property(seeds, fc.nat({ max: 20 }), (seed, draws) => {
        const random = stream(seed, 'resume')
        for (let i = 0; i < draws; i++) random.normal()
        const copy = new Random(JSON.parse(JSON.stringify(random.state)))
        for (let i = 0; i < 5; i++) expect(copy.normal()).toBe(random.normal())
        expect(copy.below(1000)).toBe(random.below(1000))
      }),
    )
  })

  test('what is no state is refused', () => {
    for (const state of [[0, 0, 0, 0], [1, 2, 3], [1, 2, 3, -4], [1, 2, 3, 4.5], [1, 2, 3, 2 ** 32], null, 'abcd']) {
      expect(() => new Random(state as never), JSON.stringify(state)).toThrow(UserError)
    }
  })

  test('below(n) stays in range and reaches every value about equally often', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 1, max: 2 ** 32 }), (seed, n) => {
        const draw = stream(seed, 'below').below(n)
        expect(Number.isInteger(draw) && draw >= 0 && draw < n).toBe(true)
      }),
    )
    const random = stream(1, 'counts')
    const counts = new Array(7).fill(0)
    for (let i = 0; i < 70_000; i++) counts[random.below(7)]++
    const chiSquare = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0)
    expect(chiSquare).toBeLessThan(22.5) // 6 degrees of freedom, p = 0.001
    for (const n of [0, -1, 1.5, 2 ** 32 + 1, NaN]) expect(() => random.below(n)).toThrow(UserError)
  })

  test('shuffle keeps every element and finds every order equally often', () => {
    fc.assert(
      fc.property(seeds, fc.array(fc.integer()), (seed, array) => {
        const shuffled = stream(seed, 'shuffle').shuffle([...array])
        expect(shuffled.toSorted((a, b) => a - b)).toEqual(array.toSorted((a, b) => a - b))
      }),
    )
    const random = stream(3, 'orders')
    const orders = new Map<string, number>()
    for (let i = 0; i < 24_000; i++) {
      const order = random.shuffle([0, 1, 2, 3]).join('')
      orders.set(order, (orders.get(order) ?? 0) + 1)
    }
    expect(orders.size).toBe(24)
    const chiSquare = [...orders.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)
    expect(chiSquare).toBeLessThan(49.8) // 23 degrees of freedom, p = 0.001
  })

  test('next() is uniform in [0, 1) and normal() has the moments of the standard normal', () => {
    const random = stream(5, 'moments')
    const n = 100_000
    let uniform = 0
    let inRange = true
    const moments = [0, 0, 0, 0]
    for (let i = 0; i < n; i++) {
      const u = random.next()
      inRange &&= u >= 0 && u < 1
      uniform += u / n
      const z = random.normal()
      for (let k = 0; k < 4; k++) moments[k] += z ** (k + 1) / n
    }
    expect(inRange).toBe(true)
    expect(uniform).toBeCloseTo(0.5, 2)
    // Four standard errors of each moment: 1/√n, √2/√n, √15/√n, √96/√n.
    expect(Math.abs(moments[0])).toBeLessThan(4 / Math.sqrt(n))
    expect(Math.abs(moments[1] - 1)).toBeLessThan((4 * Math.SQRT2) / Math.sqrt(n))
    expect(Math.abs(moments[2])).toBeLessThan((4 * Math.sqrt(15)) / Math.sqrt(n))
    expect(Math.abs(moments[3] - 3)).toBeLessThan((4 * Math.sqrt(96)) / Math.sqrt(n))
  })

  test('a seed that is no whole number is refused', () => {
    for (const seed of [-1, 1.5, NaN, 2 ** 53]) expect(() => stream(seed, 'x')).toThrow(UserError)
  })
})
