// Text lengths as pandas describes them.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { codePoints, quantile, textStatistics } from '../../../../train/node/data/statistics.ts'

describe('text statistics', () => {
  test('a length is counted in characters as Python counts them, emoji as one', () => {
    expect(codePoints('')).toBe(0)
    expect(codePoints('naïve 🎬👍🏽')).toBe(9)
    expect(codePoints('\ud83c')).toBe(1)
    expect(codePoints('\udfac\ud83c')).toBe(2)
    // Any 16-bit units, surrogates paired, alone and the wrong way round among them.
    const unit = fc.oneof(fc.nat(0xffff), fc.integer({ min: 0xd7fe, max: 0xe001 }))
    fc.assert(
      fc.property(fc.array(unit), units => {
        const text = String.fromCharCode(...units)
        expect(codePoints(text)).toBe([...text].length)
      }),
    )
  })

  test('they are those of a small set worked by hand', () => {
    // Lengths 0, 1, 2, 5, 10: squared deviations from 3.6 sum to 65.2, so the sample's variance is 16.3.
    const statistics = textStatistics(['dddddddddd', 'bb', '', 'ccccc', 'a'])
    expect(statistics).toMatchObject({ count: 5, mean: 3.6, min: 0, '25%': 1, '50%': 2, '75%': 5, max: 10 })
    expect(statistics.std).toBeCloseTo(Math.sqrt(16.3), 14)
  })

  test('quartiles between two lengths are interpolated', () => {
    expect(textStatistics(['a', 'bbbb'])).toMatchObject({ '25%': 1.75, '50%': 2.5, '75%': 3.25 })
    fc.assert(
      fc.property(
        fc.array(fc.nat(1000), { minLength: 1 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (values, at) => {
          const sorted = values.toSorted((a, b) => a - b)
          const value = quantile(sorted, at)
          const below = sorted.filter(x => x < value - 1e-9).length
          const above = sorted.filter(x => x > value + 1e-9).length
          expect(below).toBeLessThanOrEqual(Math.ceil(at * (sorted.length - 1) + 1e-9))
          expect(above).toBeLessThanOrEqual(Math.ceil((1 - at) * (sorted.length - 1) + 1e-9))
        },
      ),
    )
  })

  test('one text has no deviation and no text has no figures but its count', () => {
    expect(textStatistics(['abc'])).toEqual({
      count: 1,
      mean: 3,
      std: NaN,
      min: 3,
      '25%': 3,
      '50%': 3,
      '75%': 3,
      max: 3,
    })
    const none = textStatistics([])
    expect(none.count).toBe(0)
    expect([none.mean, none.std, none.min, none['50%'], none.max]).toEqual([NaN, NaN, NaN, NaN, NaN])
  })
})
