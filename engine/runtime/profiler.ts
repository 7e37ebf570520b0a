// Times every dispatch of a run by timestamps, each in a compute pass of its own.
import { UserError } from '../errors.ts'
import type { GPUBuffer, GPUCommandEncoder, GPUDevice, GPUQuerySet, GPUComputePassTimestampWrites } from '../web.ts'

/** One dispatch of a profiled run. */
export interface KernelTime {
  /** Kernel and config. */
  readonly label: string
  /** Its start, in nanoseconds after the run's first dispatch. */
  readonly start: number
  readonly nanoseconds: number
  /** Operations of its matrix products, 2 for each multiply-add; undefined for kernels that are bound by memory. */
  readonly operations: number | undefined
  /** Bytes of all bindings: each element read or written once, or both if it is updated in place. */
  readonly bytes: number
}

/** WebGPU's limit on the queries of one set. */
const SET_SIZE = 4096

/** The timestamps of one run with `count` dispatches. */
export class Profiler {
  readonly #sets: readonly GPUQuerySet[]
  readonly #resolved: GPUBuffer
  readonly #readable: GPUBuffer
  readonly #count: number

  /** Throws a UserError if the adapter has no timestamps. */
  constructor(gpu: GPUDevice, count: number) {
    if (!gpu.features.has('timestamp-query'))
      throw new UserError('profiling is not possible: this adapter has no timestamps (timestamp-query)')
    this.#count = count
    const bytes = Math.ceil((2 * count) / SET_SIZE) * SET_SIZE * 8
    this.#sets = Array.from({ length: Math.ceil((2 * count) / SET_SIZE) }, () =>
      gpu.createQuerySet({ type: 'timestamp', count: SET_SIZE }),
    )
    this.#resolved = gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC })
    this.#readable = gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST })
  }

  /** The timestamp writes of the pass of dispatch `i`. */
  around(i: number): GPUComputePassTimestampWrites {
    const at = (2 * i) % SET_SIZE
    return {
      querySet: this.#sets[Math.floor((2 * i) / SET_SIZE)],
      beginningOfPassWriteIndex: at,
      endOfPassWriteIndex: at + 1,
    }
  }

  /** Call after the last pass. */
  resolve(encoder: GPUCommandEncoder): void {
    this.#sets.forEach((set, k) => {
      const used = Math.min(SET_SIZE, 2 * this.#count - k * SET_SIZE)
      encoder.resolveQuerySet(set, 0, used, this.#resolved, k * SET_SIZE * 8)
    })
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#readable, 0, this.#resolved.size)
  }

  /** Waits for the run, returns start and duration of each dispatch in nanoseconds, and destroys the profiler. */
  async read(): Promise<{ start: number; nanoseconds: number }[]> {
    await this.#readable.mapAsync(GPUMapMode.READ)
    const stamps = new BigUint64Array(this.#readable.getMappedRange().slice(0))
    for (const buffer of [this.#resolved, this.#readable]) buffer.destroy()
    for (const set of this.#sets) set.destroy()
    const [origin] = stamps
    return Array.from({ length: this.#count }, (_, i) => ({
      start: Number(stamps[2 * i] - origin),
      nanoseconds: Number(stamps[2 * i + 1] - stamps[2 * i]),
    }))
  }
}
