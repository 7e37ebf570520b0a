// What the words of a text contributed to a score, and the strongest of them; `attribution.ts` computes the shares.
import type { Word } from './words.ts'

/** A word of a text, and its share in the score. */
export interface WordShare extends Word {
  readonly share: number
}

/** The words that the model saw, in order; of a pair those of each text. */
export interface Attribution {
  readonly text: readonly WordShare[]
  readonly pair?: readonly WordShare[]
}

/** At most this many words of an explanation are named, and none with less than this share of the largest. */
const MOST_NAMED = 8
const LEAST_SHARE = 0.1

/** The words with the largest shares, each text's in its own order. */
export function strongestWords({ text, pair = [] }: Attribution, most = MOST_NAMED): Required<Attribution> {
  const size = ({ share }: WordShare): number => Math.abs(share)
  const all = [...text, ...pair]
  const least = LEAST_SHARE * all.reduce((largest, word) => Math.max(largest, size(word)), 0)
  const taken = new Set(
    all
      .filter(word => size(word) > 0 && size(word) >= least)
      .sort((a, b) => size(b) - size(a))
      .slice(0, most),
  )
  return { text: text.filter(word => taken.has(word)), pair: pair.filter(word => taken.has(word)) }
}
