// Attention problems for tests: drawn operands, what float64 makes of them, and how far a kernel's result is from that.
import fc from 'fast-check'
import { expect } from 'vitest'
import { type Attributes, findOp } from '../../engine/graph.ts'
import '../../engine/ops/attention.ts'
import '../../engine/reference.ts'
import { sizeOf } from '../../engine/shape.ts'
import { contiguousView } from '../../engine/view.ts'
import { findReference } from '../../engine/references/index.ts'
import type { View } from '../../shaders/kernel.ts'
import { keepFactor, normals } from '../../shaders/random.ts'
import type { TestInput, TestOutput } from './launch.ts'

export interface Case {
  readonly batch: number
  readonly queries: number
  readonly keys: number
  readonly heads: number
  readonly headSize: number
  /** Attended keys of each batch item, by rule; undefined: no mask. */
  readonly mask: ((item: number, key: number) => boolean) | undefined
  /** As many as heads, where left out. */
  readonly keyHeads?: number
  readonly causal?: boolean
  /** In place of a mask of keys, one of scores: whether it tells batch items, heads and queries apart. */
  readonly scoreMask?: readonly [item: boolean, head: boolean, query: boolean]
  /** A bias: whether it tells these apart. */
  readonly bias?: readonly [item: boolean, head: boolean, query: boolean, key: boolean]
  readonly rate: number
  readonly seed: number
}

export const STEP = 5
export const plainCase: Case = {
  batch: 1,
  queries: 3,
  keys: 4,
  heads: 2,
  headSize: 8,
  mask: undefined,
  rate: 0,
  seed: 1,
}

export const kernelOf = (name: string) => {
  const op = findOp(name)
  if (op.kind !== 'kernel') throw new Error(`${name} has no kernels`)
  return op
}

export function attributesOf({ headSize, mask, causal = false, scoreMask, bias, rate, seed }: Case): Attributes {
  return {
    scale: 1 / Math.sqrt(headSize),
    hasMask: mask !== undefined || scoreMask !== undefined,
    hasBias: bias !== undefined,
    biasGradient: bias !== undefined,
    causal,
    rate,
    stream: 9,
    seed,
  }
}

/** Whether a mask of scores opens one. Every fifth query attends to nothing. */
const opens = (item: number, head: number, query: number, key: number): boolean =>
  query % 5 !== 3 && (item + 2 * head + 3 * query + 5 * key) % 7 > 2

/** What of [batch, heads, queries, keys] a mask or a bias tells apart: these lengths, and 1 of the others. */
const lengthsOf = ({ batch, heads, queries, keys }: Case, apart: readonly boolean[]): number[] =>
  [batch, heads, queries, keys].map((n, axis) => ((apart[axis] ?? true) ? n : 1))

/** Coordinates of each element. */
const coordinates = (shape: readonly number[]): number[][] =>
  Array.from({ length: sizeOf(shape) }, (_, at) =>
    shape.map((n, axis) => Math.floor(at / sizeOf(shape.slice(axis + 1))) % n),
  )

/** Whether a query attends to a key. */
export function isOpen(c: Case, item: number, head: number, query: number, key: number): boolean {
  const [ofItem, ofHead, ofQuery] = c.scoreMask ?? []
  return (
    c.mask?.(item, key) !== false &&
    !(c.causal && key > query + c.keys - c.queries) &&
    (!c.scoreMask || opens(ofItem ? item : 0, ofHead ? head : 0, ofQuery ? query : 0, key))
  )
}

export interface Tensors {
  readonly q: TestInput
  readonly k: TestInput
  readonly v: TestInput
  readonly dO: TestInput
  readonly rest: readonly TestInput[]
}

export const contiguous = (
  data: ArrayLike<number>,
  shape: readonly number[],
  dtype: View['dtype'] = 'f32',
): TestInput => ({ data, spec: contiguousView({ shape, dtype }) })

const inHalf = (data: Float64Array): Float64Array => Float64Array.from(new Float16Array(data))

