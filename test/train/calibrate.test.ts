// A temperature and thresholds are found where there are enough validation texts, and used where they are better.
import { expect, test } from 'vitest'
import { LEAST_TEXTS, calibrate } from '../../train/calibrate.ts'
import type { ExampleOutput } from '../../train/task.ts'
import type { Target } from '../../train/tasks/infer.ts'

/**
 * Texts of two classes by turns, with the logit of the second class over the first for each; two in ten are mistaken.
 */
const texts = (count: number, logits: readonly [number, number]): ExampleOutput<Target>[] =>
  Array.from({ length: count }, (_, i) => {
    const isMistaken = i % 10 < 2
    return { target: i % 2, output: Float32Array.of(0, logits[isMistaken ? 1 - (i % 2) : i % 2]) }
  })

test('with too few texts nothing is found', () => {
  expect(calibrate('classes', ['a', 'b'], texts(LEAST_TEXTS - 1, [-2, 2]))).toEqual({})
  expect(calibrate('classes', ['a', 'b'], texts(LEAST_TEXTS, [-2, 2])).temperature).toBeGreaterThan(0)
})

test('from scores that are worse than chance nothing is found', () => {
  expect(calibrate('classes', ['a', 'b'], texts(60, [2, -2]))).toEqual({})
})

test('a threshold that is not better than one half is one half', () => {
  // Both classes are told apart as well at ½ as in the middle between their probabilities.
  expect(calibrate('classes', ['a', 'b'], texts(60, [-1, 4])).thresholds).toEqual([0.5, 0.5])
  const { thresholds = [] } = calibrate('classes', ['a', 'b'], texts(60, [1, 4]))
  expect(thresholds[1]).toBeGreaterThan(0.5)
})

test('a threshold that is better by chance alone is one half', () => {
  // So many of 60 texts of the first class lie above one half, and none of the second below the next better threshold.
  const shifted = (count: number): ExampleOutput<Target>[] =>
    Array.from({ length: 60 }, (_, i) => ({
      target: i % 2,
      output: Float32Array.of(0, i % 2 === 1 ? 4 : i < 2 * count ? 1 : -4),
    }))
  const thresholdOf = (count: number): number =>
    calibrate('classes', ['a', 'b'], shifted(count)).thresholds?.[1] ?? Number.NaN
  // The exact two-sided p-value is 2 · ½⁵ = 0.0625 for five, and 0.03125 for six.
  expect(thresholdOf(5)).toBe(0.5)
  expect(thresholdOf(6)).toBeGreaterThan(0.6)
})

test('of several labels each has a threshold of its own, one half where no other is better', () => {
  const several = Array.from({ length: 60 }, (_, i): ExampleOutput<Target> => {
    const isSecond = i % 2 === 1
    const noise = i % 10 < 2 ? -1 : 1
    const truth = isSecond ? 1 : 0
    return {
      target: Float32Array.of(truth, truth),
      output: Float32Array.of(isSecond && noise > 0 ? 4 : -1, (isSecond ? 4 : 1) * noise),
    }
  })
  const { thresholds = [] } = calibrate('labels', ['a', 'b'], several)
  expect(thresholds[0]).toBe(0.5)
  expect(thresholds[1]).toBeGreaterThan(0.5)
})
