// Memory for intermediates, shared by all plans of a device: plans run one after another, so the k-th largest buffer of
// one plan can be the k-th largest of the next. When a buffer is replaced by a larger one, plans have to make new bind
// groups.
import type { Buffers } from './buffers.ts'
import type { GPUBuffer } from '../web.ts'

export class Scratch {
  readonly #buffers: Buffers
  readonly #slots: GPUBuffer[] = []
  #generation = 0

  constructor(buffers: Buffers) {
    this.#buffers = buffers
  }

  /** Changes whenever a buffer that a plan may have bound was replaced. */
  get generation(): number {
    return this.#generation
  }

  /** Frees all buffers, after an allocation failed. */
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
