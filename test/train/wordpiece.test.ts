// Vocabularies learnt from counts that can be worked out by hand.
import { describe, expect, test } from 'vitest'
import { SPECIAL_TOKENS, countWords, learnVocabulary } from '../../train/wordpiece.ts'

test('words are counted without case and accents, punctuation by itself', () => {
  expect([...countWords(['Ça va? ÇA va!', "It's 10."])]).toEqual([
    ['ca', 2],
    ['va', 2],
    ['?', 1],
    ['!', 1],
    ['it', 1],
    ["'", 1],
    ['s', 1],
    ['10', 1],
    ['.', 1],
  ])
})

describe('a vocabulary', () => {
  // a b: 22 in all, ##b ##c and c ##a: 10 each. x is too rare a character to be known, c c stands in one word only.
  const counts = new Map([
    ['ab', 12],
    ['abc', 10],
    ['ca', 10],
    ['cc', 1],
    ['xa', 3],
  ])
  const characters = [...SPECIAL_TOKENS, 'a', 'b', 'c', '##a', '##b', '##c']

  test('joins the most frequent pair first, of equals the first by code points, until no pair is left', () => {
    // Once a b is one piece, ab ##c and c ##a have 10 each, and a comes before c.
    expect(learnVocabulary(counts, 100)).toEqual([...characters, 'ab', 'abc', 'ca'])
    expect(learnVocabulary(new Map([...counts].reverse()), 100), 'in whatever order words come').toEqual([
      ...characters,
      'ab',
      'abc',
      'ca',
    ])
  })

  test('is no larger than asked for, even of characters', () => {
    expect(learnVocabulary(counts, 13)).toEqual([...characters, 'ab', 'abc'])
    expect(learnVocabulary(counts, 8)).toEqual([...SPECIAL_TOKENS, 'a', 'b', 'c'])
  })

  test('joins within words, and a run of the same letter from its left', () => {
    // b ##a and ##a ##b are as frequent, and # comes before b.
    expect(learnVocabulary(new Map([['bab', 30]]), 100).slice(9)).toEqual(['##ab', 'bab'])
    // a ##a ##a ##a has ##a ##a twice, a ##a once; then a ##aa ##a, where # comes before a again.
    expect(learnVocabulary(new Map([['aaaa', 20]]), 100).slice(7)).toEqual(['##aa', '##aaa', 'aaaa'])
  })
})
