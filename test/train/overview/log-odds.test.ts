// Log-odds of words against NumPy's (test/golden/overview), and what follows from the formula by hand.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { LEAST_TEXTS, WordCounts } from '../../../train/overview/log-odds.ts'
import { wordsIn } from '../../../train/overview/words.ts'
import { loadReviews } from '../../support/reviews.ts'
import { BUNDLED } from '../../../train/node/jobs/job.ts'

type Row = readonly [word: string, logOdds: number, z: number, inNegative: number, inPositive: number]
interface Expected {
  readonly bundled: { readonly words: number; readonly class_0: readonly Row[]; readonly class_1: readonly Row[] }
}
const expected = JSON.parse(
  readFileSync(new URL('../../golden/overview/expected.json', import.meta.url), 'utf8'),
) as Expected

test('log-odds and z-scores of the bundled reviews are those that NumPy computes', async () => {
  const { train } = await loadReviews(BUNDLED.data)
  const counts = new WordCounts(2)
  for (const { text, label } of train) counts.add(wordsIn(text), [label])
  const { words, class_0, class_1 } = expected.bundled
  expect(counts.size).toBe(words)
  for (const [group, rows] of [class_0, class_1].entries()) {
    const found = counts.distinguishing(group, rows.length)
    for (const [i, [word, logOdds, z, ...uses]] of rows.entries()) {
      const odds = counts.oddsOf(word, group)
      const sign = group === 1 ? 1 : -1
      expect(odds?.logOdds, word).toBeCloseTo(sign * logOdds, 12)
      expect(odds?.z, word).toBeCloseTo(sign * z, 10)
      expect([odds?.inside, odds?.outside], word).toEqual(group === 1 ? uses.toReversed() : uses)
      // Equal scores may come in another order.
      expect(found[i].z).toBeCloseTo(sign * z, 10)
    }
  }
})

describe('counts of words', () => {
  test('give two groups opposite scores, and a word of equal use none', () => {
    const counts = new WordCounts(2)
    for (let i = 0; i < 5; i++) counts.add(['good', 'film'], [0])
    for (let i = 0; i < 5; i++) counts.add(['bad', 'film'], [1])
    expect(counts.oddsOf('good', 0)?.z).toBeCloseTo(-(counts.oddsOf('good', 1)?.z ?? NaN), 12)
    expect(counts.oddsOf('film', 0)?.z).toBe(0)
    expect(counts.distinguishing(0, 10).map(({ word }) => word)).toEqual(['good'])
    expect(counts.oddsOf('unseen', 0)).toBeUndefined()
  })

  test('leave out words of few texts, however often those have them', () => {
    const counts = new WordCounts(2)
    for (let i = 0; i < LEAST_TEXTS; i++) counts.add(['often'], [0])
    counts.add(new Array<string>(50).fill('spam'), [0])
    for (let i = 0; i < 9; i++) counts.add(['other'], [1])
    expect(counts.distinguishing(0, 10).map(({ word }) => word)).toEqual(['often'])
  })

  test('of a text with several labels, or of words with labels of their own, go to each', () => {
    const counts = new WordCounts(3)
    counts.add(['both'], [0, 2])
    counts.addEach([
      ['paris', [1]],
      ['is', []],
    ])
    expect(counts.oddsOf('both', 0)).toMatchObject({ inside: 1, outside: 0 })
    expect(counts.oddsOf('both', 1)).toMatchObject({ inside: 0, outside: 1 })
    expect(counts.oddsOf('paris', 1)).toMatchObject({ inside: 1, outside: 0 })
    expect(counts.oddsOf('is', 1)).toMatchObject({ inside: 0, outside: 1 })
  })

  test('are finite for a single word, for a group without words, and for one with all of them', () => {
    const one = new WordCounts(2)
    one.add(['only'], [0])
    expect(one.oddsOf('only', 0)?.z).toBe(0)
    const two = new WordCounts(2)
    two.add(['a', 'b'], [0])
    for (const group of [0, 1]) expect(two.oddsOf('a', group)?.z).toBeCloseTo(0, 12)
  })
})
