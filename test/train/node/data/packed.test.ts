// Rows for pretraining: all of each text, no row of two, and little padding in the batches that are made of them.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { padLength } from '../../../../models/padding.ts'
import { tokenizerFromVocabulary } from '../../../../models/tokenizer.ts'
import { makeBatches, rowsFor } from '../../../../train/batches.ts'
import { packTexts } from '../../../../train/node/data/packed.ts'
import { stream } from '../../../../train/random.ts'
import { SEED } from '../../../support/seed.ts'
import { TINY_WORDS } from '../../../support/tiny.ts'

const tokenizer = tokenizerFromVocabulary(TINY_WORDS.map(word => `${word}\n`).join(''), { lowercase: true }, 'tiny')
const { clsId, sepId } = tokenizer
/** As many words as wanted, each a token. */
const textOf = (length: number): string =>
  Array.from({ length }, (_, i) => TINY_WORDS[5 + (i % (TINY_WORDS.length - 5))]).join(' ')

describe('rows', () => {
  test('hold every token of every text once, in order, between [CLS] and [SEP]', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(60), { maxLength: 8 }),
        fc.integer({ min: 3, max: 20 }),
        async (lengths, sequence) => {
          const rows = await packTexts(lengths.map(textOf), tokenizer, sequence)
          let at = 0
          for (const length of lengths) {
            const ids: number[] = []
            // A text has as many rows as it needs, and only the last may be short.
            for (let left = length; left > 0; left -= sequence - 2) {
              const row = [...Array.from(rows[at++].ids)]
              expect(row).toHaveLength(Math.min(left, sequence - 2) + 2)
              expect([row[0], row.at(-1)]).toEqual([clsId, sepId])
              ids.push(...row.slice(1, -1))
            }
            expect(ids).toEqual(tokenizer.encode(textOf(length)).ids.slice(1, -1))
          }
          expect(at).toBe(rows.length)
        },
      ),
      { seed: SEED, numRuns: 60 },
    )
  })

  test('of short texts make batches of few padding tokens, and of about as many tokens each', async () => {
    const random = stream(3, 'lengths')
    const lengths = Array.from({ length: 3000 }, () => 1 + random.below(40))
    const rows = (await packTexts(lengths.map(textOf), tokenizer, 64)).map(({ ids }) => ids.length)
    const options = { batchSize: 16, batchTokens: 16 * 64, maxLength: 64 }
    const batches = makeBatches(rows, rowsFor(options), stream(1, 'epoch 0'))
    const padded = batches.map(batch => batch.length * padLength(Math.max(...batch.map(i => rows[i])), 64))
    const tokens = rows.reduce((sum, length) => sum + length, 0)
    const total = padded.reduce((sum, size) => sum + size, 0)
    // With every row padded to 64 tokens it would be 65 %, and in batches of rows as they come 45 %.
    expect(1 - tokens / total).toBeLessThan(0.2)
    expect(padded.every(size => size <= 1024)).toBe(true)
    expect(padded.filter(size => size > 900).length / padded.length).toBeGreaterThan(0.9)
  })
})
