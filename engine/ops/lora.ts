// LoRA's linear layer (Hu et al. 2021): y = x·Wᵀ + bias + s·(x·Aᵀ)·Bᵀ, and its gradient, each as one matmul kernel
// whose sum over K continues with the low-rank product. The narrow product x·Aᵀ has its own launch: otherwise every
// tile of columns would compute it again, and the backward pass needs it.
import { type LoweringContext, defineOp } from '../graph.ts'
import {
  type FloatType,
  type Lowering,
  type Slot,
  type Spec,
  type View,
  input,
  isFloat,
  output,
  rowMajorStrides,
  temporary,
} from '../../shaders/kernel.ts'
import { type Product, productOf } from '../../shaders/matmul/problem.ts'
import { UserError } from '../errors.ts'
import { sameShape, showSpec, sizeOf } from '../shape.ts'
import { type Tensor, apply } from '../tensor.ts'
import { floatOf, lowerProduct, matmul, matmulReference, rowsOf } from './matmul.ts'

declare module '../graph.ts' {
  interface OpAttributes {
    readonly loraLinear: { readonly scale: number }
    readonly loraLinearGradient: { readonly scale: number }
  }
}

const last = (shape: readonly number[]): number => shape[shape.length - 1]

/** A contiguous matrix in a buffer, or its transpose. */
function matrix(shape: readonly [number, number], dtype: FloatType, offset = 0, transposed = false): View {
  const [strideRow, strideColumn] = rowMajorStrides(shape)
  return transposed
    ? { shape: [shape[1], shape[0]], dtype, strides: [strideColumn, strideRow], offset }
    : { shape, dtype, strides: [strideRow, strideColumn], offset }
}

/** The sum of the defined terms. */
function sum(...terms: readonly (Tensor | undefined)[]): Tensor | undefined {
  return terms.reduce((total, term) => (total && term ? total.add(term) : (total ?? term)), undefined)
}

/** left · right + scale · low · lowRight, with `low` made by an earlier launch. */
function joined(whole: Product, low: Product, bias?: Product['bias']): Product {
  return { ...whole, segments: [...whole.segments, ...low.segments], bias }
}

function twoLaunches(first: Product, second: Product, context: LoweringContext): Lowering {
  const [narrow, wide] = [
    lowerProduct(first, context),
    lowerProduct({ ...second, epilogue: context.epilogue }, context),
  ]
  const before = narrow.temporaries ?? []
  const moved = (slot: Slot): Slot => (slot.role === 'temporary' ? temporary(before.length + slot.index) : slot)
  return {
    launches: [...narrow.launches, ...wide.launches.map(launch => ({ ...launch, slots: launch.slots.map(moved) }))],
    temporaries: [...before, ...(wide.temporaries ?? [])],
  }
}

/** A contiguous operand: rows by the last axis's width. */
function rowsView({ shape, dtype, offset }: View, where: string): View {
  const width = last(shape)
  return matrix([sizeOf(shape) / width, width], floatOf(dtype, where), offset)
}

function weightView({ shape, dtype, offset }: View, where: string, transposed: boolean): View {
  return matrix([shape[0], shape[1]], floatOf(dtype, where), offset, transposed)
}

function product(a: Slot, left: View, b: Slot, right: View, out: Slot, spec: Spec, scale = 1): Product {
  return productOf(
    { slot: a, view: left },
    { slot: b, view: right },
    { slot: out, dtype: floatOf(spec.dtype, 'loraLinear') },
    scale,
  )
}

defineOp({
  name: 'loraLinear',
  kind: 'kernel',
  takesEpilogue: true,
  infer([x, weight, a, b, bias]) {
    const shown = `x ${showSpec(x)}, weight ${showSpec(weight)}, A ${showSpec(a)}, B ${showSpec(b)}`
    for (const spec of [x, weight, a, b]) floatOf(spec.dtype, `loraLinear: ${shown}`)
    const [out, inner] = weight.shape
    const rank = a.shape[0]
    const fits =
      x.shape.length >= 1 &&
      weight.shape.length === 2 &&
      last(x.shape) === inner &&
      sameShape(a.shape, [rank, inner]) &&
      sameShape(b.shape, [out, rank]) &&
      (!bias || (isFloat(bias.dtype) && sameShape(bias.shape, [out])))
    if (!fits) {
      const all = `${shown}${bias ? `, bias ${showSpec(bias)}` : ''}`
      throw new UserError(
        `loraLinear: ${all}: x [..., in], weight [out, in], A [rank, in], B [out, rank] and bias [out] were expected`,
      )
    }
    return [
      { shape: x.shape.with(-1, out), dtype: x.dtype },
      { shape: [sizeOf(x.shape) / inner, rank], dtype: 'f32' },
    ]
  },
  lower(context) {
    const [x, weight, a, b, bias] = context.inputs
    const [y, xa] = context.outputs
    const rows = rowsView(x, 'loraLinear')
    const low = matrix([xa.shape[0], xa.shape[1]], 'f32')
    const narrow = product(input(0), rows, input(2), weightView(a, 'loraLinear', true), output(1), xa)
    const main = product(input(0), rows, input(1), weightView(weight, 'loraLinear', true), output(0), y)
    const rest = product(
      output(1),
      low,
      input(3),
      weightView(b, 'loraLinear', true),
      output(0),
      y,
      context.attributes.scale,
    )
    const added = bias && { slot: input(4), dtype: floatOf(bias.dtype, 'loraLinear') }
    return twoLaunches(narrow, joined(main, rest, added), context)
  },
  gradient({ inputs: [x, weight, a, b, bias], outputs: [, xa], attributes: { scale }, upstream: [dy, dxa], needs }) {
    const rows = rowsOf(x)
    // The narrow product has an upstream gradient only if this rule is differentiated again.
    const fromNarrow = [
      dxa && needs[0] ? matmul(dxa, a).cast(x.dtype).reshape(x.shape) : undefined,
      undefined,
      dxa && needs[2] ? matmul(dxa.transpose(), rows, { outputDtype: 'f32' }).cast(a.dtype) : undefined,
    ]
    if (!dy) return fromNarrow
    const dyRows = rowsOf(dy)
    let dx: Tensor | undefined
    let low: Tensor | undefined
    if (needs[0] || needs[2]) low = matmul(dyRows, b, { outputDtype: 'f32' })
    if (needs[0] && low)
      dx = apply('loraLinearGradient', [dyRows, weight, a, low], { scale }).cast(x.dtype).reshape(x.shape)
    const fromWhole = [
      dx,
      needs[1] ? matmul(dyRows.transpose(), rows).cast(weight.dtype) : undefined,
      needs[2] && low ? matmul(low.transpose(), rows, { scale, outputDtype: 'f32' }).cast(a.dtype) : undefined,
      needs[3] ? matmul(dyRows.transpose(), xa, { scale, outputDtype: 'f32' }).cast(b.dtype) : undefined,
      bias && needs[4] ? dyRows.cast('f32').sum(0).cast(bias.dtype) : undefined,
    ]
    return fromWhole.map((gradient, i) => sum(gradient, fromNarrow[i]))
  },
  reference(
    [x, weight, a, b, bias],
    { inputs: [xSpec, weightSpec, aSpec, bSpec], outputs: [ySpec, xaSpec] },
    { scale },
  ) {
    const out = weightSpec.shape[0]
    const xa = byTransposed(x, xSpec, a, aSpec, xaSpec)
    const y = byTransposed(x, xSpec, weight, weightSpec, ySpec)
    const rest = byTransposed(xa, xaSpec, b, bSpec, ySpec)
    return [y.map((value, i) => value + scale * rest[i] + (bias?.[i % out] ?? 0)), xa]
  },
})

