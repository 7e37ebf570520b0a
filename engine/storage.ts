// Device memory that outlives a plan: a variable's, a constant's, or a result that waits to be read. It is made when first
// used, zeroed, and given back when JavaScript forgets its owner.
import type { Device } from './runtime/device.ts'

const forgotten = new FinalizationRegistry<() => void>(release => release())

export class Storage {
  readonly label: string
  readonly bytes: number
  #device: Device | undefined
  #buffer: GPUBuffer | undefined

  /** `bytes` of zeros, in memory only once somebody needs them. */
  constructor(label: string, bytes: number) {
    this.label = label
    this.bytes = Math.ceil(bytes / 256) * 256
  }

  get buffer(): GPUBuffer | undefined {
    return this.#buffer
  }

  /** The buffer on `device`. A storage stays on the device that first used it. */
  on(device: Device): GPUBuffer {
    if (this.#buffer) {
      if (this.#device !== device) throw new Error(`${this.label} lives on another device`)
      return this.#buffer
    }
    const buffer = device.buffers.acquire(this.bytes, this.label)
    this.#buffer = buffer
    this.#device = device
    forgotten.register(this, () => device.buffers.release(buffer), this)
    return buffer
  }

  /** Gives the memory back at once: for owners that know they are done. */
  release(): void {
    if (!this.#buffer || !this.#device) return
    forgotten.unregister(this)
    this.#device.buffers.release(this.#buffer)
    this.#buffer = undefined
    this.#device = undefined
  }
}
