// Words as the overview counts them.
import { expect, test } from 'vitest'
import { normalised, wordsIn } from '../../../train/overview/words.ts'

test('words are lower-cased, keep their apostrophes, and leave tags and comments out', () => {
  expect(wordsIn("It’s GREAT,<br /><br />isn't it? <!-- no\nmore --> 10/10")).toEqual([
    "it's",
    'great',
    "isn't",
    'it',
    '10',
    '10',
  ])
})

test('a long text of comments that never end takes no time', () => {
  const began = process.cpuUsage()
  expect(wordsIn(`a ${'<!-- '.repeat(200_000)}`)).toEqual(['a'])
  expect(process.cpuUsage(began).user).toBeLessThan(1e6)
})

test('text in angle brackets that is not a tag stays, and other scripts have words too', () => {
  expect(wordsIn('a < b and b > c')).toEqual(['a', 'b', 'and', 'b', 'c'])
  expect(wordsIn('Отличный фильм! très bon café')).toEqual(['отличный', 'фильм', 'très', 'bon', 'café'])
  expect(wordsIn(' … <p></p>')).toEqual([])
})

test('texts are equal but for case and white space', () => {
  expect(normalised('  A\tgood\n\nFILM ')).toBe('a good film')
  expect(normalised('agoodfilm')).not.toBe(normalised('a good film'))
})
