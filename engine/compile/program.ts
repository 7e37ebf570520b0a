// A program: the dispatches of a graph, ready to be encoded. Pipelines are compiled and the memory of intermediates is
// planned. The graph's sources may be in other buffers from run to run: bind groups follow them.
import { showBytes } from '../bytes.ts'
import { type Value, loadKernels, reachable } from '../graph.ts'
import { UserError } from '../errors.ts'
import { payloadOf } from '../payload.ts'
import type { Device } from '../runtime/device.ts'
import type { KernelTime, Profiler } from '../runtime/profiler.ts'
import type { Pipeline } from '../runtime/pipelines.ts'
import type { Trial } from '../runtime/trials.ts'
import { ArgumentBuffer } from './arguments.ts'
import type { Assignment } from './canonical.ts'
import { type MemoryPlan, planMemory } from './memory.ts'
import type { Binding, Region } from './region.ts'
import { type Schedule, type Store, schedule } from './schedule.ts'
import type {
  GPUBuffer,
  GPUCommandEncoder,
  GPUComputePipeline,
  GPUDevice,
  GPUComputePassTimestampWrites,
} from '../web.ts'

export const NO_VALUE =
  "a compiled function's input has no value while the function is traced: return the tensor, then read it"

const STALE =
  'a compiled function uses a tensor that depends on the inputs of another call: tensors of a trace have no value outside of it'

/** What a program costs, without its sources. */
export interface ProgramCost {
  readonly dispatches: number
  /** Dispatches without fusion: one or more for each op. */
  readonly unfused: number
  readonly pipelines: number
  /** Intermediates, after sharing by liveness. */
  readonly scratchBytes: number
  /** The most bytes of intermediates alive at once. */
  readonly liveBytes: number
}

/** One dispatch; what only compilation needed is dropped. */
interface Dispatch {
  readonly label: string
  readonly pipeline: Pipeline
  readonly bindings: readonly Binding[]
  readonly workgroups: readonly [number, number, number]
  readonly operations: number | undefined
  /** Bytes of all bindings, twice for those updated in place. */
  readonly bytes: number
}

export class Program {
  readonly cost: ProgramCost
  readonly outputs: readonly Region[]
  readonly stores: readonly Store[]
  readonly sources: readonly Region[]
  /** The uniforms and packed sources. */
  readonly arguments: ArgumentBuffer
  readonly #device: Device
  readonly #dispatches: readonly Dispatch[]
  readonly #sizes: readonly number[]
  readonly #slotOf: ReadonlyMap<Region, number>
  readonly #sourceIndex: ReadonlyMap<Region, number>
  #groups: GPUBindGroup[] = []
  /** What the bind groups were made for: buffers of sources and arguments, and the generation of scratch memory. */
  #bound: GPUBuffer[] = []
  #boundArguments: GPUBuffer | undefined
  #generation = -1
  #isChecked = false

