// Learns a WordPiece vocabulary from texts: starts from characters and joins, again and again, the pair of neighbouring
// pieces that occurs most often within words (Sennrich et al. 2016), writing pieces inside a word as BERT does, `##ing`.
// The tokens and their order are those of Hugging Face's WordPieceTrainer. The one exception is
// the order of the characters with `##`: by code point here, by a hash map there, which changes from run to run.
import { normalize, splitWords } from '../models/bert-text.ts'
import { type VocabularyOptions, bertNormalizer } from '../models/tokenizer.ts'

export const SPECIAL_TOKENS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] as const

const PREFIX = '##'

export interface LearningOptions {
  /** Tokens to stop at, special ones included. The characters alone may be more. */
  readonly size: number
  /** Pairs that occur less often are not joined; 2 when left out. */
  readonly minFrequency?: number
  /** How many characters are kept, the most frequent ones; 1000 when left out. */
  readonly limitAlphabet?: number
}

/** Adds the words of `texts` to `counts`, normalised and split as BERT's tokenizer does it with these options. */
export function countWords(
  texts: Iterable<string>,
  options: VocabularyOptions,
  counts: Map<string, number> = new Map(),
): Map<string, number> {
  const normalizer = bertNormalizer(options)
  for (const text of texts) {
    for (const word of splitWords(normalize(text, normalizer))) counts.set(word, (counts.get(word) ?? 0) + 1)
  }
  return counts
}

/** The vocabulary of words with these counts: special tokens, characters, then joined pieces, most frequent first. */
export function learnVocabulary(
  counts: ReadonlyMap<string, number>,
  { size, minFrequency = 2, limitAlphabet = 1000 }: LearningOptions,
): string[] {
  const { first, inner } = alphabetOf(counts, limitAlphabet)
  const vocabulary = new Vocabulary([...SPECIAL_TOKENS, ...first, ...inner.map(character => PREFIX + character)])
  const known = new Set(first)
  const words = Array.from(counts, ([word, count]) => ({
    count,
    // A character that is left out of the alphabet drops out of the word; what follows it still has its prefix.
    pieces: Array.from(word, (character, i) =>
      known.has(character) ? vocabulary.add(i === 0 ? character : PREFIX + character) : -1,
    ).filter(piece => piece >= 0),
  }))
  const pairs = new Pairs(words)
  while (vocabulary.tokens.length < size) {
    const best = pairs.take()
    if (!best || best.count < Math.max(1, minFrequency)) break
    pairs.join(best, vocabulary.add(vocabulary.joined(best.left, best.right)))
  }
  return vocabulary.tokens
}

const byCodePoint = (a: string, b: string): number => (a.codePointAt(0) ?? 0) - (b.codePointAt(0) ?? 0)

/** The characters of the words that are kept, and those of them that occur inside of a word, both by code point. */
function alphabetOf(counts: ReadonlyMap<string, number>, limit: number): { first: string[]; inner: string[] } {
  const characters = new Map<string, number>()
  const within = new Set<string>()
  for (const [word, count] of counts) {
    let i = 0
    for (const character of word) {
      characters.set(character, (characters.get(character) ?? 0) + count)
      if (i++ > 0) within.add(character)
    }
  }
  const first = [...characters.keys()]
    .sort((a, b) => (characters.get(b) ?? 0) - (characters.get(a) ?? 0) || byCodePoint(a, b))
    .slice(0, limit)
    .sort(byCodePoint)
  return { first, inner: first.filter(character => within.has(character)) }
}

/** Tokens and their ids. */
class Vocabulary {
  readonly tokens: string[] = []
  readonly #ids = new Map<string, number>()

  constructor(tokens: readonly string[]) {
    for (const token of tokens) this.add(token)
  }

  /** The id of a token, which is new if it has none. Two pairs may join to the same token. */
  add(token: string): number {
    const known = this.#ids.get(token)
    if (known !== undefined) return known
    this.#ids.set(token, this.tokens.length)
    return this.tokens.push(token) - 1
  }

