// Vocabularies learnt from counts that can be worked out by hand.
import { describe, expect, test } from 'vitest'
import { SPECIAL_TOKENS, countWords, learnVocabulary } from '../../train/wordpiece.ts'

describe('words are counted', () => {
  test('without case and accents, punctuation by itself', () => {
    expect([...countWords(['Ça va? ÇA va!', "It's 10."], { lowercase: true })]).toEqual([
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

  test('as they are written in a cased model, and on top of what was counted before', () => {
    const counts = countWords(['Ça va'], { lowercase: false })
    expect([...countWords(['Ça ça'], { lowercase: false }, counts)]).toEqual([
      ['Ça', 2],
      ['va', 1],
      ['ça', 1],
    ])
  })
})

describe('a vocabulary', () => {
  // a ##b: 22 in all, ##b ##c and c ##a: 10 each.
  const counts = new Map([
    ['ab', 12],
    ['abc', 10],
    ['ca', 10],
    ['d', 1],
  ])
  const characters = [...SPECIAL_TOKENS, 'a', 'b', 'c', 'd', '##a', '##b', '##c']

  test('joins the most frequent pair first, of equals that with the older pieces, until no pair is left', () => {
    // Once a ##b is one piece, c ##a and ab ##c have 10 each, and c is older than ab.
    const tokens = [...characters, 'ab', 'ca', 'abc']
    expect(learnVocabulary(counts, { size: 100 })).toEqual(tokens)
    expect(learnVocabulary(new Map([...counts].reverse()), { size: 100 }), 'in whatever order').toEqual(tokens)
  })

  test('stops at its size, but has all characters that are kept', () => {
    expect(learnVocabulary(counts, { size: 13 })).toEqual([...characters, 'ab'])
    expect(learnVocabulary(counts, { size: 8 })).toEqual(characters)
    // The most frequent characters alone: without b the word abc is a ##c.
    expect(learnVocabulary(counts, { size: 100, limitAlphabet: 1 })).toEqual([...SPECIAL_TOKENS, 'a', '##a'])
    const ofTwo = learnVocabulary(new Map([...counts, ['ccc', 9]]), { size: 100, limitAlphabet: 2 })
    expect(ofTwo).toEqual([...SPECIAL_TOKENS, 'a', 'c', '##a', '##c', 'ac', 'ca', 'cc', 'ccc'])
  })

  test('joins no pair that is rarer than asked for', () => {
    expect(learnVocabulary(counts, { size: 100, minFrequency: 11 })).toEqual([...characters, 'ab'])
    expect(learnVocabulary(counts, { size: 100, minFrequency: 23 })).toEqual(characters)
  })

  test('joins within words, and a run of the same letter from its left', () => {
    // b ##a and ##a ##b are as frequent, and b is older than ##a.
    expect(learnVocabulary(new Map([['bab', 30]]), { size: 100 }).slice(9)).toEqual(['ba', 'bab'])
    // a ##a ##a ##a has ##a ##a twice, a ##a once; then it is a ##aa ##a, where a is older than ##aa.
    expect(learnVocabulary(new Map([['aaaa', 20]]), { size: 100 }).slice(7)).toEqual(['##aa', 'aaa', 'aaaa'])
  })
})
