// Gradient checks for authors of ops, in three nets: the gradient graph in float64 against central differences, which
// checks the rules; the device against float64, which checks the kernels; and the device's gradients against its own
// differences, which checks both. Derivatives are directional, so that a few evaluations suffice for any size (as in
// JAX's check_grads).
import { type DType, type Spec, isFloat } from '../shaders/kernel.ts'
import { uniform01, uniforms01 } from '../shaders/random.ts'
import { grad } from './autodiff.ts'
import { UserError } from './errors.ts'
import { readAll } from './evaluate.ts'
import { toFloat16, toFloat32 } from './float16.ts'
import { type Node, type Value, makeNode, reachable } from './graph.ts'
import { makeSource, tensor } from './ops/source.ts'
import { payloadOf } from './payload.ts'
import { reference } from './reference.ts'
import { showSpec, sizeOf } from './shape.ts'
import { Tensor, type TensorData } from './tensor.ts'

/** 1: float64 gradients against differences. 2: device against float64. 3: device gradients against differences. */
export type Net = 1 | 2 | 3

/** One input: its shape, and its elements or a function that generates them; normal noise by default. */
export interface GeneratedInput {
  readonly shape: readonly number[]
  readonly dtype?: DType
  readonly data?: ArrayLike<number> | ((index: number, random: () => number) => number)
}
export type CheckInput = Tensor | GeneratedInput

/** Tolerances of the nets, as relative errors. Those of `forward` and `backward` grow with √`sumLength`. */
export const bars = {
  reference: 1e-6,
  /** Net 2, by the narrowest float that a result is rounded to. */
  device: { f32: 1e-5, f16: 1e-2 },
  differences: 2e-3,
} as const

interface RelativeErrors {
  /** Net 1. */
  readonly reference?: number
  /** Net 2: the function, and its gradients. */
  readonly forward?: number
  readonly backward?: number
  /** Net 3. */
  readonly differences?: number
}

export interface GradientCheckOptions {
  /** Seed of generated inputs, weights and directions. */
  readonly seed?: number
  /** Which nets to run; all by default. Net 3 never runs with f16, whose rounding exceeds the differences. */
  readonly nets?: readonly Net[]
  /** Indices of the inputs to differentiate by: all floats by default. */
  readonly wrt?: readonly number[]
  /** c of the loss Σ c∘fn: random, or ones, which makes the upstream gradient a constant. */
  readonly weights?: 'random' | 'ones'
  /** Directions per input in net 1. */
  readonly directions?: number
  /** Steps of the differences. Inputs must be more than two steps from points without a derivative. */
  readonly eps?: { readonly reference?: number; readonly device?: number }
  readonly tolerances?: RelativeErrors
  /**
   * Length of the longest sum in the function: tolerances of net 2 grow with its square root, as rounding errors do.
   */
  readonly sumLength?: number
  /** False: net 2 allows nothing for the rounding of intermediate values. */
  readonly allowRounding?: boolean
}

/** The worst relative errors of the nets that ran, and a line for each failure. */
export interface GradientCheckReport {
  readonly ok: boolean
  readonly errors: RelativeErrors
  /** The tolerances of these errors. */
  readonly bars: RelativeErrors
  readonly misses: readonly string[]
}

/** A check in two steps: read `reads` from the device, perhaps with those of other checks, then `judge` the data. */
export interface GradientCheck {
  readonly reads: readonly Tensor[]
  judge(data: readonly TensorData[]): GradientCheckReport
}

type Fn = (...inputs: Tensor[]) => Tensor

/**
 * Checks the gradients of `fn` at `inputs`. The loss is Σ c∘fn(inputs) with fixed random weights c, so that the
 * upstream gradient of `fn` is not constant. Failures are reported, not thrown; nets 2 and 3 need a device. Throws what
 * `fn` throws, and a UserError if an input's numbers don't fit its shape.
 */
