// From examples to tokens, cut to the longest length wanted or in windows of it, with the labels of words put on their
// first tokens; and how long examples are.
import { UserError } from '../../../engine/errors.ts'
import { IGNORED } from '../../../models/losses.ts'
import type { Tokenizer } from '../../../models/tokenizer.ts'
import { type LengthOptions, encodeText, windowsOf } from '../../../models/windows.ts'
import { stream } from '../../random.ts'
import type { Encoded } from '../../task.ts'
import type { Target } from '../../tasks/infer.ts'
import type { Example } from './labelled.ts'
import { quantile } from './statistics.ts'

/** An example as tokens, and how many of them all of its text has. */
export type EncodedExample = Encoded<Target> & {
  readonly tokens: number
  /** For labels of words: the index of the word that each token begins, or −1, of all windows one after another. */
  readonly firstOf?: readonly number[]
}

/** Examples between breaths, so that progress can show and signals come through. */
const BREATH = 500

/** One example as tokens. Throws a UserError as `encodeText` does. */
export function encode(example: Example, tokenizer: Tokenizer, options: LengthOptions): EncodedExample {
  const { text, pair, words, target } = example
  if (words && typeof target !== 'number') {
    const { ids, typeIds, further, tokens, ...first } = encodeText(tokenizer, { words }, options)
    const firstOf = windowsOf({ ids, typeIds, further, ...first }).flatMap(window => window.firstOf ?? [])
    return {
      ids,
      typeIds,
      ...(further && { further }),
      tokens,
      firstOf,
      target: Int32Array.from(firstOf, word => (word < 0 ? IGNORED : target[word])),
    }
  }
  return { ...encodeText(tokenizer, { text, pair }, options), target }
}

/** All examples as tokens; `onProgress` hears how many are done. */
export async function encodeAll(
  examples: readonly Example[],
  tokenizer: Tokenizer,
  options: LengthOptions,
  onProgress?: (done: number, total: number) => void,
): Promise<EncodedExample[]> {
  const encoded: EncodedExample[] = []
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

/** How long texts are in tokens, special ones included. */
export interface TokenLengths {
  /** Texts that were measured. */
  readonly count: number
  readonly '50%': number
  readonly '95%': number
  readonly max: number
  /** How many of them are longer than the longest length wanted. */
  readonly longer: number
}

/** More texts than this are not all measured: as many are drawn, with the seed. */
export const MOST_MEASURED = 2000

/** The lengths of some of the examples. */
export async function tokenLengths(
  examples: readonly Example[],
  tokenizer: Tokenizer,
  { maxLength, seed }: { readonly maxLength: number; readonly seed: number },
): Promise<TokenLengths> {
  const drawn =
    examples.length <= MOST_MEASURED
      ? examples
      : stream(seed, 'token lengths')
          .shuffle([...examples])
          .slice(0, MOST_MEASURED)
  const lengths = (await encodeAll(drawn, tokenizer, { maxLength })).map(({ tokens }) => tokens).sort((a, b) => a - b)
  return {
    count: lengths.length,
    '50%': quantile(lengths, 0.5),
    '95%': quantile(lengths, 0.95),
    max: quantile(lengths, 1),
    longer: lengths.filter(length => length > maxLength).length,
  }
}
