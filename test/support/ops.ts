// One op at a time, by its name, on the adapter and in float64: every candidate of its kernels against its reference.
import { expect } from 'vitest'
import type { DType, Spec, Traits } from '../../shaders/kernel.ts'
import { type Attributes, type KernelOp, findOp, loadKernels } from '../../engine/graph.ts'
import { sizeOf } from '../../engine/shape.ts'
import { contiguousView } from '../../engine/view.ts'
import { findReference } from '../../engine/references/index.ts'
import { type TestDevice, type TestOutput, prepareLowering, runLowering } from './launch.ts'

/** Values of one input, row-major; kept as its dtype can hold them. */
export interface OpInput extends Spec {
  readonly data: Float64Array
}

/** Rounds to what the dtype holds, so that the adapter and the reference start from the same numbers. */
export function opInput(data: ArrayLike<number>, shape: readonly number[], dtype: DType = 'f32'): OpInput {
  const round = dtype === 'f32' ? Math.fround : dtype === 'f16' ? Math.f16round : Math.trunc
  if (data.length !== sizeOf(shape)) throw new Error(`${data.length} numbers for shape [${shape.join(', ')}]`)
  return { data: Float64Array.from(data, round), shape, dtype }
}

function kernelOp(name: string): KernelOp {
  const op = findOp(name)
  if (op.kind !== 'kernel') throw new Error(`${name} has no kernel`)
  return op
}

/** The op's outputs in float64. */
export function referenceOf(name: string, inputs: readonly OpInput[], attributes: Attributes = {}): Float64Array[] {
  const op = kernelOp(name)
  const outputs = op.infer(inputs, attributes)
  return findReference(op)(
    inputs.map(i => i.data),
    { inputs, outputs },
    attributes,
  )
}

/** One run on the adapter with one choice of candidates. */
export interface OpRun {
  readonly outputs: TestOutput[]
  /** The outputs of a second run. */
  readonly again: TestOutput[]
  /** The launches' labels: what a failing test must name. */
  readonly label: string
}

/**
 * Runs the op once for each candidate (where it chooses several times, all choices take their k-th), or for at most
 * `limit` of them, from the first to the last.
 */
export async function runCandidates(
  bench: TestDevice,
  name: string,
  inputs: readonly OpInput[],
  attributes: Attributes = {},
  traits: Traits = bench.traits,
  limit = Infinity,
): Promise<OpRun[]> {
  const op = kernelOp(name)
  await loadKernels([op])
  const outputs = op.infer(inputs, attributes)
  const runs: OpRun[] = []
  for (let k = 0, most = 1; k < most; k++) {
    const lowering = op.lower({
      inputs: inputs.map(contiguousView),
      outputs,
      attributes,
      traits,
      choose(_question, candidates) {
        if (candidates.length === 0) throw new Error(`${name} has no candidate`)
        most = Math.max(most, Math.min(limit, candidates.length))
        const apart = candidates.length > limit ? (candidates.length - 1) / (limit - 1) : 1
        return candidates[Math.min(Math.floor(k * apart), candidates.length - 1)]
      },
    })
    const label = lowering.launches.map(l => l.label).join(' → ')
    const tests = inputs.map(input => ({ data: input.data, spec: contiguousView(input) }))
    if (op.aliases) {
      // Each run changes its inputs in place, so the second one starts from buffers of its own.
      const once = () => runLowering(bench.device, lowering, tests, outputs, { aliases: op.aliases })
      runs.push({ label, outputs: await once(), again: await once() })
      continue
    }
    const prepared = await prepareLowering(bench.device, lowering, tests, outputs)
    await prepared.run()
    const first = await prepared.read()
    await prepared.run()
    runs.push({ label, outputs: first, again: await prepared.read() })
    prepared.destroy()
  }
  return runs
}

/**
 * Throws where |actual − expected| is more than `tolerance` times |expected| + scale, or only one of them is finite, or
 * they are different infinities; NaN equals NaN. The scale is the root mean square of what is expected, or `terms`
 * where that is larger: the size of the terms of a sum that may cancel, whose rounding is relative to them.
 */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
  terms = 0,
): void {
  expect(actual.length, what).toBe(expected.length)
  let squares = 0
  let finite = 0
  for (const b of Array.from(expected)) {
    if (!Number.isFinite(b)) continue
    squares += b * b
    finite++
  }
  const scale = Math.max(Math.sqrt(squares / Math.max(finite, 1)), terms)
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i]
    const b = expected[i]
    if (Object.is(a, b) || a === b || (Number.isNaN(a) && Number.isNaN(b))) continue
    const error = Math.abs(a - b) / (Math.abs(b) + scale)
    if (!(error <= tolerance))
      throw new Error(`${what}: element ${i} is ${a}, not ${b} (relative error ${error.toExponential(2)})`)
  }
}

/** Every candidate, against float64, and twice for the same bits. `tolerance` by output, or one for all; `terms` by
 *  output as in `expectClose`. */
export async function checkOp(
  bench: TestDevice,
  name: string,
  inputs: readonly OpInput[],
  attributes: Attributes,
  tolerance: number | readonly number[],
  terms: readonly number[] = [],
): Promise<void> {
  const expected = referenceOf(name, inputs, attributes)
  for (const run of await runCandidates(bench, name, inputs, attributes)) {
    expected.forEach((values, o) => {
      const what = `output ${o} of ${run.label} on ${inputs.map(i => `${i.dtype}[${i.shape.join(', ')}]`).join(' ')}`
      expectClose(run.outputs[o], values, typeof tolerance === 'number' ? tolerance : tolerance[o], what, terms[o])
      expectSameBits(run.again[o], run.outputs[o], what)
    })
  }
}

export function expectSameBits(a: TestOutput, b: TestOutput, what: string): void {
  const [bits, others] = [bitsOf(a), bitsOf(b)]
  const at = bits.findIndex((word, i) => word !== others[i])
  if (at >= 0) throw new Error(`${what}: element ${at} was ${b[at]} and is ${a[at]} on the second run`)
}

function bitsOf(values: TestOutput): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length)
}

/**
 * The gradient reference `gradient` (an input's gradient, element by element) against central differences of
 * `loss` at `point` along a random direction, relative error at most 1e-6.
 */
export function expectDirectional(
  loss: (point: Float64Array) => number,
  point: Float64Array,
  gradient: Float64Array,
  direction: Float64Array,
  what: string,
): void {
  const step = 1e-4
  const at = (t: number) => loss(point.map((x, i) => x + t * direction[i]))
  // Fourth order: the error of the difference stays far below the tolerance, also where the function bends.
  const numeric = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
  const exact = gradient.reduce((sum, g, i) => sum + g * direction[i], 0)
  const size = Math.max(Math.abs(exact), Math.abs(numeric), 1e-3)
  expect(Math.abs(numeric - exact) / size, `${what}: ${exact} by its rule, ${numeric} by differences`).toBeLessThan(
    1e-6,
  )
}

/** A small repeatable stream of normal numbers for tests (a linear congruence and Box–Muller). */
export function noise(seed: number): () => number {
  let state = (Math.imul(seed, 2654435761) ^ 0x9e3779b9) >>> 0
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state + 0.5) / 2 ** 32
  }
  for (let k = 0; k < 4; k++) uniform()
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
}

export function rootMeanSquare(values: Float64Array): number {
  return Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length)
}

export function noises(count: number, seed: number, scale = 1, shift = 0): Float64Array {
  const next = noise(seed)
  return Float64Array.from({ length: count }, () => shift + scale * next())
}
