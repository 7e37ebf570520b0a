// A program: the dispatches of a graph, ready to be encoded. Pipelines are compiled and the memory of intermediates is
// planned; where the graph's sources lie in memory may differ from run to run, and bind groups follow that.
import type { Value } from '../graph.ts'
import { UserError } from '../errors.ts'
import { payloadOf } from '../ops/source.ts'
import type { Device } from '../runtime/device.ts'
import { keepWhenForgotten, releaseWhenForgotten } from '../runtime/forgotten.ts'
import { type KernelTime, Profiler } from '../runtime/profiler.ts'
import type { Pipeline } from '../runtime/pipelines.ts'
import { answerTrials } from '../runtime/trials.ts'
import type { Assignment } from './canonical.ts'
import { type MemoryPlan, planMemory } from './memory.ts'
import { ALIGNMENT, type Binding, type Region } from './region.ts'
import { type Schedule, type Store, schedule } from './schedule.ts'

export const NO_VALUE = 'a compiled function\'s input has no value while the function is traced: return the tensor, then read it'

const STALE = 'a compiled function uses what was made of another call\'s inputs: a tensor that is kept from a trace has no value outside of it'

/** What a program costs, sources apart. */
export interface ProgramCost {
  readonly dispatches: number
  /** Dispatches without fusion: one or more an op. */
  readonly unfused: number
  readonly pipelines: number
  /** Intermediates, after sharing by liveness. */
  readonly scratchBytes: number
  /** The most bytes of intermediates alive at once. */
  readonly liveBytes: number
}

/** One dispatch, without what only making it needed. */
interface Dispatch {
  readonly label: string
  readonly pipeline: Pipeline
  readonly bindings: readonly Binding[]
  readonly workgroups: readonly [number, number, number]
  /** Its stretch of the parcel. */
  readonly uniforms: { readonly offset: number, readonly size: number }
  readonly operations: number | undefined
  /** Bytes of all that it binds, twice where it updates in place. */
  readonly bytes: number
}

/** Sources of at most so many bytes may lie in the parcel, and at most so many bytes of them. */
const PACKED_BYTES = 4096
const PARCEL_BYTES = 65536

export class Program {
  readonly cost: ProgramCost
  readonly outputs: readonly Region[]
  readonly stores: readonly Store[]
  readonly sources: readonly Region[]
  readonly #device: Device
  readonly #dispatches: readonly Dispatch[]
  readonly #sizes: readonly number[]
  readonly #slotOf: ReadonlyMap<Region, number>
  readonly #sourceIndex: ReadonlyMap<Region, number>
  /** The parcel on the host: all uniforms, then small sources. It travels in one write. */
  readonly #parcel: Uint8Array<ArrayBuffer>
  readonly #packed: ReadonlyMap<Region, number>
  #parcelGpu: GPUBuffer | undefined
  #isSent = false
  #groups: GPUBindGroup[] = []
  /** Sources' buffers and the generation of scratch memory, as the bind groups have them. */
  #bound: GPUBuffer[] = []
  #generation = -1
  #isChecked = false

