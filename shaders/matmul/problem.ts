// A matrix product as its kernels see it: sizes, one unit-stride axis per operand, batch axes as few as strides allow.
// Everything that depends only on views lives here, and no WGSL.
import { mergeAxes } from '../addressing.ts'
import type { Epilogue } from '../epilogue.ts'
import { type FloatType, type Slot, type View, isFloat } from '../kernel.ts'

/**
 * One operand. Its rows are M for the left operand and N for the right one; its columns are K. One of the two axes has
 * stride 1 (`major`), the other `stride`. All counts are in elements.
 */
export interface Operand {
  readonly slot: Slot
  readonly dtype: FloatType
  readonly major: 'k' | 'row'
  readonly offset: number
  readonly stride: number
  /** A stride per batch axis of the problem. */
  readonly batch: readonly number[]
}

/** One product of the sum: a [M, K] times b [N, K] transposed, times `scale`. */
export interface Segment {
  readonly k: number
  readonly a: Operand
  readonly b: Operand
  readonly scale: number
}

/**
 * out[..., m, n] = Σ over segments scale · Σₖ a[..., m, k] · b[..., n, k] + bias[n]. A plain product has one segment;
 * a LoRA linear has two. `out` is contiguous.
 */
export interface Product {
  readonly m: number
  readonly n: number
  /** Sizes of the batch axes, outermost first. */
  readonly batch: readonly number[]
  readonly segments: readonly Segment[]
  readonly bias?: { readonly slot: Slot; readonly dtype: FloatType }
  readonly out: { readonly slot: Slot; readonly dtype: FloatType }
  /** `out` holds [..., n, m]: the product is the transpose of what was asked. */
  readonly outTransposed?: boolean
  /** What becomes of each element before it is stored; of shape [...batch, m, n]. */
  readonly epilogue?: Epilogue
}

/** The same numbers with the operands' parts swapped: (a·b)ᵀ = bᵀ·aᵀ. For products without bias. */
export function transposed(product: Product): Product {
  return {
    ...product,
    m: product.n,
    n: product.m,
    outTransposed: !product.outTransposed,
    segments: product.segments.map(({ k, a, b, scale }) => ({ k, a: b, b: a, scale })),
  }
}

/** Which axis of a [rows, k] matrix has stride 1; undefined where none has (axes of length 1 count as having it). */
function majorOf(rows: number, k: number, rowStride: number, kStride: number): 'k' | 'row' | undefined {
  if (kStride === 1 && k > 1) return 'k'
  if (rowStride === 1 && rows > 1) return 'row'
  if (k <= 1) return 'k'
  return rows <= 1 ? 'row' : undefined
}

/** True where the kernels can read the view's last two axes as they lie. */
export function isReadable(view: View): boolean {
  const r = view.shape.length
  return (
    isFloat(view.dtype) &&
    r >= 2 &&
    majorOf(view.shape[r - 2], view.shape[r - 1], view.strides[r - 2], view.strides[r - 1]) !== undefined
  )
}

function operand(
  slot: Slot,
  view: View,
  rows: number,
  k: number,
  rowStride: number,
  kStride: number,
  batch: readonly number[],
): Operand {
  const major = majorOf(rows, k, rowStride, kStride)
  if (!major || !isFloat(view.dtype))
    throw new Error(`matmul cannot read ${view.dtype} strides ${view.strides.join(', ')}`)
  const stride = major === 'k' ? (rows > 1 ? rowStride : k) : k > 1 ? kStride : rows
  return { slot, dtype: view.dtype, major, offset: view.offset, stride, batch }
}

/**
 * The product of views a [..., M, K] and b [..., K, N], leading axes broadcast. Batch axes that lie together in both
 * operands become one; those of `a` that go on from its rows, where b repeats, become rows: [B, S, H]·[H, N] is one
 * product of B·S rows.
 */
