// Where NaN and ∞ come from: a plan is run once more, and after each dispatch what it wrote is looked at in memory. From
// the results that are not finite the search goes back, from reader to writer, to a dispatch whose inputs were finite. So
// −∞ that a mask holds, and that a softmax turns into zeros, is not taken for the cause of anything.
import { finiteLaunch, KINDS } from '../../shaders/finite.ts'
import { type Launch, bytesOf } from '../../shaders/kernel.ts'
import { payloadOf } from '../ops/source.ts'
import type { Device } from '../runtime/device.ts'
import { sizeOf } from '../shape.ts'
import type { Binding, Region } from './region.ts'
import type { Schedule } from './schedule.ts'

/** A place in a variable. */
export interface Place {
  readonly variable: string
  /** Counted from the variable's first element. */
  readonly element: number
}

/** The first dispatch whose output was not finite, or what was not finite before any ran. */
export type NonFiniteCause =
  | {
    readonly kind: 'kernel'
    /** Kernel and config, as in profiles. */
    readonly label: string
    /** Its number in the plan, 1 for the first, and how many there are. */
    readonly dispatch: number
    readonly dispatches: number
    /** `NaN`, `∞`, `-∞`, or several of them. */
    readonly numbers: string
    /** Where the variables begin that it reads, or else those of the last dispatches before it that read any. */
    readonly reads: readonly Place[]
  }
  | { readonly kind: 'variable', readonly place: Place, readonly numbers: string }
  | { readonly kind: 'input', readonly position: number, readonly element: number, readonly numbers: string }

/** What a plan lends for a diagnosis. */
export interface Diagnosed {
  readonly device: Device
  readonly schedule: Schedule
  /** An encoder with which the inputs are in place. Until it is submitted nothing else may run. */
  begin(): GPUCommandEncoder
  bufferOf(region: Region): GPUBuffer
  /** Encodes one dispatch in a pass of its own. */
  encodeStep(encoder: GPUCommandEncoder, step: number): void
}

/** One look at floats in memory: what a step wrote, or, before the first, what a source holds. */
interface Look {
  readonly step: number | undefined
  readonly binding: Binding
  readonly dtype: 'f32' | 'f16'
  readonly count: number
}

interface Seen extends Look {
  readonly kinds: number
  readonly element: number
}

const FLOATS = ['f32', 'f16'] as const

/** Element type of a launch's slot, as its WGSL declares it; undefined where that is no float. */
function floatOf({ wgsl }: Launch, slot: number): 'f32' | 'f16' | undefined {
  const [, declared = ''] = new RegExp(`@binding\\(${slot}\\)\\s*var<storage, read_write>\\s*\\w+:\\s*array<([^;]*)>;`).exec(wgsl) ?? []
  const [, meant = declared] = new RegExp(`alias ${declared} = ([^;]*);`).exec(wgsl) ?? []
  return FLOATS.find(type => meant.includes(type))
}

/** Whether a launch changes memory that is there before and after the run. */
const changesSource = (launch: Launch, bindings: readonly Binding[]): boolean => launch.writes.some(slot => bindings[slot].region.source)

/**
 * Runs every dispatch, but those that update variables in place, each followed by a look at what it wrote, and traces what
 * is not finite among the plan's results and the values that it assigns. Undefined where all of them are finite.
 */
export async function findCause(plan: Diagnosed): Promise<NonFiniteCause | undefined> {
  return trace(await look(plan), plan.schedule)
}

async function look({ device, schedule, begin, bufferOf, encodeStep }: Diagnosed): Promise<Seen[]> {
  const { steps } = schedule
  const looks: Look[] = []
  const sources = new Set(steps.flatMap(({ bindings }) => bindings.map(({ region }) => region)).filter(({ source }) => source))
  for (const region of sources) {
    const spec = region.source?.outputs[0]
    const dtype = FLOATS.find(type => type === spec?.dtype)
    if (!spec || !dtype) continue
    const count = sizeOf(spec.shape)
    looks.push({ step: undefined, binding: { region, offset: 0, bytes: count * bytesOf(dtype) }, dtype, count })
  }
  const before = looks.length
  steps.forEach(({ launch, bindings }, step) => {
    if (changesSource(launch, bindings)) return
    for (const slot of launch.writes) {
      const dtype = floatOf(launch, slot)
      if (dtype) looks.push({ step, binding: bindings[slot], dtype, count: bindings[slot].bytes / bytesOf(dtype) })
    }
  })
  const { gpu, buffers, traits } = device
  const launches = looks.map(({ dtype, count }, at) => finiteLaunch({ dtype, count, at }, traits))
  const pipelines = await Promise.all(launches.map(({ wgsl, label, slots, writes }) => device.pipelines.get(wgsl, label, slots.length, writes)))
  const pitch = gpu.limits.minUniformBufferOffsetAlignment
  const uniforms = buffers.acquireUniform(Math.max(looks.length, 1) * pitch)
  const found = buffers.acquire(Math.max(looks.length, 1) * 8, 'what is not finite')
  try {
    const encoder = begin()
    launches.forEach(({ uniforms: words }, at) => gpu.queue.writeBuffer(uniforms, at * pitch, words))
    const encodeLook = (at: number): void => {
      const { binding: { region, offset, bytes } } = looks[at]
      const { pipeline, layout } = pipelines[at]
      const pass = encoder.beginComputePass()
      pass.setPipeline(pipeline)
      pass.setBindGroup(0, gpu.createBindGroup({
        layout,
        entries: [
          { binding: 0, resource: { buffer: bufferOf(region), offset, size: Math.ceil(bytes / 4) * 4 } },
          { binding: 1, resource: { buffer: found } },
          { binding: 2, resource: { buffer: uniforms, offset: at * pitch, size: 16 } },
        ],
      }))
      pass.dispatchWorkgroups(...launches[at].workgroups)
      pass.end()
    }
    for (let at = 0; at < before; at++) encodeLook(at)
    const met = new Set<Region>(sources)
    let next = before
    steps.forEach(({ launch, bindings }, step) => {
      for (const { region } of bindings) {
        if (met.has(region)) continue
        met.add(region)
        // What lay there before, and is not written now, says nothing.
        encoder.clearBuffer(bufferOf(region), 0, region.bytes)
      }
      if (!changesSource(launch, bindings)) encodeStep(encoder, step)
      for (; looks[next]?.step === step; next++) encodeLook(next)
    })
    gpu.queue.submit([encoder.finish()])
    const words = await device.read(found, 'u32', looks.length * 2)
    return looks.flatMap((one, at) => {
      const [kinds, inverted] = [words[2 * at], words[2 * at + 1]]
      return kinds === 0 ? [] : [{ ...one, kinds, element: 2 ** 32 - 1 - inverted }]
    })
  } finally {
    buffers.release(uniforms)
    buffers.release(found)
  }
}

