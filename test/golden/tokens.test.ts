// Two thousand real reviews, tokenised as Transformers does it: hashes of the ids, whole and cut to 128 tokens, cased and
// uncased. golden/tokens says which reviews and what a hash is of.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { loadTokenizer } from '../../models/node/tokenizer.ts'
import { type Review, loadReviews } from '../support/reviews.ts'
import { SHARED } from '../support/shared.ts'

const IMDB = join(SHARED, 'imdb')
const VOCABULARIES = join(SHARED, 'vocab')
const missing = [IMDB, VOCABULARIES].find(path => !existsSync(path))
const reason = missing === undefined ? undefined : `the reviews or vocabularies are not there: no ${missing}`

const { every, block, maxLength, hashes } = JSON.parse(await readFile(new URL('tokens/hashes.json', import.meta.url), 'utf8')) as {
  every: number, block: number, maxLength: number
  hashes: Record<string, { tokens: number, longest: number, whole: string[], short: string[] }>
}

function hashesOf(ids: readonly (readonly number[])[]): string[] {
  return Array.from({ length: Math.ceil(ids.length / block) }, (_, i) => {
    const lines = ids.slice(i * block, (i + 1) * block).map(row => `${row.join()}\n`)
    return createHash('sha256').update(lines.join('')).digest('hex')
  })
}

const blocksApart = (found: readonly string[], wanted: readonly string[]): string[] =>
  wanted.flatMap((hash, i) => (hash === found[i] ? [] : [`reviews ${i * block} to ${(i + 1) * block - 1}`]))

describe('2,000 reviews have the ids that Transformers gives them', () => {
  let reviews: Review[] = []
  beforeAll(async () => {
    if (reason) return
    const { train, test: held } = await loadReviews(IMDB)
    reviews = [...train, ...held].filter((_, i) => i % every === 0)
  })

  for (const kind of ['uncased', 'cased']) {
    for (const file of [`bert-base-${kind}-tokenizer.json`, `bert-base-${kind}-vocab.txt`]) {
      test(`by ${file}`, async context => {
        if (reason) return context.skip(reason)
        expect(reviews).toHaveLength(2000)
        expect(reviews.filter(({ label }) => label === 1)).toHaveLength(1000)
        const tokenizer = await loadTokenizer(join(VOCABULARIES, file))
        const { tokens, longest, whole, short } = hashes[kind]
        const ids = reviews.map(({ text }) => tokenizer.encode(text).ids)
        expect(ids.reduce((sum, row) => sum + row.length, 0)).toBe(tokens)
        expect(Math.max(...ids.map(row => row.length))).toBe(longest)
        expect(whole).toHaveLength(20)
        expect(blocksApart(hashesOf(ids), whole)).toEqual([])
        expect(blocksApart(hashesOf(reviews.map(({ text }) => tokenizer.encode(text, { maxLength }).ids)), short)).toEqual([])
      })
    }
  }
})
