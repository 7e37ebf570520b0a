// Texts that are nearly equal: MinHash over shingles of five words (Broder 1997), candidates by bands of the signature
// (locality-sensitive hashing), each confirmed by the Jaccard similarity of its shingles. Linear in the number of texts.
import type { RowPlace } from './duplicates.ts'
import { stream } from '../random.ts'

/** Words of a shingle. A text with fewer is one shingle. */
const SHINGLE = 5
/** A pair of this Jaccard similarity becomes a candidate with a probability of 1 − (1 − 0.8⁴)¹⁶ = 99.98 %. */
export const SIMILAR = 0.8
const [BANDS, ROWS] = [16, 4]
const HASHES = BANDS * ROWS
/** Texts of a set that another is compared with among those that share a band: of many equal ones a few are enough. */
const COMPARED = 4

/** Two texts, the first of which comes first. */
export interface NearPair {
  readonly first: RowPlace
  readonly second: RowPlace
  /** Shingles that both have, as a share of those that either has. */
  readonly similarity: number
}

/** The finaliser of MurmurHash3 (Appleby). */
function mix(word: number): number {
  let x = word
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return x ^ (x >>> 16)
}

/** FNV-1a over UTF-16 units. */
function hashOf(word: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < word.length; i++) hash = Math.imul(hash ^ word.charCodeAt(i), 0x01000193)
  return hash
}

/** Hashes of the shingles of a text; a shingle that occurs twice has two entries. */
function shinglesOf(words: readonly string[]): Int32Array {
  const hashes = Int32Array.from(words, hashOf)
  const size = Math.min(SHINGLE, hashes.length)
  const shingles = new Int32Array(hashes.length - size + 1)
  for (let at = 0; at < shingles.length; at++) {
    let hash = size
    for (let i = 0; i < size; i++) hash = Math.imul(hash, 31) + mix(hashes[at + i])
    shingles[at] = mix(hash)
  }
  return shingles
}

/** Jaccard similarity of the shingles of two texts. */
export function similarity(some: readonly string[], others: readonly string[]): number {
  const [a, b] = [new Set(shinglesOf(some)), new Set(shinglesOf(others))]
  const both = a.intersection(b).size
  return both / (a.size + b.size - both)
}

/** Collects texts one by one, then finds the pairs among them that are nearly equal. */
export class NearDuplicates {
  readonly #places: RowPlace[] = []
  readonly #signatures: Int32Array[] = []
  readonly #factors: Int32Array
  readonly #offsets: Int32Array

  constructor() {
    const random = stream(0, 'minhash')
    this.#factors = Int32Array.from({ length: HASHES }, () => random.bits() | 1)
    this.#offsets = Int32Array.from({ length: HASHES }, () => random.bits())
  }

  /** Adds a text by its words; one without words is left out. Texts of a set come in order, set after set. */
  add(place: RowPlace, words: readonly string[]): void {
    if (words.length === 0) return
    const signature = new Int32Array(HASHES).fill(0x7fffffff)
    for (const shingle of shinglesOf(words)) {
      for (let i = 0; i < HASHES; i++) {
        const hash = (Math.imul(shingle, this.#factors[i]) + this.#offsets[i]) | 0
        if (hash < signature[i]) signature[i] = hash
      }
    }
    this.#places.push(place)
    this.#signatures.push(signature)
  }

  /**
   * Pairs with a similarity of at least `SIMILAR`, in order: for each text one with an earlier text of each set. `wordsOf`
   * gives a text's words again; `isEqual` says which pairs are equal and not wanted.
   */
  find(
    wordsOf: (place: RowPlace) => readonly string[],
    isEqual: (first: RowPlace, second: RowPlace) => boolean,
  ): NearPair[] {
    const compared = new Set<number>()
    const pairs: NearPair[] = []
    const count = this.#places.length
    /** The sets in which a text has a similar one. */
    const found = new Map<number, Set<number>>()
    const compare = (first: number, second: number): void => {
      const [a, b] = [this.#places[first], this.#places[second]]
      const key = first * count + second
      if (compared.has(key) || found.get(second)?.has(a.set)) return
      compared.add(key)
      if (isEqual(a, b)) return
      const alike = similarity(wordsOf(a), wordsOf(b))
      if (alike < SIMILAR) return
      pairs.push({ first: a, second: b, similarity: alike })
      found.set(second, (found.get(second) ?? new Set()).add(a.set))
    }
    for (let band = 0; band < BANDS; band++) {
      for (const bucket of this.#bucketsOf(band)) {
        const firsts: number[] = []
        for (const second of bucket) {
          for (const first of firsts) compare(first, second)
          const { set } = this.#places[second]
          if (firsts.filter(i => this.#places[i].set === set).length < COMPARED) firsts.push(second)
        }
      }
    }
    const order = (a: RowPlace, b: RowPlace): number => a.set - b.set || a.row - b.row
    return pairs.sort((a, b) => order(a.second, b.second) || order(a.first, b.first))
  }

  /** Texts that agree in a band of their signatures (or in its hash), where there are at least two. */
  #bucketsOf(band: number): number[][] {
    const buckets = new Map<number, number[]>()
    for (const [i, signature] of this.#signatures.entries()) {
      let key = 0
      for (let row = 0; row < ROWS; row++) key = mix(Math.imul(key, 31) + signature[band * ROWS + row])
      const bucket = buckets.get(key)
      if (bucket) bucket.push(i)
      else buckets.set(key, [i])
    }
    return [...buckets.values()].filter(({ length }) => length > 1)
  }
}
