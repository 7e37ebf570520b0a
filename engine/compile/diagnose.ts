// Finds the origin of NaN and ∞: runs a plan once more and checks the output of each dispatch. From the results that
// are not finite the search goes back, from reader to writer, to a dispatch whose inputs were finite. So −∞ in a mask,
// which a softmax turns into zeros, is not reported as a cause.
import { finiteLaunch, KINDS } from '../../shaders/finite.ts'
import { type FloatType, type Launch, bytesOf, isFloat } from '../../shaders/kernel.ts'
import { payloadOf } from '../payload.ts'
import type { Device } from '../runtime/device.ts'
import { sizeOf } from '../shape.ts'
import type { Binding, Region, Step } from './region.ts'
import type { Schedule } from './schedule.ts'
import type { GPUBuffer, GPUCommandEncoder } from '../web.ts'

/** A position in a variable. */
export interface Place {
  readonly variable: string
  /** Index of the element in the variable. */
  readonly element: number
}

/** The first dispatch whose output was not finite, or the variable or input that was not finite before. */
export type NonFiniteCause =
  | {
      readonly kind: 'kernel'
      /** Kernel and config, as in profiles. */
      readonly label: string
      /** Its number in the plan, from 1, and the number of dispatches. */
      readonly dispatch: number
      readonly dispatches: number
      /** `NaN`, `∞`, `-∞`, or several of them. */
      readonly numbers: string
      /** Where in variables its inputs begin; if it reads none, those of the nearest dispatches before it. */
      readonly reads: readonly Place[]
    }
  | { readonly kind: 'variable'; readonly place: Place; readonly numbers: string }
  | { readonly kind: 'input'; readonly position: number; readonly element: number; readonly numbers: string }

/** The parts of a plan that a diagnosis needs. */
export interface Diagnosed {
  readonly device: Device
  readonly schedule: Schedule
  /** An encoder that has copied the inputs. Nothing else may run until it is submitted. */
  begin(): GPUCommandEncoder
  bufferOf(region: Region): GPUBuffer
  /** Encodes one dispatch in a pass of its own. */
  encodeStep(encoder: GPUCommandEncoder, step: number): void
}

/** A check of floats in memory: the output of a step or, before the first step, the content of a source. */
interface Check {
  readonly step: number | undefined
  readonly binding: Binding
  readonly dtype: FloatType
  readonly count: number
}

/** A check that found numbers that are not finite. */
interface Finding extends Check {
  readonly kinds: number
  readonly element: number
}

/** Whether a launch changes memory that persists after the run. */
const changesSource = (launch: Launch, bindings: readonly Binding[]): boolean =>
  launch.writes.some(slot => bindings[slot].region.source)

/**
 * Runs all dispatches except updates in place, checks the output of each, and traces the results and assigned values
 * that are not finite back to their cause. Returns undefined if all of them are finite.
 */
export async function findCause(plan: Diagnosed): Promise<NonFiniteCause | undefined> {
  return trace(await check(plan), plan.schedule)
}

async function check({ device, schedule, begin, bufferOf, encodeStep }: Diagnosed): Promise<Finding[]> {
  const { steps } = schedule
  const checks: Check[] = []
  const regions = steps.flatMap(({ bindings }) => bindings.map(({ region }) => region))
  const sources = new Set(regions.filter(({ source }) => source))
  for (const region of sources) {
    const { source, dtype } = region
    if (!source || !isFloat(dtype)) continue
    const count = sizeOf(source.outputs[0].shape)
    checks.push({ step: undefined, binding: { region, offset: 0, bytes: count * bytesOf(dtype) }, dtype, count })
  }
  const before = checks.length
  steps.forEach(({ launch, bindings }, step) => {
    if (changesSource(launch, bindings)) return
    for (const slot of launch.writes) {
      const binding = bindings[slot]
      const { dtype } = binding.region
      if (isFloat(dtype)) checks.push({ step, binding, dtype, count: binding.bytes / bytesOf(dtype) })
    }
  })
  const { gpu, buffers, traits } = device
  const launches = checks.map(({ dtype, count }, at) => finiteLaunch({ dtype, count, at }, traits))
  const pipelines = await Promise.all(launches.map(launch => device.pipelines.get(launch)))
  const pitch = gpu.limits.minUniformBufferOffsetAlignment
  const uniforms = buffers.acquireUniform(Math.max(checks.length, 1) * pitch)
  const found = buffers.acquire(Math.max(checks.length, 1) * 8, 'what is not finite')
  try {
    const encoder = begin()
    launches.forEach(({ uniforms: words }, at) => gpu.queue.writeBuffer(uniforms, at * pitch, words))
    const encodeCheck = (at: number): void => {
      const { region, offset, bytes } = checks[at].binding
      const { pipeline, layout } = pipelines[at]
      const resources = [
        { buffer: bufferOf(region), offset, size: Math.ceil(bytes / 4) * 4 },
        { buffer: found },
        { buffer: uniforms, offset: at * pitch, size: 16 },
      ]
      const entries = resources.map((resource, binding) => ({ binding, resource }))
      const pass = encoder.beginComputePass()
      pass.setPipeline(pipeline)
      pass.setBindGroup(0, gpu.createBindGroup({ layout, entries }))
      pass.dispatchWorkgroups(...launches[at].workgroups)
      pass.end()
    }
    for (let at = 0; at < before; at++) encodeCheck(at)
    const met = new Set<Region>(sources)
    let next = before
    steps.forEach(({ launch, bindings }, step) => {
      for (const { region } of bindings) {
        if (met.has(region)) continue
        met.add(region)
        // Bytes that the dispatch doesn't write must not be reported.
        encoder.clearBuffer(bufferOf(region), 0, region.bytes)
      }
      if (!changesSource(launch, bindings)) encodeStep(encoder, step)
      for (; checks[next]?.step === step; next++) encodeCheck(next)
    })
    gpu.queue.submit([encoder.finish()])
    const words = await device.read(found, 'u32', checks.length * 2)
    return checks.flatMap((one, at) => {
      const [kinds, inverted] = [words[2 * at], words[2 * at + 1]]
      return kinds === 0 ? [] : [{ ...one, kinds, element: 2 ** 32 - 1 - inverted }]
    })
  } finally {
    buffers.release(uniforms)
    buffers.release(found)
  }
}

