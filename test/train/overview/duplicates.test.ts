// Texts that occur more than once: exactly, but for case and space, and nearly.
import { describe, expect, test } from 'vitest'
import { KEYS, type Row, findDuplicates } from '../../../train/overview/duplicates.ts'
import { NearDuplicates, SIMILAR, similarity } from '../../../train/overview/near-duplicates.ts'
import { stream } from '../../../train/random.ts'

const row = (text: string, label = 'a', pair?: string): Row => ({ text, label, ...(pair !== undefined && { pair }) })

describe('duplicates', () => {
  const train = [row('one'), row('two'), row('one', 'b'), row('one'), row('Three  words here')]
  const held = [row('two'), row('new'), row('one'), row('two', 'b'), row('three words HERE', 'b')]

  test('within a set are counted by text and by row, with labels that differ', () => {
    const { within } = findDuplicates([train, held], KEYS.exact)
    expect(within).toEqual([
      { texts: 1, rows: 2, conflicting: 1 },
      { texts: 1, rows: 1, conflicting: 1 },
    ])
  })

  test('between sets are the rows of the second that are also in the first', () => {
    const exact = findDuplicates([train, held], KEYS.exact).between(0, 1)
    expect(exact).toEqual({ rows: [0, 2, 3], texts: 2, conflicting: [2, 3] })
    const normalised = findDuplicates([train, held], KEYS.normalised).between(0, 1)
    expect(normalised).toEqual({ rows: [0, 2, 3, 4], texts: 3, conflicting: [2, 3, 4] })
    expect(findDuplicates([train, [row('other')]], KEYS.exact).between(0, 1).rows).toEqual([])
  })

  test('of pairs are equal where both texts are, wherever they are divided', () => {
    const pairs = [row('a b', 'x', 'c'), row('a', 'x', 'b c'), row('a b', 'x', 'C')]
    expect(findDuplicates([pairs], KEYS.exact).groups).toEqual([])
    expect(findDuplicates([pairs], KEYS.normalised).groups).toEqual([
      [
        { set: 0, row: 0 },
        { set: 0, row: 2 },
      ],
    ])
  })
})

describe('near duplicates', () => {
  const words = (seed: number, count: number): string[] => {
    const random = stream(seed, 'words')
    return Array.from({ length: count }, () => `w${random.below(5000)}`)
  }
  const find = (sets: readonly (readonly (readonly string[])[])[]) => {
    const near = new NearDuplicates()
    for (const [set, texts] of sets.entries()) for (const [row, text] of texts.entries()) near.add({ set, row }, text)
    return near.find(
      ({ set, row }) => sets[set][row],
      (a, b) => sets[a.set][a.row].join() === sets[b.set][b.row].join(),
    )
  }

  test('are found among many texts, in a set and between sets, with their similarity', () => {
    const texts = Array.from({ length: 300 }, (_, i) => words(i, 120))
    const changed = [...texts[7].slice(0, 119), 'changed']
    const shortened = texts[250].slice(0, 110)
    const found = find([
      [...texts, changed],
      [shortened, words(999, 120)],
    ])
    expect(found).toEqual([
      { first: { set: 0, row: 7 }, second: { set: 0, row: 300 }, similarity: similarity(texts[7], changed) },
      { first: { set: 0, row: 250 }, second: { set: 1, row: 0 }, similarity: 106 / 116 },
    ])
    expect(found[0].similarity).toBeCloseTo(115 / 117, 12)
  })

  test('are not texts below the bar, equal ones, or ones without words', () => {
    const text = words(1, 100)
    // Each changed word changes five shingles of 96: four leave a similarity of 76 / 116.
    const other = text.map((word, i) => (i % 25 === 12 ? `x${i}` : word))
    expect(similarity(text, other)).toBeCloseTo(76 / 116, 12)
    expect(76 / 116).toBeLessThan(SIMILAR)
    expect(find([[text, other, text, [], []]])).toEqual([])
  })

  test('of short texts are those with the same words', () => {
    expect(
      find([
        [
          ['good', 'film'],
          ['bad', 'film'],
          ['good', 'film', 'too'],
        ],
      ]),
    ).toEqual([])
    expect(similarity(['good', 'film'], ['good', 'film'])).toBe(1)
  })

  test('of thousands of texts that are all alike are found without comparing each with each', () => {
    const text = words(2, 200)
    const texts = Array.from({ length: 1000 }, (_, i) => [...text.slice(0, 199), `end${i}`])
    let compared = 0
    const near = new NearDuplicates()
    for (const [row, one] of texts.entries()) near.add({ set: 0, row }, one)
    const pairs = near.find(
      ({ row }) => texts[row],
      () => {
        compared++
        return false
      },
    )
    expect(compared).toBeLessThan(2 * texts.length)
    expect(new Set(pairs.map(({ second }) => second.row)).size).toBe(texts.length - 1)
  })
})
