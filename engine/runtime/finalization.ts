// GPU buffers return to their pool when JavaScript has collected their owner. This is the only FinalizationRegistry in
// the code base, which a test enforces. It takes plain values instead of callbacks: closures of one scope share one
// context, so a callback beside an arrow function that uses `this` would keep the owner alive forever.
import type { Buffers } from './buffers.ts'

interface Held {
  readonly buffers: Buffers
  readonly buffer: GPUBuffer
}

const registry = new FinalizationRegistry<Held>(({ buffers, buffer }) => buffers.release(buffer))

/** Releases `buffer` into `buffers` at some time after `owner` was collected. An owner may have several buffers. */
export function releaseWhenCollected(owner: object, buffers: Buffers, buffer: GPUBuffer): void {
  registry.register(owner, { buffers, buffer }, owner)
}

/** Cancels that for all buffers of an owner, which has released them itself. */
export function cancelFinalization(owner: object): void {
  registry.unregister(owner)
}
