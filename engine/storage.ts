// Device memory that outlives a plan: that of a variable, a constant, or a result until it is read. It is allocated
// when first used, and released when JavaScript collects its owner.
import type { DType } from '../shaders/kernel.ts'
import { UserError } from './errors.ts'
import type { Device } from './runtime/device.ts'
import { cancelFinalization, releaseWhenCollected } from './runtime/finalization.ts'
import type { TensorData } from './tensor.ts'

/** Largest result, in bytes, that moves to the host when read, so that a step's loss doesn't hold a buffer. */
const MOVED_BYTES = 4096

/** Numbers on the host, and how the device stores them. */
export interface HostData {
  readonly data: TensorData
  readonly dtype: DType
}

export class Storage {
  readonly label: string
  readonly bytes: number
  /** Whether it is the result of a run, which is never written again. */
  readonly isResult: boolean
  #device: Device | undefined
  #buffer: GPUBuffer | undefined
  #hasEnded = false
  /** Its numbers, if they are on the host. */
  #host: HostData | undefined

  /**
   * `bytes` of zeros, allocated on first use; with `host`, of those numbers; with `result`, of undefined content until
   * a run writes it, and never written again.
   */
  constructor(label: string, bytes: number, { result = false, host }: { result?: boolean; host?: HostData } = {}) {
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

  /** The buffer on `device`. A storage stays on the device that first used it. Throws a UserError after `end`. */
  on(device: Device): GPUBuffer {
    if (this.#hasEnded) throw new UserError(`${this.label} was released: it has no numbers any more`)
    if (this.#buffer) {
      if (this.#device !== device) throw new Error(`${this.label} is on another device`)
      return this.#buffer
    }
    const buffer = device.buffers.acquire(this.bytes, this.label, { zeroed: !this.isResult && !this.#host })
    this.#buffer = buffer
    this.#device = device
    releaseWhenCollected(this, device.buffers, buffer)
    if (this.#host) device.write(buffer, this.#host.dtype, this.#host.data)
    return buffer
  }

  /** Copies its first `count` elements to the host. */
  async read(device: Device, dtype: DType, count: number): Promise<TensorData> {
    if (this.#host && !this.#hasEnded) return this.#host.data.slice()
    const data = await device.read(this.on(device), dtype, count)
    if (this.isResult && this.bytes <= MOVED_BYTES) {
      this.#host = { data, dtype }
      this.release()
      return data.slice()
    }
    return data
  }

  /** Returns the memory to the pool at once. */
  release(): void {
    this.#drop((buffer, device) => device.buffers.release(buffer))
  }

  /** Returns the memory permanently: using it afterwards throws a UserError. */
  end(): void {
    this.release()
    this.#host = undefined
    this.#hasEnded = true
  }

  /** Destroys memory that the adapter failed to provide: it must not return to the pool. */
  discard(): void {
    this.#drop((buffer, device) => device.buffers.destroy(buffer))
  }

  #drop(dispose: (buffer: GPUBuffer, device: Device) => void): void {
    if (!this.#buffer || !this.#device) return
    cancelFinalization(this)
    dispose(this.#buffer, this.#device)
    this.#buffer = undefined
    this.#device = undefined
  }
}
