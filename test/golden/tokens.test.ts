// Two thousand real reviews, tokenised as Transformers does it: hashes of the ids, whole and cut to 128 tokens, cased
// and uncased; and small tokenizer.json files whose tokenizer_config.json says otherwise. golden/tokens says how both
// were made.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadTokenizer, saveTokenizer } from '../../models/node/tokenizer.ts'
import { type Review, loadReviews } from '../support/reviews.ts'
import { SHARED } from '../support/shared.ts'
import { tinyModelConfig } from '../support/tiny.ts'

const IMDB = join(SHARED, 'imdb')
const VOCABULARIES = join(SHARED, 'vocab')
const missing = [IMDB, VOCABULARIES].find(path => !existsSync(path))
const reason = missing === undefined ? undefined : `the reviews or vocabularies are not there: no ${missing}`

const { every, block, maxLength, hashes } = JSON.parse(
  await readFile(new URL('tokens/hashes.json', import.meta.url), 'utf8'),
) as {
  every: number
  block: number
  maxLength: number
  hashes: Record<string, { tokens: number; longest: number; whole: string[]; short: string[] }>
}

const configs = JSON.parse(await readFile(new URL('tokens/configs.json', import.meta.url), 'utf8')) as {
  texts: string[]
  base: object
  cases: {
    config: Record<string, unknown>
    changes: { normalizer?: object | null; pre_tokenizer?: object }
    tokens: string[][]
  }[]
}

function hashesOf(ids: readonly (readonly number[])[]): string[] {
  return Array.from({ length: Math.ceil(ids.length / block) }, (_, i) => {
    const lines = ids.slice(i * block, (i + 1) * block).map(row => `${row.join()}\n`)
    return createHash('sha256').update(lines.join('')).digest('hex')
  })
}

const blocksApart = (found: readonly string[], wanted: readonly string[]): string[] =>
  wanted.flatMap((hash, i) => (hash === found[i] ? [] : [`reviews ${i * block} to ${(i + 1) * block - 1}`]))

describe('a tokenizer.json beside a tokenizer_config.json gives the tokens that Transformers gives', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tilegrad-tokens-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  for (const { config, changes, tokens } of configs.cases) {
    test(`${JSON.stringify(config)} and ${JSON.stringify(changes)}`, async () => {
      const files = {
        'tokenizer.json': { ...configs.base, ...changes },
        'tokenizer_config.json': config,
        'config.json': { model_type: 'bert' },
      }
      for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), JSON.stringify(content))
      const tokenizer = await loadTokenizer(folder)
      expect(configs.texts.map(text => ['[CLS]', ...tokenizer.tokens(text), '[SEP]'])).toEqual(tokens)
      // What is saved again means the same to both.
      const again = join(folder, 'again')
      await saveTokenizer(again, tokenizer, { ...tinyModelConfig(), family: 'bert' })
      const [read, saved] = [
        await loadTokenizer(again),
        JSON.parse(await readFile(join(again, 'tokenizer_config.json'), 'utf8')),
      ]
      expect(configs.texts.map(text => ['[CLS]', ...read.tokens(text), '[SEP]'])).toEqual(tokens)
      const plain = changes.normalizer !== null && changes.pre_tokenizer === undefined
      if (config.tokenizer_class === 'PreTrainedTokenizerFast')
        expect(saved.tokenizer_class).toBe(plain ? 'BertTokenizer' : 'PreTrainedTokenizerFast')
    })
  }
})

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
        expect(
          blocksApart(hashesOf(reviews.map(({ text }) => tokenizer.encode(text, { maxLength }).ids)), short),
        ).toEqual([])
      })
    }
  }
})