export async function checkGradients(
  fn: Fn,
  inputs: readonly CheckInput[],
  options: GradientCheckOptions = {},
): Promise<GradientCheckReport> {
  const nets = options.nets ?? [1, 2, 3]
  const values = await Promise.all(inputs.map((input, i) => sourceOf(input, i, options.seed ?? 1)))
  const check = planGradientCheck(fn, values, { ...options, nets })
  return check.judge(check.reads.length > 0 ? await readAll(check.reads) : [])
}

/** What a check compares: the function's value and the gradients of its loss. */
interface Subject {
  readonly options: GradientCheckOptions
  readonly seed: number
  readonly inputs: readonly Tensor[]
  /** The inputs to differentiate by, with their names for messages. */
  readonly wrt: readonly { readonly x: Tensor; readonly name: string }[]
  /** The terms whose sum is the loss. */
  termsOf(y: Tensor): Tensor
  readonly terms: Tensor
  /** The value, then the gradients by each of `wrt`. */
  readonly judged: readonly Tensor[]
  /** Those in float64, and the scale of what their roundings are relative to. */
  exact(): readonly Float64Array[]
  scales(): readonly Float64Array[]
}

/** Notes an error of a net, and a miss if it is more than allowed. */
type Note = (net: keyof RelativeErrors, error: number, allowed: number, what: string) => void

/** The same for inputs that are constants, in two steps, so that several checks can share one run. */
export function planGradientCheck(
  fn: Fn,
  inputs: readonly Tensor[],
  options: GradientCheckOptions = {},
): GradientCheck {
  const { nets = [1, 2, 3] } = options
  const subject = subjectOf(fn, inputs, options)
  const { judged, wrt } = subject
  const half = reachable([judged[0], ...inputs].map(t => t.value)).some(({ outputs }) => outputs.some(isHalf))
  const differences = nets.includes(3) && !half ? wrt.map((_, which) => deviceDifferences(fn, subject, which)) : []
  return {
    reads: [...(nets.includes(2) || differences.length > 0 ? judged : []), ...differences.flatMap(d => d.terms)],
    judge(data) {
      const misses: string[] = []
      const errors: Record<string, number> = {}
      const tolerances: Record<string, number> = {}
      const note: Note = (net, error, allowed, what) => {
        if (!(net in errors) || error / allowed > errors[net] / tolerances[net])
          [errors[net], tolerances[net]] = [error, allowed]
        if (!(error <= allowed))
          misses.push(`${what}: relative error ${error.toExponential(2)}, allowed ${allowed.toExponential(1)}`)
      }
      if (nets.includes(1)) wrt.forEach((_, which) => judgeRule(subject, which, note))
      if (nets.includes(2)) judged.forEach((_, k) => judgeKernels(subject, k, data[k], note))
      differences.forEach(({ direction }, which) => {
        const losses = STEPS.map((_, k) => data[judged.length + which * STEPS.length + k])
        const allowed = options.tolerances?.differences ?? bars.differences
        const step = options.eps?.device ?? DEVICE_STEP
        const compared = compareSlopes(data[1 + which], direction, losses, { step, unit: 2 ** -24, bar: allowed })
        note('differences', compared.error, allowed, `net 3, ${wrt[which].name}: ${compared.text}`)
      })
      return { ok: misses.length === 0, errors, bars: tolerances, misses }
    },
  }
}

function subjectOf(fn: Fn, inputs: readonly Tensor[], options: GradientCheckOptions): Subject {
  const { seed = 1, allowRounding = true } = options
  const y = fn(...inputs)
  const floats = isFloat(y.dtype)
  const numbers = options.wrt ?? inputs.flatMap((t, i) => (isFloat(t.dtype) ? [i] : []))
  const wrt = floats ? numbers.map(i => ({ x: inputs[i], name: `${showSpec(inputs[i])} (input ${i})` })) : []
  const draw = (u: number, v: number): number => (options.weights === 'ones' ? 1 : signOf(u) * (0.5 + v))
  const weights = floats ? tensor(noise(y.size, seed, 0, draw), y.shape) : undefined
  const termsOf = (t: Tensor): Tensor => (weights ? t.cast('f32').mul(weights) : t)
  const terms = termsOf(y)
  const by = wrt.map(({ x }) => x)
  const judged = [y, ...grad(terms.sum(), by)]
  // Float64 values are computed once, however often the check is judged.
  let known: Float64Array[] | undefined
  const exact = (): Float64Array[] => (known ??= reference(judged))
  let scaled: Float64Array[] | undefined
  const scales = (): Float64Array[] =>
    (scaled ??= allowRounding ? roundingScales(judged, exact(), seed) : judged.map(t => new Float64Array(t.size)))
  return { options, seed, inputs, wrt, termsOf, terms, judged, exact, scales }
}

