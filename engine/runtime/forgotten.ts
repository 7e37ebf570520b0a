// GPU buffers return to their pool once JavaScript has collected their owner. This is the only FinalizationRegistry in the
// code base; a test holds every other file to that. It takes plain values and no function: closures made in one scope
// share one context, so a callback beside an arrow function that uses `this` would keep the owner alive for ever.
import type { Buffers } from './buffers.ts'

interface Held {
  readonly buffers: Buffers
  readonly buffer: GPUBuffer
}

const registry = new FinalizationRegistry<Held>(({ buffers, buffer }) => buffers.release(buffer))

/** Releases `buffer` into `buffers` some time after `owner` was collected. An owner may have several buffers. */
export function releaseWhenForgotten(owner: object, buffers: Buffers, buffer: GPUBuffer): void {
  registry.register(owner, { buffers, buffer }, owner)
}

/** Undoes that, for all buffers of an owner that has released them itself. */
export function keepWhenForgotten(owner: object): void {
  registry.unregister(owner)
}