const readBindings = ({ launch, bindings }: Step): Binding[] =>
  bindings.filter((_, slot) => !launch.writes.includes(slot))

const overlap = (a: Binding, b: Binding): boolean =>
  a.region === b.region && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes

function trace(findings: readonly Finding[], { steps, outputs, stores }: Schedule): NonFiniteCause | undefined {
  /** Inputs of a step that were not finite. Only −∞ is ignored if there are others. */
  const badInputs = (step: number): Finding[] => {
    const read = readBindings(steps[step])
    const bad = findings.filter(
      one => (one.step ?? -1) < step && read.some(binding => overlap(binding, one.binding)) && !isMask(one),
    )
    const sure = bad.filter(({ kinds }) => kinds !== KINDS.negative)
    return sure.length > 0 ? sure : bad
  }
  const results = [...outputs, ...stores.map(({ from }) => from)]
  const isResult = ({ region }: Binding): boolean =>
    results.some(result => (result.within?.region ?? result) === region)
  const waiting = findings.filter(({ step, binding }) => step !== undefined && isResult(binding))
  const known = new Set(waiting)
  const causes: Finding[] = []
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
  const numbers = [
    [KINDS.nan, 'NaN'],
    [KINDS.positive, '∞'],
    [KINDS.negative, '-∞'],
  ] as const
  const shown = numbers.flatMap(([bit, text]) => (first.kinds & bit ? [text] : [])).join(' and ')
  const { step, element } = first
  if (step !== undefined) {
    const { label } = steps[step].launch
    const [dispatch, dispatches] = [step + 1, steps.length]
    return { kind: 'kernel', label, dispatch, dispatches, numbers: shown, reads: readsNear(steps, step) }
  }
  const payload = first.binding.region.source && payloadOf(first.binding.region.source)
  if (payload?.kind === 'placeholder') return { kind: 'input', position: payload.position, element, numbers: shown }
  const variable =
    payload?.kind === 'storage'
      ? payload.storage.label
      : payload?.kind === 'host'
        ? 'a number of the host'
        : 'a constant'
  return { kind: 'variable', place: { variable, element }, numbers: shown }
}

/** Whether it is a constant of −∞, which is intended. */
function isMask({ step, kinds, binding }: Finding): boolean {
  const { source } = binding.region
  return step === undefined && kinds === KINDS.negative && source !== undefined && payloadOf(source).kind === 'constant'
}

/** Variables that a step reads; if it reads none, those of the nearest steps that its inputs depend on. */
function readsNear(steps: readonly Step[], start: number): Place[] {
  for (let wave = new Set([start]); wave.size > 0;) {
    const places = [...wave].sort((a, b) => a - b).flatMap(step => placesOf(steps[step]))
    if (places.length > 0) return places
    const before = new Set<number>()
    for (const step of wave) {
      const read = readBindings(steps[step])
      for (let earlier = 0; earlier < step; earlier++) {
        const other = steps[earlier]
        if (other.launch.writes.some(slot => read.some(binding => overlap(binding, other.bindings[slot]))))
          before.add(earlier)
      }
    }
    wave = before
  }
  return []
}

function placesOf(step: Step): Place[] {
  return readBindings(step).flatMap(({ region: { source }, offset }) => {
    const payload = source && payloadOf(source)
    if (!source || payload?.kind !== 'storage') return []
    return [{ variable: payload.storage.label, element: offset / bytesOf(source.outputs[0].dtype) }]
  })
}
