// LoRA's linear layer (Hu et al. 2021): y = x·Wᵀ + bias + s·(x·Aᵀ)·Bᵀ, and its gradient, each as one matmul kernel
// whose sum over K continues with the low-rank product. The narrow product x·Aᵀ has its own launch: otherwise every
// tile of columns would compute it again, and the backward pass needs it.
import {
  type Lowering,
  type Slot,
  type Spec,
  type View,
  input,
  isFloat,
  output,
  temporary,
} from '../../shaders/kernel.ts'
import { type Product, productOf } from '../../shaders/matmul/problem.ts'
import { UserError } from '../errors.ts'
import { defineOp } from '../graph.ts'
import { sameShape, showSpec, sizeOf } from '../shape.ts'
import { contiguousView, permuteView } from '../view.ts'
import { type Tensor, apply } from '../tensor.ts'
import { sum } from './formula.ts'
import { floatOf, lowerProduct, matmul, rowsOf } from './matmul.ts'

declare module '../graph.ts' {
  interface OpAttributes {
    readonly loraLinear: { readonly scale: number }
    readonly loraLinearGradient: { readonly scale: number }
  }
}

/** A shape as that of a matrix as wide as its last axis. */
export function matrixShape(shape: readonly number[]): [number, number] {
  return [sizeOf(shape.slice(0, -1)), shape[shape.length - 1]]
}

interface Factor {
  readonly slot: Slot
  readonly view: View
}

/** A contiguous value as a matrix as wide as its last axis. */
function matrix(slot: Slot, { shape, dtype, offset = 0 }: Spec & Partial<View>): Factor {
  return { slot, view: { ...contiguousView({ shape: matrixShape(shape), dtype }), offset } }
}

const transposed = ({ slot, view }: Factor): Factor => ({ slot, view: permuteView(view, [1, 0]) })

/** The sum of two products with the same output. */
function joined(one: Product, other: Product): Product {
  return { ...one, segments: [...one.segments, ...other.segments] }
}

/** The launches of both, one after the other. */
function inTurn(first: Lowering, second: Lowering): Lowering {
  const before = first.temporaries ?? []
  const moved = (slot: Slot): Slot => (slot.role === 'temporary' ? temporary(before.length + slot.index) : slot)
  return {
    launches: [...first.launches, ...second.launches.map(launch => ({ ...launch, slots: launch.slots.map(moved) }))],
    temporaries: [...before, ...(second.temporaries ?? [])],
  }
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
      x.shape[x.shape.length - 1] === inner &&
      sameShape(a.shape, [rank, inner]) &&
      sameShape(b.shape, [out, rank]) &&
      (!bias || (isFloat(bias.dtype) && sameShape(bias.shape, [out])))
    if (!fits) {
      const all = `${shown}${bias ? `, bias ${showSpec(bias)}` : ''}`
      const expected = 'x [..., in], weight [out, in], A [rank, in], B [out, rank] and bias [out]'
      throw new UserError(`loraLinear: ${all}: ${expected} were expected`)
    }
    return [
      { shape: x.shape.with(-1, out), dtype: x.dtype },
      { shape: [matrixShape(x.shape)[0], rank], dtype: 'f32' },
    ]
  },
  lower(context) {
    const [x, weight, a, b, bias] = context.inputs
    const [y, xa] = context.outputs
    const out = { slot: output(0), dtype: floatOf(y.dtype) }
    const rows = matrix(input(0), x)
    const narrow = productOf(rows, transposed(matrix(input(2), a)), { slot: output(1), dtype: 'f32' })
    const main = productOf(rows, transposed(matrix(input(1), weight)), out)
    const low = productOf(matrix(output(1), xa), transposed(matrix(input(3), b)), out, context.attributes.scale)
    const added = bias && { slot: input(4), dtype: floatOf(bias.dtype) }
    const wide = { ...joined(main, low), bias: added, epilogue: context.epilogue }
    return inTurn(lowerProduct(narrow, context), lowerProduct(wide, context))
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
    const low = needs[0] || needs[2] ? matmul(dyRows, b, { outputDtype: 'f32' }) : undefined
    const dx = needs[0] && low && apply('loraLinearGradient', [dyRows, weight, a, low], { scale })
    const fromWhole = [
      dx ? dx.cast(x.dtype).reshape(x.shape) : undefined,
      needs[1] ? matmul(dyRows.transpose(), rows).cast(weight.dtype) : undefined,
      needs[2] && low ? matmul(low.transpose(), rows, { scale, outputDtype: 'f32' }).cast(a.dtype) : undefined,
      needs[3] ? matmul(dyRows.transpose(), xa, { scale, outputDtype: 'f32' }).cast(b.dtype) : undefined,
      bias && needs[4] ? dyRows.cast('f32').sum(0).cast(bias.dtype) : undefined,
    ]
    return fromWhole.map((gradient, i) => sum(gradient, fromNarrow[i]))
  },
})

// dx = dy·W + s·low·A, where low = dy·B is a separate product, since the gradient of A needs it too.
defineOp({
  name: 'loraLinearGradient',
  kind: 'kernel',
  takesEpilogue: true,
  infer([dy, weight, a, low]) {
    const fits = sameShape(low.shape, [dy.shape[0], a.shape[0]]) && weight.shape[1] === a.shape[1]
    const shown = `dy ${showSpec(dy)}, weight ${showSpec(weight)}, A ${showSpec(a)}, dy·B ${showSpec(low)}`
    if (!fits) throw new UserError(`loraLinearGradient: ${shown} do not fit`)
    return [{ shape: [dy.shape[0], weight.shape[1]], dtype: dy.dtype }]
  },
  lower(context) {
    const [dy, weight, a, low] = context.inputs
    const out = { slot: output(0), dtype: floatOf(context.outputs[0].dtype) }
    const main = productOf(matrix(input(0), dy), matrix(input(1), weight), out)
    const rest = productOf(matrix(input(3), low), matrix(input(2), a), out, context.attributes.scale)
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
})

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
