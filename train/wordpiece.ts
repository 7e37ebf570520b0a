// Learns a WordPiece vocabulary from texts: starts from characters and joins, again and again, the pair of neighbouring
// pieces that occurs most often within words (Sennrich et al. 2016), writing pieces inside a word as BERT does,
// `##ing`.

export const SPECIAL_TOKENS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] as const

/** Words rarer than this teach nothing that lasts. */
const LEAST_COUNT = 2
/** Characters rarer than this become [UNK]. */
const LEAST_CHARACTER_COUNT = 20

interface Word {
  readonly count: number
  pieces: string[]
}

/** Counts of the words of lower-cased texts, split as BERT's tokenizer splits them. */
export function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const text of texts) {
    for (const [word] of text
      .toLowerCase()
      .normalize('NFD')
      .replace(/\p{M}/gu, '')
      .matchAll(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu)) {
      counts.set(word, (counts.get(word) ?? 0) + 1)
    }
  }
  return counts
}

/** A vocabulary of at most `size` tokens, special ones first, most useful first after the characters. */
export function learnVocabulary(counts: ReadonlyMap<string, number>, size: number): string[] {
  const characters = new Map<string, number>()
  for (const [word, count] of counts)
    for (const character of word) characters.set(character, (characters.get(character) ?? 0) + count)
  const known = new Set(
    [...characters].filter(([, count]) => count >= LEAST_CHARACTER_COUNT).map(([character]) => character),
  )
  const words: Word[] = [...counts].flatMap(([word, count]) => {
    const letters = [...word]
    return count >= LEAST_COUNT && letters.every(letter => known.has(letter))
      ? [{ count, pieces: letters.map((letter, i) => (i === 0 ? letter : `##${letter}`)) }]
      : []
  })
  const sorted = [...known].sort()
  const vocabulary = new Set<string>([...SPECIAL_TOKENS, ...sorted, ...sorted.map(character => `##${character}`)])
  const pairs = new PairCounts(words)
  while (vocabulary.size < size) {
    const best = pairs.best()
    if (!best) break
    vocabulary.add(pairs.join(best))
  }
  return [...vocabulary].slice(0, size)
}

const SEPARATOR = '\u0000'

/** How often two pieces stand side by side, and in which words. */
class PairCounts {
  readonly #words: readonly Word[]
  readonly #counts = new Map<string, number>()
  readonly #where = new Map<string, Set<number>>()

  constructor(words: readonly Word[]) {
    this.#words = words
    words.forEach((_, index) => this.#count(index, 1))
  }

  #count(index: number, sign: 1 | -1): void {
    const { pieces, count } = this.#words[index]
    for (let i = 1; i < pieces.length; i++) {
      const pair = pieces[i - 1] + SEPARATOR + pieces[i]
      const next = (this.#counts.get(pair) ?? 0) + sign * count
      if (next > 0) this.#counts.set(pair, next)
      else this.#counts.delete(pair)
      const where = this.#where.get(pair) ?? new Set()
      if (sign > 0) where.add(index)
      else where.delete(index)
      this.#where.set(pair, where)
    }
  }

  /** The most frequent pair; of equals the first by code points, so that a vocabulary does not depend on chance. */
  best(): string | undefined {
    let best: string | undefined
    let most = 1
    for (const [pair, count] of this.#counts) {
      if (count > most || (count === most && best !== undefined && pair < best)) {
        best = pair
        most = count
      }
    }
    return best
  }

  /** Joins a pair in every word, and gives the new piece. */
  join(pair: string): string {
    const [left, right] = pair.split(SEPARATOR)
    const joined = left + right.replace(/^##/, '')
    for (const index of [...(this.#where.get(pair) ?? [])]) {
      this.#count(index, -1)
      const word = this.#words[index]
      const pieces: string[] = []
      for (const piece of word.pieces) {
        if (piece === right && pieces.at(-1) === left) pieces[pieces.length - 1] = joined
        else pieces.push(piece)
      }
      word.pieces = pieces
      this.#count(index, 1)
    }
    return joined
  }
}
