// Fused scaled dot-product attention: its shapes, its gradient, and both in float64 for the tests.
//
//   s = scale · q·kᵀ,  p = softmax over the keys that mask and causality allow,  o = (p ∘ z)·v
//
// with dropout's factors z ∈ {0, 1/(1 − rate)} drawn by position (shaders/random.ts), so that the backward pass draws
// the same. Tensors are [batch, sequence, heads, headSize]: the output of a linear layer, reshaped.
import type { AttentionProblem, ChooseAttention } from '../../shaders/attention.ts'
import { type Spec, type View, isFlipped, isFloat } from '../../shaders/kernel.ts'
import { keepFactor } from '../../shaders/random.ts'
import { UserError } from '../errors.ts'
import { type LoweringContext, type Specs, defineOp } from '../graph.ts'
import { OnDemand } from '../on-demand.ts'
import { showSpec } from '../shape.ts'
import { type Tensor, apply, applyAll } from '../tensor.ts'
import { needSpec } from './rows.ts'

export interface AttentionOptions {
  /** Which keys may be attended: i32 [batch, keys], 1 where they may, 0 where not. */
  readonly mask?: Tensor
  /**
   * No query attends to keys after its own: query i attends to keys j ≤ i + keys − queries. The last query meets the
   * last key, so one query attends to all of a cache; with as many keys as queries, this is the lower triangle.
   */
  readonly causal?: boolean
  /** Factor of the scores; 1/√headSize by default. */
  readonly scale?: number
  /** Drops probabilities at `rate` in [0, 1). `step`, u32 [], gives each step another mask. */
  readonly dropout?: { readonly rate: number; readonly stream: number; readonly step: Tensor; readonly seed: number }
}

export type AttentionAttributes = {
  readonly scale: number
  readonly hasMask: boolean
  readonly causal: boolean
  /** 0 without dropout; then the step is not an input. */
  readonly rate: number
  readonly stream: number
  readonly seed: number
}

/**
 * Fused attention (Vaswani et al. 2017; computed as Dao et al. 2022). q [batch, queries, heads, headSize], k and v
 * [batch, keys, heads, headSize], all f32 or all f16. The result has q's shape and dtype. A query that attends to no
 * key gives zeros, and zero gradients. Memory grows linearly with the sequence, and no time is spent on padding at the
 * end, nor on tiles of scores above the diagonal if causal. Throws a UserError on shapes that don't fit or a rate
 * outside [0, 1).
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { mask, causal = false, scale, dropout }: AttentionOptions = {},
): Tensor {
  const rate = dropout?.rate ?? 0
  if (!(rate >= 0 && rate < 1)) throw new UserError(`attention: dropout rate ${rate} is not in [0, 1)`)
  const { stream, seed, step } = dropout && rate > 0 ? dropout : { stream: 0, seed: 0 }
  const inputs = [q, k, v, ...(mask ? [mask] : []), ...(step ? [step] : [])]
  return apply('attention', inputs, {
    scale: scale ?? 1 / Math.sqrt(q.shape[3] ?? 1),
    hasMask: mask !== undefined,
    // One query attends to all keys.
    causal: causal && q.shape[1] !== 1,
    rate,
    stream,
    seed,
  })
}

type Sizes = Pick<AttentionProblem, 'batch' | 'queries' | 'keys' | 'heads' | 'headSize'>

function sizesOf(q: Spec, k: Spec): Sizes {
  const [batch, queries, heads, headSize] = q.shape
  return { batch, queries, heads, headSize, keys: k.shape[1] }
}

/** Checks q, k, v, and the mask and step, which are the inputs from `first` on. Throws a UserError. */
function check(op: string, inputs: readonly Spec[], { hasMask, rate }: AttentionAttributes, first: number): Sizes {
  const [q, k, v] = inputs
  if (q.shape.length !== 4 || q.shape.some(n => n < 1) || !isFloat(q.dtype)) {
    throw new UserError(`${op}: q is ${showSpec(q)}, but f32 or f16 [batch, queries, heads, headSize] was expected`)
  }
  const [batch, , heads, headSize] = q.shape
  const keys = k.shape[1] ?? 0
  const expected = '[batch, keys, heads, headSize] with at least one key'
  if (keys < 1) throw new UserError(`${op}: k is ${showSpec(k)}, but ${expected} was expected`)
  const why = `q is ${showSpec(q)}, with ${keys} keys`
  for (const [name, spec] of Object.entries({ k, v }))
    needSpec(op, name, spec, { shape: [batch, keys, heads, headSize], dtype: q.dtype }, why)
  const [mask, step] = hasMask ? inputs.slice(first) : [undefined, inputs[first]]
  if (hasMask) needSpec(op, 'mask', mask, { shape: [batch, keys], dtype: 'i32' }, why)
  if (rate > 0) needSpec(op, 'dropout step', step, { shape: [], dtype: 'u32' }, 'one number')
  return sizesOf(q, k)
}

