// Sums, products, maxima and minima over axes, and the places of these. The ops keep reduced axes with length 1; `Tensor`
// drops them by default.
import { UserError } from '../errors.ts'
import { type GradientContext, type ReduceOp, defineOp } from '../graph.ts'
import { isEmpty, sameShape, showSpec, sizeOf } from '../shape.ts'
import type { Tensor } from '../tensor.ts'
import { filled } from './source.ts'

type Axes = { readonly axes: readonly number[] }
type Fold = ReduceOp['fold']
type Place = 'argmax' | 'argmin'

declare module '../graph.ts' {
  interface OpAttributes extends Record<Fold, Axes> {}
}

const isPlace = (fold: Fold): fold is Place => fold === 'argmax' || fold === 'argmin'

/** The result for no elements; the others have none. */
const identities: Partial<Record<Fold, number>> = { sum: 0, prod: 1 }

function reduction(fold: Fold, gradient?: (context: GradientContext<Axes>) => (Tensor | undefined)[]): void {
  const identity = identities[fold]
  defineOp({
    name: fold,
    kind: 'reduce',
    fold,
    axes: ({ axes }) => axes,
    rounding: fold === 'sum' || fold === 'prod' ? undefined : 'none',
    infer: ([x], { axes }) => {
      if (axes.some(axis => axis >= x.shape.length))
        throw new UserError(`${fold}: ${showSpec(x)} has no axis ${axes.join(', ')}`)
      const shape = x.shape.map((n, i) => (axes.includes(i) ? 1 : n))
      if (identity === undefined && isEmpty(x) && !isEmpty({ shape }))
        throw new UserError(`${fold}: ${showSpec(x)} has no elements along axes ${axes.join(', ')}`)
      return [{ shape, dtype: isPlace(fold) ? 'i32' : x.dtype }]
    },
    gradient,
    ofNothing: identity === undefined ? undefined : filled(identity),
  })
}

reduction('sum', ({ inputs: [x], upstream: [dy] }) => [dy?.broadcastTo(x.shape)])

// Each element's share is the product of those before it and those after it, so that zeros are numbers like others.
reduction('prod', ({ inputs: [x], attributes: { axes }, upstream: [dy] }) => {
  if (!dy) return []
  const kept = x.shape.flatMap((_, i) => (axes.includes(i) ? [] : [i]))
  const order = [...kept, ...axes]
  const rows = x.permute(order).reshape([-1, sizeOf(axes.map(axis => x.shape[axis]))])
  const others = rows.cumprod(1, { exclusive: true }).mul(rows.cumprod(1, { exclusive: true, reverse: true }))
  const back = order.map((_, axis) => order.indexOf(axis))
  return [
    others
      .reshape(order.map(axis => x.shape[axis]))
      .permute(back)
      .mul(dy),
  ]
})

// Equal extremes share the gradient evenly, as in PyTorch; if the extreme is NaN, all NaN elements do.
for (const fold of ['max', 'min'] as const) {
  reduction(fold, ({ inputs: [x], outputs: [y], attributes, upstream: [dy] }) => {
    if (!dy) return [undefined]
    const hit = x.isNaN().where(1, x.equal(y).where(1, 0))
    return [hit.mul(dy.div(hit.sum(attributes.axes, true))).cast(x.dtype)]
  })
}

for (const fold of ['argmax', 'argmin'] as const) reduction(fold)

/** Undoes broadcasting: sums `t` over the axes along which `shape` was repeated. */
export function sumTo(t: Tensor, shape: readonly number[]): Tensor {
  if (sameShape(t.shape, shape)) return t
  const lead = t.shape.length - shape.length
  const axes = t.shape.map((_, i) => i).filter(i => i < lead || (shape[i - lead] === 1 && t.shape[i] !== 1))
  return t.sum(axes, true).reshape(shape)
}