/** Net 1 for one input: the gradient graph against differences, in float64. */
function judgeRule(subject: Subject, which: number, note: Note): void {
  const { options, seed, wrt, terms, exact, scales } = subject
  const { x, name } = wrt[which]
  const step = options.eps?.reference ?? REFERENCE_STEP
  const bar = options.tolerances?.reference ?? bars.reference
  const origin = Float64Array.from(constantData(x))
  for (let d = 0; d < (options.directions ?? 2); d++) {
    const direction = noise(x.size, seed, 200 + which * 16 + d, signOf)
    const at = (k: number): Float64Array => origin.map((v, i) => v + k * step * direction[i])
    const losses = STEPS.map(k => reference([terms], new Map([[x, at(k)]]))[0])
    const compare = (scale?: Float64Array): Comparison =>
      compareSlopes(exact()[1 + which], direction, losses, { step, unit: 2 ** -53, bar, scale })
    const first = compare()
    // A result of cancellation, like p − 1 near p = 1, has the absolute error of its terms.
    const { error, text } = first.error > bar && options.allowRounding !== false ? compare(scales()[0]) : first
    note('reference', error, bar, `net 1, ${name}: ${text}`)
  }
}

/** Net 2 for the value (k = 0) or a gradient: what the device computed, against float64. */
function judgeKernels({ options, wrt, judged, exact, scales }: Subject, k: number, data: TensorData, note: Note): void {
  const net = k === 0 ? 'forward' : 'backward'
  // Inputs in f16 that are f32 from there on have the tolerance of f32, since f16 is for storage.
  const dtype = roundsToHalf(judged[k]) ? 'f16' : 'f32'
  const bar = options.tolerances?.[net] ?? bars.device[dtype] * Math.sqrt(options.sumLength ?? 1)
  const expected = exact()[k]
  const rounding = (8 * (dtype === 'f16' ? 2 ** -11 : 2 ** -24)) / bar
  const { error, at } = isFloat(judged[k].dtype)
    ? worstError(data, expected, scales()[k], rounding, SMALLEST / bar)
    : worstInteger(data, expected)
  const shown = showSpec(judged[k])
  const what = k === 0 ? `result ${shown}` : `gradient of ${wrt[k - 1].name}`
  note(net, error, bar, `net 2, ${what}: element ${at} is ${data[at]} on the device, ${expected[at]} in float64`)
}

/** Net 3 for one input: the loss's terms at the points of the differences, to be computed by the device. */
function deviceDifferences(
  fn: Fn,
  { options, seed, inputs, wrt, termsOf }: Subject,
  which: number,
): { direction: Float32Array; terms: Tensor[] } {
  const { x } = wrt[which]
  const direction = noise(x.size, seed, 100 + which, signOf)
  const terms = STEPS.map(k => {
    const by = k * (options.eps?.device ?? DEVICE_STEP)
    const moved = Float32Array.from(constantData(x), (v, i) => v + by * direction[i])
    const at = tensor(moved, x.shape)
    return termsOf(fn(...inputs.map(input => (input === x ? at : input))))
  })
  return { direction, terms }
}

const isHalf = ({ dtype }: Spec): boolean => dtype === 'f16'

/** Whether any value on the way to a tensor is rounded to f16. Inputs, and ops that move values, don't round. */
function roundsToHalf(t: Tensor): boolean {
  const moves = ({ op }: Node): boolean => op.kind === 'source' || op.kind === 'view' || op.rounding === 'none'
  const seen = new Set<string>()
  const rounds = ({ node, index }: Value): boolean => {
    const key = `${node.id}.${index}`
    if (seen.has(key)) return false
    seen.add(key)
    return (isHalf(node.outputs[index]) && !moves(node)) || node.inputs.some(rounds)
  }
  return rounds(t.value)
}

