// Vocabularies learnt from the same texts as by Hugging Face's trainer, token for token.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openTable } from '../../train/node/data/files.ts'
import { countWords, learnVocabulary } from '../../train/wordpiece.ts'
import { SHARED } from '../support/shared.ts'

interface Case {
  readonly name: string
  readonly size: number
  readonly min_frequency: number
  readonly lowercase: boolean
  readonly strip_accents?: boolean
  readonly handle_chinese_chars?: boolean
  readonly limit_alphabet?: number
}

const read = async (name: string): Promise<unknown> =>
  JSON.parse(await readFile(new URL(`wordpiece-training/${name}`, import.meta.url), 'utf8'))
const { texts, cases } = (await read('cases.json')) as { texts: string[]; cases: Case[] }
const { vocabularies, count, reviews } = (await read('expected.json')) as {
  vocabularies: Record<string, string[]>
  count: number
  reviews: { size: number; lowercase: boolean; last: string[]; sha256: string }[]
}
const REVIEWS = join(SHARED, 'imdb/plain_text/train-00000-of-00001.parquet')

describe('a vocabulary of a few texts is that of the trainer in Python', () => {
  for (const one of cases) {
    test(one.name, () => {
      const { lowercase, strip_accents: stripAccents, handle_chinese_chars: splitChinese } = one
      const counts = countWords(texts, { lowercase, stripAccents, splitChinese })
      const { size, min_frequency: minFrequency, limit_alphabet: limitAlphabet } = one
      const expected = vocabularies[one.name]
      expect(learnVocabulary(counts, { size, minFrequency, limitAlphabet })).toEqual(expected)
      // Its order does not hang on the order of the words.
      const reversed = new Map([...counts].reverse())
      expect(learnVocabulary(reversed, { size, minFrequency, limitAlphabet })).toEqual(expected)
    })
  }
})

test('and so is one of 5,000 reviews', async context => {
  if (!existsSync(REVIEWS)) return context.skip(`the reviews are not there: no ${REVIEWS}`)
  const texts: string[] = []
  for await (const { cells } of (await openTable(REVIEWS)).rows(['text'])) {
    texts.push(String(cells[0]))
    if (texts.length === count) break
  }
  expect(reviews).toHaveLength(2)
  for (const { size, lowercase, last, sha256 } of reviews) {
    const vocabulary = learnVocabulary(countWords(texts, { lowercase }), { size })
    expect(vocabulary).toHaveLength(size)
    expect(vocabulary.slice(-5)).toEqual(last)
    const lines = vocabulary.map(token => `${token}\n`).join('')
    expect(createHash('sha256').update(lines).digest('hex')).toBe(sha256)
  }
})
