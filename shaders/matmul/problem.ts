// A matrix product as its kernels see it: sizes, one unit-stride axis per operand, batch axes as few as strides allow.
// Everything that depends only on views lives here, and no WGSL.
import { type Axes, mergeAxes } from '../addressing.ts'
import type { Epilogue } from '../epilogue.ts'
import { type FloatType, type Slot, type View, isFlipped, isFloat, sizeOf } from '../kernel.ts'

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
  /** Rows that are patches of images: `stride` does not count then, and the major axis is K. */
  readonly patches?: Patches
}

/**
 * How a convolution's patches lie in memory: element (row, k) is where the row's pixel begins, plus the k-th offset.
 * Pixels are numbered image by image, line by line. All distances are in elements.
 */
export interface Patches {
  /** Pixels of an image, and of a line of it. */
  readonly pixels: number
  readonly width: number
  /** From one image, line or pixel to the next. */
  readonly image: number
  readonly line: number
  readonly pixel: number
  /** u32 buffer: the offset of each element of K, or of each vec4, in vec4s, if `vec4`. */
  readonly offsets: Slot
  readonly vec4: boolean
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
  /**
   * Columns are pixels of images, and `out` holds [images, ...batch, m, pixels]: the images are `stride` elements apart.
   */
  readonly images?: { readonly pixels: number; readonly stride: number }
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
    !isFlipped(view) &&
    majorOf(view.shape[r - 2], view.shape[r - 1], view.strides[r - 2], view.strides[r - 1]) !== undefined
  )
}

/** A view with its buffer. */
interface Input {
  readonly slot: Slot
  readonly view: View
}

/** `strides` are those of its rows and of K. */
function operand(
  { slot, view: { dtype, strides: all, offset } }: Input,
  rows: number,
  k: number,
  [rowStride, kStride]: readonly [number, number],
  batch: readonly number[],
): Operand {
  const major = majorOf(rows, k, rowStride, kStride)
  if (!major || !isFloat(dtype)) throw new Error(`matmul cannot read ${dtype} strides ${all.join(', ')}`)
  const stride = major === 'k' ? (rows > 1 ? rowStride : k) : k > 1 ? kStride : rows
  return { slot, dtype, major, offset, stride, batch }
}

/**
 * The product of views a [..., M, K] and b [..., K, N], leading axes broadcast. Batch axes that lie together in both
 * operands become one; those that continue the rows of `a`, while b repeats, become rows: [B, S, H]·[H, N] is one
 * product of B·S rows.
 */
export function productOf(
  a: Input,
  b: Input,
  out: { readonly slot: Slot; readonly dtype: FloatType },
  scale = 1,
): Product {
  const [rows, k] = a.view.shape.slice(-2)
  const n = b.view.shape[b.view.shape.length - 1]
  const [aRowStride, aKStride] = a.view.strides.slice(-2)
  const [bKStride, columnStride] = b.view.strides.slice(-2)
  const {
    sizes,
    strides: [aBatch, bBatch],
  } = batchAxes(a.view, b.view)
  let [m, rowStride] = [rows, aRowStride]
  for (let inner = sizes.length - 1; inner >= 0 && bBatch[inner] === 0; inner--) {
    const continues = m === 1 || aBatch[inner] === m * rowStride
    // Rows of a transposed operand must stay next to each other, or no axis would have stride 1.
    if (!continues || (m === 1 && majorOf(sizes[inner], k, aBatch[inner], aKStride) === undefined)) break
    rowStride = m === 1 ? aBatch[inner] : rowStride
    m *= sizes[inner]
    for (const axes of [sizes, aBatch, bBatch]) axes.pop()
  }
  const left = operand(a, m, k, [rowStride, aKStride], aBatch)
  const right = operand(b, n, k, [columnStride, bKStride], bBatch)
  return { m, n, batch: sizes, segments: [{ k, a: left, b: right, scale }], out }
}

/** Of all axes but the last two, as few as strides allow. */
function batchAxes(a: View, b: View): Axes {
  const rank = Math.max(a.shape.length, b.shape.length) - 2
  const axesOf = ({ shape, strides }: View): { n: number; stride: number }[] =>
    Array.from({ length: rank }, (_, axis) => {
      const i = axis - (rank + 2 - shape.length)
      return i < 0 ? { n: 1, stride: 0 } : { n: shape[i], stride: shape[i] === 1 ? 0 : strides[i] }
    })
  const [left, right] = [axesOf(a), axesOf(b)]
  const shape = left.map(({ n }, axis) => (n === 1 ? right[axis].n : n))
  const strides = [left, right].map(axes => axes.map(({ stride }) => stride))
  return mergeAxes(shape, strides)
}

/** Whether an operand can be loaded four elements at a time along its unit-stride axis. */
export function isVec4(operand: Operand, rows: number, k: number): boolean {
  if (operand.patches) return operand.patches.vec4
  const extent = operand.major === 'k' ? k : rows
  return [extent, operand.offset, operand.stride, ...operand.batch].every(count => count % 4 === 0)
}

/** Number of matrices. */
export function batchCount(product: Product): number {
  return sizeOf(product.batch)
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
  const sizes: Record<string, number> = { batch: batchCount(product), m, n }
  const options: Record<string, string | boolean> = {}
  const layoutOf = (side: Operand, rows: number, k: number): string =>
    `${side.dtype}${side.patches ? 'p' : side.major === 'k' ? 'k' : 'r'}${isVec4(side, rows, k) ? 4 : 1}`
  segments.forEach(({ k, a, b }, s) => {
    sizes[`k${s}`] = k
    options[`a${s}`] = layoutOf(a, m, k)
    options[`b${s}`] = layoutOf(b, n, k)
  })
  if (product.bias) options.bias = true
  if (product.epilogue) options.epilogue = true
  return { sizes, options: { ...options, out: product.out.dtype } }
}