/** Central differences of fourth order: (8·(L₁ − L₋₁) − (L₂ − L₋₂)) / 12 step. */
const STEPS = [1, -1, 2, -2] as const
const REFERENCE_STEP = 3e-4
const DEVICE_STEP = 2 ** -7

interface Comparison {
  readonly error: number
  readonly text: string
}

/**
 * Compares the slope along a direction by gradients with that by differences of the loss's terms. The error is relative
 * to the larger slope, to the size of a random direction's slope, and to the resolution of differences with rounding
 * `unit`: of the loss's terms, or of the larger terms (`scale`) that each is computed from.
 */
function compareSlopes(
  gradient: ArrayLike<number>,
  direction: ArrayLike<number>,
  losses: readonly ArrayLike<number>[],
  { step, unit, bar, scale }: { step: number; unit: number; bar: number; scale?: Float64Array },
): Comparison {
  let slope = 0
  let squares = 0
  for (let i = 0; i < gradient.length; i++) {
    slope += gradient[i] * direction[i]
    squares += (gradient[i] * direction[i]) ** 2
  }
  const [a, b, c, d] = losses
  let numeric = 0
  let terms = 0
  for (let i = 0; i < a.length; i++) {
    numeric += (8 * (a[i] - b[i]) - (c[i] - d[i])) / (12 * step)
    terms += Math.max(Math.abs(a[i]), scale?.[i] ?? 0)
  }
  // Rounding errors of all terms may have the same sign, as with a softmax's common divisor.
  const resolution = (16 * unit * terms) / step
  const size = Math.max(Math.abs(slope), Math.abs(numeric), Math.sqrt(squares), resolution / bar, Number.MIN_VALUE)
  const error = Math.abs(slope - numeric) / size
  return {
    error: Number.isNaN(error) ? Infinity : error,
    text: `slope ${slope} by gradients, ${numeric} by differences`,
  }
}

/** The smallest normal number in f32. Smaller ones may be 0 on a device. */
const SMALLEST = 2 ** -126

/** The largest |actual − expected|, relative to |expected| + the root mean square + `rounding` · the terms' scale. */
function worstError(
  actual: ArrayLike<number>,
  expected: Float64Array,
  terms: Float64Array,
  rounding: number,
  least: number,
): { error: number; at: number } {
  const finite = expected.filter(Number.isFinite)
  const scale = Math.sqrt(finite.reduce((sum, v) => sum + v * v, 0) / Math.max(finite.length, 1))
  let worst = { error: 0, at: 0 }
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [actual[i], expected[i]]
    if (a === b || (Number.isNaN(a) && Number.isNaN(b))) continue
    const error = Math.abs(a - b) / Math.max(Math.abs(b) + scale + rounding * terms[i], least)
    if (Number.isNaN(error)) return { error: Infinity, at: i }
    if (error > worst.error) worst = { error, at: i }
  }
  return worst
}

function worstInteger(actual: ArrayLike<number>, expected: Float64Array): { error: number; at: number } {
  const at = expected.findIndex((b, i) => b !== actual[i])
  return at < 0 ? { error: 0, at: 0 } : { error: Infinity, at }
}

const PERTURBATION = 2 ** -20
const DRAWS = 4

/**
 * The size of the terms of each result: its change per relative change of the inputs of each op on the way. A sum that
 * cancels has a small value and large terms, which determine its rounding error in f32. (Discrete stochastic
 * arithmetic, Vignes 1993.)
 */
