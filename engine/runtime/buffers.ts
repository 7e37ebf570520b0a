// Allocates and counts all GPU buffers. Released buffers are kept in lists by size for reuse, since results and
// constants of the same sizes recur in every step.
import { showBytes } from '../bytes.ts'
import { UserError } from '../errors.ts'
import type { GPUBuffer, GPUDevice } from '../web.ts'

/** Most bytes of free buffers that are kept for reuse. */
const KEPT_FREE_BYTES = 64 * 2 ** 20
/** Most free buffers that are kept, of any size. */
const KEPT_FREE_COUNT = 1024

export class Buffers {
  readonly #device: GPUDevice
  readonly #free = new Map<string, GPUBuffer[]>()
  /** All free buffers, the longest unused first. */
  readonly #byAge = new Set<GPUBuffer>()
  #freeBytes = 0
  #count = 0
  #bytes = 0

  constructor(device: GPUDevice) {
    this.#device = device
  }

  /** Number of buffers, free ones included. */
  get count(): number {
    return this.#count
  }
  /** Bytes of all buffers, free ones included. */
  get bytes(): number {
    return this.#bytes
  }
  /** Number of buffers in use. */
  get live(): number {
    return this.#count - this.#byAge.size
  }
  /** Bytes of the buffers in use. */
  get liveBytes(): number {
    return this.#bytes - this.#freeBytes
  }

  /** A storage buffer of at least `bytes`, zeroed by default. Throws a UserError above the adapter's limit. */
  acquire(bytes: number, label: string, { zeroed = true } = {}): GPUBuffer {
    return this.#take(bytes, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST, label, zeroed)
  }

  /** A buffer that the host can map to read. */
  acquireReadback(bytes: number): GPUBuffer {
    return this.#take(bytes, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST, 'readback')
  }

  /** A uniform buffer. */
  acquireUniform(bytes: number): GPUBuffer {
    return this.#take(bytes, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST, 'uniforms')
  }

  /** A buffer for uniforms and small inputs. */
  acquireArguments(bytes: number): GPUBuffer {
    return this.#take(bytes, GPUBufferUsage.UNIFORM | GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST, 'uniforms')
  }

  /** Throws a UserError if `bytes` exceed the adapter's limit for one buffer. */
  check(bytes: number, label: string): void {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.#device.limits
    const most = Math.min(maxBufferSize, maxStorageBufferBindingSize)
    if (bytes > most) {
      const limit = `${showBytes(bytes)} is more than one buffer holds on this adapter (${showBytes(most)})`
      throw new UserError(`${label}: ${limit}: use a smaller batch or length`)
    }
  }

  #take(bytes: number, usage: number, label: string, zeroed = false): GPUBuffer {
    const size = Math.max(256, Math.ceil(bytes / 256) * 256)
    const waiting = this.#free.get(keyOf({ usage, size }))?.pop()
    if (waiting) {
      this.#byAge.delete(waiting)
      this.#freeBytes -= size
      if (zeroed) {
        const encoder = this.#device.createCommandEncoder()
        encoder.clearBuffer(waiting)
        this.#device.queue.submit([encoder.finish()])
      }
      return waiting
    }
    this.check(size, label)
    this.#count++
    this.#bytes += size
    return this.#device.createBuffer({ size, usage, label })
  }

  /** Returns a buffer to the pool; submitted work may still use it. A full pool destroys the longest unused buffers. */
  release(buffer: GPUBuffer): void {
    if (buffer.size > KEPT_FREE_BYTES) return this.destroy(buffer)
    const key = keyOf(buffer)
    const list = this.#free.get(key) ?? []
    list.push(buffer)
    this.#free.set(key, list)
    this.#byAge.add(buffer)
    this.#freeBytes += buffer.size
    for (const oldest of this.#byAge) {
      if (this.#freeBytes <= KEPT_FREE_BYTES && this.#byAge.size <= KEPT_FREE_COUNT) break
      // Buffers are taken from the end of a list, so the first is the oldest.
      const list = this.#free.get(keyOf(oldest))
      list?.shift()
      if (list?.length === 0) this.#free.delete(keyOf(oldest))
      this.#byAge.delete(oldest)
      this.#freeBytes -= oldest.size
      this.destroy(oldest)
    }
  }

  /** Frees a buffer's memory at once. */
  destroy(buffer: GPUBuffer): void {
    this.#count--
    this.#bytes -= buffer.size
    buffer.destroy()
  }
}

const keyOf = ({ usage, size }: Pick<GPUBuffer, 'usage' | 'size'>): string => `${usage} ${size}`
