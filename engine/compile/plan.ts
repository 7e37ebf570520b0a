// A plan: everything that one run needs, made once. Pipelines are compiled, buffers known, bind groups and uniforms ready;
// a run writes the inputs, replays the dispatches in one pass and submits once.
import type { Node, Value } from '../graph.ts'
import { UserError } from '../errors.ts'
import { payloadOf } from '../ops/source.ts'
import type { Device } from '../runtime/device.ts'
import { releaseWhenForgotten } from '../runtime/forgotten.ts'
import { type KernelTime, Profiler } from '../runtime/profiler.ts'
import type { Pipeline } from '../runtime/pipelines.ts'
import { answerTrials } from '../runtime/trials.ts'
import { Storage } from '../storage.ts'
import type { TensorData } from '../tensor.ts'
import type { Assignment } from './canonical.ts'
import { type NonFiniteCause, findCause } from './diagnose.ts'
import { type MemoryPlan, planMemory } from './memory.ts'
import type { Binding, Region } from './region.ts'
import { type Schedule, schedule } from './schedule.ts'

/** What a plan costs. */
export interface PlanSummary {
  readonly dispatches: number
  /** Dispatches without fusion: one or more an op. */
  readonly unfused: number
  readonly pipelines: number
  /** Intermediates, after sharing by liveness. */
  readonly scratchBytes: number
  /** The most bytes of intermediates alive at once. */
  readonly liveBytes: number
  /** Variables, constants and inputs that the plan touches. */
  readonly persistentBytes: number
  /** Their sum: the plan's peak. */
  readonly peakBytes: number
}

export const NO_VALUE = 'a compiled function\'s input has no value while the function is traced: return the tensor, then read it'

const STALE = 'a compiled function uses what was made of another call\'s inputs: a tensor that is kept from a trace has no value outside of it'

/** A value of a placeholder in one run. */
export type Feed = { readonly data: TensorData } | { readonly storage: Storage }

/** Dynamic offsets of uniform bindings are multiples of this on every adapter. */
const UNIFORM_ALIGNMENT = 256

export class Plan {
  readonly summary: PlanSummary
  readonly labels: readonly string[]
  readonly #device: Device
  readonly #schedule: Schedule
  readonly #memory: MemoryPlan
  readonly #pipelines: readonly Pipeline[]
  readonly #placeholders: ReadonlyMap<number, { storage: Storage; node: Node }>
  readonly #sources: ReadonlyMap<Region, Storage>
  #uniformOffsets: readonly number[] = []
  #uniformGpu: GPUBuffer | undefined
  #groups: readonly GPUBindGroup[] = []
  #generation = -1
  /** Sources' buffers as the bind groups have them. */
  #bound: readonly (readonly [Storage, GPUBuffer])[] = []
  #checked = false

