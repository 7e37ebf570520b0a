// Odd texts, every character, and the reviews that come with the repository, as the original of BERT's tokenizers
// (huggingface/tokenizers, in Rust) has them. golden/tokens/odd.py says what was asked of it.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type BertNormalizer, normalize, splitWords } from '../../models/bert-text.ts'
import { loadTokenizer } from '../../models/node/tokenizer.ts'
import { BUNDLED } from '../../train/node/jobs/job.ts'
import { loadReviews } from '../support/reviews.ts'
import { SHARED } from '../support/shared.ts'

const VOCABULARIES = join(SHARED, 'vocab')

const golden = JSON.parse(await readFile(new URL('tokens/odd.json', import.meta.url), 'utf8')) as {
  block: number
  settings: Record<string, Omit<BertNormalizer, 'type'>>
  characters: string[]
  texts: { text: string; words: Record<string, string[]>; tokens: Record<string, string[]> }[]
  reviews: { count: number; tokens: number; block: number; hashes: string[] }
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

test('every character goes through each step as it does in the original', () => {
  const { block, characters } = golden
  const steps = (['clean_text', 'handle_chinese_chars', 'strip_accents', 'lowercase'] as const).map(
    step => ({ type: 'BertNormalizer', strip_accents: false, [step]: true }) as const,
  )
  const apart = characters.flatMap((hash, i) => {
    const codes = Array.from({ length: block }, (_, k) => i * block + k).filter(code => code < 0xd800 || code > 0xdfff)
    const lines = codes.map(code => {
      const text = `a${String.fromCodePoint(code)}b`
      return `${JSON.stringify([...steps.map(step => normalize(text, step)), splitWords(text)])}\n`
    })
    return sha256(lines.join('')).startsWith(hash)
      ? []
      : [`U+${(i * block).toString(16)} to U+${((i + 1) * block - 1).toString(16)}`]
  })
  expect(characters).toHaveLength(0x110000 / block)
  expect(apart).toEqual([])
})

describe('odd texts', () => {
  test.each(Object.entries(golden.settings))('have the words of the original, %s', (name, setting) => {
    const found = golden.texts.map(({ text }) => ({
      text,
      words: splitWords(normalize(text, { type: 'BertNormalizer', ...setting })),
    }))
    expect(found).toEqual(golden.texts.map(({ text, words }) => ({ text, words: words[name] })))
  })

  for (const kind of ['uncased', 'cased']) {
    test(`have its tokens by the published vocabulary, ${kind}`, async ({ skip }) => {
      const path = join(VOCABULARIES, `bert-base-${kind}-tokenizer.json`)
      if (!existsSync(path)) skip(`there is no ${path}`)
      const tokenizer = await loadTokenizer(path)
      const found = golden.texts.map(({ text }) => ({ text, tokens: tokenizer.tokens(text) }))
      expect(found).toEqual(golden.texts.map(({ text, tokens }) => ({ text, tokens: tokens[kind] })))
    })
  }
})

test('the bundled reviews have its ids by the bundled tokenizer', async () => {
  const { count, tokens, block, hashes } = golden.reviews
  const tokenizer = await loadTokenizer(BUNDLED.model)
  const { train, test: held } = await loadReviews(BUNDLED.data)
  const ids = [...train, ...held].map(({ text }) => tokenizer.encode(text).ids)
  expect(ids).toHaveLength(count)
  expect(ids.reduce((sum, row) => sum + row.length, 0)).toBe(tokens)
  const found = Array.from({ length: Math.ceil(count / block) }, (_, i) =>
    sha256(
      ids
        .slice(i * block, (i + 1) * block)
        .map(row => `${row.join()}\n`)
        .join(''),
    ),
  )
  expect(found).toEqual(hashes)
})