  private constructor(
    device: Device,
    planned: Schedule,
    memory: MemoryPlan,
    pipelines: readonly Pipeline[],
    packs: boolean,
  ) {
    const { steps } = planned
    this.#device = device
    this.outputs = planned.outputs
    this.stores = planned.stores
    this.sources = [...regionsOf(planned)].filter(region => region.source)
    this.#sourceIndex = new Map(this.sources.map((region, i) => [region, i]))
    this.#sizes = memory.sizes
    this.#slotOf = memory.slotOf
    const launches = steps.map(({ launch }) => launch)
    this.arguments = new ArgumentBuffer(device, launches, packs ? this.sources : [])
    this.#dispatches = steps.map(({ launch, bindings }, i) => {
      const { label, workgroups, operations, updates = [] } = launch
      const bytes = [...bindings, ...updates.map(slot => bindings[slot])].reduce((sum, each) => sum + each.bytes, 0)
      return { label, pipeline: pipelines[i], bindings, workgroups, operations, bytes }
    })
    this.cost = {
      dispatches: steps.length,
      unfused: planned.unfused,
      pipelines: new Set(pipelines).size,
      scratchBytes: memory.sizes.reduce((a, b) => a + b, 0),
      liveBytes: memory.liveBytes,
    }
  }

  /**
   * Schedules, plans memory and compiles all pipelines, in parallel. `packs`: small sources may be packed beside the
   * uniforms. Returns the schedule too, which the program does not keep. Throws a UserError if the graph has arguments
   * of another trace than `trace`, needs half precision that the adapter doesn't have, or a buffer larger than the
   * adapter's limit.
   */
  static async make(
    device: Device,
    outputs: readonly Value[],
    assignments: readonly Assignment[],
    { trace, packs = false }: { trace?: object; packs?: boolean } = {},
  ): Promise<{ program: Program; planned: Schedule }> {
    const nodes = reachable([...outputs, ...assignments.map(({ value }) => value)])
    const loading = loadKernels(nodes.map(({ op }) => op))
    if (loading) await loading
    let planned = schedule(outputs, assignments, device.traits, device.tuning)
    while (planned.trials.length > 0 && (await answered(device, planned.trials)))
      planned = schedule(outputs, assignments, device.traits, device.tuning)
    checkSources(planned, trace)
    checkLimits(planned, device)
    const memory = planMemory(planned.steps, new Set([...planned.outputs, ...planned.stores.map(store => store.from)]))
    const pipelines = await Promise.all(planned.steps.map(({ launch }) => device.pipelines.get(launch)))
    return { program: new Program(device, planned, memory, pipelines, packs), planned }
  }

  /** Whether a run of it has succeeded. */
  get isChecked(): boolean {
    return this.#isChecked
  }

  get labels(): readonly string[] {
    return this.#dispatches.map(({ label }) => label)
  }

  /**
   * Sends the arguments and makes the bind groups: those of dispatches whose memory has moved since the last run.
   * `bufferOf` gives a source's buffer, or undefined if it is packed into the arguments.
   */
  prepare(bufferOf: (source: Region, i: number) => GPUBuffer | undefined): void {
    const { scratch } = this.#device
    scratch.reserve(this.#sizes)
    const packed = this.arguments.send()
    const moved = new Set<Region>()
    this.sources.forEach((region, i) => {
      const buffer = bufferOf(region, i) ?? packed
      if (this.#bound[i] === buffer) return
      this.#bound[i] = buffer
      moved.add(region)
    })
    const all = this.#generation !== scratch.generation || this.#boundArguments !== packed
    if (!all && moved.size === 0) return
    this.#dispatches.forEach((dispatch, i) => {
      if (all || dispatch.bindings.some(({ region }) => moved.has(region)))
        this.#groups[i] = this.#group(dispatch, i, packed)
    })
    this.#generation = scratch.generation
    this.#boundArguments = packed
  }

  /** The buffer of a source or a planned region, after `prepare`. */
  bufferOf(region: Region): GPUBuffer {
    const source = this.#sourceIndex.get(region)
    if (source !== undefined) return this.#bound[source]
    const slot = this.#slotOf.get(region)
    if (slot === undefined) throw new Error(`${region.label} has no memory`)
    return this.#device.scratch.reserve(this.#sizes)[slot]
  }

  /** Encodes all dispatches in one pass; with a profiler in one pass each, since passes are what timestamps measure. */
  encode(encoder: GPUCommandEncoder, profiler?: Profiler): void {
    if (profiler) {
      this.#dispatches.forEach((_, i) => this.encodeStep(encoder, i, profiler.around(i)))
      profiler.resolve(encoder)
      return
    }
    const pass = encoder.beginComputePass()
    let bound: GPUComputePipeline | undefined
    for (let i = 0; i < this.#dispatches.length; i++) {
      const { pipeline, workgroups } = this.#dispatches[i]
      if (pipeline.pipeline !== bound) pass.setPipeline(pipeline.pipeline)
      bound = pipeline.pipeline
      pass.setBindGroup(0, this.#groups[i])
      pass.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2])
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
  async profiler(): Promise<Profiler> {
    const { Profiler } = await import('../runtime/profiler.ts')
    return new Profiler(this.#device.gpu, this.#dispatches.length)
  }

  /** What the profiler of a run found, dispatch by dispatch. */
  async times(profiler: Profiler): Promise<KernelTime[]> {
    const times = await profiler.read()
    return this.#dispatches.map(({ label, operations, bytes }, i) => ({ ...times[i], label, operations, bytes }))
  }

  /**
   * Calls `submit`, which encodes and submits a run. Until a run has succeeded this happens under error scopes: if
   * memory runs out, `undo` gives back what the attempt took, garbage is collected, and it is tried once more. Throws a
   * UserError if the `peakBytes` don't fit then either.
   */
  async submit<T>(peakBytes: number, submit: () => T, undo: () => void): Promise<T> {
    if (this.#isChecked) return submit()
    for (let attempt = 1; ; attempt++) {
      const { attempted, outOfMemory, invalid } = await underErrorScopes(this.#device.gpu, submit)
      if (outOfMemory) {
        this.#device.scratch.destroy()
        this.release({ destroy: true })
        undo()
        if (attempt > 1)
          throw new UserError(
            `the adapter's memory does not hold this step of ${showBytes(peakBytes)}: use a smaller batch or length`,
          )
        await this.#device.collect()
        continue
      }
      if ('error' in attempted) throw attempted.error
      if (invalid) throw new Error(`the plan is invalid: ${invalid.message}`)
      this.#isChecked = true
      return attempted.result
    }
  }

  /** Returns its own memory to the pool, or destroys it if `destroy`; a later run allocates it again. */
  release(options?: { readonly destroy: boolean }): void {
    this.arguments.release(options)
    this.#groups = []
    this.#bound = []
    this.#boundArguments = undefined
    this.#generation = -1
  }

  #group({ label, pipeline: { layout }, bindings }: Dispatch, i: number, packed: GPUBuffer): GPUBindGroup {
    const entries = bindings.map(({ region, offset, bytes }, binding): GPUBindGroupEntry => {
      const buffer = this.bufferOf(region)
      const start = buffer === packed ? (this.arguments.offsetOf(region) ?? 0) : 0
      return { binding, resource: { buffer, offset: start + offset, size: bytes } }
    })
    entries.push({ binding: bindings.length, resource: { buffer: packed, ...this.arguments.uniformsOf(i) } })
    return this.#device.gpu.createBindGroup({ label, layout, entries })
  }
}

/** Throws a UserError if a graph has arguments of another trace than `trace`. */
function checkSources(planned: Schedule, trace: object | undefined): void {
  for (const { source } of regionsOf(planned)) {
    const payload = source && payloadOf(source)
    if (payload?.kind === 'placeholder' && payload.trace !== trace) throw new UserError(trace ? STALE : NO_VALUE)
  }
}

/** Throws a UserError if the adapter lacks half precision or a buffer would be too large, also in a dry run. */
function checkLimits(planned: Schedule, { info, traits, buffers }: Device): void {
  if (!traits.f16 && planned.steps.some(({ launch: { wgsl } }) => wgsl.includes('enable f16;'))) {
    throw new UserError(`${info.name} has no half precision (shader-f16)`)
  }
  for (const { label, bytes } of regionsOf(planned)) buffers.check(bytes, label)
}

/** Calls `submit`, and returns its result or error with the errors of the GPU. */
async function underErrorScopes<T>(gpu: GPUDevice, submit: () => T) {
  gpu.pushErrorScope('validation')
  gpu.pushErrorScope('out-of-memory')
  let attempted: { readonly result: T } | { readonly error: unknown }
  try {
    attempted = { result: submit() }
  } catch (error) {
    attempted = { error }
  }
  const [outOfMemory, invalid] = await Promise.all([gpu.popErrorScope(), gpu.popErrorScope()])
  return { attempted, outOfMemory, invalid }
}

function regionsOf({ steps, outputs, stores }: Schedule): Set<Region> {
  const bound = steps.flatMap(({ bindings }) => bindings.map(({ region }) => region))
  return new Set([...bound, ...outputs, ...stores.map(({ from }) => from)])
}

/** Whether questions were answered by measuring, so that the graph is to be scheduled again. */
async function answered(device: Device, trials: readonly Trial[]): Promise<boolean> {
  const { answerTrials } = await import('../runtime/trials.ts')
  return answerTrials(device, trials)
}
