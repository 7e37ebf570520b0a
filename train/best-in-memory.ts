// A checkpoint store for a training that is not resumed: it keeps the best values in memory, and nothing else.
import type { ValueEntry } from './state.ts'
import type { CheckpointStore, Ranking } from './checkpoint-store.ts'

export class BestInMemory implements CheckpointStore {
  readonly #best = new Map<string, Float32Array<ArrayBuffer>>()

  async save(): Promise<void> {}

  /** @throws Error always: there is nothing to continue from */
  async load(): Promise<void> {
    throw new Error('a training whose state is not kept cannot be continued')
  }

  async saveBest(entries: readonly ValueEntry[], { place }: Ranking): Promise<void> {
    if (place > 0) return
    for (const { name, variable } of entries) this.#best.set(name, Float32Array.from(await variable.read()))
  }

  async loadBest(entries: readonly ValueEntry[]): Promise<void> {
    for (const { name, variable } of entries) {
      const values = this.#best.get(name)
      if (!values) throw new Error(`no best value of ${name} was saved`)
      await variable.write(values)
    }
  }
}
