// The classes of reviews as people spell them.
import { expect, test } from 'vitest'
import { sentimentOf } from '../../../../train/node/data/sentiment.ts'

test('the classes of reviews may be 0 and 1, neg and pos, negative and positive, or booleans', () => {
  for (const label of [0, '0', 'neg', 'Negative', ' NEG ', false]) expect(sentimentOf(label)).toBe('negative')
  for (const label of [1, '1', 'pos', 'Positive', 'POS', true]) expect(sentimentOf(label)).toBe('positive')
})

test('no other label is a class of reviews', () => {
  for (const label of [2, -1, 0.5, NaN, '', '2', '-1', 'good', '0.0']) expect(sentimentOf(label)).toBeUndefined()
})
