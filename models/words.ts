// Texts that come as words, for labels of words: which token begins which word, and windows of texts that are too long.
import type { CutEncoding, Encoding, Tokenizer } from './tokenizer.ts'

export interface WordEncoding extends Encoding {
  /** For each token the index of the word that it begins; −1 for special tokens and for later pieces of a word. */
  readonly firstOf: readonly number[]
}

/**
 * [CLS] words [SEP], each word tokenised by itself, as Transformers does with `is_split_into_words`. Words that do not
 * fit in `maxLength` tokens are left out, and so is the part of one that fits only in part. `words` is how many are
 * left, `tokens` as if none were left out.
 */
export function encodeWords(
  tokenizer: Tokenizer,
  words: readonly string[],
  maxLength = Infinity,
): WordEncoding & CutEncoding & { readonly words: number } {
  const pieces = piecesOf(tokenizer, words)
  const end = lastThatFits(pieces, 0, maxLength - SPECIAL)
  return { ...laidOut(tokenizer, pieces, 0, end), words: end, tokens: countOf(pieces, 0, pieces.length) + SPECIAL }
}

/**
 * All words in windows of at most `maxLength` tokens, each as `encodeWords` lays it out. Words are not divided:
 * neighbours share as many whole words as have at most `window` tokens together. `firstOf` names each word in one
 * window alone: the one with the most tokens on the word's shorter side, the earlier of equals. Of a word that is
 * longer than a window the first pieces are taken.
 */
export function encodeWordWindows(
  tokenizer: Tokenizer,
  words: readonly string[],
  { maxLength, window }: { readonly maxLength: number; readonly window: number },
): WordEncoding[] {
  const room = maxLength - SPECIAL
  const pieces = piecesOf(tokenizer, words).map(ids => ids.slice(0, room))
  const ranges: [from: number, to: number][] = []
  for (let from = 0; ;) {
    const to = lastThatFits(pieces, from, room)
    ranges.push([from, to])
    if (to === pieces.length) break
    from = to
    let shared = 0
    const [before] = ranges[ranges.length - 1]
    // The next window shows at least one word that this one does not.
    while (from - 1 > before && shared + pieces[from - 1].length <= Math.min(window, room - pieces[to].length))
      shared += pieces[--from].length
  }
  const contextOf = (word: number, [from, to]: [number, number]): number =>
    Math.min(countOf(pieces, from, word), countOf(pieces, word + 1, to))
  const owner = words.map((_, word) => {
    const showing = ranges.flatMap(([from, to], i) => (from <= word && word < to ? [i] : []))
    return showing.reduce((best, i) => (contextOf(word, ranges[i]) > contextOf(word, ranges[best]) ? i : best))
  })
  return ranges.map(([from, to], i) => {
    const { firstOf, ...encoding } = laidOut(tokenizer, pieces, from, to)
    return { ...encoding, firstOf: firstOf.map(word => (word >= 0 && owner[word] === i ? word : -1)) }
  })
}

/** [CLS] and [SEP]. */
const SPECIAL = 2

const piecesOf = (tokenizer: Tokenizer, words: readonly string[]): number[][] =>
  words.map(word => tokenizer.encode(word).ids.slice(1, -1))

/** Tokens of the words from one up to, not including, another. */
function countOf(pieces: readonly (readonly number[])[], from: number, to: number): number {
  let count = 0
  for (let word = from; word < to; word++) count += pieces[word].length
  return count
}

/** The word up to which those from `from` on have at most `room` tokens. */
function lastThatFits(pieces: readonly (readonly number[])[], from: number, room: number): number {
  let [to, used] = [from, 0]
  while (to < pieces.length && used + pieces[to].length <= room) used += pieces[to++].length
  return to
}

function laidOut(tokenizer: Tokenizer, pieces: readonly (readonly number[])[], from: number, to: number): WordEncoding {
  const ids = [tokenizer.clsId]
  const firstOf = [-1]
  for (let word = from; word < to; word++) {
    pieces[word].forEach((id, i) => {
      ids.push(id)
      firstOf.push(i === 0 ? word : -1)
    })
  }
  ids.push(tokenizer.sepId)
  firstOf.push(-1)
  return { ids, typeIds: new Array<number>(ids.length).fill(0), firstOf }
}

/** A word of a text, with the places of its first character and behind its last, in UTF-16 units. */
export interface Word {
  readonly text: string
  readonly start: number
  readonly end: number
}

/** Words and punctuation marks of a text, without the white space between. */
export function wordsOf(text: string): Word[] {
  return Array.from(text.matchAll(/[\p{P}\p{S}]|[^\s\p{P}\p{S}]+/gu), match => ({
    text: match[0],
    start: match.index,
    end: match.index + match[0].length,
  }))
}
