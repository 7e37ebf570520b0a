// Device memory that outlives a plan: that of a variable, a constant, or a result until it is read. It is allocated
// when first used, and released when JavaScript collects its owner.
import type { DType } from '../shaders/kernel.ts'
import { UserError } from './errors.ts'
import type { Device } from './runtime/device.ts'
import { cancelFinalization, releaseWhenCollected } from './runtime/finalization.ts'
import type { TensorData } from './tensor.ts'
import type { GPUBuffer } from './web.ts'

/** Largest result, in bytes, that moves to the host when read, so that a step's loss doesn't hold a buffer. */
const MOVED_BYTES = 4096

/** Numbers on the host, and how the device stores them. */
export interface HostData {
  readonly data: TensorData
  readonly dtype: DType
}

let moves = 0

/** How often the content of any storage has moved. */
export const storageMoves = (): number => moves

export class Storage {
  readonly label: string
  readonly bytes: number
  /** Whether it is the result of a run, which is never written again. */
  readonly isResult: boolean
  /** How often part of its content has moved elsewhere. */
  version = 0
  #device: Device | undefined
  #buffer: GPUBuffer | undefined
  #ended: string | undefined
  readonly #fill: ((device: Device, buffer: GPUBuffer) => void) | undefined
  /** Its numbers, if they are on the host. */
  #host: HostData | undefined

  /**
   * `bytes` of zeros, allocated on first use; with `host`, of those numbers; with `fill`, of what that writes there when
   * it is allocated; with `result`, of undefined content until a run writes it, and never written again.
   */
  constructor(
    label: string,
    bytes: number,
    {
      result = false,
      host,
      fill,
    }: { result?: boolean; host?: HostData; fill?: (device: Device, buffer: GPUBuffer) => void } = {},
  ) {
    this.label = label
    // There are no buffers of no bytes.
    this.bytes = Math.max(Math.ceil(bytes / 256), 1) * 256
    this.isResult = result
    this.#host = host
    this.#fill = fill
  }

  get buffer(): GPUBuffer | undefined {
    return this.#buffer
  }

  isOn(device: Device): boolean {
    return this.#device === device
  }

  /** The buffer on `device`. A storage stays on the device that first used it. Throws a UserError after `end`. */
  on(device: Device): GPUBuffer {
    if (this.#ended !== undefined) throw new UserError(`${this.label} ${this.#ended}`)
    if (this.#buffer) {
      if (this.#device !== device) throw new Error(`${this.label} is on another device`)
      return this.#buffer
    }
    const buffer = device.buffers.acquire(this.bytes, this.label, { zeroed: !this.isResult && !this.#host })
    this.#buffer = buffer
    this.#device = device
    releaseWhenCollected(this, device.buffers, buffer)
    if (this.#host) device.write(buffer, this.#host.dtype, this.#host.data)
    this.#fill?.(device, buffer)
    return buffer
  }

  /** Copies its first `count` elements to the host. */
  async read(device: Device, dtype: DType, count: number): Promise<TensorData> {
    if (this.#host && this.#ended === undefined) return this.#host.data.slice()
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

  /** Returns the memory permanently: using it afterwards throws a UserError, which says `why`. */
  end(why = 'was released: it has no numbers any more'): void {
    this.release()
    this.#host = undefined
    this.#ended = why
  }

  /** Part of its content is elsewhere from now on: plans that use it are made again before they run. */
  move(): void {
    this.version++
    moves++
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
