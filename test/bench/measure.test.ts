// How two calls are compared: by the median of their ratios, and whether that says which is faster.
import { describe, expect, test } from 'vitest'
import { isSettled, ratioAtOnePace } from '../../bench/measure.ts'

/**
 * Rounds of two calls, of which the second takes `ratio` times as long, each a little off, every tenth at another pace.
 */
const rounds = (count: number, ratio: number): number[][] => {
  const off = (i: number): number => 1 + (((i * 37) % 101) - 50) / 1000
  return [
    Array.from({ length: count }, (_, i) => (i % 10 === 3 ? 1.5 : 1)),
    Array.from({ length: count }, (_, i) => ratio * off(i)),
  ]
}

test('rounds in which the pace changed do not count', () => {
  expect(ratioAtOnePace(rounds(303, 1.2))).toBeCloseTo(1.2, 2)
})

describe('which of two is faster', () => {
  test('is clear where they differ, either way', () => {
    expect(isSettled(rounds(200, 1.05))).toBe(true)
    expect(isSettled(rounds(200, 0.95))).toBe(true)
  })

  test('is not where they are equal, nor from a few rounds, nor from fewer than a small difference wants', () => {
    expect(isSettled(rounds(200, 1))).toBe(false)
    expect(isSettled(rounds(3, 2))).toBe(false)
    expect(isSettled(rounds(40, 1.004))).toBe(false)
    expect(isSettled(rounds(4000, 1.004))).toBe(true)
  })
})
