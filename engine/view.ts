// Views: how the elements of a value lie in memory, and what changes of shape do to that.
import { mergeAxes } from '../shaders/addressing.ts'
import { type Spec, type View, rowMajorStrides } from '../shaders/kernel.ts'
import { type Shape, sizeOf } from './shape.ts'

export function contiguousView({ shape, dtype }: Spec): View {
  return { shape, dtype, strides: rowMajorStrides(shape), offset: 0 }
}

/** Row-major with no gaps (axes of length 1 may have any stride), whatever the offset. */
export function isContiguous({ shape, strides }: View): boolean {
  let stride = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== stride) return false
    stride *= shape[i]
  }
  return true
}

/** The view read as `shape` by repeating (stride 0) what has length 1. */
export function broadcastView(view: View, shape: Shape): View {
  const lead = shape.length - view.shape.length
  const strides = shape.map((n, i) => {
    const at = i - lead
    return at < 0 || (view.shape[at] === 1 && n !== 1) ? 0 : view.strides[at]
  })
  return { ...view, shape, strides }
}

export function permuteView(view: View, order: readonly number[]): View {
  return { ...view, shape: order.map(i => view.shape[i]), strides: order.map(i => view.strides[i]) }
}

/** Every `step[i]`-th element of axis i from `start[i]` to before `end[i]`; every one without steps. */
export function sliceView(
  view: View,
  start: readonly number[],
  end: readonly number[],
  step?: readonly number[],
): View {
  const offset = start.reduce((sum, from, i) => sum + from * view.strides[i], view.offset)
  if (!step) return { ...view, shape: start.map((from, i) => end[i] - from), offset }
  return {
    ...view,
    shape: start.map((from, i) => Math.ceil((end[i] - from) / step[i])),
    strides: view.strides.map((stride, i) => stride * step[i]),
    offset,
  }
}

/** The elements in reverse order along `axes`, by negative strides. */
export function flipView(view: View, axes: readonly number[]): View {
  const offset = axes.reduce((sum, axis) => sum + (view.shape[axis] - 1) * view.strides[axis], view.offset)
  return { ...view, strides: view.strides.map((stride, i) => (axes.includes(i) ? -stride : stride)), offset }
}

/** The elements with equal indices on axes `a` and `b`, which are equally long, as the last axis. */
export function diagonalView(view: View, a: number, b: number): View {
  const rest = (of: readonly number[]): number[] => of.filter((_, i) => i !== a && i !== b)
  return {
    ...view,
    shape: [...rest(view.shape), view.shape[a]],
    strides: [...rest(view.strides), view.strides[a] + view.strides[b]],
  }
}

/** The view under another shape of as many elements, or undefined where strides can't express it. */
export function reshapeView(view: View, shape: Shape): View | undefined {
  if (isContiguous(view)) return { ...view, shape, strides: rowMajorStrides(shape) }
  // Each new axis is part of one run of old axes that are contiguous together.
  const runs = mergeAxes(view.shape, [view.strides])
  const strides = new Array<number>(shape.length).fill(0)
  let run = runs.sizes.length
  let rest = 1
  let stride = 0
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] === 1) continue
    if (rest === 1) {
      run--
      rest = runs.sizes[run]
      stride = runs.strides[0][run]
    }
    if (rest % shape[i] !== 0) return undefined
    strides[i] = stride
    stride *= shape[i]
    rest /= shape[i]
  }
  return { ...view, shape, strides }
}

/** Where the elements of a view are in memory, in row-major order. */
export function offsetsOf({ shape, strides, offset }: View): Uint32Array {
  const offsets = new Uint32Array(sizeOf(shape))
  const coordinates = new Array<number>(shape.length).fill(0)
  let at = offset
  for (let i = 0; i < offsets.length; i++) {
    offsets[i] = at
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis]
      if (++coordinates[axis] < shape[axis]) break
      at -= strides[axis] * shape[axis]
      coordinates[axis] = 0
    }
  }
  return offsets
}

/** Copies what a view reads of an array into a contiguous one. */
export function readThrough(data: ArrayLike<number>, view: View): Float64Array {
  const offsets = offsetsOf(view)
  const read = new Float64Array(offsets.length)
  // `Float64Array.from` with a function takes fifty times as long.
  for (let i = 0; i < read.length; i++) read[i] = data[offsets[i]]
  return read
}
