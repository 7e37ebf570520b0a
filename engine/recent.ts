// A map of bounded size: beyond that, what was asked for least recently is dropped.

export class Recent<V> {
  readonly #values = new Map<string, V>()
  readonly #most: number
  readonly #onDrop: ((value: V) => void) | undefined

  /** Holds at most `most` values; `onDrop` is called with each that has to leave. */
  constructor(most: number, onDrop?: (value: V) => void) {
    this.#most = most
    this.#onDrop = onDrop
  }

  get size(): number {
    return this.#values.size
  }

  /** The value under `key`, which is now the most recent one. */
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

  /** Takes a value out; it does not count as dropped. */
  delete(key: string): void {
    this.#values.delete(key)
  }

  /** Drops everything. */
  clear(): void {
    const all = [...this.#values.values()]
    this.#values.clear()
    for (const value of all) this.#onDrop?.(value)
  }
}
