// The same elements in other shapes, as strides if possible. The compiler inserts a copy for readers that can't follow
// them.
import type { View } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { type OpAttributes, defineOp } from '../graph.ts'
import {
  broadcastShapes,
  broadcastView,
  contiguousView,
  reshapeView,
  sameShape,
  showShape,
  showSpec,
  sizeOf,
} from '../shape.ts'
import { sumTo } from './reduce.ts'

/** Copies what a view reads of an array into a contiguous one. */
export function readThrough(data: Float64Array, view: View): Float64Array {
  const size = sizeOf(view.shape)
  const result = new Float64Array(size)
  const coordinates = new Array<number>(view.shape.length).fill(0)
  let at = view.offset
  for (let i = 0; i < size; i++) {
    result[i] = data[at]
    for (let axis = coordinates.length - 1; axis >= 0; axis--) {
      at += view.strides[axis]
      if (++coordinates[axis] < view.shape[axis]) break
      at -= view.strides[axis] * view.shape[axis]
      coordinates[axis] = 0
    }
  }
  return result
}

declare module '../graph.ts' {
  interface OpAttributes {
    /** `again` only tells two equal views apart (recompute.ts). */
    readonly reshape: { readonly shape: readonly number[]; readonly again?: number }
    readonly permute: { readonly order: readonly number[] }
    readonly slice: { readonly start: readonly number[]; readonly end: readonly number[] }
    readonly broadcast: { readonly shape: readonly number[] }
  }
}

defineOp({
  name: 'reshape',
  kind: 'view',
  infer: ([x], { shape }) => {
    if (sizeOf(shape) !== sizeOf(x.shape) || shape.some(n => !Number.isInteger(n) || n < 1)) {
      throw new UserError(
        `reshape: ${showSpec(x)} has ${sizeOf(x.shape)} elements, ${showShape(shape)} has ${sizeOf(shape)}`,
      )
    }
    return [{ shape, dtype: x.dtype }]
  },
  view: (input, { shape }) => reshapeView(input, shape),
  gradient: ({ inputs: [x], upstream: [dy] }) => [dy?.reshape(x.shape)],
  reference: ([x]) => [x],
})

const permuted = (view: View, order: readonly number[]): View => ({
  ...view,
  shape: order.map(i => view.shape[i]),
  strides: order.map(i => view.strides[i]),
})

defineOp({
  name: 'permute',
  kind: 'view',
  infer: ([x], { order }) => {
    if (order.length !== x.shape.length)
      throw new UserError(`permute: ${showSpec(x)} does not have the axes ${order.join(', ')}`)
    return [{ shape: order.map(i => x.shape[i]), dtype: x.dtype }]
  },
  view: (input, { order }) => permuted(input, order),
  gradient: ({ attributes: { order }, upstream: [dy] }) => [dy?.permute(order.map((_, i) => order.indexOf(i)))],
  reference: ([x], { inputs: [spec] }, { order }) => [readThrough(x, permuted(contiguousView(spec), order))],
})

const sliced = (view: View, { start, end }: OpAttributes['slice']): View => ({
  ...view,
  shape: start.map((from, i) => end[i] - from),
  offset: start.reduce((offset, from, i) => offset + from * view.strides[i], view.offset),
})

defineOp({
  name: 'slice',
  kind: 'view',
  infer: ([x], { start, end }) => {
    const ok =
      start.length === x.shape.length &&
      end.length === x.shape.length &&
      x.shape.every(
        (n, i) =>
          Number.isInteger(start[i]) && Number.isInteger(end[i]) && start[i] >= 0 && start[i] < end[i] && end[i] <= n,
      )
    if (!ok) throw new UserError(`slice: ${showShape(start)} to ${showShape(end)} is not within ${showSpec(x)}`)
    return [{ shape: start.map((from, i) => end[i] - from), dtype: x.dtype }]
  },
  view: (input, attributes) => sliced(input, attributes),
  gradient: ({ inputs: [x], attributes: { start, end }, upstream: [dy] }) => [
    dy?.pad(
      start,
      end.map((to, i) => x.shape[i] - to),
    ),
  ],
  reference: ([x], { inputs: [spec] }, attributes) => [readThrough(x, sliced(contiguousView(spec), attributes))],
})

defineOp({
  name: 'broadcast',
  kind: 'view',
  infer: ([x], { shape }) => {
    if (!sameShape(broadcastShapes('broadcastTo', [x.shape, shape]), shape)) {
      throw new UserError(`broadcastTo: ${showSpec(x)} does not broadcast to ${showShape(shape)}`)
    }
    return [{ shape, dtype: x.dtype }]
  },
  view: (input, { shape }) => broadcastView(input, shape),
  gradient: ({ inputs: [x], upstream: [dy] }) => [dy && sumTo(dy, x.shape)],
  reference: ([x], { inputs: [spec] }, { shape }) => [readThrough(x, broadcastView(contiguousView(spec), shape))],
})
