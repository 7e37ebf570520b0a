// From examples to tokens, cut to the longest length wanted, with the labels of words put on their first tokens.
import { UserError } from '../../../engine/errors.ts'
import { IGNORED } from '../../../models/losses.ts'
import type { PairTruncation, Tokenizer } from '../../../models/tokenizer.ts'
import { encodeWords } from '../../../models/words.ts'
import type { Encoded } from '../../task.ts'
import type { Target } from '../../tasks/infer.ts'
import type { Example } from './labelled.ts'

export interface EncodeOptions {
  /** Longest text in tokens. */
  readonly maxLength: number
  /** What of a pair is cut. */
  readonly truncation?: PairTruncation
}

/** Examples between breaths, so that progress can show and signals come through. */
const BREATH = 500

/** One example as tokens. */
export function encode(example: Example, tokenizer: Tokenizer, { maxLength, truncation }: EncodeOptions): Encoded<Target> {
  const { text, pair, words, target } = example
  if (words && typeof target !== 'number') {
    const { ids, typeIds, firstOf } = encodeWords(tokenizer, words, maxLength)
    return { ids, typeIds, target: Int32Array.from(firstOf, word => (word < 0 ? IGNORED : target[word])) }
  }
  const encoding = pair === undefined ? tokenizer.encode(text, { maxLength }) : tokenizer.encodePair(text, pair, { maxLength, truncation })
  return { ...encoding, target }
}

/** All examples as tokens; `onProgress` hears how many are done, and how many of those were cut. */
export async function encodeAll(
  examples: readonly Example[], tokenizer: Tokenizer, options: EncodeOptions, onProgress?: (done: number, total: number) => void,
): Promise<Encoded<Target>[]> {
  const encoded: Encoded<Target>[] = []
  for (const [i, example] of examples.entries()) {
    try {
      encoded.push(encode(example, tokenizer, options))
    } catch (error) {
      throw error instanceof UserError ? new UserError(`example ${i + 1}: ${error.message}`) : error
    }
    if (encoded.length % BREATH === 0) {
      onProgress?.(encoded.length, examples.length)
      await new Promise(done => setImmediate(done))
    }
  }
  return encoded
}