function roundingScales(results: readonly Tensor[], exact: readonly Float64Array[], seed: number): Float64Array[] {
  const squares = exact.map(values => new Float64Array(values.length))
  for (let draw = 0; draw < DRAWS; draw++) {
    const changed = reference(perturbed(results, seed + 7919 * (draw + 1)))
    changed.forEach((values, k) =>
      values.forEach((v, i) => {
        const change = (v - exact[k][i]) / PERTURBATION
        if (Number.isFinite(change)) squares[k][i] += change * change
      }),
    )
  }
  return squares.map(sums => {
    const overall = sums.reduce((a, b) => a + b, 0) / Math.max(sums.length, 1)
    return sums.map(sum => Math.sqrt(sum / DRAWS) + Math.sqrt(overall / DRAWS))
  })
}

/** The same graph with every float input of a rounding op randomly increased or decreased by about a millionth. */
function perturbed(results: readonly Tensor[], seed: number): Tensor[] {
  const renewed = new Map<Node, Node>()
  const now = ({ node, index }: Value): Value => ({ node: renewed.get(node) ?? node, index })
  let stream = 0
  for (const node of reachable(results.map(t => t.value))) {
    if (node.inputs.length === 0) continue
    // What enters an op that doesn't round stays as it is, so that ties stay ties.
    const isExact = node.op.kind === 'view' || node.op.rounding !== undefined
    const inputs = node.inputs.map(value => {
      const t = new Tensor(now(value))
      if (isExact || !isFloat(t.dtype)) return t.value
      // Of different sizes, so that they don't cancel.
      const factors = noise(t.size, seed, 1000 + stream++, (u, v) => 1 + PERTURBATION * signOf(u) * (0.5 + v))
      // Made as a source, since `tensor` would round the factors to f16.
      return t.mul(makeSource(t.shape, t.dtype, { kind: 'constant', data: factors })).value
    })
    renewed.set(node, makeNode(node.op, inputs, node.attributes))
  }
  return results.map(t => new Tensor(now(t.value)))
}

/** Numbers drawn by `shape` from two uniform ones in [0, 1). */
function noise(
  count: number,
  seed: number,
  stream: number,
  shape: (u: number, v: number) => number,
): Float32Array<ArrayBuffer> {
  const [u, v] = [0, 1].map(step => uniforms01(count, stream, step, seed))
  const numbers = new Float32Array(count)
  for (let i = 0; i < count; i++) numbers[i] = shape(u[i], v[i])
  return numbers
}

const signOf = (u: number): number => (u < 0.5 ? -1 : 1)
const normal = (u: number, v: number): number => Math.sqrt(-2 * Math.log(1 - u)) * Math.cos(2 * Math.PI * v)

/** A constant of the input's numbers, rounded to its dtype. */
async function sourceOf(input: CheckInput, position: number, seed: number): Promise<Tensor> {
  if (input instanceof Tensor) {
    const { node } = input.value
    if (node.op.kind === 'source' && payloadOf(node).kind === 'constant') return input
    return constantOf(input, await input.data())
  }
  const spec: Spec = { shape: input.shape, dtype: input.dtype ?? 'f32' }
  const { data } = input
  const stream = 10 + position
  let drawn = 0
  const random = (): number => uniform01(drawn++, stream, 2, seed)
  const numbers =
    typeof data === 'function'
      ? Float64Array.from({ length: sizeOf(spec.shape) }, (_, i) => data(i, random))
      : (data ?? noise(sizeOf(spec.shape), seed, stream, normal))
  return constantOf(spec, numbers)
}

/** A constant tensor of any numbers, rounded to its dtype, so that device and reference start from the same. */
export function constantOf({ shape, dtype }: Spec, numbers: ArrayLike<number>): Tensor {
  if (numbers.length !== sizeOf(shape))
    throw new UserError(`gradient check: ${numbers.length} numbers do not fill ${showSpec({ shape, dtype })}`)
  if (dtype === 'i32') return tensor(Int32Array.from(numbers), shape, dtype)
  if (dtype === 'u32') return tensor(Uint32Array.from(numbers), shape, dtype)
  const single = Float32Array.from(numbers)
  return tensor(dtype === 'f16' ? toFloat32(toFloat16(single)) : single, shape, dtype)
}

function constantData(t: Tensor): TensorData {
  const payload = payloadOf(t.value.node)
  if (payload.kind !== 'constant') throw new Error('a gradient check differentiates by constants')
  return payload.data
}
