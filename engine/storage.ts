// Device memory that outlives a plan: a variable's, a constant's, or a result that waits to be read. It is made when first
// used, zeroed, and given back when JavaScript forgets its owner.
import type { DType } from '../shaders/kernel.ts'
import { UserError } from './errors.ts'
import type { Device } from './runtime/device.ts'
import { keepWhenForgotten, releaseWhenForgotten } from './runtime/forgotten.ts'
import type { TensorData } from './tensor.ts'

/** A result of at most so many bytes moves to the host when it is read: a step's loss holds no buffer until a collection. */
const MOVED_BYTES = 4096

/** Numbers on the host, and how the device stores them. */
export interface HostData {
  readonly data: TensorData
  readonly dtype: DType
}

export class Storage {
  readonly label: string
  readonly bytes: number
  /** Whether it is a run's result, which is never written again. */
  readonly isResult: boolean
  #device: Device | undefined
  #buffer: GPUBuffer | undefined
  #isOver = false
  /** Its numbers, where they have moved to the host. */
  #host: HostData | undefined

  /**
   * `bytes` of zeros, in memory only once somebody needs them; or of numbers that the `host` keeps; or a run's `result`, never
   * written again, that begins as anything.
   */
  constructor(label: string, bytes: number, { result = false, host }: { result?: boolean, host?: HostData } = {}) {
    this.label = label
    this.bytes = Math.ceil(bytes / 256) * 256
    this.isResult = result
    this.#host = host
  }

  get buffer(): GPUBuffer | undefined {
    return this.#buffer
  }

  isOn(device: Device): boolean {
    return this.#device === device
  }

  /** The buffer on `device`. A storage stays on the device that first used it. Throws a UserError after its end. */
  on(device: Device): GPUBuffer {
    if (this.#isOver) throw new UserError(`${this.label} was released: its numbers are gone`)
    if (this.#buffer) {
      if (this.#device !== device) throw new Error(`${this.label} lives on another device`)
      return this.#buffer
    }
    const buffer = device.buffers.acquire(this.bytes, this.label, { zeroed: !this.isResult && !this.#host })
    this.#buffer = buffer
    this.#device = device
    releaseWhenForgotten(this, device.buffers, buffer)
    if (this.#host) device.write(buffer, this.#host.dtype, this.#host.data)
    return buffer
  }

  /** Its first `count` elements, on the host. */
  async read(device: Device, dtype: DType, count: number): Promise<TensorData> {
    if (this.#host && !this.#isOver) return this.#host.data.slice()
    const data = await device.read(this.on(device), dtype, count)
    if (this.isResult && this.bytes <= MOVED_BYTES) {
      this.#host = { data, dtype }
      this.release()
      return data.slice()
    }
    return data
  }

  /** Gives the memory back at once: for owners that know they are done. */
  release(): void {
    this.#leave((buffer, device) => device.buffers.release(buffer))
  }

  /** The same for good: whoever uses it again has made a mistake. */
  end(): void {
    this.release()
    this.#host = undefined
    this.#isOver = true
  }

  /** The same for memory that the adapter did not have, which nobody else must get. */
  discard(): void {
    this.#leave((buffer, device) => device.buffers.destroy(buffer))
  }

  #leave(give: (buffer: GPUBuffer, device: Device) => void): void {
    if (!this.#buffer || !this.#device) return
    keepWhenForgotten(this)
    give(this.#buffer, this.#device)
    this.#buffer = undefined
    this.#device = undefined
  }
}
