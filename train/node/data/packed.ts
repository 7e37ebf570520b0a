// What pretraining reads: rows of tokens, each of one text, so that attention stays within a text without a mask for it.
// Rows of like length become batches (`makeBatches`), which leaves less padding than rows filled up with several texts.
import { z } from 'zod'
import type { Tokenizer } from '../../../models/tokenizer.ts'
import type { Encoded } from '../../task.ts'
import type { MaskedOptions } from '../../tasks/masked-lm.ts'
import { UserError } from '../../../engine/errors.ts'

/** Texts between breaths, so that progress can show and signals come through. */
const BREATH = 200

/** Rows [CLS] … [SEP] of at most `sequence` tokens: all of a text, the last row of a longer one with what is left. */
export async function packTexts(
  texts: readonly string[],
  tokenizer: Tokenizer,
  sequence: number,
  onProgress?: (done: number) => void,
): Promise<Encoded<undefined>[]> {
  const rows: Encoded<undefined>[] = []
  const room = sequence - 2
  for (const [i, text] of texts.entries()) {
    const ids = tokenizer.encode(text).ids.slice(1, -1)
    for (let at = 0; at < ids.length; at += room) {
      const row = ids.slice(at, at + room)
      rows.push({ ids: Int32Array.of(tokenizer.clsId, ...row, tokenizer.sepId), target: undefined })
    }
    if (i % BREATH !== 0) continue
    onProgress?.(i)
    await new Promise(done => setImmediate(done))
  }
  return rows
}

const wordPieces = z.object({ model: z.object({ vocab: z.record(z.string(), z.int()) }) })

/**
 * How the tokens of a WordPiece vocabulary are hidden: whole words, and no special tokens. Throws a UserError if it
 * has no [MASK].
 */
export function maskedOptionsOf({ json, maskId, vocabSize, padId, unkId, clsId, sepId }: Tokenizer): MaskedOptions {
  if (maskId === undefined) throw new UserError('the vocabulary has no [MASK]')
  const { vocab } = wordPieces.parse(json).model
  const later = new Set(
    Object.keys(vocab)
      .filter(token => token.startsWith('##'))
      .map(token => vocab[token]),
  )
  return { maskId, vocabSize, special: new Set([padId, unkId, clsId, sepId, maskId]), continues: id => later.has(id) }
}