  private constructor(device: Device, planned: Schedule, memory: MemoryPlan, pipelines: readonly Pipeline[], packs: boolean) {
    const { steps } = planned
    this.#device = device
    this.outputs = planned.outputs
    this.stores = planned.stores
    this.sources = [...regionsOf(planned)].filter(region => region.source)
    this.#sourceIndex = new Map(this.sources.map((region, i) => [region, i]))
    this.#sizes = memory.sizes
    this.#slotOf = memory.slotOf
    const { offsets, end } = placeUniforms(planned)
    const packed = new Map<Region, number>()
    let size = Math.max(end, ALIGNMENT)
    for (const region of packs ? this.sources : []) {
      if (region.bytes > PACKED_BYTES || size + region.bytes > end + PARCEL_BYTES) continue
      packed.set(region, size)
      size += region.bytes
    }
    this.#packed = packed
    this.#parcel = new Uint8Array(size)
    const words = new Uint32Array(this.#parcel.buffer)
    steps.forEach(({ launch }, i) => words.set(launch.uniforms, offsets[i] / 4))
    this.#dispatches = steps.map(({ launch, bindings }, i) => ({
      label: launch.label, pipeline: pipelines[i], bindings, workgroups: launch.workgroups, operations: launch.operations,
      uniforms: { offset: offsets[i], size: uniformBytes(launch.uniforms) },
      bytes: [...bindings, ...(launch.updates ?? []).map(slot => bindings[slot])].reduce((sum, { bytes }) => sum + bytes, 0),
    }))
    this.cost = {
      dispatches: steps.length, unfused: planned.unfused, pipelines: new Set(pipelines).size,
      scratchBytes: memory.sizes.reduce((a, b) => a + b, 0), liveBytes: memory.liveBytes,
    }
  }

  /**
   * Schedules, plans memory and compiles every pipeline, side by side. `packs`: small sources may lie beside the uniforms.
   * Gives the schedule too, which the program does not keep. Throws a UserError where the graph has arguments of another trace than `trace`, or half
   * precision that the adapter does not have.
   */
  static async make(
    device: Device, outputs: readonly Value[], assignments: readonly Assignment[],
    { trace, packs = false }: { trace?: object, packs?: boolean } = {},
  ): Promise<{ program: Program, planned: Schedule }> {
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
    return { program: new Program(device, planned, memory, pipelines, packs), planned }
  }

  /** Whether a run of it has succeeded. */
  get isChecked(): boolean {
    return this.#isChecked
  }

  get labels(): readonly string[] {
    return this.#dispatches.map(({ label }) => label)
  }

  /** Where the uniforms of dispatch `i` begin in the parcel, in bytes. */
  uniformOffset(i: number): number {
    return this.#dispatches[i].uniforms.offset
  }

  /** Puts one word into the parcel, at a multiple of four bytes. */
  putWord(offset: number, word: number): void {
    new Uint32Array(this.#parcel.buffer)[offset / 4] = word
    this.#isSent = false
  }

  /** Puts a source's bytes into the parcel. False where it does not lie there. */
  putSource(region: Region, bytes: ArrayBufferView): boolean {
    const offset = this.#packed.get(region)
    if (offset === undefined) return false
    this.#parcel.set(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset)
    this.#isSent = false
    return true
  }

  /**
   * Makes bind groups for sources that lie in these buffers, or in the parcel where there is none; anew only for dispatches
   * whose memory has moved since the last run. Sends the parcel where it has changed.
   */
  prepare(bufferOf: (source: Region, i: number) => GPUBuffer | undefined): void {
    const { gpu, scratch } = this.#device
    scratch.reserve(this.#sizes)
    const parcel = this.#parcelBuffer()
    if (!this.#isSent) gpu.queue.writeBuffer(parcel, 0, this.#parcel)
    this.#isSent = true
    const moved = new Set<Region>()
    this.sources.forEach((region, i) => {
      const buffer = bufferOf(region, i) ?? parcel
      if (this.#bound[i] === buffer) return
      this.#bound[i] = buffer
      moved.add(region)
    })
    const all = this.#generation !== scratch.generation
    if (!all && moved.size === 0) return
    this.#dispatches.forEach((dispatch, i) => {
      if (all || dispatch.bindings.some(({ region }) => moved.has(region))) this.#groups[i] = this.#group(dispatch, parcel)
    })
    this.#generation = scratch.generation
  }

  /** Where a source or a planned region lies, once `prepare` was called. */
  bufferOf(region: Region): GPUBuffer {
    const source = this.#sourceIndex.get(region)
    if (source !== undefined) return this.#bound[source]
    const slot = this.#slotOf.get(region)
    if (slot === undefined) throw new Error(`${region.label} has no memory`)
    return this.#device.scratch.reserve(this.#sizes)[slot]
  }

  /** Encodes all dispatches, in one pass; or in a pass each, since timestamps stand at the ends of passes. */
  encode(encoder: GPUCommandEncoder, profiler?: Profiler): void {
    if (profiler) {
      this.#dispatches.forEach((_, i) => this.encodeStep(encoder, i, profiler.around(i)))
      profiler.resolve(encoder)
      return
    }
    const pass = encoder.beginComputePass()
    let bound: GPUComputePipeline | undefined
    for (let i = 0; i < this.#dispatches.length; i++) {
      const { pipeline: { pipeline }, workgroups: [x, y, z] } = this.#dispatches[i]
      if (pipeline !== bound) pass.setPipeline(pipeline)
      bound = pipeline
      pass.setBindGroup(0, this.#groups[i])
      pass.dispatchWorkgroups(x, y, z)
    }
    pass.end()
  }

  /** Encodes one dispatch, in a pass of its own. */
  encodeStep(encoder: GPUCommandEncoder, i: number, timestampWrites?: GPUComputePassTimestampWrites): void {
    const { label, pipeline, workgroups } = this.#dispatches[i]
    const pass = encoder.beginComputePass({ label, timestampWrites })
    pass.setPipeline(pipeline.pipeline)
    pass.setBindGroup(0, this.#groups[i])
    pass.dispatchWorkgroups(...workgroups)
    pass.end()
  }

  /** A profiler for one run. Throws a UserError where the adapter has no timestamps. */
  profiler(): Profiler {
    return new Profiler(this.#device.gpu, this.#dispatches.length)
  }

  /** What the profiler of a run found, dispatch by dispatch. */
  async times(profiler: Profiler): Promise<KernelTime[]> {
    const times = await profiler.read()
    return this.#dispatches.map(({ label, operations, bytes }, i) => ({ ...times[i], label, operations, bytes }))
  }

  /**
   * Calls `submit`, which encodes and submits a run. Until one has succeeded it runs under error scopes: where memory is
   * short, `undo` gives back what the attempt took, garbage is collected, and it is tried once more. Throws a UserError where
   * `peakBytes` do not fit then.
   */
  async submit<T>(peakBytes: number, submit: () => T, undo: () => void): Promise<T> {
    if (this.#isChecked) return submit()
    const { gpu, scratch, buffers } = this.#device
    for (let attempt = 1; ; attempt++) {
      gpu.pushErrorScope('validation')
      gpu.pushErrorScope('out-of-memory')
      let done: { readonly result: T } | { readonly error: unknown }
      try {
        done = { result: submit() }
      } catch (error) {
        done = { error }
      }
      const [memory, validation] = [gpu.popErrorScope(), gpu.popErrorScope()]
      const [tooLarge, wrong] = [await memory, await validation]
      if (tooLarge) {
        scratch.destroy()
        this.#leave(parcel => buffers.destroy(parcel))
        undo()
        if (attempt === 1) {
          await this.#device.collect()
          continue
        }
        throw new UserError(`the adapter's memory does not hold this step of ${Math.ceil(peakBytes / 1e6)} MB: use a smaller batch or length`)
      }
      if ('error' in done) throw done.error
      if (wrong) throw new Error(`the plan is invalid: ${wrong.message}`)
      this.#isChecked = true
      return done.result
    }
  }

  /** Gives its own memory back; a later run takes it anew. */
  release(): void {
    this.#leave(parcel => this.#device.buffers.release(parcel))
  }

  #leave(give: (parcel: GPUBuffer) => void): void {
    if (!this.#parcelGpu) return
    keepWhenForgotten(this)
    give(this.#parcelGpu)
    this.#parcelGpu = undefined
    this.#groups = []
    this.#bound = []
    this.#generation = -1
  }

  #group({ label, pipeline: { layout }, bindings, uniforms }: Dispatch, parcel: GPUBuffer): GPUBindGroup {
    const entries = bindings.map(({ region, offset, bytes }, binding): GPUBindGroupEntry => {
      const buffer = this.bufferOf(region)
      const start = buffer === parcel ? this.#packed.get(region) ?? 0 : 0
      return { binding, resource: { buffer, offset: start + offset, size: bytes } }
    })
    entries.push({ binding: bindings.length, resource: { buffer: parcel, ...uniforms } })
    return this.#device.gpu.createBindGroup({ label, layout, entries })
  }

  #parcelBuffer(): GPUBuffer {
    if (this.#parcelGpu) return this.#parcelGpu
    const { buffers } = this.#device
    const buffer = buffers.acquireParcel(this.#parcel.byteLength)
    releaseWhenForgotten(this, buffers, buffer)
    this.#parcelGpu = buffer
    this.#isSent = false
    return buffer
  }
}

/** Where each step's uniforms lie: steps with equal words share them. */
function placeUniforms({ steps }: Schedule): { offsets: readonly number[], end: number } {
  const known = new Map<string, number>()
  let end = 0
  const offsets = steps.map(({ launch: { uniforms } }) => {
    const key = uniforms.join()
    const at = known.get(key) ?? end
    if (at === end) {
      known.set(key, at)
      end += Math.ceil(uniformBytes(uniforms) / ALIGNMENT) * ALIGNMENT
    }
    return at
  })
  return { offsets, end }
}

/** A uniform struct is as long as its scalars, rounded up to 16 bytes. */
const uniformBytes = (words: Uint32Array): number => Math.max(16, Math.ceil(words.byteLength / 16) * 16)

function regionsOf({ steps, outputs, stores }: Schedule): Set<Region> {
  return new Set([...steps.flatMap(step => step.bindings.map(binding => binding.region)), ...outputs, ...stores.map(store => store.from)])
}
