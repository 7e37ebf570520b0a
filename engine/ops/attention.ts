// Fused scaled dot-product attention: its shapes and its gradient. Both in float64 are in references/attention.ts.
//
//   s = scale · q·kᵀ + bias,  p = softmax over the keys that mask and causality allow,  o = (p ∘ z)·v
//
// with dropout's factors z ∈ {0, 1/(1 − rate)} drawn by position (shaders/random.ts), so that the backward pass draws
// the same. Tensors are [batch, sequence, heads, headSize]: the output of a linear layer, reshaped.
import type { AttentionProblem } from '../../shaders/attention.ts'
import { type Spec, type View, isFlipped, isFloat } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { type LoweringContext, defineOp } from '../graph.ts'
import { OnDemand } from '../on-demand.ts'
import { needOptions } from '../options.ts'
import { sameShape, showShape, showSpec } from '../shape.ts'
import { type Tensor, apply, applyAll, needTensors } from '../tensor.ts'
import { secondGradients } from './attention-second.ts'
import { sumTo } from './reduce.ts'
import { needSpec } from './rows.ts'
import { filled } from './source.ts'

export interface AttentionOptions {
  /**
   * Which keys may be attended, i32 or u32, not 0 where they may: [batch, keys], or four axes that broadcast to [batch,
   * heads, queries, keys], such as [1, 1, queries, keys]. Padding at the end of keys costs no time if the mask has no
   * axes for heads and queries.
   */
  readonly mask?: Tensor
  /**
   * No query attends to keys after its own: query i attends to keys j ≤ i + keys − queries. The last query meets the
   * last key, so one query attends to all of a cache; with as many keys as queries, this is the lower triangle.
   */
  readonly causal?: boolean
  /**
   * What is added to the scaled scores: f32 of a shape that broadcasts to [batch, heads, queries, keys]. Its gradient is
   * summed over batch items and heads on the way; if it has one query or one key, f32 [batch or 1, heads or 1, queries,
   * keys] is stored first. −∞ closes a score like a mask, as does f32's lowest number.
   */
  readonly bias?: Tensor
  /** Factor of the scores; 1/√headSize by default. */
  readonly scale?: number
  /** Drops probabilities at `rate` in [0, 1). `step`, u32 [], gives each step another mask. */
  readonly dropout?: { readonly rate: number; readonly stream: number; readonly step: Tensor; readonly seed: number }
}

export type AttentionAttributes = {
  readonly scale: number
  readonly hasMask: boolean
  readonly hasBias: boolean
  readonly causal: boolean
  /** 0 without dropout; then the step is not an input. */
  readonly rate: number
  readonly stream: number
  readonly seed: number
}

/**
 * Fused attention (Vaswani et al. 2017; computed as Dao et al. 2022). q [batch, queries, heads, headSize], k and v
 * [batch, keys, keyHeads, headSize], all f32 or all f16. Heads of queries may share those of keys (Ainslie et al. 2023):
 * head h reads keys of head ⌊h · keyHeads / heads⌋. The result has q's shape and dtype. A query that attends to no key
 * gives zeros, and zero gradients. Memory grows linearly with the sequence, and no time is spent on padding at the end,
 * nor on tiles of scores above the diagonal if causal. Second derivatives are made of other ops, in memory for about seven
 * f32 [batch, heads, queries, keys]. Throws a UserError on shapes that don't fit or a rate outside [0, 1).
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  needOptions('attention', options, 'mask', 'causal', 'bias', 'scale', 'dropout')
  needTensors('attention', { q, k, v })
  const { mask, causal = false, bias, scale, dropout } = options
  const rate = dropout ? dropout.rate : 0
  if (!(rate >= 0 && rate < 1)) throw new UserError(`attention: dropout rate ${rate} is not in [0, 1)`)
  const { stream, seed, step } = dropout && rate > 0 ? dropout : { stream: 0, seed: 0 }
  const sizes = sizesOf('attention', [q, k, v])
  const more = [...(mask ? [maskFor(mask, sizes)] : []), ...(bias ? [biasFor(bias, sizes)] : [])]
  return apply('attention', [q, k, v, ...more, ...(step ? [step] : [])], {
    scale: scale ?? 1 / Math.sqrt(sizes.headSize),
    hasMask: mask !== undefined,
    hasBias: bias !== undefined,
    // One query attends to all keys.
    causal: causal && sizes.queries > 1,
    rate,
    stream,
    seed,
  })
}

export type Sizes = Pick<AttentionProblem, 'batch' | 'queries' | 'keys' | 'heads' | 'keyHeads' | 'headSize'>

/** Sizes of the scores, in the order of their axes. */
const scoreShape = ({ batch, heads, queries, keys }: Sizes): number[] => [batch, heads, queries, keys]

