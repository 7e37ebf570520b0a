// Reads values outside of compiled functions. Plans are cached by the structure of the expression and replayed for
// other values: constants, variables and results are bound or packed at each call, and numbers are written into
// uniforms. A cached plan holds no data, and its results go straight to the host.
import { type DType, bytesOf } from '../../shaders/kernel.ts'
import { toFloat16 } from '../float16.ts'
import { type Node, type Value, specOf } from '../graph.ts'
import { payloadOf } from '../payload.ts'
import { type Device, elementsOf } from '../runtime/device.ts'
import { Recent } from '../recent.ts'
import { sizeOf } from '../shape.ts'
import type { Storage } from '../storage.ts'
import type { TensorData } from '../tensor.ts'
import { UserError } from '../errors.ts'
import { constantOn, knownConstant } from './constants.ts'
import { NO_VALUE, Program } from './program.ts'
import type { Region } from './region.ts'
import { type ScalarNumber, type Structure, numberPlaces, structureOf, templateOf, wordOf } from './structure.ts'

/** Number of plans that are kept for a device. */
export const EAGER_PLANS = 128

/** Results that total at most this many bytes are read back in one buffer. */
const TOGETHER_BYTES = 1 << 20

let plansOf = new WeakMap<Device, Recent<Promise<EagerPlan>>>()

/** Number of plans that are cached for a device. */
export function eagerPlans(device: Device): number {
  return plansOf.get(device)?.size ?? 0
}

/** Drops all cached plans: for tests that change ops, kernels or a device's traits. */
export function forgetEagerPlans(): void {
  plansOf = new WeakMap()
}

/** Computes the elements of `outputs`, row-major, in one run. None of them may be a source. */
export async function evaluate(device: Device, outputs: readonly Value[]): Promise<TensorData[]> {
  const structure = structureOf(outputs)
  return (await planFor(device, outputs, structure)).run(structure)
}

function planFor(device: Device, outputs: readonly Value[], structure: Structure): Promise<EagerPlan> {
  const plans =
    plansOf.get(device) ??
    new Recent<Promise<EagerPlan>>(EAGER_PLANS, dropped => {
      dropped.then(
        plan => plan.release(),
        () => undefined,
      )
    })
  plansOf.set(device, plans)
  const key = `${device.tuning.version} ${structure.key}`
  const known = plans.get(key)
  if (known) return known
  if (structure.sources.some(node => payloadOf(node).kind === 'placeholder')) throw new UserError(NO_VALUE)
  const made = EagerPlan.make(device, outputs, structure)
  plans.set(key, made)
  // Answers measured meanwhile change the version, and the next call makes a new plan.
  made.catch(() => plans.delete(key))
  return made
}

/** Memory that one run has allocated. */
interface Taken {
  /** Storages whose memory was allocated in this run. */
  readonly fresh: Storage[]
  /** Buffers of large inputs, released after submitting: later writes to them are queued after this run. */
  readonly inputs: GPUBuffer[]
  /** Readback buffers: one for all results, or one for each. */
  readonly readbacks: GPUBuffer[]
}

/** Large constants that were used once. Those that are used again get memory of their own. */
const usedOnce = new WeakSet<Node>()

class EagerPlan {
  readonly #device: Device
  readonly #program: Program
  /** For each source of the program, its index among the structure's sources. */
  readonly #inputs: readonly number[]
  /** By number: the offsets of its words among the arguments, and their current bits. */
  readonly #words: readonly number[][]
  readonly #written: (number | undefined)[]
  /** Each output's elements, and its place in one of the readback buffers. */
  readonly #outputs: readonly { dtype: DType; count: number; bytes: number; readback: number; offset: number }[]
  readonly #readbackBytes: readonly number[]

