// Balanced samples and parts set aside, for any number of classes.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../engine/errors.ts'
import { stream } from '../../train/random.ts'
import { balancedSample, setAside } from '../../train/strata.ts'
import { SEED } from '../support/seed.ts'

const of = (label: number): number => label
const sets = fc.integer({ min: 1, max: 5 }).chain(strata =>
  fc.record({
    strata: fc.constant(strata),
    seed: fc.nat(),
    labels: fc.array(fc.integer({ min: 0, max: strata - 1 }), { minLength: 2, maxLength: 80 }),
  }),
)
const counts = (labels: readonly number[], strata: number): number[] =>
  Array.from({ length: strata }, (_, stratum) => labels.filter(label => label === stratum).length)

describe('a part set aside', () => {
  test('has its size and of each class its share to within one example; both parts keep the order and lose nothing', () => {
    const parts = fc.oneof(fc.double({ min: 0.01, max: 0.9, noNaN: true }), fc.integer({ min: 1, max: 79 }))
    fc.assert(
      fc.property(sets, parts, ({ strata, labels, seed }, part) => {
        const indices = labels.map((_, i) => i)
        const wanted = part < 1 ? Math.max(1, Math.round(part * labels.length)) : part
        const draw = () => setAside(indices, part, stream(seed, 'aside'), i => labels[i], strata)
        if (wanted >= labels.length) {
          expect(draw).toThrow(UserError)
          return
        }
        const { rest, aside } = draw()
        expect(aside).toHaveLength(wanted)
        for (const half of [rest, aside]) expect(half).toEqual(half.toSorted((a, b) => a - b))
        expect([...rest, ...aside].toSorted((a, b) => a - b)).toEqual(indices)
        const [all, taken] = [
          counts(labels, strata),
          counts(
            aside.map(i => labels[i]),
            strata,
          ),
        ]
        taken.forEach((count, stratum) =>
          expect(Math.abs(count - (wanted * all[stratum]) / labels.length)).toBeLessThanOrEqual(1),
        )
        expect(draw()).toEqual({ rest, aside })
      }),
      { seed: SEED, numRuns: 200 },
    )
  })

  test('of 0 takes nothing, and what is no part of the set is refused', () => {
    const set = [0, 1, 0, 1]
    expect(setAside(set, 0, stream(1, ''), of, 2)).toEqual({ rest: set, aside: [] })
    expect(() => setAside(set, 4, stream(1, ''), of, 2)).toThrow(
      'Cannot set 4 of 4 examples aside: none would be left to train on',
    )
    for (const part of [-1, 1.5, NaN]) expect(() => setAside(set, part, stream(1, ''), of, 2)).toThrow(`got ${part}`)
  })
})

describe('a balanced sample', () => {
  test('has n different examples, as evenly of each class as there are, or says that there are too few', () => {
    fc.assert(
      fc.property(sets, fc.integer({ min: 1, max: 100 }), ({ strata, labels, seed }, n) => {
        const draw = () =>
          balancedSample(
            labels.map((_, i) => i),
            n,
            stream(seed, 'sample'),
            i => labels[i],
            strata,
          )
        if (n > labels.length) {
          expect(draw).toThrow(UserError)
          return
        }
        const sample = draw()
        expect(sample).toHaveLength(n)
        expect(new Set(sample).size).toBe(sample.length)
        expect(draw()).toEqual(sample)
        const [all, taken] = [
          counts(labels, strata),
          counts(
            sample.map(i => labels[i]),
            strata,
          ),
        ]
        // A class that has more examples left has no fewer in the sample than any other, but for one where n does not
        // divide.
        const most = Math.max(...taken)
        taken.forEach((count, stratum) => {
          if (count < all[stratum]) expect(count).toBeGreaterThanOrEqual(most - 1)
        })
      }),
      { seed: SEED, numRuns: 200 },
    )
  })

  test('comes in shuffled order and differs from seed to seed', () => {
    const set = Array.from({ length: 200 }, (_, i) => i)
    const draw = (seed: number) => balancedSample(set, 60, stream(seed, 'sample'), i => (i < 100 ? 0 : 1), 2)
    const sample = draw(1)
    expect(sample.filter((one, i) => i > 0 && one < 100 !== sample[i - 1] < 100).length).toBeGreaterThan(15)
    expect(draw(2)).not.toEqual(sample)
  })

  test('has as many of each class, the last ones one more', () => {
    const set = Array.from({ length: 60 }, (_, i) => i % 3)
    for (const [n, wanted] of [
      [9, [3, 3, 3]],
      [10, [3, 3, 4]],
      [11, [3, 4, 4]],
      [1, [0, 0, 1]],
    ] as const) {
      expect(counts(balancedSample(set, n, stream(2, ''), of, 3), 3)).toEqual(wanted)
    }
  })

  test('takes more of other classes where one has too few, and refuses a size that is none', () => {
    expect(balancedSample([0, 0, 0, 1], 3, stream(2, ''), of, 2).toSorted()).toEqual([0, 0, 1])
    expect(balancedSample([0, 0, 1], 3, stream(2, ''), of, 2).toSorted()).toEqual([0, 0, 1])
    expect(() => balancedSample([0, 1], 4, stream(2, ''), of, 2)).toThrow('Cannot draw 4 examples from a set of 2')
    expect(() => balancedSample([0, 1], 0, stream(2, ''), of, 2)).toThrow('A sample has at least 1 example')
  })
})
