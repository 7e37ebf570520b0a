// A plan: a compiled function's program with the memory of its inputs, constants and variables. A run writes the inputs,
// replays the dispatches in one pass and submits once.
import type { Node, Value } from '../graph.ts'
import { UserError } from '../errors.ts'
import { payloadOf } from '../ops/source.ts'
import type { Device } from '../runtime/device.ts'
import type { KernelTime, Profiler } from '../runtime/profiler.ts'
import { Storage } from '../storage.ts'
import type { TensorData } from '../tensor.ts'
import type { Assignment } from './canonical.ts'
import { constantOn } from './constants.ts'
import { type NonFiniteCause, findCause } from './diagnose.ts'
import { NO_VALUE, Program, type ProgramCost } from './program.ts'
import type { Region } from './region.ts'
import type { Schedule } from './schedule.ts'

/** What a plan costs. */
export interface PlanSummary extends ProgramCost {
  /** Variables, constants and inputs that the plan touches. */
  readonly persistentBytes: number
  /** With what intermediates take: the plan's peak. */
  readonly peakBytes: number
}

/** A value of a placeholder in one run. */
export type Feed = { readonly data: TensorData } | { readonly storage: Storage }

export class Plan {
  readonly summary: PlanSummary
  readonly labels: readonly string[]
  readonly #device: Device
  readonly #program: Program
  readonly #schedule: Schedule
  readonly #placeholders: ReadonlyMap<number, { storage: Storage; node: Node }>
  readonly #sources: ReadonlyMap<Region, Storage>

  private constructor(device: Device, program: Program, planned: Schedule) {
    this.#device = device
    this.#program = program
    this.#schedule = planned
    this.labels = program.labels
    const placeholders = new Map<number, { storage: Storage; node: Node }>()
    const sources = new Map<Region, Storage>()
    for (const region of program.sources) {
      if (!region.source) continue
      const payload = payloadOf(region.source)
      if (payload.kind === 'placeholder') {
        const storage = new Storage(`input ${payload.position}`, region.bytes)
        placeholders.set(payload.position, { storage, node: region.source })
        sources.set(region, storage)
      } else sources.set(region, payload.kind === 'storage' ? payload.storage : constantOn(device, region.source, payload.data))
    }
    this.#placeholders = placeholders
    this.#sources = sources
    const persistentBytes = [...new Set(sources.values())].reduce((sum, storage) => sum + storage.bytes, 0)
    this.summary = { ...program.cost, persistentBytes, peakBytes: program.cost.scratchBytes + persistentBytes }
  }

  /**
   * Schedules, plans memory and compiles every pipeline, side by side. Throws a UserError where the graph has arguments of
   * another trace than `trace`, or half precision that the adapter does not have.
   */
  static async make(device: Device, outputs: readonly Value[], assignments: readonly Assignment[], trace: object): Promise<Plan> {
    const { program, planned } = await Program.make(device, outputs, assignments, { trace })
    return new Plan(device, program, planned)
  }

  /** Queues one run. Results stand in memory of their own until their storage is released or forgotten. */
  async run(feeds: readonly Feed[]): Promise<Storage[]> {
    return this.#run(feeds)
  }

  /** The same with every dispatch timed. Throws a UserError where the adapter has no timestamps. */
  async profile(feeds: readonly Feed[]): Promise<{ results: Storage[], kernels: KernelTime[] }> {
    const profiler = this.#program.profiler()
    const results = await this.#run(feeds, profiler)
    return { results, kernels: await this.#program.times(profiler) }
  }

  /**
   * Runs once more, for nobody, and tells which dispatch's output was the first that is not finite; undefined where all
   * results are. Variables keep their values: what would be updated in place or assigned is not.
   */
  async diagnose(feeds: readonly Feed[]): Promise<NonFiniteCause | undefined> {
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

  /** Gives the memory of its inputs back; a later run takes it anew. */
  release(): void {
    for (const { storage } of this.#placeholders.values()) storage.release()
    this.#program.release()
  }

  async #run(feeds: readonly Feed[], profiler?: Profiler): Promise<Storage[]> {
    this.#device.check()
    const room = this.#device.makeRoom()
    if (room) await room
    const results = this.#program.outputs.map(region => new Storage('result', region.bytes, { result: true }))
    // What has no memory yet gets it in this run, and loses it where the run fails for want of memory.
    const touched = this.#program.isChecked ? [] : [...results, ...this.#sources.values(), ...this.#program.stores.map(({ storage }) => storage)]
    const fresh = [...new Set(touched)].filter(storage => !storage.buffer)
    const submit = (): Storage[] => {
      this.#submit(feeds, results, profiler)
      return results
    }
    return this.#program.submit(this.summary.peakBytes, submit, () => { for (const storage of fresh) storage.discard() })
  }

  #submit(feeds: readonly Feed[], results: readonly Storage[], profiler?: Profiler): void {
    const device = this.#device
    const program = this.#program
    this.#prepare()
    const targets = results.map(result => result.on(device))
    const encoder = device.gpu.createCommandEncoder()
    this.#feed(encoder, feeds)
    program.encode(encoder, profiler)
    program.outputs.forEach((region, i) => encoder.copyBufferToBuffer(program.bufferOf(region), 0, targets[i], 0, region.bytes))
    for (const { from, bytes, storage } of program.stores) {
      encoder.copyBufferToBuffer(program.bufferOf(from), 0, storage.on(device), 0, bytes)
    }
    device.gpu.queue.submit([encoder.finish()])
  }

  #prepare(): void {
    this.#program.prepare(region => this.#sources.get(region)?.on(this.#device))
  }

  /** Puts the inputs of one run where its dispatches read them. */
  #feed(encoder: GPUCommandEncoder, feeds: readonly Feed[]): void {
    for (const [position, { storage, node }] of this.#placeholders) {
      const feed = feeds.at(position)
      if (!feed) throw new UserError(NO_VALUE)
      if ('data' in feed) this.#device.write(storage.on(this.#device), node.outputs[0].dtype, feed.data)
      else encoder.copyBufferToBuffer(feed.storage.on(this.#device), 0, storage.on(this.#device), 0, storage.bytes)
    }
  }
}