  private constructor(device: Device, program: Program, words: readonly number[][], outputs: readonly Value[]) {
    this.#device = device
    this.#program = program
    this.#words = words
    this.#written = words.map(() => undefined)
    this.#inputs = program.sources.map(({ source }) => {
      const payload = source && payloadOf(source)
      if (payload?.kind !== 'placeholder') throw new Error('a template has only placeholders as sources')
      return payload.position
    })
    let total = 0
    const results = outputs.map(value => {
      const { shape, dtype } = specOf(value)
      const count = sizeOf(shape)
      const bytes = Math.ceil((count * bytesOf(dtype)) / 4) * 4
      total += bytes
      return { dtype, count, bytes, readback: 0, offset: total - bytes }
    })
    const isTogether = results.length > 1 && total <= TOGETHER_BYTES
    this.#outputs = isTogether ? results : results.map((result, i) => ({ ...result, readback: i, offset: 0 }))
    this.#readbackBytes = isTogether ? [total] : results.map(({ bytes }) => bytes)
  }

  /** A plan for graphs with the structure of `outputs`, which it does not hold. */
  static async make(device: Device, outputs: readonly Value[], structure: Structure): Promise<EagerPlan> {
    const trace = {}
    const template = templateOf(outputs, structure, trace)
    const { program, planned } = await Program.make(device, template.outputs, [], { trace, packs: true })
    const places = numberPlaces(planned, template, structure.numbers.length)
    const { arguments: sent } = program
    const words = places.map(each => each.map(({ step, word }) => sent.uniformsOf(step).offset + 4 * word))
    return new EagerPlan(device, program, words, template.outputs)
  }

  /** Runs with the sources and numbers of a graph of this structure. */
  async run({ sources, numbers }: Structure): Promise<TensorData[]> {
    const device = this.#device
    device.check()
    const collecting = device.collectIfGrown()
    if (collecting) await collecting
    const taken: Taken = { fresh: [], inputs: [], readbacks: [] }
    await this.#program.submit(
      this.#program.cost.scratchBytes,
      () => this.#submit(sources, numbers, taken),
      () => {
        for (const storage of taken.fresh.splice(0)) storage.discard()
        for (const buffer of [...taken.inputs.splice(0), ...taken.readbacks.splice(0)]) device.buffers.destroy(buffer)
      },
    )
    for (const buffer of taken.inputs) device.buffers.release(buffer)
    const reading = taken.readbacks.map((buffer, i) => device.readMapped(buffer, this.#readbackBytes[i]))
    const read = await Promise.all(reading)
    return this.#outputs.map(({ dtype, count, readback, offset }) => elementsOf(read[readback], dtype, count, offset))
  }

  release(): void {
    this.#program.release()
  }

  #submit(sources: readonly Node[], numbers: readonly ScalarNumber[], taken: Taken): void {
    const device = this.#device
    const { gpu, buffers } = device
    const program = this.#program
    numbers.forEach((number, i) => {
      const word = wordOf(number)
      if (this.#written[i] === word) return
      this.#written[i] = word
      for (const offset of this.#words[i]) program.arguments.putWord(offset, word)
    })
    const placed = program.sources.map((region, i) => this.#place(region, sources[this.#inputs[i]], taken))
    program.prepare((_region, i) => placed[i])
    const encoder = gpu.createCommandEncoder()
    program.encode(encoder)
    for (const bytes of this.#readbackBytes) taken.readbacks.push(buffers.acquireReadback(bytes))
    this.#outputs.forEach(({ bytes, readback, offset }, i) =>
      encoder.copyBufferToBuffer(program.bufferOf(program.outputs[i]), 0, taken.readbacks[readback], offset, bytes),
    )
    gpu.queue.submit([encoder.finish()])
  }

  /** The buffer of a source: its own, or one from the pool; undefined if it was packed into the arguments. */
  #place(region: Region, node: Node, { fresh, inputs }: Taken): GPUBuffer | undefined {
    const device = this.#device
    const payload = payloadOf(node)
    if (payload.kind === 'placeholder') throw new UserError(NO_VALUE)
    if (payload.kind === 'storage') {
      if (!payload.storage.buffer) fresh.push(payload.storage)
      return payload.storage.on(device)
    }
    const [{ dtype }] = node.outputs
    if (payload.kind === 'host') {
      const data = payload.read()
      return this.#pack(region, dtype, data) ? undefined : this.#upload(region, dtype, data, inputs)
    }
    const { data } = payload
    if (knownConstant(node)?.isOn(device)) return constantOn(device, node, data).on(device)
    if (this.#pack(region, dtype, data)) return undefined
    if (usedOnce.has(node)) return constantOn(device, node, data).on(device)
    usedOnce.add(node)
    return this.#upload(region, dtype, data, inputs)
  }

  /** Packs a source beside the uniforms. Returns false if there is no place for it. */
  #pack(region: Region, dtype: DType, data: TensorData): boolean {
    return this.#program.arguments.putSource(region, dtype === 'f16' ? toFloat16(data) : data)
  }

  /** Writes a source to a buffer from the pool. */
  #upload(region: Region, dtype: DType, data: TensorData, inputs: GPUBuffer[]): GPUBuffer {
    const buffer = this.#device.buffers.acquire(region.bytes, 'input', { zeroed: false })
    this.#device.write(buffer, dtype, data)
    inputs.push(buffer)
    return buffer
  }
}