const overlap = (a: Binding, b: Binding): boolean => a.region === b.region && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes

function trace(seen: readonly Seen[], { steps, outputs, stores }: Schedule): NonFiniteCause | undefined {
  const isRead = (step: number, slot: number): boolean => !steps[step].launch.writes.includes(slot)
  /** What a step read that was not finite; infinities that nothing else explains come last. */
  const badInputs = (step: number): Seen[] => {
    const read = steps[step].bindings.filter((_, slot) => isRead(step, slot))
    const bad = seen.filter(one => (one.step ?? -1) < step && read.some(binding => overlap(binding, one.binding)) && !isMask(one))
    const sure = bad.filter(({ kinds }) => kinds !== KINDS.negative)
    return sure.length > 0 ? sure : bad
  }
  const results = [...outputs, ...stores.map(({ from }) => from)]
  const waiting = seen.filter(({ step, binding }) => step !== undefined && results.some(region => (region.within?.region ?? region) === binding.region))
  const known = new Set(waiting)
  const causes: Seen[] = []
  for (let one = waiting.pop(); one; one = waiting.pop()) {
    const before = one.step === undefined ? [] : badInputs(one.step)
    if (before.length === 0) causes.push(one)
    for (const other of before) {
      if (known.has(other)) continue
      known.add(other)
      waiting.push(other)
    }
  }
  if (causes.length === 0) return undefined
  const first = causes.reduce((a, b) => ((b.step ?? -1) < (a.step ?? -1) ? b : a))
  const numbers = [[KINDS.nan, 'NaN'], [KINDS.positive, '∞'], [KINDS.negative, '-∞']] as const
  const shown = numbers.flatMap(([bit, text]) => (first.kinds & bit ? [text] : [])).join(' and ')
  const { step, element } = first
  if (step !== undefined) {
    return {
      kind: 'kernel', label: steps[step].launch.label, dispatch: step + 1, dispatches: steps.length, numbers: shown,
      reads: readsNear(steps, step),
    }
  }
  const payload = first.binding.region.source && payloadOf(first.binding.region.source)
  if (payload?.kind === 'placeholder') return { kind: 'input', position: payload.position, element, numbers: shown }
  const variable = payload?.kind === 'storage' ? payload.storage.label : 'a constant'
  return { kind: 'variable', place: { variable, element }, numbers: shown }
}

/** A constant of −∞ is there on purpose. */
function isMask({ step, kinds, binding: { region: { source } } }: Seen): boolean {
  return step === undefined && kinds === KINDS.negative && source !== undefined && payloadOf(source).kind === 'constant'
}

/** Variables that a step reads; where it reads none, those of the nearest steps that its inputs come from. */
function readsNear(steps: Schedule['steps'], start: number): Place[] {
  for (let wave = new Set([start]); wave.size > 0;) {
    const places = [...wave].sort((a, b) => a - b).flatMap(step => placesOf(steps[step]))
    if (places.length > 0) return places
    const before = new Set<number>()
    for (const step of wave) {
      const { launch, bindings } = steps[step]
      const read = bindings.filter((_, slot) => !launch.writes.includes(slot))
      for (let earlier = 0; earlier < step; earlier++) {
        const other = steps[earlier]
        if (other.launch.writes.some(slot => read.some(binding => overlap(binding, other.bindings[slot])))) before.add(earlier)
      }
    }
    wave = before
  }
  return []
}

function placesOf({ launch, bindings }: Schedule['steps'][number]): Place[] {
  return bindings.flatMap(({ region: { source }, offset }, slot) => {
    const payload = source && payloadOf(source)
    if (!source || payload?.kind !== 'storage' || launch.writes.includes(slot)) return []
    return [{ variable: payload.storage.label, element: offset / bytesOf(source.outputs[0].dtype) }]
  })
}