/** Rows may be anywhere in memory, each with contiguous elements. */
function rowsAnywhere(view: View, i: number, operands: readonly number[]): boolean {
  const isRow = view.strides[3] === 1 || view.shape[3] === 1
  return operands.includes(i) && view.shape.length === 4 && isRow && !isFlipped(view)
}

function problemOf(context: LoweringContext<AttentionAttributes>): AttentionProblem {
  const [q, k] = context.inputs
  const { scale, hasMask: mask, causal, rate, stream, seed } = context.attributes
  const { maxWorkgroups } = context.traits
  if (!isFloat(q.dtype)) throw new Error(`attention of ${q.dtype}`)
  const dropout = rate > 0 ? { rate, stream, seed } : undefined
  return { ...sizesOf(q, k), dtype: q.dtype, scale, mask, causal, dropout, maxWorkgroups }
}

/** Asks the tuner about one of the kernels of a problem. */
function chooser(context: LoweringContext<AttentionAttributes>, problem: AttentionProblem): ChooseAttention {
  const { batch, heads, queries, keys, headSize, dtype, mask, causal, dropout } = problem
  const sizes = { batch, heads, queries, keys, headSize }
  const options = { dtype, mask, dropout: dropout !== undefined, ...(causal ? { causal } : {}) }
  return (part, candidates) => {
    const kernel = part === 'forward' ? 'attention' : `attention gradient ${part}`
    return context.choose({ kernel, sizes, options }, candidates)
  }
}

/** A fifth of the engine, which programs without attention never load. */
const kernels = new OnDemand(() => import('../../shaders/attention.ts'))

declare module '../graph.ts' {
  interface OpAttributes {
    readonly attention: AttentionAttributes
    readonly attentionGradient: AttentionAttributes
  }
}

defineOp({
  name: 'attention',
  kind: 'kernel',
  infer(inputs, attributes) {
    const { batch, heads, queries } = check('attention', inputs, attributes, 3)
    return [
      { shape: inputs[0].shape, dtype: inputs[0].dtype },
      { shape: [batch, heads, queries], dtype: 'f32' },
    ]
  },
  gradient({ inputs, outputs, upstream: [dO, dLse], attributes }) {
    if (dLse) throw new UserError('attention: no gradient flows through the log-sum-exp of its scores')
    if (!dO) return []
    const [q, k, v, ...rest] = inputs
    return applyAll('attentionGradient', [q, k, v, outputs[0], outputs[1], dO, ...rest], attributes)
  },
  strided: (view, i) => rowsAnywhere(view, i, [0, 1, 2]),
  kernels,
  lower(context) {
    const problem = problemOf(context)
    const [q, k, v] = context.inputs
    return kernels.module.attentionForward(problem, [q, k, v], context.traits, chooser(context, problem))
  },
  reference: forwardReference,
})

defineOp({
  name: 'attentionGradient',
  kind: 'kernel',
  infer(inputs, attributes) {
    const { batch, heads, queries } = check('attentionGradient', inputs, attributes, 6)
    const [q, k, v, o, lse, dO] = inputs
    const why = `q is ${showSpec(q)}`
    needSpec('attentionGradient', 'o', o, q, why)
    needSpec('attentionGradient', 'lse', lse, { shape: [batch, heads, queries], dtype: 'f32' }, why)
    needSpec('attentionGradient', 'dO', dO, q, why)
    return [q, k, v].map(({ shape, dtype }) => ({ shape, dtype }))
  },
  noGradient: 'second derivatives of fused attention are not implemented',
  strided: (view, i) => rowsAnywhere(view, i, [0, 1, 2, 3, 5]),
  kernels,
  lower(context) {
    const problem = problemOf(context)
    const [q, k, v, o, , dO] = context.inputs
    return kernels.module.attentionBackward(problem, [q, k, v, o, dO], context.traits, chooser(context, problem))
  },
  reference: gradientReference,
})