/** Whether each axis is 1 or that of the scores. */
const broadcasts = (shape: readonly number[], sizes: Sizes): boolean =>
  shape.length === 4 && scoreShape(sizes).every((n, axis) => shape[axis] === n || shape[axis] === 1)

/** The mask as i32 [batch, keys], or [batch or 1, heads or 1, queries or 1, keys] if that is not enough. */
function maskFor(mask: Tensor, sizes: Sizes): Tensor {
  const { batch, keys } = sizes
  const ofKeys = sameShape(mask.shape, [batch, keys])
  if (!['i32', 'u32'].includes(mask.dtype) || !(ofKeys || broadcasts(mask.shape, sizes))) {
    const expected = `[${batch}, ${keys}] or four axes that broadcast to ${showShape(scoreShape(sizes))}`
    throw new UserError(`attention: mask is ${showSpec(mask)}, but i32 or u32 ${expected} was expected`)
  }
  const whole = mask.dtype === 'u32' ? mask.cast('i32') : mask
  if (ofKeys) return whole
  const [items, heads, queries] = mask.shape
  if (heads === 1 && queries === 1) return broadcastTo(whole, [batch, 1, 1, keys]).reshape([batch, keys])
  return broadcastTo(whole, [items, heads, queries, keys])
}

const broadcastTo = (x: Tensor, shape: readonly number[]): Tensor =>
  sameShape(x.shape, shape) ? x : x.broadcastTo(shape)

/** The bias with four axes. */
function biasFor(bias: Tensor, sizes: Sizes): Tensor {
  const shape = [...Array.from({ length: 4 - bias.rank }, () => 1), ...bias.shape]
  if (bias.dtype !== 'f32' || bias.rank > 4 || !broadcasts(shape, sizes)) {
    const expected = `f32 that broadcasts to ${showShape(scoreShape(sizes))}`
    throw new UserError(`attention: bias is ${showSpec(bias)}, but ${expected} was expected`)
  }
  return bias.reshape(shape)
}

/** Checks q, k and v. Throws a UserError. */
export function sizesOf(op: string, [q, k, v]: readonly Spec[]): Sizes {
  if (q.shape.length !== 4 || !isFloat(q.dtype)) {
    throw new UserError(`${op}: q is ${showSpec(q)}, but f32 or f16 [batch, queries, heads, headSize] was expected`)
  }
  const [batch, queries, heads, headSize] = q.shape
  if (k.shape.length !== 4)
    throw new UserError(`${op}: k is ${showSpec(k)}, but [batch, keys, heads, headSize] was expected`)
  const [, keys, keyHeads] = k.shape
  // As many heads as q has, or fewer that divide these.
  const sharing = keyHeads > 0 && heads % keyHeads === 0 ? keyHeads : heads
  const why = `q is ${showSpec(q)}, with ${keys} keys`
  for (const [name, spec] of Object.entries({ k, v }))
    needSpec(op, name, spec, { shape: [batch, keys, sharing, headSize], dtype: q.dtype }, why)
  return { batch, queries, heads, keyHeads: sharing, headSize, keys }
}

/** The inputs after the tensors. */
export function optionsOf<T>({ hasMask, hasBias, rate }: AttentionAttributes, rest: readonly T[]) {
  let next = 0
  const takeIf = (given: boolean): T | undefined => (given ? rest[next++] : undefined)
  return { mask: takeIf(hasMask), bias: takeIf(hasBias), step: takeIf(rate > 0) }
}