// dx = dy·W + s·low·A, where low = dy·B is a separate product, since the gradient of A needs it too.
defineOp({
  name: 'loraLinearGradient',
  kind: 'kernel',
  takesEpilogue: true,
  infer([dy, weight, a, low]) {
    const fits = sameShape(low.shape, [dy.shape[0], a.shape[0]]) && weight.shape[1] === a.shape[1]
    if (!fits)
      throw new UserError(
        `loraLinearGradient: dy ${showSpec(dy)}, weight ${showSpec(weight)}, A ${showSpec(a)}, dy·B ${showSpec(low)} do not fit`,
      )
    return [{ shape: [dy.shape[0], weight.shape[1]], dtype: dy.dtype }]
  },
  lower(context) {
    const [dy, weight, a, low] = context.inputs
    const [dx] = context.outputs
    const where = 'loraLinearGradient'
    const main = product(input(0), rowsView(dy, where), input(1), weightView(weight, where, false), output(0), dx)
    const rest = product(
      input(3),
      rowsView(low, where),
      input(2),
      weightView(a, where, false),
      output(0),
      dx,
      context.attributes.scale,
    )
    return lowerProduct({ ...joined(main, rest), epilogue: context.epilogue }, context)
  },
  // Linear in each input: gradients are products with the others.
  gradient({ inputs: [dy, weight, a, low], attributes: { scale }, upstream: [ddx], needs }) {
    if (!ddx) return []
    return [
      needs[0] ? matmul(ddx, weight.transpose()).cast(dy.dtype) : undefined,
      needs[1] ? matmul(dy.transpose(), ddx).cast(weight.dtype) : undefined,
      needs[2] ? matmul(low.transpose(), ddx, { scale, outputDtype: 'f32' }).cast(a.dtype) : undefined,
      needs[3] ? matmul(ddx, a.transpose(), { scale, outputDtype: 'f32' }).cast(low.dtype) : undefined,
    ]
  },
  reference([dy, weight, a, low], { inputs: [dySpec, weightSpec, aSpec, lowSpec], outputs: [dxSpec] }, { scale }) {
    const dx = matmulReference(dy, dySpec, weight, weightSpec, dxSpec)
    const rest = matmulReference(low, lowSpec, a, aSpec, dxSpec)
    return [dx.map((value, i) => value + scale * rest[i])]
  },
})

/** rows(x) · wᵀ in float64. */
function byTransposed(
  x: Float64Array,
  xSpec: Spec,
  w: Float64Array,
  { shape: [out, inner] }: Spec,
  { dtype }: Spec,
): Float64Array {
  const turned = new Float64Array(w.length)
  for (let o = 0; o < out; o++) for (let k = 0; k < inner; k++) turned[k * out + o] = w[o * inner + k]
  const rows = sizeOf(xSpec.shape) / inner
  return matmulReference(
    x,
    { shape: [rows, inner], dtype },
    turned,
    { shape: [inner, out], dtype },
    { shape: [rows, out], dtype },
  )
}

/**
 * y = x·Wᵀ + bias + scale·(x·Aᵀ)·Bᵀ (Hu et al. 2021) for x [..., in], weight [out, in], bias [out] (optional), a [rank,
 * in], b [out, rank], f32 or f16; y is [..., out] in x's dtype, with sums in f32. A frozen weight costs nothing in the
 * backward pass. Throws a UserError on shapes or dtypes that don't fit.
 */
export function loraLinear(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  a: Tensor,
  b: Tensor,
  scale: number,
): Tensor {
  return apply('loraLinear', bias ? [x, weight, a, b, bias] : [x, weight, a, b], { scale })
}
