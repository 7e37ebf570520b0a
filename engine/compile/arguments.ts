// The arguments of a program: the uniforms of all its dispatches and its small inputs, in one buffer that is sent in
// one write.
import type { Launch } from '../../shaders/kernel.ts'
import type { Device } from '../runtime/device.ts'
import { cancelFinalization, releaseWhenCollected } from '../runtime/finalization.ts'
import { ALIGNMENT, type Region, padded } from './region.ts'
import type { GPUBuffer } from '../web.ts'

/** Largest source that is packed beside the uniforms, in bytes, and the most bytes of all of them. */
const PACKED_BYTES = 4096
const ALL_PACKED_BYTES = 65536

export class ArgumentBuffer {
  readonly #device: Device
  readonly #host: Uint8Array<ArrayBuffer>
  readonly #uniforms: readonly { readonly offset: number; readonly size: number }[]
  readonly #packed = new Map<Region, number>()
  #gpu: GPUBuffer | undefined
  #isSent = false

  /** `packable`: sources that may be packed if they are small. */
  constructor(device: Device, launches: readonly Launch[], packable: readonly Region[]) {
    this.#device = device
    const { offsets, end } = placeUniforms(launches)
    let size = Math.max(end, ALIGNMENT)
    for (const region of packable) {
      if (region.bytes > PACKED_BYTES || size + region.bytes > end + ALL_PACKED_BYTES) continue
      this.#packed.set(region, size)
      size += region.bytes
    }
    this.#host = new Uint8Array(size)
    const words = new Uint32Array(this.#host.buffer)
    launches.forEach(({ uniforms }, i) => words.set(uniforms, offsets[i] / 4))
    this.#uniforms = launches.map(({ uniforms }, i) => ({ offset: offsets[i], size: uniformBytes(uniforms) }))
  }

  /** The uniforms of dispatch `i`, in bytes. */
  uniformsOf(i: number): { readonly offset: number; readonly size: number } {
    return this.#uniforms[i]
  }

  /** Where a packed source begins, in bytes; undefined if it isn't packed. */
  offsetOf(source: Region): number | undefined {
    return this.#packed.get(source)
  }

  /** Writes one word at a multiple of four bytes. */
  putWord(offset: number, word: number): void {
    new Uint32Array(this.#host.buffer)[offset / 4] = word
    this.#isSent = false
  }

  /** Writes the bytes of a packed source. Returns false if it isn't packed. */
  putSource(source: Region, bytes: ArrayBufferView): boolean {
    const offset = this.#packed.get(source)
    if (offset === undefined) return false
    this.#host.set(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset)
    this.#isSent = false
    return true
  }

  /** The buffer on the device, with what was put since the last call. */
  send(): GPUBuffer {
    const { buffers, gpu } = this.#device
    if (!this.#gpu) {
      this.#gpu = buffers.acquireArguments(this.#host.byteLength)
      releaseWhenCollected(this, buffers, this.#gpu)
      this.#isSent = false
    }
    if (!this.#isSent) gpu.queue.writeBuffer(this.#gpu, 0, this.#host)
    this.#isSent = true
    return this.#gpu
  }

  /** Gives the buffer back to the pool, or to the adapter if `destroy`; `send` takes another. */
  release({ destroy = false } = {}): void {
    if (!this.#gpu) return
    cancelFinalization(this)
    if (destroy) this.#device.buffers.destroy(this.#gpu)
    else this.#device.buffers.release(this.#gpu)
    this.#gpu = undefined
  }
}

/** The offset of each launch's uniforms: launches with equal words share them. */
function placeUniforms(launches: readonly Launch[]): { offsets: readonly number[]; end: number } {
  const known = new Map<string, number>()
  let end = 0
  const offsets = launches.map(({ uniforms }) => {
    const key = uniforms.join()
    const at = known.get(key) ?? end
    if (at === end) {
      known.set(key, at)
      end += padded(uniformBytes(uniforms))
    }
    return at
  })
  return { offsets, end }
}

/** A uniform struct is as long as its scalars, rounded up to 16 bytes. */
const uniformBytes = (words: Uint32Array): number => Math.max(16, Math.ceil(words.byteLength / 16) * 16)