/** Checks q, k, v, and mask, bias and step, which are the inputs from `first` on. Throws a UserError. */
function check(op: string, inputs: readonly Spec[], attributes: AttentionAttributes, first: number): Sizes {
  const sizes = sizesOf(op, inputs)
  const { hasMask, hasBias, rate } = attributes
  const { mask, bias, step } = optionsOf(attributes, inputs.slice(first))
  const why = `scores are ${showShape(scoreShape(sizes))}`
  const fits = (spec: Spec | undefined): boolean => spec !== undefined && broadcasts(spec.shape, sizes)
  if (hasMask && !(fits(mask) && mask?.shape[3] === sizes.keys))
    needSpec(op, 'mask', mask, { shape: [sizes.batch, sizes.keys], dtype: 'i32' }, why)
  if (hasBias && !fits(bias)) needSpec(op, 'bias', bias, { shape: scoreShape(sizes), dtype: 'f32' }, why)
  if (rate > 0) needSpec(op, 'dropout step', step, { shape: [], dtype: 'u32' }, 'one number')
  return sizes
}

/** Rows may be anywhere in memory, each with contiguous elements. */
function rowsAnywhere(view: View, i: number, operands: readonly number[]): boolean {
  const isRow = view.strides[3] === 1 || view.shape[3] === 1
  return operands.includes(i) && view.shape.length === 4 && isRow && !isFlipped(view)
}

/** A bias may have any strides. */
const isBias = (i: number, { hasMask, hasBias }: AttentionAttributes, first: number): boolean =>
  hasBias && i === first + (hasMask ? 1 : 0)

/** What kernels are chosen and launched by, besides the attributes; mask and bias are views. */
export interface Given {
  readonly sizes: Sizes
  readonly mask: View | undefined
  readonly bias: View | undefined
}

function givenOf({ inputs, attributes }: LoweringContext<AttentionAttributes>, first: number): Given {
  const { mask, bias } = optionsOf(attributes, inputs.slice(first))
  return { sizes: sizesOf('attention', inputs), mask, bias }
}

/** A fifth of the engine, which programs without attention never load. */
const kernels = new OnDemand(() => import('./attention-lowering.ts'))

declare module '../graph.ts' {
  interface OpAttributes {
    readonly attention: AttentionAttributes
    /** `biasGradient`: whether it gives that, too. */
    readonly attentionGradient: AttentionAttributes & { readonly biasGradient: boolean }
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
  gradient({ inputs, outputs, upstream: [dO, dLse], attributes, needs }) {
    if (dLse) throw new UserError('attention: no gradient flows through the log-sum-exp of its scores')
    if (!dO) return []
    const [q, k, v, ...rest] = inputs
    const at = attributes.hasMask ? 4 : 3
    const biasGradient = attributes.hasBias && needs[at]
    const given = applyAll('attentionGradient', [q, k, v, ...outputs, dO, ...rest], { ...attributes, biasGradient })
    const dBias = biasGradient ? sumTo(given[3], inputs[at].shape) : undefined
    return [...given.slice(0, 3), ...(attributes.hasMask ? [undefined] : []), dBias]
  },
  strided: (view, i, attributes) => rowsAnywhere(view, i, [0, 1, 2]) || isBias(i, attributes, 3),
  ofNothing: filled(0),
  kernels,
  lower: context => kernels.module.lowerForward(context, givenOf(context, 3)),
})

defineOp({
  name: 'attentionGradient',
  kind: 'kernel',
  infer(inputs, attributes) {
    const { batch, heads, queries, keys } = check('attentionGradient', inputs, attributes, 6)
    const [q, k, v, o, lse, dO] = inputs
    const why = `q is ${showSpec(q)}`
    needSpec('attentionGradient', 'o', o, q, why)
    needSpec('attentionGradient', 'lse', lse, { shape: [batch, heads, queries], dtype: 'f32' }, why)
    needSpec('attentionGradient', 'dO', dO, q, why)
    const { bias } = optionsOf(attributes, inputs.slice(6))
    const gradients: Spec[] = [q, k, v].map(({ shape, dtype }) => ({ shape, dtype }))
    if (bias && attributes.biasGradient)
      gradients.push({ shape: [...bias.shape.slice(0, 2), queries, keys], dtype: 'f32' })
    return gradients
  },
  gradient: secondGradients,
  strided: (view, i, attributes) => rowsAnywhere(view, i, [0, 1, 2, 3, 5]) || isBias(i, attributes, 6),
  ofNothing: filled(0),
  kernels,
  lower: context => kernels.module.lowerGradient(context, givenOf(context, 6)),
})
