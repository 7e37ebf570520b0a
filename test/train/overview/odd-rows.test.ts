// What is odd about a text.
import { expect, test } from 'vitest'
import { odditiesOf, scriptOf } from '../../../train/overview/odd-rows.ts'
import { wordsIn } from '../../../train/overview/words.ts'

const kinds = (text: string): string[] => odditiesOf(text, wordsIn(text).length)

test.each([
  ['A plain text, with "quotes" – and a dash; 10 % café naïve Ångström', []],
  [' \n\t… !!', ['wordless']],
  ['<br /><br />', ['tags', 'wordless']],
  ['Great.', ['one-word']],
  ['<b>Great</b>', ['tags', 'one-word']],
  ['a \u0000 b', ['controls']],
  ['tab\tand\r\nlines are fine', []],
  ['the film \u0096 as they say', ['windows-1252']],
  ['it\ufffds gone', ['replacement']],
  ['cafÃ© au lait', ['mojibake']],
  ['itâ€™s a shame', ['mojibake']],
  ['zero\u200bwidth here', ['invisible']],
  ['fish &amp; chips', ['entities']],
  ['AT&T; R&D', []],
  ['see https://example.org now', ['urls']],
])('%j has %j', (text, expected) => {
  expect(kinds(text)).toEqual(expected)
})

test('a text is of the script that most of its letters have', () => {
  expect(scriptOf('Hello world')).toBe('Latin')
  expect(scriptOf('123 – !')).toBeUndefined()
  expect(scriptOf('Фильм очень good')).toBe('Cyrillic')
  expect(scriptOf('A very long English text about Фильм')).toBe('Latin')
  expect(scriptOf('电影很好看')).toBe('Han')
  expect(scriptOf('この映画は面白い')).toBe('Japanese')
  expect(scriptOf('영화가 좋다')).toBe('Hangul')
  expect(scriptOf('सुंदर फिल्म')).toBe('Devanagari')
  expect(scriptOf('ፊልም ጥሩ ነው')).toBe('Other')
})
