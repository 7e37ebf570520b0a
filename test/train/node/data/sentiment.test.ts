// The classes of reviews as people spell them.
import { expect, test } from 'vitest'
import { sentimentOf } from '../../../../train/node/data/sentiment.ts'

test('the classes of reviews may be 0 and 1, neg and pos, negative and positive', () => {
  for (const label of [0, '0', 'neg', 'Negative', ' NEG ']) expect(sentimentOf(label)).toBe('negative')
  for (const label of [1, '1', 'pos', 'Positive', 'POS']) expect(sentimentOf(label)).toBe('positive')
})

test('no other label is a class of reviews', () => {
  for (const label of [2, -1, 0.5, NaN, '', '2', '-1', 'good', '0.0', true, false, 'true', 'no'])
    expect(sentimentOf(label)).toBeUndefined()
})
