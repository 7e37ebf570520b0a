// How the words that decided an answer are shown.
import { expect, test } from 'vitest'
import { wordsRecord, wordsText } from '../../../../train/node/jobs/explain.ts'

const words = [
  { text: 'a'.repeat(5000), share: 0.25, start: 0, end: 5000 },
  { text: '😀'.repeat(41), share: -0.125, start: 5001, end: 5083 },
  { text: 'b'.repeat(40), share: 0.5, start: 5084, end: 5124 },
]

test('a word of thousands of characters is shown by its beginning, to people', () => {
  expect(wordsText(words)).toBe(`${'a'.repeat(39)}… +0.25, "${'😀'.repeat(39)}…" −0.13, ${'b'.repeat(40)} +0.50`)
})

test('programs get it whole', () => {
  expect(wordsRecord(words)[0]).toEqual({ word: 'a'.repeat(5000), share: 0.25 })
})