export function drawTensors(c: Case, dtype: 'f32' | 'f16' = 'f32'): Tensors {
  const { keyHeads = c.heads } = c
  const float = (stream: number, length: number, heads = c.heads): TestInput => {
    const shape = [c.batch, length, heads, c.headSize]
    const data = normals(sizeOf(shape), stream, c.seed)
    return contiguous(dtype === 'f16' ? Float32Array.from(new Float16Array(data)) : data, shape, dtype)
  }
  const { mask } = c
  const bits =
    mask && Int32Array.from({ length: c.batch * c.keys }, (_, i) => (mask(Math.floor(i / c.keys), i % c.keys) ? 1 : 0))
  const scoreShape = c.scoreMask && lengthsOf(c, c.scoreMask)
  const scoreBits = scoreShape && coordinates(scoreShape).map(([b, h, i, j]) => (opens(b, h, i, j) ? 1 : 0))
  const biasShape = c.bias && lengthsOf(c, c.bias)
  return {
    q: float(1, c.queries),
    k: float(2, c.keys, keyHeads),
    v: float(3, c.keys, keyHeads),
    dO: float(4, c.queries),
    rest: [
      ...(bits ? [contiguous(bits, [c.batch, c.keys], 'i32')] : []),
      ...(scoreShape && scoreBits ? [contiguous(scoreBits, scoreShape, 'i32')] : []),
      ...(biasShape ? [contiguous(normals(sizeOf(biasShape), 5, c.seed), biasShape)] : []),
      ...(c.rate > 0 ? [contiguous([STEP], [], 'u32')] : []),
    ],
  }
}

/** Elements of a view, row-major, in float64. */
export function elements({ data, spec }: TestInput): Float64Array {
  const out = new Float64Array(sizeOf(spec.shape))
  for (let i = 0; i < out.length; i++) {
    let at = spec.offset
    let rest = i
    for (let axis = spec.shape.length - 1; axis >= 0; axis--) {
      at += (rest % spec.shape[axis]) * spec.strides[axis]
      rest = Math.floor(rest / spec.shape[axis])
    }
    out[i] = data[at]
  }
  return out
}

export function expected(name: string, inputs: readonly TestInput[], attributes: Attributes): Float64Array[] {
  const op = kernelOf(name)
  const specs = inputs.map(({ spec: { shape, dtype } }) => ({ shape, dtype }))
  return findReference(op)(inputs.map(elements), { inputs: specs, outputs: op.infer(specs, attributes) }, attributes)
}

/** Largest difference, as a share of the largest expected number (or of 1, the inputs' own size). */
export function difference(actual: ArrayLike<number>, wanted: Float64Array): number {
  const scale = wanted.reduce((max, x) => Math.max(max, Math.abs(x)), 1)
  return wanted.reduce((worst, x, i) => {
    const here = Math.abs(actual[i] - x) / scale
    return Number.isNaN(here) ? Infinity : Math.max(worst, here)
  }, 0)
}

export function agree(
  label: string,
  actual: readonly TestOutput[],
  wanted: readonly Float64Array[],
  tolerance: number,
): void {
  wanted.forEach((values, o) => {
    expect(difference(actual[o], values), `${label}: output ${o}`).toBeLessThan(tolerance)
  })
}

export function gradientInputs({ q, k, v, dO, rest }: Tensors, [o, lse]: readonly Float64Array[]): TestInput[] {
  const { shape, dtype } = q.spec
  return [
    q,
    k,
    v,
    contiguous(dtype === 'f16' ? inHalf(o) : o, shape, dtype),
    contiguous(lse, [shape[0], shape[2], shape[1]]),
    dO,
    ...rest,
  ]
}

export const forwardInputs = ({ q, k, v, rest }: Tensors): TestInput[] => [q, k, v, ...rest]

// Lengths around the tiles' 4, 8, 16, 32 and 64, and primes.
export const length = fc.oneof(
  fc.integer({ min: 1, max: 70 }),
  fc.constantFrom(1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65),
)

export const masks = fc.constantFrom<NonNullable<Case['mask']>>(
  (item, key) => key <= 3 + 11 * item,
  (item, key) => (key + item) % 3 !== 0,
  (item, key) => item === 1 && key > 1,
  () => false,
)

/**
 * How far o, dq, dk and dv may be off, element by element, if probabilities and dScores are rounded to f16 before they
 * are multiplied, and so is the result: 2⁻¹¹ of each term's size and of the sum, with float64's `o` and `lse`. The
 * gradient of a bias has no such products.
 */
