// The same elements in other shapes, as strides if possible. The compiler inserts a copy for readers that can't follow
// them.
import { UserError } from '../errors.ts'
import { defineOp } from '../graph.ts'
import { broadcastShapes, normalizeAxes, sameShape, showShape, showSpec, sizeOf } from '../shape.ts'
import { type Tensor, apply, defineMethods } from '../tensor.ts'
import { broadcastView, contiguousView, diagonalView, flipView, permuteView, reshapeView, sliceView } from '../view.ts'
import { coordinates } from './coordinates.ts'
import { sumTo } from './reduce.ts'

declare module '../graph.ts' {
  interface OpAttributes {
    /** `again` only tells two equal views apart (recompute.ts). */
    readonly reshape: { readonly shape: readonly number[]; readonly again?: number }
    readonly permute: { readonly order: readonly number[] }
    /** Every element where there are no steps. */
    readonly slice: {
      readonly start: readonly number[]
      readonly end: readonly number[]
      readonly step?: readonly number[]
    }
    readonly broadcast: { readonly shape: readonly number[] }
    readonly flip: { readonly axes: readonly number[] }
    readonly diagonal: { readonly a: number; readonly b: number }
  }
}

defineOp({
  name: 'reshape',
  kind: 'view',
  infer: ([x], { shape }) => {
    if (sizeOf(shape) !== sizeOf(x.shape)) {
      const wanted = `${showShape(shape)} has ${sizeOf(shape)}`
      throw new UserError(`reshape: ${showSpec(x)} has ${sizeOf(x.shape)} elements, ${wanted}`)
    }
    return [{ shape, dtype: x.dtype }]
  },
  view: (input, { shape }) => reshapeView(input, shape),
  gradient: ({ inputs: [x], upstream: [dy] }) => [dy?.reshape(x.shape)],
})

defineOp({
  name: 'permute',
  kind: 'view',
  infer: ([x], { order }) => {
    if (order.length !== x.shape.length)
      throw new UserError(`permute: ${showSpec(x)} does not have the axes ${order.join(', ')}`)
    return [{ shape: order.map(i => x.shape[i]), dtype: x.dtype }]
  },
  view: (input, { order }) => permuteView(input, order),
  gradient: ({ attributes: { order }, upstream: [dy] }) => [dy?.permute(order.map((_, i) => order.indexOf(i)))],
})

defineOp({
  name: 'slice',
  kind: 'view',
  infer: ([x], { start, end, step }) => {
    const isWithin = (n: number, i: number): boolean =>
      [start[i], end[i]].every(Number.isInteger) && start[i] >= 0 && start[i] <= end[i] && end[i] <= n
    const rank = x.shape.length
    if (start.length !== rank || end.length !== rank || !x.shape.every(isWithin))
      throw new UserError(`slice: ${showShape(start)} to ${showShape(end)} is not within ${showSpec(x)}`)
    if (step && (step.length !== rank || !step.every(n => Number.isInteger(n) && n >= 1)))
      throw new UserError(`slice: the steps ${showShape(step)} are not positive integers`)
    return [{ shape: sliceView(contiguousView(x), start, end, step).shape, dtype: x.dtype }]
  },
  view: (input, { start, end, step }) => sliceView(input, start, end, step),
  gradient: ({ inputs: [x], attributes: { start, end, step }, upstream: [dy] }) => {
    if (!dy) return []
    const whole = step ? spread(dy, step) : dy
    // What was skipped after the last element may end before or after the slice does.
    const ends = start.map((from, i) => Math.min(from + whole.shape[i], x.shape[i]))
    const own = step
      ? whole.slice(
          [],
          ends.map((to, i) => to - start[i]),
        )
      : whole
    const after = (step ? ends : end).map((to, i) => x.shape[i] - to)
    return [own.pad(start, after)]
  },
})

/** Each element followed by step − 1 zeros along every axis. */
function spread(x: Tensor, step: readonly number[]): Tensor {
  const apart = x.shape.flatMap(n => [n, 1])
  const after = step.flatMap(n => [0, n - 1])
  return x
    .reshape(apart)
    .pad(
      after.map(() => 0),
      after,
    )
    .reshape(x.shape.map((n, i) => n * step[i]))
}

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
})

defineOp({
  name: 'flip',
  kind: 'view',
  infer: ([x]) => [x],
  view: (input, { axes }) => flipView(input, axes),
  gradient: ({ attributes: { axes }, upstream: [dy] }) => [dy?.flip(axes)],
})

// The diagonal of two axes of equal length, as the last axis.
defineOp({
  name: 'diagonal',
  kind: 'view',
  infer: ([x], { a, b }) => {
    if (x.shape[a] !== x.shape[b]) throw new UserError(`diagonal: axes ${a} and ${b} of ${showSpec(x)} differ`)
    return [{ shape: diagonalView(contiguousView(x), a, b).shape, dtype: x.dtype }]
  },
  view: (input, { a, b }) => diagonalView(input, a, b),
  gradient: ({ inputs: [x], attributes: { a, b }, upstream: [dy] }) => {
    if (!dy) return []
    // Back on axis `a`, repeated along `b`.
    const others = x.shape.map((_, i) => i).filter(i => i !== a && i !== b)
    const order = x.shape.map((_, i) => (i === a ? x.rank - 2 : i === b ? x.rank - 1 : others.indexOf(i)))
    const isOnDiagonal = coordinates(x.shape, a).equal(coordinates(x.shape, b))
    return [isOnDiagonal.where(dy.expandDims(-1).permute(order), 0)]
  },
})

defineMethods({
  flip(axes) {
    const all = this.shape.map((_, i) => i)
    const flipped = normalizeAxes(
      'flip',
      axes === undefined ? all : typeof axes === 'number' ? [axes] : axes,
      this.rank,
    )
    return apply('flip', [this], { axes: flipped.sort((i, j) => i - j) })
  },
  diagonal(offset = 0, a = 0, b = 1) {
    const [i, j] = normalizeAxes('diagonal', [a, b], this.rank)
    const [rowsSkipped, columnsSkipped] = [Math.max(-offset, 0), Math.max(offset, 0)]
    if (!Number.isInteger(offset)) throw new UserError(`diagonal: the offset ${offset} is not an integer`)
    // Nothing past the corners.
    const length = Math.max(0, Math.min(this.shape[i] - rowsSkipped, this.shape[j] - columnsSkipped))
    const from = (skipped: number): number => (length > 0 ? skipped : 0)
    const square = this.narrow(i, from(rowsSkipped), length).narrow(j, from(columnsSkipped), length)
    return apply('diagonal', [square], { a: i, b: j })
  },
})
