// A plan: the program of a compiled function with the memory of its inputs, constants and variables. A run writes the
// inputs, replays the dispatches in one pass and submits once.
import type { DType } from '../../shaders/kernel.ts'
import type { Node, Value } from '../graph.ts'
import { UserError } from '../errors.ts'
import { type Payload, payloadOf } from '../payload.ts'
import type { Device } from '../runtime/device.ts'
import type { KernelTime, Profiler } from '../runtime/profiler.ts'
import { Storage, storageMoves } from '../storage.ts'
import type { TensorData } from '../tensor.ts'
import type { Assignment } from './canonical.ts'
import { constantOn } from './constants.ts'
import type { NonFiniteCause } from './diagnose.ts'
import { NO_VALUE, Program, type ProgramCost } from './program.ts'
import type { Region } from './region.ts'
import type { Schedule } from './schedule.ts'

/** What a plan costs. */
export interface PlanSummary extends ProgramCost {
  /** Bytes of the variables, constants and inputs that the plan uses. */
  readonly persistentBytes: number
  /** With intermediates: the plan's peak. */
  readonly peakBytes: number
}

/** A source that is read from the host at each run. */
interface HostSource {
  readonly storage: Storage
  readonly dtype: DType
  readonly payload: Payload & { readonly kind: 'host' }
}

/** The value of a placeholder in one run. */
export type Feed = { readonly data: TensorData } | { readonly storage: Storage }

export class Plan {
  readonly summary: PlanSummary
  readonly labels: readonly string[]
  readonly #device: Device
  readonly #program: Program
  readonly #schedule: Schedule
  readonly #placeholders: ReadonlyMap<number, { storage: Storage; node: Node }>
  readonly #hosts: readonly HostSource[]
  readonly #sources: ReadonlyMap<Region, Storage>
  /** The variables that it uses, with their versions when it was made. */
  readonly #versions: ReadonlyMap<Storage, number>
  /** Moves of memory after which all versions were still the same. */
  #movesSeen: number

  private constructor(device: Device, program: Program, planned: Schedule) {
    this.#device = device
    this.#program = program
    this.#schedule = planned
    this.labels = program.labels
    const placeholders = new Map<number, { storage: Storage; node: Node }>()
    const hosts: HostSource[] = []
    const sources = new Map<Region, Storage>()
    for (const region of program.sources) {
      if (!region.source) continue
      const payload = payloadOf(region.source)
      if (payload.kind === 'storage') sources.set(region, payload.storage)
      else if (payload.kind === 'constant') sources.set(region, constantOn(device, region.source, payload.data))
      else if (payload.kind === 'host') {
        const storage = new Storage('host', region.bytes)
        hosts.push({ storage, dtype: region.source.outputs[0].dtype, payload })
        sources.set(region, storage)
      } else {
        const storage = new Storage(`input ${payload.position}`, region.bytes)
        placeholders.set(payload.position, { storage, node: region.source })
        sources.set(region, storage)
      }
    }
    this.#placeholders = placeholders
    this.#hosts = hosts
    this.#sources = sources
    const used = [...sources.values(), ...program.stores.map(({ storage }) => storage)]
    this.#versions = new Map(used.map(storage => [storage, storage.version]))
    this.#movesSeen = storageMoves()
    const persistentBytes = [...new Set(sources.values())].reduce((sum, storage) => sum + storage.bytes, 0)
    this.summary = { ...program.cost, persistentBytes, peakBytes: program.cost.scratchBytes + persistentBytes }
  }

  /** Schedules, plans memory and compiles all pipelines. Throws the UserErrors of `Program.make`. */
  static async make(
    device: Device,
    outputs: readonly Value[],
    assignments: readonly Assignment[],
    trace: object,
  ): Promise<Plan> {
    const { program, planned } = await Program.make(device, outputs, assignments, { trace })
    return new Plan(device, program, planned)
  }