export function productOf(
  a: { readonly slot: Slot; readonly view: View },
  b: { readonly slot: Slot; readonly view: View },
  out: { readonly slot: Slot; readonly dtype: FloatType },
  scale = 1,
): Product {
  const aRank = a.view.shape.length
  const bRank = b.view.shape.length
  let m = a.view.shape[aRank - 2]
  const k = a.view.shape[aRank - 1]
  const n = b.view.shape[bRank - 1]
  let rowStride = a.view.strides[aRank - 2]
  const axes = batchAxes(a.view, b.view)
  const kStride = a.view.strides[aRank - 1]
  while (axes.length > 0) {
    const inner = axes[axes.length - 1]
    const continues = m === 1 || inner.a === m * rowStride
    if (inner.b !== 0 || !continues) break
    // Rows of a transposed operand must stay next to each other, or no axis would have stride 1.
    if (m === 1 && majorOf(inner.n, k, inner.a, kStride) === undefined) break
    rowStride = m === 1 ? inner.a : rowStride
    m *= inner.n
    axes.pop()
  }
  return {
    m,
    n,
    batch: axes.map(axis => axis.n),
    segments: [
      {
        k,
        scale,
        a: operand(
          a.slot,
          a.view,
          m,
          k,
          rowStride,
          kStride,
          axes.map(axis => axis.a),
        ),
        b: operand(
          b.slot,
          b.view,
          n,
          k,
          b.view.strides[bRank - 1],
          b.view.strides[bRank - 2],
          axes.map(axis => axis.b),
        ),
      },
    ],
    out,
  }
}

interface BatchAxis {
  readonly n: number
  readonly a: number
  readonly b: number
}

/** Of all axes but the last two, as few as strides allow. */
function batchAxes(a: View, b: View): BatchAxis[] {
  const rank = Math.max(a.shape.length, b.shape.length) - 2
  const axesOf = ({ shape, strides }: View): { n: number; stride: number }[] =>
    Array.from({ length: rank }, (_, axis) => {
      const i = axis - (rank + 2 - shape.length)
      return i < 0 ? { n: 1, stride: 0 } : { n: shape[i], stride: shape[i] === 1 ? 0 : strides[i] }
    })
  const [left, right] = [axesOf(a), axesOf(b)]
  const shape = left.map(({ n }, axis) => (n === 1 ? right[axis].n : n))
  const { sizes, strides } = mergeAxes(
    shape,
    [left, right].map(axes => axes.map(({ stride }) => stride)),
  )
  return sizes.map((n, axis) => ({ n, a: strides[0][axis], b: strides[1][axis] }))
}

/** Whether an operand can be loaded four elements at a time along its unit-stride axis. */
export function isVec4(operand: Operand, rows: number, k: number): boolean {
  const extent = operand.major === 'k' ? k : rows
  return [extent, operand.offset, operand.stride, ...operand.batch].every(count => count % 4 === 0)
}

/** Number of matrices. */
export function batchCount(product: Product): number {
  return product.batch.reduce((count, n) => count * n, 1)
}

/**
 * A problem for the tuner: everything that makes one candidate faster than another. An operand is `f32k4` if K is its
 * unit stride, loaded as vec4.
 */
export function tuningProblem(product: Product): {
  sizes: Record<string, number>
  options: Record<string, string | boolean>
} {
  const { m, n, segments } = product
  const layoutOf = (side: Operand, rows: number, k: number): string =>
    `${side.dtype}${side.major === 'k' ? 'k' : 'r'}${isVec4(side, rows, k) ? 4 : 1}`
  return {
    sizes: { batch: batchCount(product), m, n, ...Object.fromEntries(segments.map(({ k }, s) => [`k${s}`, k])) },
    options: {
      ...Object.fromEntries(
        segments.flatMap(({ k, a, b }, s) => [
          [`a${s}`, layoutOf(a, m, k)],
          [`b${s}`, layoutOf(b, n, k)],
        ]),
      ),
      ...(product.bias ? { bias: true } : {}),
      ...(product.epilogue ? { epilogue: true } : {}),
      out: product.out.dtype,
    },
  }
}
