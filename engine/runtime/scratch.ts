// Memory for intermediates, shared by all plans of a device: plans run one after another in the queue, so the k-th largest
// buffer of one plan may be the k-th largest of the next. When it grows, plans make their bind groups anew.
import type { Buffers } from './buffers.ts'

export class Scratch {
  readonly #buffers: Buffers
  readonly #slots: GPUBuffer[] = []
  #generation = 0

  constructor(buffers: Buffers) {
    this.#buffers = buffers
  }

  /** Changes whenever a buffer that a plan may have bound is no longer the one to bind. */
  get generation(): number {
    return this.#generation
  }

  /** Gives everything back, to the adapter: what could not be had in full is no use. */
  destroy(): void {
    for (const slot of this.#slots.splice(0)) this.#buffers.destroy(slot)
    this.#generation++
  }

  /** Buffers for `sizes` (bytes, largest first). */
  reserve(sizes: readonly number[]): readonly GPUBuffer[] {
    sizes.forEach((bytes, k) => {
      const held = this.#slots[k]
      if (held && held.size >= bytes) return
      if (held) {
        this.#buffers.release(held)
        this.#generation++
      }
      this.#slots[k] = this.#buffers.acquire(bytes, `scratch ${k}`)
    })
    return this.#slots
  }
}