  joined(left: number, right: number): string {
    const second = this.tokens[right]
    return this.tokens[left] + (second.startsWith(PREFIX) ? second.slice(PREFIX.length) : second)
  }
}

interface Word {
  readonly count: number
  /** Ids of its pieces; replaced when two are joined. */
  pieces: number[]
}

/** Two ids as one number, ordered by the first and then by the second. */
const IDS = 2 ** 26
const keyOf = (left: number, right: number): number => left * IDS + right

/** A pair that waits to be joined in some of the words. */
interface Candidate {
  readonly key: number
  readonly left: number
  readonly right: number
  /** How often it occurred when it was queued or last looked at. */
  count: number
  /** Indices of words. */
  readonly words: readonly number[]
  /** Number in the queue. */
  readonly order: number
}

/** How often two pieces are neighbours, and in which words. */
class Pairs {
  readonly #words: readonly Word[]
  readonly #counts = new Map<number, number>()
  /** Words in which pairs came up since candidates were queued last. */
  #found = new Map<number, number[]>()
  readonly #queue = new Queue()
  #order = 0

  constructor(words: readonly Word[]) {
    this.#words = words
    words.forEach(({ pieces }, index) => {
      for (let i = 1; i < pieces.length; i++) this.#change(pieces[i - 1], pieces[i], 1, index)
    })
    this.#enqueue()
  }

  #change(left: number, right: number, sign: 1 | -1, index: number): void {
    const key = keyOf(left, right)
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + sign * this.#words[index].count)
    if (sign < 0) return
    const found = this.#found.get(key)
    if (!found) this.#found.set(key, [index])
    else if (found[found.length - 1] !== index) found.push(index)
  }

  #enqueue(): void {
    for (const [key, words] of this.#found) {
      const count = this.#counts.get(key) ?? 0
      const [left, right] = [Math.floor(key / IDS), key % IDS]
      if (count > 0) this.#queue.push({ key, left, right, count, words, order: this.#order++ })
    }
    this.#found = new Map()
  }

  /**
   * Removes the most frequent pair from the queue; of equals that with the smaller ids. A count that has changed since
   * is corrected, and the pair queued again. A pair that came up again later is queued for those words by itself.
   */
  take(): Candidate | undefined {
    for (;;) {
      const top = this.#queue.pop()
      if (!top) return undefined
      const count = this.#counts.get(top.key) ?? 0
      if (count === top.count) return top
      this.#queue.push({ ...top, count })
    }
  }

  /** Joins a pair to `piece` in its words. Its own count stays as it is, as in Hugging Face's trainer. */
  join({ left, right, words }: Candidate, piece: number): void {
    for (const index of words) {
      const word = this.#words[index]
      const { pieces } = word
      const out: number[] = []
      for (let i = 0; i < pieces.length; i++) {
        if (pieces[i] !== left || pieces[i + 1] !== right) {
          out.push(pieces[i])
          continue
        }
        const [before, after] = [out.at(-1), pieces[i + 2]]
        if (before !== undefined) {
          this.#change(before, left, -1, index)
          this.#change(before, piece, 1, index)
        }
        if (after !== undefined) {
          this.#change(right, after, -1, index)
          this.#change(piece, after, 1, index)
        }
        out.push(piece)
        i++
      }
      word.pieces = out
    }
    this.#enqueue()
  }
}

/** A heap of candidates, the most frequent on top. */
class Queue {
  readonly #heap: Candidate[] = []

  push(candidate: Candidate): void {
    const heap = this.#heap
    let at = heap.push(candidate) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(candidate, heap[parent])) break
      heap[at] = heap[parent]
      at = parent
    }
    heap[at] = candidate
  }

  pop(): Candidate | undefined {
    const heap = this.#heap
    const [top] = heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++
      if (!isBefore(heap[child], last)) break
      heap[at] = heap[child]
      at = child
    }
    heap[at] = last
    return top
  }
}

const isBefore = (a: Candidate, b: Candidate): boolean =>
  a.count !== b.count ? a.count > b.count : a.key !== b.key ? a.key < b.key : a.order < b.order
