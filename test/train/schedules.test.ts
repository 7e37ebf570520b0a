// Schedules against the figures that Transformers publishes for its own (tests/optimization, peak rate 10).
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../engine/errors.ts'
import { schedule, SCHEDULES, warmupSteps } from '../../train/schedules.ts'

const rates = (name: (typeof SCHEDULES)[number], warmup: number, steps: number) => {
  const factor = schedule(name, { warmup, steps })
  return Array.from({ length: steps }, (_, step) => 10 * factor(step))
}

describe('learning-rate schedules', () => {
  test('linear, cosine and constant give the rates that Transformers gives', () => {
    const published = {
      linear: [2, [0, 5, 10, 8.75, 7.5, 6.25, 5, 3.75, 2.5, 1.25]],
      cosine: [2, [0, 5, 10, 9.61, 8.53, 6.91, 5, 3.08, 1.46, 0.38]],
      constant: [4, [0, 2.5, 5, 7.5, 10, 10, 10, 10, 10, 10]],
    } as const
    for (const name of SCHEDULES) {
      const [warmup, expected] = published[name]
      rates(name, warmup, 10).forEach((rate, step) => expect(Math.abs(rate - expected[step])).toBeLessThan(0.01))
    }
  })

  test('rise to 1 over the warm-up, never climb after it, and stay within 0 and 1', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...SCHEDULES),
        fc.integer({ min: 1, max: 200 }),
        fc.nat(100),
        (name, steps, share) => {
          const warmup = share / 101
          const rise = warmupSteps(warmup, steps)
          const factor = schedule(name, { warmup, steps })
          for (let step = 0; step < steps; step++) {
            expect(factor(step) >= 0 && factor(step) <= 1).toBe(true)
            if (step < rise) expect(factor(step)).toBeCloseTo(step / rise, 12)
            else expect(factor(step + 1)).toBeLessThanOrEqual(factor(step))
          }
          if (rise < steps) expect(factor(rise)).toBe(1)
          if (name !== 'constant' && rise < steps) expect(factor(steps)).toBe(0)
        },
      ),
    )
  })

  test('warm-up is a fraction below 1, rounded up, and a count of steps from 1 on', () => {
    expect(warmupSteps(0, 100)).toBe(0)
    expect(warmupSteps(0.06, 100)).toBe(6)
    expect(warmupSteps(0.06, 101)).toBe(7)
    expect(warmupSteps(1, 100)).toBe(1)
    expect(warmupSteps(30, 100)).toBe(30)
    for (const bad of [-0.1, NaN]) expect(() => warmupSteps(bad, 100)).toThrow(UserError)
  })

  test('a warm-up longer than the run only rises', () => {
    expect(rates('linear', 20, 10)).toEqual([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5])
  })
})
