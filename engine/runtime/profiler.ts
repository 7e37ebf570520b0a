// Where a step's time goes: timestamps around every dispatch, each in a compute pass of its own.
import { UserError } from '../errors.ts'

/** One dispatch of a profiled run. */
export interface KernelTime {
  /** Kernel and config. */
  readonly label: string
  /** When it began, in nanoseconds after the run's first dispatch. */
  readonly start: number
  readonly nanoseconds: number
  /** Arithmetic of its sums of products, as 2 operations a product; undefined where memory is what counts. */
  readonly operations: number | undefined
  /** Bytes of all that it binds: each element read or written once, or both where it is updated in place. */
  readonly bytes: number
}

/** WebGPU's limit on the queries of one set. */
const SET_SIZE = 4096

/** The timestamps of one run of so many dispatches. */
export class Profiler {
  readonly #sets: readonly GPUQuerySet[]
  readonly #resolved: GPUBuffer
  readonly #readable: GPUBuffer
  readonly #count: number

  /** Throws a UserError where the adapter has no timestamps. */
  constructor(gpu: GPUDevice, count: number) {
    if (!gpu.features.has('timestamp-query')) throw new UserError('this adapter has no timestamps (timestamp-query), so nothing can be profiled on it')
    this.#count = count
    const bytes = Math.ceil(2 * count / SET_SIZE) * SET_SIZE * 8
    this.#sets = Array.from({ length: Math.ceil(2 * count / SET_SIZE) }, () => gpu.createQuerySet({ type: 'timestamp', count: SET_SIZE }))
    this.#resolved = gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC })
    this.#readable = gpu.createBuffer({ size: bytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST })
  }

  /** For the pass of dispatch number `i`. */
  around(i: number): GPUComputePassTimestampWrites {
    const at = 2 * i % SET_SIZE
    return { querySet: this.#sets[Math.floor(2 * i / SET_SIZE)], beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 }
  }

  /** To be called after the last pass. */
  resolve(encoder: GPUCommandEncoder): void {
    this.#sets.forEach((set, k) => {
      const used = Math.min(SET_SIZE, 2 * this.#count - k * SET_SIZE)
      encoder.resolveQuerySet(set, 0, used, this.#resolved, k * SET_SIZE * 8)
    })
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#readable, 0, this.#resolved.size)
  }

  /** Start and length of each dispatch, in nanoseconds, once the run was submitted. Ends the profiler. */
  async read(): Promise<{ start: number, nanoseconds: number }[]> {
    await this.#readable.mapAsync(GPUMapMode.READ)
    const stamps = new BigUint64Array(this.#readable.getMappedRange().slice(0))
    for (const buffer of [this.#resolved, this.#readable]) buffer.destroy()
    for (const set of this.#sets) set.destroy()
    const [origin] = stamps
    return Array.from({ length: this.#count }, (_, i) =>
      ({ start: Number(stamps[2 * i] - origin), nanoseconds: Number(stamps[2 * i + 1] - stamps[2 * i]) }))
  }
}