  /** Whether all variables that it uses are still where they were: not so after a parameter has moved. */
  get isCurrent(): boolean {
    const moves = storageMoves()
    if (this.#movesSeen !== moves) {
      for (const [storage, version] of this.#versions) if (storage.version !== version) return false
      this.#movesSeen = moves
    }
    return true
  }

  /** Queues one run with every dispatch timed. Throws a UserError if the adapter has no timestamps. */
  async profile(feeds: readonly Feed[]): Promise<{ results: Storage[]; kernels: KernelTime[] }> {
    const profiler = await this.#program.profiler()
    const results = await this.run(feeds, profiler)
    return { results, kernels: await this.#program.times(profiler) }
  }

  /**
   * Runs without returning results, and finds the first dispatch whose output is not finite; undefined if all results
   * are finite. Variables keep their values: updates in place and assignments are left out.
   */
  async diagnose(feeds: readonly Feed[]): Promise<NonFiniteCause | undefined> {
    const { findCause } = await import('./diagnose.ts')
    return findCause({
      device: this.#device,
      schedule: this.#schedule,
      begin: () => {
        this.#device.check()
        this.#prepare()
        const encoder = this.#device.gpu.createCommandEncoder()
        this.#feed(encoder, feeds)
        return encoder
      },
      bufferOf: region => this.#program.bufferOf(region),
      encodeStep: (encoder, i) => this.#program.encodeStep(encoder, i),
    })
  }

  /** Frees the memory of its inputs; a later run allocates it again. */
  release(): void {
    for (const { storage } of [...this.#placeholders.values(), ...this.#hosts]) storage.release()
    this.#program.release()
  }

  /** Queues one run. Results have memory of their own until their storage is released or collected. */
  async run(feeds: readonly Feed[], profiler?: Profiler): Promise<Storage[]> {
    this.#device.check()
    const collecting = this.#device.collectIfGrown()
    if (collecting) await collecting
    const results = this.#program.outputs.map(region => new Storage('result', region.bytes, { result: true }))
    // Memory that is first allocated in this run is freed again if the run fails for lack of memory.
    const touched = this.#program.isChecked
      ? []
      : [...results, ...this.#sources.values(), ...this.#program.stores.map(({ storage }) => storage)]
    const fresh = [...new Set(touched)].filter(storage => !storage.buffer)
    const submit = (): Storage[] => {
      this.#submit(feeds, results, profiler)
      return results
    }
    return this.#program.submit(this.summary.peakBytes, submit, () => {
      for (const storage of fresh) storage.discard()
    })
  }

  #submit(feeds: readonly Feed[], results: readonly Storage[], profiler?: Profiler): void {
    const device = this.#device
    const program = this.#program
    this.#prepare()
    const targets = results.map(result => result.on(device))
    const encoder = device.gpu.createCommandEncoder()
    this.#feed(encoder, feeds)
    program.encode(encoder, profiler)
    const copy = (region: Region, to: GPUBuffer, bytes: number): void =>
      encoder.copyBufferToBuffer(program.bufferOf(region), 0, to, 0, bytes)
    program.outputs.forEach((region, i) => copy(region, targets[i], region.bytes))
    for (const { from, bytes, storage } of program.stores) copy(from, storage.on(device), bytes)
    device.gpu.queue.submit([encoder.finish()])
    for (const { payload } of this.#hosts) payload.submitted?.()
  }

  #prepare(): void {
    this.#program.prepare(region => this.#sources.get(region)?.on(this.#device))
  }

  /** Copies the inputs of one run to where its dispatches read them. */
  #feed(encoder: GPUCommandEncoder, feeds: readonly Feed[]): void {
    for (const { storage, dtype, payload } of this.#hosts)
      this.#device.write(storage.on(this.#device), dtype, payload.read())
    for (const [position, { storage, node }] of this.#placeholders) {
      const feed = feeds.at(position)
      if (!feed) throw new UserError(NO_VALUE)
      if ('data' in feed) this.#device.write(storage.on(this.#device), node.outputs[0].dtype, feed.data)
      else encoder.copyBufferToBuffer(feed.storage.on(this.#device), 0, storage.on(this.#device), 0, storage.bytes)
    }
  }
}