  private constructor(device: Device, planned: Schedule, memory: MemoryPlan, pipelines: readonly Pipeline[]) {
    this.#device = device
    this.#schedule = planned
    this.#memory = memory
    this.#pipelines = pipelines
    this.labels = planned.steps.map(step => step.launch.label)
    const placeholders = new Map<number, { storage: Storage; node: Node }>()
    const sources = new Map<Region, Storage>()
    for (const region of regionsOf(planned)) {
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
    const scratchBytes = memory.sizes.reduce((a, b) => a + b, 0)
    const persistentBytes = [...new Set(sources.values())].reduce((sum, storage) => sum + storage.bytes, 0)
    this.summary = {
      dispatches: planned.steps.length, unfused: planned.unfused, pipelines: new Set(pipelines).size,
      scratchBytes, liveBytes: memory.liveBytes, persistentBytes, peakBytes: scratchBytes + persistentBytes,
    }
  }

  /**
   * Schedules, plans memory and compiles every pipeline, side by side. Throws a UserError where the graph has arguments of
   * another trace than `trace`, or half precision that the adapter does not have.
   */
  static async make(device: Device, outputs: readonly Value[], assignments: readonly Assignment[], trace?: object): Promise<Plan> {
    let planned = schedule(outputs, assignments, device.traits)
    while (await answerTrials(device, planned.trials)) planned = schedule(outputs, assignments, device.traits)
    const held = new Set([...planned.outputs, ...planned.stores.map(store => store.from)])
    const memory = planMemory(planned.steps, held)
    for (const { source } of regionsOf(planned)) {
      const payload = source && payloadOf(source)
      if (payload?.kind === 'placeholder' && payload.trace !== trace) throw new UserError(trace ? STALE : NO_VALUE)
    }
    if (!device.traits.f16 && planned.steps.some(({ launch: { wgsl } }) => wgsl.includes('enable f16;'))) {
      throw new UserError(`${device.info.name} has no half precision (shader-f16)`)
    }
    // Before anything is compiled: a dry run tells of it, too.
    for (const { label, bytes } of regionsOf(planned)) device.buffers.check(bytes, label)
    const pipelines = await Promise.all(planned.steps.map(({ launch }) =>
      device.pipelines.get(launch.wgsl, launch.label, launch.slots.length, launch.writes)))
    return new Plan(device, planned, memory, pipelines)
  }

  /** Queues one run. Results stand in memory of their own until their storage is released or forgotten. */
  async run(feeds: readonly Feed[]): Promise<Storage[]> {
    return this.#run(feeds)
  }

  /** The same with every dispatch timed. Throws a UserError where the adapter has no timestamps. */
  async profile(feeds: readonly Feed[]): Promise<{ results: Storage[], kernels: KernelTime[] }> {
    const { steps } = this.#schedule
    const profiler = new Profiler(this.#device.gpu, steps.length)
    const results = await this.#run(feeds, profiler)
    const times = await profiler.read()
    const kernels = steps.map(({ launch, bindings }, i) => {
      const moved = [...bindings, ...(launch.updates ?? []).map(slot => bindings[slot])]
      return { ...times[i], label: launch.label, operations: launch.operations, bytes: moved.reduce((sum, { bytes }) => sum + bytes, 0) }
    })
    return { results, kernels }
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
      bufferOf: region => this.#bufferOf(region),
      encodeStep: (encoder, i) => this.#encodeStep(encoder, i),
    })
  }

