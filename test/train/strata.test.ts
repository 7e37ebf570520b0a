// Balanced samples and parts set aside, for any number of classes.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { stream } from '../../train/random.ts'
import { balancedSample, setAside } from '../../train/strata.ts'
import { SEED } from '../support/seed.ts'

const of = (label: number): number => label
const sets = fc.integer({ min: 1, max: 5 }).chain(strata => fc.record({
  strata: fc.constant(strata), seed: fc.nat(), labels: fc.array(fc.integer({ min: 0, max: strata - 1 }), { minLength: 2, maxLength: 80 }),
}))
const counts = (labels: readonly number[], strata: number): number[] =>
  Array.from({ length: strata }, (_, stratum) => labels.filter(label => label === stratum).length)

describe('a part set aside', () => {
  test('has its size, and of each class its share to within one example', () => {
    fc.assert(fc.property(sets, fc.double({ min: 0.01, max: 0.9, noNaN: true }), ({ strata, labels, seed }, part) => {
      const wanted = Math.max(1, Math.round(part * labels.length))
      fc.pre(wanted < labels.length)
      const { rest, aside } = setAside(labels, part, stream(seed, 'aside'), of, strata)
      expect(aside).toHaveLength(wanted)
      expect(rest).toHaveLength(labels.length - wanted)
      const [all, taken] = [counts(labels, strata), counts(aside, strata)]
      taken.forEach((count, stratum) => expect(Math.abs(count - wanted * all[stratum] / labels.length)).toBeLessThanOrEqual(1))
      expect(setAside(labels, part, stream(seed, 'aside'), of, strata)).toEqual({ rest, aside })
    }), { seed: SEED, numRuns: 200 })
  })

  test('keeps the order of both, and 0 takes nothing', () => {
    const set = Array.from({ length: 40 }, (_, i) => i)
    const { rest, aside } = setAside(set, 0.3, stream(1, ''), i => i % 3, 3)
    expect([...rest].sort((a, b) => a - b)).toEqual(rest)
    expect([...aside].sort((a, b) => a - b)).toEqual(aside)
    expect(setAside(set, 0, stream(1, ''), () => 0, 1)).toEqual({ rest: set, aside: [] })
    expect(() => setAside(set, 40, stream(1, ''), () => 0, 1)).toThrow('none would be left to train on')
    expect(() => setAside(set, 1.5, stream(1, ''), () => 0, 1)).toThrow('got 1.5')
  })
})

describe('a balanced sample', () => {
  test('has as many of each class, the last ones one more', () => {
    const set = Array.from({ length: 60 }, (_, i) => i % 3)
    for (const [n, wanted] of [[9, [3, 3, 3]], [10, [3, 3, 4]], [11, [3, 4, 4]], [1, [0, 0, 1]]] as const) {
      expect(counts(balancedSample(set, n, stream(2, ''), of, ['a', 'b', 'c']), 3)).toEqual(wanted)
    }
  })

  test('that a class has too few examples for is refused by its name', () => {
    expect(() => balancedSample([0, 0, 0, 1], 4, stream(2, ''), of, ['ham', 'spam'])).toThrow('they need 2 spam ones, the set has 1')
    expect(() => balancedSample([0, 1], 4, stream(2, ''), of, ['ham', 'spam'])).toThrow('Cannot draw 4 examples from a set of 2')
  })
})