/** One query of one head in the reference. */
interface Row {
  readonly index: number
  /** Offset of its elements. */
  readonly at: number
  /** The keys that it attends to. */
  readonly open: readonly number[]
  keyAt(j: number): number
  /** Dropout's factor z. */
  factor(j: number): number
}

/** Every query of every head; `rest` are the inputs after the tensors: mask and step. */
function* rowsOf(
  { batch, queries, keys, heads, headSize }: Sizes,
  { hasMask, causal, rate, stream, seed }: AttentionAttributes,
  rest: readonly Float64Array[],
): Generator<Row> {
  const [mask, [step] = [0]] = hasMask ? rest : [undefined, ...rest]
  for (let b = 0; b < batch; b++) {
    const allowed = Array.from({ length: keys }, (_, j) => j).filter(j => mask?.[b * keys + j] !== 0)
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) {
        const index = (b * heads + h) * queries + i
        yield {
          index,
          at: ((b * queries + i) * heads + h) * headSize,
          open: causal ? allowed.filter(j => j <= i + keys - queries) : allowed,
          keyAt: j => ((b * keys + j) * heads + h) * headSize,
          factor: j => keepFactor(rate, (index * keys + j) % 2 ** 32, stream, step, seed),
        }
      }
    }
  }
}

function dot(a: Float64Array, at: number, b: Float64Array, bt: number, length: number): number {
  let sum = 0
  for (let d = 0; d < length; d++) sum += a[at + d] * b[bt + d]
  return sum
}

type Arrays = readonly Float64Array[]

function forwardReference([q, k, v, ...rest]: Arrays, specs: Specs, attributes: AttentionAttributes): Float64Array[] {
  const sizes = sizesOf(specs.inputs[0], specs.inputs[1])
  const { headSize } = sizes
  const o = new Float64Array(q.length)
  const lse = new Float64Array(sizes.batch * sizes.heads * sizes.queries)
  for (const { index, at, open, keyAt, factor } of rowsOf(sizes, attributes, rest)) {
    if (open.length === 0) continue
    const scores = open.map(j => attributes.scale * dot(q, at, k, keyAt(j), headSize))
    const rowMax = scores.reduce((a, b) => Math.max(a, b))
    lse[index] = rowMax + Math.log(scores.reduce((sum, s) => sum + Math.exp(s - rowMax), 0))
    open.forEach((j, n) => {
      const probability = Math.exp(scores[n] - lse[index]) * factor(j)
      for (let d = 0; d < headSize; d++) o[at + d] += probability * v[keyAt(j) + d]
    })
  }
  return [o, lse]
}

function gradientReference(inputs: Arrays, specs: Specs, attributes: AttentionAttributes): Float64Array[] {
  const [q, k, v, o, lse, dO, ...rest] = inputs
  const sizes = sizesOf(specs.inputs[0], specs.inputs[1])
  const { headSize } = sizes
  const { scale } = attributes
  const dq = new Float64Array(q.length)
  const dk = new Float64Array(k.length)
  const dv = new Float64Array(v.length)
  for (const { index, at, open, keyAt, factor } of rowsOf(sizes, attributes, rest)) {
    const mean = dot(dO, at, o, at, headSize)
    for (const j of open) {
      const jt = keyAt(j)
      const p = Math.exp(scale * dot(q, at, k, jt, headSize) - lse[index])
      const z = factor(j)
      const ds = scale * p * (z * dot(dO, at, v, jt, headSize) - mean)
      for (let d = 0; d < headSize; d++) {
        dq[at + d] += ds * k[jt + d]
        dk[jt + d] += ds * q[at + d]
        dv[jt + d] += p * z * dO[at + d]
      }
    }
  }
  return [dq, dk, dv]
}