  async #run(feeds: readonly Feed[], profiler?: Profiler): Promise<Storage[]> {
    const { gpu } = this.#device
    this.#device.check()
    const first = !this.#checked
    const results = this.#schedule.outputs.map(region => new Storage('result', region.bytes, { result: true }))
    // What has no memory yet gets it here.
    const touched = first ? [...results, ...this.#sources.values(), ...this.#schedule.stores.map(({ storage }) => storage)] : []
    const fresh = [...new Set(touched)].filter(storage => !storage.buffer)
    if (first) {
      gpu.pushErrorScope('validation')
      gpu.pushErrorScope('out-of-memory')
    }
    try {
      this.#prepare()
      const targets = results.map(result => result.on(this.#device))
      const encoder = gpu.createCommandEncoder()
      this.#feed(encoder, feeds)
      if (profiler) this.#encodeTimed(encoder, profiler)
      else this.#encode(encoder)
      this.#schedule.outputs.forEach((region, i) => encoder.copyBufferToBuffer(this.#bufferOf(region), 0, targets[i], 0, region.bytes))
      for (const { from, bytes, storage } of this.#schedule.stores) {
        encoder.copyBufferToBuffer(this.#bufferOf(from), 0, storage.on(this.#device), 0, bytes)
      }
      gpu.queue.submit([encoder.finish()])
      return results
    } finally {
      if (first) {
        const [memory, validation] = [gpu.popErrorScope(), gpu.popErrorScope()]
        const tooLarge = await memory
        const megabytes = Math.ceil(this.summary.peakBytes / 1e6)
        if (tooLarge) {
          this.#device.scratch.destroy()
          for (const storage of fresh) storage.discard()
          throw new UserError(`the adapter's memory does not hold this step of ${megabytes} MB: use a smaller batch or length`)
        }
        const wrong = await validation
        if (wrong) throw new Error(`the plan is invalid: ${wrong.message}`)
        this.#checked = true
      }
    }
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

  #encode(encoder: GPUCommandEncoder): void {
    const { steps } = this.#schedule
    const pass = encoder.beginComputePass()
    let bound: GPUComputePipeline | undefined
    for (let i = 0; i < steps.length; i++) {
      const { pipeline } = this.#pipelines[i]
      if (pipeline !== bound) pass.setPipeline(pipeline)
      bound = pipeline
      pass.setBindGroup(0, this.#groups[i])
      const [x, y, z] = steps[i].launch.workgroups
      pass.dispatchWorkgroups(x, y, z)
    }
    pass.end()
  }

  /** A pass a dispatch: timestamps stand at the ends of passes. */
  #encodeTimed(encoder: GPUCommandEncoder, profiler: Profiler): void {
    this.#schedule.steps.forEach((_, i) => this.#encodeStep(encoder, i, profiler.around(i)))
    profiler.resolve(encoder)
  }

  #encodeStep(encoder: GPUCommandEncoder, i: number, timestampWrites?: GPUComputePassTimestampWrites): void {
    const { launch } = this.#schedule.steps[i]
    const pass = encoder.beginComputePass({ label: launch.label, timestampWrites })
    pass.setPipeline(this.#pipelines[i].pipeline)
    pass.setBindGroup(0, this.#groups[i])
    const [x, y, z] = launch.workgroups
    pass.dispatchWorkgroups(x, y, z)
    pass.end()
  }

  #bufferOf(region: Region): GPUBuffer {
    const source = this.#sources.get(region)
    if (source) return source.on(this.#device)
    const slot = this.#memory.slotOf.get(region)
    if (slot === undefined) throw new Error(`${region.label} has no memory`)
    return this.#device.scratch.reserve(this.#memory.sizes)[slot]
  }

  /** Bind groups, made anew only when shared scratch memory has grown since, or a source's memory has moved. */
  #prepare(): void {
    const { gpu, scratch } = this.#device
    scratch.reserve(this.#memory.sizes)
    const moved = this.#bound.some(([storage, buffer]) => storage.buffer !== buffer)
    if (this.#generation === scratch.generation && !moved) return
    const { steps } = this.#schedule
    const uniforms = this.#uniformBuffer()
    const entry = ({ region, offset, bytes }: Binding, binding: number): GPUBindGroupEntry =>
      ({ binding, resource: { buffer: this.#bufferOf(region), offset, size: bytes } })
    this.#groups = steps.map(({ launch, bindings }, i) => gpu.createBindGroup({
      label: launch.label,
      layout: this.#pipelines[i].layout,
      entries: [
        ...bindings.map(entry),
        { binding: bindings.length, resource: { buffer: uniforms, offset: this.#uniformOffsets[i], size: uniformBytes(launch.uniforms) } },
      ],
    }))
    this.#bound = [...new Set(this.#sources.values())].map(storage => [storage, storage.on(this.#device)])
    this.#generation = scratch.generation
  }

  /** All uniforms of the plan in one buffer; steps with equal words share them. */
  #uniformBuffer(): GPUBuffer {
    if (this.#uniformGpu) return this.#uniformGpu
    const { buffers, gpu } = this.#device
    const offsets = new Map<string, number>()
    let end = 0
    this.#uniformOffsets = this.#schedule.steps.map(({ launch: { uniforms } }) => {
      const key = uniforms.join()
      const known = offsets.get(key)
      if (known !== undefined) return known
      const at = end
      offsets.set(key, at)
      end += Math.ceil(uniformBytes(uniforms) / UNIFORM_ALIGNMENT) * UNIFORM_ALIGNMENT
      return at
    })
    const words = new Uint32Array(Math.max(end, UNIFORM_ALIGNMENT) / 4)
    this.#schedule.steps.forEach(({ launch }, i) => words.set(launch.uniforms, this.#uniformOffsets[i] / 4))
    const buffer = buffers.acquireUniform(words.byteLength)
    gpu.queue.writeBuffer(buffer, 0, words)
    this.#uniformGpu = buffer
    releaseWhenForgotten(this, buffers, buffer)
    return buffer
  }
}

/** A uniform struct is as long as its scalars, rounded up to 16 bytes. */
const uniformBytes = (words: Uint32Array): number => Math.max(16, Math.ceil(words.byteLength / 16) * 16)

function regionsOf({ steps, outputs, stores }: Schedule): Set<Region> {
  return new Set([...steps.flatMap(step => step.bindings.map(binding => binding.region)), ...outputs, ...stores.map(store => store.from)])
}

const constantsOf = new WeakMap<Device, WeakMap<Node, Storage>>()

/** A constant's memory, filled at first use. */
function constantOn(device: Device, node: Node, data: TensorData): Storage {
  const constants = constantsOf.get(device) ?? new WeakMap<Node, Storage>()
  constantsOf.set(device, constants)
  const known = constants.get(node)
  if (known) return known
  const [{ dtype }] = node.outputs
  const storage = new Storage('constant', data.length * (dtype === 'f16' ? 2 : 4))
  device.write(storage.on(device), dtype, data)
  constants.set(node, storage)
  return storage
}
