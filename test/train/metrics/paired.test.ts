// Tests of the difference between two models: what holds for any counts, and degenerate cases.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  complementaryError,
  holm,
  mcnemar,
  mcnemarOf,
  pairedBootstrap,
  resampledMetric,
} from '../../../train/metrics/paired.ts'
import { stream } from '../../../train/random.ts'

describe('McNemar’s test', () => {
  test('does not depend on which run is first, and says nothing where the two agree', () => {
    fc.assert(
      fc.property(fc.nat(500), fc.nat(500), (a, b) => {
        const [one, other] = [mcnemarOf(a, b), mcnemarOf(b, a)]
        expect([one.exact, one.approximate]).toEqual([other.exact, other.approximate])
        expect(one.exact > 0 && one.exact <= 1 && one.approximate <= 1).toBe(true)
      }),
    )
    expect(mcnemarOf(0, 0)).toEqual({ onlyA: 0, onlyB: 0, exact: 1, statistic: 0, approximate: 1 })
  })

  test('counts the examples that one model alone gets right', () => {
    expect(mcnemar([true, true, false, false], [true, false, true, false])).toEqual({ onlyA: 1, onlyB: 1, p: 1 })
    expect(() => mcnemar([true], [])).toThrow(RangeError)
  })

  test('erfc is the same from its series and its continued fraction, where they meet', () => {
    expect(complementaryError(0)).toBe(1)
    expect(complementaryError(2 - 1e-12) / complementaryError(2)).toBeCloseTo(1, 10)
  })
})

describe('the paired bootstrap', () => {
  const draw = stream(7, 'test')
  const [a, b] = [0.05, 0].map(shift => Array.from({ length: 200 }, () => draw.next() + shift))
  const meanOf = (values: readonly number[]) => (indices?: Uint32Array) => {
    const rows = indices ?? Uint32Array.from(values, (_, i) => i)
    return rows.reduce((sum, i) => sum + values[i], 0) / rows.length
  }
  const of = (values: readonly number[], options: { seed: number; resamples?: number } = { seed: 1 }) =>
    resampledMetric(values.length, meanOf(values), options)

  test('gives the difference on all rows, an interval around it, and a p-value that agrees with it', () => {
    const found = pairedBootstrap(of(a), of(b))
    if (!found) throw new Error('no difference')
    expect(found.difference).toBe(meanOf(a)() - meanOf(b)())
    // The normal approximation of a mean: 1.96 standard errors on either side.
    const spread = Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i] - found.difference) ** 2, 0)) / a.length
    const ratio = (found.interval.high - found.interval.low) / (2 * 1.96 * spread)
    expect(ratio > 0.9 && ratio < 1.1).toBe(true)
    // And the p-value of the z-test with it, by erfc.
    const wanted = complementaryError(found.difference / spread / Math.SQRT2)
    expect(Math.abs(Math.log(found.p / wanted))).toBeLessThan(0.3)
  })

  test('uses that both models answered the same rows: values that differ by a constant differ for sure', () => {
    const found = pairedBootstrap(
      of(
        a.map(value => value + 0.01),
        { seed: 1, resamples: 999 },
      ),
      of(a, { seed: 1, resamples: 999 }),
    )
    expect(found?.p).toBeLessThan(1e-12)
    expect(found?.interval.low).toBeCloseTo(0.01, 10)
  })

  test('finds nothing between equal models, and is undefined where a metric is', () => {
    expect(pairedBootstrap(of(a), of(a))?.p).toBe(1)
    const nothing = resampledMetric(a.length, () => undefined, { seed: 1 })
    expect(pairedBootstrap(of(a), nothing)).toBeUndefined()
    expect(() => pairedBootstrap(of(a), of(a, { seed: 1, resamples: 10 }))).toThrow(RangeError)
  })
})

test('Holm’s correction keeps the order of the tests, and changes nothing about one', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 12 }), p => {
      const corrected = holm(p)
      p.forEach((value, i) => {
        expect(corrected[i] >= value && corrected[i] <= 1).toBe(true)
        p.forEach((other, j) => value < other && expect(corrected[i]).toBeLessThanOrEqual(corrected[j]))
      })
    }),
  )
  expect(holm([0.02])).toEqual([0.02])
  expect(holm([])).toEqual([])
})
