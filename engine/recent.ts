// A map of bounded size that drops the least recently used values.

export class Recent<V> {
  readonly #values = new Map<string, V>()
  readonly #most: number
  readonly #onDrop: ((value: V) => void) | undefined

  /** Holds at most `most` values; `onDrop` is called with each value that is dropped. */
  constructor(most: number, onDrop?: (value: V) => void) {
    this.#most = most
    this.#onDrop = onDrop
  }

  get size(): number {
    return this.#values.size
  }

  /** The value of `key`, which becomes the most recently used. */
  get(key: string): V | undefined {
    const value = this.#values.get(key)
    if (value === undefined) return undefined
    this.#values.delete(key)
    this.#values.set(key, value)
    return value
  }

  set(key: string, value: V): void {
    this.#values.delete(key)
    this.#values.set(key, value)
    for (const [oldest, dropped] of this.#values) {
      if (this.#values.size <= this.#most) break
      this.#values.delete(oldest)
      this.#onDrop?.(dropped)
    }
  }

  /** Removes a value without calling `onDrop`. */
  delete(key: string): void {
    this.#values.delete(key)
  }
}
