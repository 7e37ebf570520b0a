// The n-grams that a model knows, as integers. A word has a number; an n-gram of two or more words is the pair of the
// n-gram without its last word and that word, so no string is ever built for it. An n-gram is kept if it is in at
// least `minDocuments` documents; then so are its parts, which lets longer ones be counted among those whose parts were
// kept (as Apriori does).
import type { SparseMatrix } from './sparse.ts'

/** Documents as numbers of words, one after another. */
export interface Corpus {
  /** The different words by their number. */
  readonly words: readonly string[]
  readonly ids: Uint32Array
  /** Document d has ids[starts[d]] to ids[starts[d + 1]]; [documents + 1]. */
  readonly starts: Uint32Array
}

/** Separates the two texts of a pair. It is not a feature, and no n-gram contains it. */
export const BOUNDARY = ''

/** Gathers documents into a corpus. */
export class CorpusBuilder {
  readonly #numbers = new Map<string, number>()
  readonly #words: string[] = []
  readonly #starts: number[] = [0]
  #ids = new Uint32Array(1024)
  #length = 0

  add(words: readonly string[]): void {
    if (this.#length + words.length > this.#ids.length) {
      const longer = new Uint32Array(2 * (this.#ids.length + words.length))
      longer.set(this.#ids.subarray(0, this.#length))
      this.#ids = longer
    }
    for (const word of words) {
      let number = this.#numbers.get(word)
      if (number === undefined) {
        number = this.#words.length
        this.#numbers.set(word, number)
        this.#words.push(word)
      }
      this.#ids[this.#length++] = number
    }
    this.#starts.push(this.#length)
  }

  build(): Corpus {
    return {
      words: this.#words,
      ids: this.#ids.slice(0, this.#length),
      starts: Uint32Array.from(this.#starts),
    }
  }
}

/** Some of the documents of a corpus, with the same numbers of words. */
export function selectDocuments({ words, ids, starts }: Corpus, documents: readonly number[]): Corpus {
  const pieces = documents.map(document => ids.subarray(starts[document], starts[document + 1]))
  const chosen = new Uint32Array(pieces.reduce((sum, { length }) => sum + length, 0))
  const places = new Uint32Array(documents.length + 1)
  let at = 0
  pieces.forEach((piece, i) => {
    chosen.set(piece, at)
    at += piece.length
    places[i + 1] = at
  })
  return { words, ids: chosen, starts: places }
}

/** Features by their number: words, then n-grams in the order of their length. */
export interface VocabularyParts {
  readonly words: readonly string[]
  /** Of each n-gram of several words: the number of the n-gram without its last word, … */
  readonly prefixes: Uint32Array
  /** … and the number of that word. */
  readonly lasts: Uint32Array
}

export interface VocabularyOptions {
  /** Words in the longest n-gram. */
  readonly longest: number
  /** The least number of documents that an n-gram must be in. */
  readonly minDocuments: number
  /** The largest number of n-grams that are kept, the most frequent first; all when left out. */
  readonly maxFeatures?: number
}

export class Vocabulary {
  readonly parts: VocabularyParts
  readonly #wordNumbers: ReadonlyMap<string, number>
  readonly #pairs: PairTable

  constructor(parts: VocabularyParts) {
    this.parts = parts
    const { words, prefixes, lasts } = parts
    this.#wordNumbers = new Map(words.map((word, number) => [word, number]))
    this.#pairs = new PairTable(prefixes.length)
    for (let i = 0; i < prefixes.length; i++) this.#pairs.add(prefixes[i], lasts[i], words.length + i)
  }

  /** Number of features. */
  get size(): number {
    return this.parts.words.length + this.parts.prefixes.length
  }

  /** The words of a feature with blanks between. */
  nameOf(feature: number): string {
    const { words, prefixes, lasts } = this.parts
    const names: string[] = []
    let at = feature
    for (; at >= words.length; at = prefixes[at - words.length]) names.unshift(words[lasts[at - words.length]])
    return [words[at], ...names].join(' ')
  }

  /** How often each document of a corpus has each feature, [documents, features]. */
  count({ words, ids, starts }: Corpus): SparseMatrix {
    const numbers = Int32Array.from(words, word => this.#wordNumbers.get(word) ?? NONE)
    const rows = starts.length - 1
    const places = new Uint32Array(rows + 1)
    const entryOf = new Int32Array(this.size).fill(NONE)
    let indices = new Uint32Array(1024)
    let values = new Float32Array(1024)
    let entries = 0
    const add = (feature: number, rowStart: number): void => {
      const entry = entryOf[feature]
      if (entry >= rowStart) {
        values[entry]++
        return
      }
      if (entries === indices.length) {
        indices = grown(indices, new Uint32Array(2 * entries))
        values = grown(values, new Float32Array(2 * entries))
      }
      entryOf[feature] = entries
      indices[entries] = feature
      values[entries] = 1
      entries++
    }
    for (let row = 0; row < rows; row++) {
      const rowStart = entries
      const end = starts[row + 1]
      for (let i = starts[row]; i < end; i++) {
        let ngram = numbers[ids[i]]
        if (ngram === NONE) continue
        add(ngram, rowStart)
        // The vocabulary has every prefix of its n-grams, so the first unknown one ends the search.
        for (let next = i + 1; next < end; next++) {
          const last = numbers[ids[next]]
          if (last === NONE) break
          ngram = this.#pairs.find(ngram, last)
          if (ngram === NONE) break
          add(ngram, rowStart)
        }
      }
      places[row + 1] = entries
    }
    return {
      rows,
      columns: this.size,
      starts: places,
      indices: indices.slice(0, entries),
      values: values.slice(0, entries),
    }
  }
}

const NONE = -1

function grown<T extends Uint32Array | Float32Array>(from: T, to: T): T {
  to.set(from)
  return to
}

/** The n-grams of a corpus that are kept. Their order follows from that of the documents. */
export function learnVocabulary(corpus: Corpus, { longest, minDocuments, maxFeatures }: VocabularyOptions): Vocabulary {
  const { words, ids, starts } = corpus
  const first = countWords(corpus, minDocuments)
  const kept = { words: first.kept, prefixes: [] as number[], lasts: [] as number[], totals: first.totals }
  /** The kept n-gram of the current length that begins at each place, or NONE. */
  const at = Int32Array.from(ids, id => first.numbers[id])
  for (let length = 2; length <= longest; length++) {
    const from = kept.words.length + kept.prefixes.length
    const level = countLonger(at, { ids, starts }, first.numbers, length, minDocuments)
    for (let i = 0; i < level.prefixes.length; i++) {
      kept.prefixes.push(level.prefixes[i])
      kept.lasts.push(level.lasts[i])
      kept.totals.push(level.totals[i])
    }
    if (level.prefixes.length === 0) break
    for (let i = 0; i < at.length; i++) if (at[i] !== NONE) at[i] += from
  }
  const parts: VocabularyParts = {
    words: kept.words.map(id => words[id]),
    prefixes: Uint32Array.from(kept.prefixes),
    lasts: Uint32Array.from(kept.lasts),
  }
  const size = kept.totals.length
  return new Vocabulary(
    maxFeatures === undefined || maxFeatures >= size ? parts : mostFrequent(parts, kept.totals, maxFeatures),
  )
}

interface CountedWords {
  /** The words of the corpus that are kept, and how often each occurs. */
  readonly kept: number[]
  readonly totals: number[]
  /** The feature that each word of the corpus is, or NONE. */
  readonly numbers: Int32Array
}

function countWords({ words, ids, starts }: Corpus, minDocuments: number): CountedWords {
  const documents = new Uint32Array(words.length)
  const totals = new Uint32Array(words.length)
  const seenIn = new Int32Array(words.length).fill(NONE)
  for (let document = 0; document < starts.length - 1; document++) {
    for (let i = starts[document]; i < starts[document + 1]; i++) {
      const id = ids[i]
      totals[id]++
      if (seenIn[id] === document) continue
      seenIn[id] = document
      documents[id]++
    }
  }
  const numbers = new Int32Array(words.length).fill(NONE)
  const kept: number[] = []
  for (let id = 0; id < words.length; id++) {
    if (documents[id] < Math.max(1, minDocuments) || words[id] === BOUNDARY) continue
    numbers[id] = kept.length
    kept.push(id)
  }
  return { kept, totals: kept.map(id => totals[id]), numbers }
}

interface CountedLevel {
  readonly prefixes: number[]
  readonly lasts: number[]
  readonly totals: number[]
}

/**
 * Counts the n-grams of `length` words whose beginning and end of one word less are kept, and keeps the frequent ones.
 * `at` has the number of the kept n-gram of one word less that begins at each place; afterwards the number of the kept
 * one of this length, counted from 0.
 */
function countLonger(
  at: Int32Array,
  { ids, starts }: Pick<Corpus, 'ids' | 'starts'>,
  numbers: Int32Array,
  length: number,
  minDocuments: number,
): CountedLevel {
  const table = new PairTable(1024)
  let documents = new Uint32Array(1024)
  let totals = new Uint32Array(1024)
  let seenIn = new Uint32Array(1024)
  for (let document = 0; document < starts.length - 1; document++) {
    const end = starts[document + 1]
    for (let i = starts[document]; i < end; i++) {
      const last = i + length - 1
      const prefix = at[i]
      if (last >= end || prefix === NONE || at[i + 1] === NONE) {
        at[i] = NONE
        continue
      }
      const found = table.findOrAdd(prefix, numbers[ids[last]])
      if (found === documents.length) {
        documents = grown(documents, new Uint32Array(2 * found))
        totals = grown(totals, new Uint32Array(2 * found))
        seenIn = grown(seenIn, new Uint32Array(2 * found))
      }
      at[i] = found
      totals[found]++
      // Counted from 1: 0 is a place that no document has filled yet.
      if (seenIn[found] === document + 1) continue
      seenIn[found] = document + 1
      documents[found]++
    }
  }
  const places = new Int32Array(table.size).fill(NONE)
  const level: CountedLevel = { prefixes: [], lasts: [], totals: [] }
  table.forEach((prefix, last, found) => {
    if (documents[found] < minDocuments) return
    places[found] = level.prefixes.length
    level.prefixes.push(prefix)
    level.lasts.push(last)
    level.totals.push(totals[found])
  })
  for (let i = 0; i < at.length; i++) if (at[i] !== NONE) at[i] = places[at[i]]
  return level
}

/** The features that occur most often; of equally frequent ones the shorter and earlier, so that all parts are kept. */
function mostFrequent(
  { words, prefixes, lasts }: VocabularyParts,
  totals: readonly number[],
  most: number,
): VocabularyParts {
  const order = totals.map((_, feature) => feature).sort((a, b) => totals[b] - totals[a] || a - b)
  const kept = new Set(order.slice(0, most))
  const numbers = new Map<number, number>()
  const inOrder = totals.map((_, feature) => feature).filter(feature => kept.has(feature))
  inOrder.forEach((feature, number) => numbers.set(feature, number))
  const longer = inOrder.filter(feature => feature >= words.length).map(feature => feature - words.length)
  const numberOf = (feature: number): number => {
    const number = numbers.get(feature)
    if (number === undefined) throw new Error(`feature ${feature} is part of a kept n-gram, but is not kept`)
    return number
  }
  return {
    words: words.filter((_, feature) => kept.has(feature)),
    prefixes: Uint32Array.from(longer, i => numberOf(prefixes[i])),
    lasts: Uint32Array.from(longer, i => numberOf(lasts[i])),
  }
}

/** Numbers by pairs of numbers: open addressing with linear probing, at most two thirds full. */
class PairTable {
  size = 0
  #firsts: Uint32Array
  #seconds: Uint32Array
  #values: Int32Array

  constructor(expected: number) {
    const slots = 2 ** Math.ceil(Math.log2(Math.max(16, expected * 1.5)))
    this.#firsts = new Uint32Array(slots)
    this.#seconds = new Uint32Array(slots)
    this.#values = new Int32Array(slots).fill(NONE)
  }

  find(first: number, second: number): number {
    return this.#values[this.#slot(first, second)]
  }

  add(first: number, second: number, value: number): void {
    if (3 * (this.size + 1) > 2 * this.#values.length) this.#grow()
    const slot = this.#slot(first, second)
    if (this.#values[slot] === NONE) this.size++
    this.#firsts[slot] = first
    this.#seconds[slot] = second
    this.#values[slot] = value
  }

  /** The number of a pair; a new one gets the next. */
  findOrAdd(first: number, second: number): number {
    const found = this.find(first, second)
    if (found !== NONE) return found
    const value = this.size
    this.add(first, second, value)
    return value
  }

  /** Calls `visit` with each pair in the order of their numbers, which must be 0 to size − 1. */
  forEach(visit: (first: number, second: number, value: number) => void): void {
    const slots = new Uint32Array(this.size)
    for (let slot = 0; slot < this.#values.length; slot++)
      if (this.#values[slot] !== NONE) slots[this.#values[slot]] = slot
    for (const [value, slot] of slots.entries()) visit(this.#firsts[slot], this.#seconds[slot], value)
  }

  /** Where the pair is, or would be. */
  #slot(first: number, second: number): number {
    const mask = this.#values.length - 1
    let hash = Math.imul(first, 0x9e3779b1) ^ Math.imul(second, 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35)
    let slot = (hash ^ (hash >>> 13)) & mask
    while (this.#values[slot] !== NONE && (this.#firsts[slot] !== first || this.#seconds[slot] !== second))
      slot = (slot + 1) & mask
    return slot
  }

  #grow(): void {
    const [firsts, seconds, values] = [this.#firsts, this.#seconds, this.#values]
    this.#firsts = new Uint32Array(2 * firsts.length)
    this.#seconds = new Uint32Array(2 * firsts.length)
    this.#values = new Int32Array(2 * firsts.length).fill(NONE)
    for (let i = 0; i < values.length; i++) {
      if (values[i] === NONE) continue
      const slot = this.#slot(firsts[i], seconds[i])
      this.#firsts[slot] = firsts[i]
      this.#seconds[slot] = seconds[i]
      this.#values[slot] = values[i]
    }
  }
}