export function roundingIn16(c: Case, { q, k, v, dO, rest }: Tensors, [o, lse]: readonly Float64Array[]) {
  const { batch, queries, keys, heads, keyHeads = heads, headSize, rate, seed } = c
  const [qs, ks, vs, dOs] = [q, k, v, dO].map(elements)
  const os = inHalf(o)
  const unit = 2 ** -11
  const [ofO, ofDq, ofDk, ofDv] = [qs, qs, ks, ks].map(({ length }) => new Float64Array(length))
  const dot = (a: Float64Array, at: number, b: Float64Array, bt: number): number => {
    let sum = 0
    for (let d = 0; d < headSize; d++) sum += a[at + d] * b[bt + d]
    return sum
  }
  const bias = c.bias && rest[c.mask || c.scoreMask ? 1 : 0]
  const biasOf = (...at: readonly number[]): number =>
    bias
      ? bias.data[at.reduce((sum, n, axis) => sum + (bias.spec.shape[axis] > 1 ? n * bias.spec.strides[axis] : 0), 0)]
      : 0
  const scale = 1 / Math.sqrt(headSize)
  for (let row = 0; row < batch * heads * queries; row++) {
    const [item, head, i] = [Math.floor(row / queries / heads), Math.floor(row / queries) % heads, row % queries]
    const at = ((item * queries + i) * heads + head) * headSize
    const mean = dot(dOs, at, os, at)
    for (let j = 0; j < keys; j++) {
      if (!isOpen(c, item, head, i, j)) continue
      const jt = ((item * keys + j) * keyHeads + Math.floor((head * keyHeads) / heads)) * headSize
      const z = keepFactor(rate, row * keys + j, 9, STEP, seed)
      const p = Math.exp(scale * dot(qs, at, ks, jt) + biasOf(item, head, i, j) - lse[row])
      const slope = Math.abs(scale * p * (z * dot(dOs, at, vs, jt) - mean))
      for (let d = 0; d < headSize; d++) {
        ofO[at + d] += unit * p * z * Math.abs(vs[jt + d])
        ofDq[at + d] += unit * slope * Math.abs(ks[jt + d])
        ofDk[jt + d] += unit * slope * Math.abs(qs[at + d])
        ofDv[jt + d] += unit * p * z * Math.abs(dOs[at + d])
      }
    }
  }
  return { forward: [ofO], gradient: [ofDq, ofDk, ofDv] }
}

/**
 * The same as `agree`, with a bound of its own for each element: so much, besides `least` of the largest expected
 * number.
 */
export function agreeWithin(
  label: string,
  actual: readonly TestOutput[],
  wanted: readonly Float64Array[],
  bounds: readonly Float64Array[],
  least: number,
): void {
  bounds.forEach((bound, output) => {
    const scale = wanted[output].reduce((max, x) => Math.max(max, Math.abs(x)), 1)
    const beyond = wanted[output].findIndex(
      (x, i) => !(Math.abs(actual[output][i] - x) <= bound[i] + 2 ** -11 * Math.abs(x) + least * scale),
    )
    expect(
      beyond < 0
        ? 'right'
        : `${label}: output ${output}, element ${beyond} is ${actual[output][beyond]}, not ${wanted[output][beyond]}`,
    ).toBe('right')
  })
}

/**
 * The same problem's q, k and v as slices of one fused projection, and dO with heads before the sequence. Of as many
 * keys as queries.
 */
export function whereTheyStand({ batch, queries, heads, headSize }: Case, tensors: Tensors): Tensors {
  const shape = [batch, queries, heads, headSize]
  const width = heads * headSize
  const fused = normals(batch * queries * 3 * width, 8, 1)
  const part = (n: number): TestInput => ({
    data: fused,
    spec: { shape, dtype: 'f32', offset: n * width, strides: [queries * 3 * width, 3 * width, headSize, 1] },
  })
  const headsFirst: TestInput = {
    data: tensors.dO.data,
    spec: { shape, dtype: 'f32', offset: 0, strides: [queries * width, headSize, queries * headSize, 1] },
  }
  return { ...tensors, q: part(0), k: part(1), v: part(2), dO: headsFirst }
}
