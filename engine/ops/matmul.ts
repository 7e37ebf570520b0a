// The matrix product: [..., M, K] · [..., K, N] → [..., M, N].
import { UserError } from '../errors.ts'
import { candidates, lower } from '../../shaders/matmul.ts'
import { type Product, isReadable, productOf, tuningProblem } from '../../shaders/matmul/problem.ts'
import { type DType, type FloatType, type Lowering, input, isFloat, output } from '../../shaders/kernel.ts'
import { type LoweringContext, defineOp } from '../graph.ts'
import { sumTo } from './reduce.ts'
import { broadcastShapes, showSpec, sizeOf } from '../shape.ts'
import { type Tensor, apply, defineMethods, needTensors } from '../tensor.ts'
import { filled } from './source.ts'

export type MatmulAttributes = {
  /** Factor of the product; 1 when left out. */
  readonly scale?: number
  /** Storage type of the result. When left out: f32 if either operand is f32, else f16. Sums are f32 in any case. */
  readonly outputDtype?: FloatType
}

/**
 * a [..., M, K] · b [..., K, N] → [..., M, N], leading axes broadcast by NumPy's rule; f32 and f16 in any combination.
 * Transposed and other strided views are read without a copy. Throws a UserError on shapes or dtypes that don't fit.
 */
export function matmul(a: Tensor, b: Tensor, { scale, outputDtype }: MatmulAttributes = {}): Tensor {
  // Defaults are left out, so that equal products have equal attributes.
  return apply('matmul', [a, b], {
    ...(scale !== undefined && scale !== 1 ? { scale } : {}),
    ...(outputDtype ? { outputDtype } : {}),
  })
}

defineMethods({
  matmul(other) {
    needTensors('matmul', { other })
    const [isRow, isColumn] = [this.rank === 1, other.rank === 1]
    if (!isRow && !isColumn) return matmul(this, other)
    const product = matmul(
      isRow ? this.reshape([1, this.size]) : this,
      isColumn ? other.reshape([other.size, 1]) : other,
    )
    return product.squeeze([...(isRow ? [-2] : []), ...(isColumn ? [-1] : [])])
  },
})

/** The launches of a product with the context's choice of candidate. The epilogue is that of the product. */
export function lowerProduct(product: Product, context: LoweringContext): Lowering {
  const question = { kernel: 'matmul', ...tuningProblem(product) }
  return lower(product, context.choose(question, candidates(product, context.traits)), context.traits)
}

/** The dtype of an operand. Throws a UserError on integers. */
export function floatOf(dtype: DType, where = 'matmul'): FloatType {
  if (!isFloat(dtype)) throw new UserError(`${where}: operands have to be floats, not ${dtype}`)
  return dtype
}

declare module '../graph.ts' {
  interface OpAttributes {
    readonly matmul: MatmulAttributes
  }
}

defineOp({
  name: 'matmul',
  kind: 'kernel',
  infer([a, b], { outputDtype }) {
    const both = `${showSpec(a)} · ${showSpec(b)}`
    if (!isFloat(a.dtype) || !isFloat(b.dtype)) throw new UserError(`matmul: ${both}: operands have to be floats`)
    if (a.shape.length < 2 || b.shape.length < 2) throw new UserError(`matmul: ${both}: operands need axes`)
    const [m, k] = a.shape.slice(-2)
    const [inner, n] = b.shape.slice(-2)
    if (k !== inner)
      throw new UserError(`matmul: ${both}: the left operand has ${k} columns, the right one ${inner} rows`)
    const batch = broadcastShapes(`matmul ${both}`, [a.shape.slice(0, -2), b.shape.slice(0, -2)])
    const widest = a.dtype === 'f32' || b.dtype === 'f32' ? 'f32' : 'f16'
    return [{ shape: [...batch, m, n], dtype: outputDtype ?? widest }]
  },
  gradient({ inputs: [a, b], upstream: [dy], attributes: { scale }, needs }) {
    if (!dy) return [undefined, undefined]
    const product = (left: Tensor, right: Tensor, { shape, dtype }: Tensor): Tensor =>
      sumTo(matmul(left, right, { scale, outputDtype: floatOf(dtype) }), shape)
    const da = needs[0] ? product(dy, b.transpose(), a) : undefined
    if (!needs[1]) return [da, undefined]
    // If all batches share b: one product over all rows, instead of one for each batch and their sum.
    const shared = sizeOf(b.shape.slice(0, -2)) === 1
    if (shared) return [da, product(rowsOf(a).transpose(), rowsOf(dy), rowsOf(b)).reshape(b.shape)]
    return [da, product(a.transpose(), dy, b)]
  },
  strided: isReadable,
  takesEpilogue: true,
  ofNothing: filled(0),
  lower(context) {
    const [a, b] = context.inputs
    const product = productOf(
      { slot: input(0), view: a },
      { slot: input(1), view: b },
      { slot: output(0), dtype: floatOf(context.outputs[0].dtype) },
      context.attributes.scale,
    )
    return lowerProduct({ ...product, epilogue: context.epilogue }, context)
  },
})

/** The same elements as a matrix as wide as the last axis. */
export function rowsOf(x: Tensor): Tensor {
  return x.rank === 2 ? x : x.reshape([sizeOf(x.shape.slice(0, -1)), x.shape[x.rank - 1]])
}
