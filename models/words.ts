// Texts that come as words, for labels of words: which token begins which word.
import type { Encoding, Tokenizer } from './tokenizer.ts'

export interface WordEncoding extends Encoding {
  /** For each token the index of the word that it begins; −1 for special tokens and for later pieces of a word. */
  readonly firstOf: readonly number[]
  /** How many words are there before the cut: the others did not fit. */
  readonly words: number
}

/**
 * [CLS] words [SEP], each word tokenised by itself, as Transformers does with `is_split_into_words`. Words that do not fit
 * in `maxLength` tokens are left out, and so is the part of one that fits only in part.
 */
export function encodeWords(tokenizer: Tokenizer, words: readonly string[], maxLength = Infinity): WordEncoding {
  const ids = [tokenizer.clsId]
  const firstOf = [-1]
  let count = 0
  for (const word of words) {
    const pieces = tokenizer.encode(word).ids.slice(1, -1)
    if (ids.length + pieces.length + 1 > maxLength) break
    pieces.forEach((id, i) => {
      ids.push(id)
      firstOf.push(i === 0 ? count : -1)
    })
    count++
  }
  ids.push(tokenizer.sepId)
  firstOf.push(-1)
  return { ids, typeIds: new Array<number>(ids.length).fill(0), firstOf, words: count }
}

/** A word of a text, with the places of its first character and behind its last, in UTF-16 units. */
export interface Word {
  readonly text: string
  readonly start: number
  readonly end: number
}

/** Words and punctuation marks of a text, without the white space between. */
export function wordsOf(text: string): Word[] {
  return Array.from(text.matchAll(/[\p{P}\p{S}]|[^\s\p{P}\p{S}]+/gu), match => (
    { text: match[0], start: match.index, end: match.index + match[0].length }))
}
