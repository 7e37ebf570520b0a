// What jobs that one process runs one after another have in common, so that it is made once: examples, texts as tokens,
// fingerprints, and the weights of a base model, kept in memory.
import type { TensorFile } from '../../../models/safetensors.ts'
import type { TextSets } from '../../shapes.ts'
import type { EncodedExample, TokenLengths } from '../data/encode.ts'
import type { Fingerprints } from './fingerprint.ts'
import type { Data } from './job.ts'

/** Values by their keys: a few, those that were used last. */
export class Memo<T> {
  readonly #most: number
  readonly #made = new Map<string, Promise<T>>()

  constructor(most: number) {
    this.#most = most
  }

  /** The value of a key, made where it is not known. One that can't be made is forgotten. */
  get(key: string, make: () => Promise<T>): Promise<T> {
    const value = this.#made.get(key) ?? make()
    this.#made.delete(key)
    this.#made.set(key, value)
    value.catch(() => this.#made.delete(key))
    for (const [oldest] of this.#made) {
      if (this.#made.size <= this.#most) break
      this.#made.delete(oldest)
    }
    return value
  }
}

/** A run's sets as tokens. */
export type EncodedSets = Readonly<Record<keyof TextSets, EncodedExample[]>>

/** Keys say everything that a value depends on. */
export interface Shared {
  readonly data: Memo<Data>
  readonly fingerprints: Memo<Fingerprints>
  readonly lengths: Memo<TokenLengths>
  readonly texts: Memo<EncodedSets>
  readonly weights: Memo<TensorFile>
  /** What a teacher answers to the training texts. */
  readonly answers: Memo<readonly Float32Array[]>
}

/** Nothing is known yet. Texts of a few seeds, which draw different sets, are kept. */
export const createShared = (): Shared => ({
  data: new Memo(4),
  fingerprints: new Memo(64),
  lengths: new Memo(64),
  texts: new Memo(4),
  weights: new Memo(2),
  answers: new Memo(4),
})
