// The interval of a ratio over clusters: that of a mean where all are of one size, and as wide as the bootstrap's.
import { describe, expect, test } from 'vitest'
import { meanInterval, ratioInterval } from '../../../train/metrics/means.ts'
import { resampledMetric } from '../../../train/metrics/paired.ts'
import { intervalFrom } from '../../../train/metrics/uncertainty.ts'
import { stream } from '../../../train/random.ts'

describe('the interval of a ratio', () => {
  test('of clusters of one size is that of the mean', () => {
    const values = [3, 1, 4, 1, 5, 9, 2, 6]
    const { mean, interval } = ratioInterval(values, new Array<number>(8).fill(2))
    const wanted = meanInterval(values.map(value => value / 2))
    expect(mean).toBeCloseTo(wanted.mean, 12)
    expect(interval?.low).toBeCloseTo(wanted.interval?.low ?? NaN, 12)
    expect(interval?.high).toBeCloseTo(wanted.interval?.high ?? NaN, 12)
  })

  test('of clusters of many sizes is about as wide as that of the bootstrap', () => {
    const random = stream(1, 'ratios')
    const sizes = Array.from({ length: 400 }, () => 1 + random.below(30))
    const values = sizes.map(size => 0.3 * size + 2 * Math.sqrt(size) * random.normal())
    const { mean, interval } = ratioInterval(values, sizes)
    const sum = (of: readonly number[], rows: ArrayLike<number>): number =>
      Array.from(rows).reduce((total, row) => total + of[row], 0)
    const all = sizes.map((_, row) => row)
    const ratio = (rows: ArrayLike<number> = all): number => sum(values, rows) / sum(sizes, rows)
    const drawn = intervalFrom(resampledMetric(400, ratio, { seed: 1, resamples: 2000 }).draws)
    expect(mean).toBeCloseTo(ratio(), 12)
    const width = (ends: { low: number; high: number } | undefined): number => (ends ? ends.high - ends.low : NaN)
    expect(width(interval) / width(drawn)).toBeGreaterThan(0.9)
    expect(width(interval) / width(drawn)).toBeLessThan(1.1)
  })

  test('of one cluster is not defined, nor is the ratio of none', () => {
    expect(ratioInterval([3], [2])).toEqual({ mean: 1.5, interval: undefined })
    expect(() => ratioInterval([], [])).toThrow(RangeError)
    expect(() => ratioInterval([1, 2], [1])).toThrow(RangeError)
  })
})
