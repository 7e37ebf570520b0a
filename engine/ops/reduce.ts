// Sums, maxima and minima over axes. The ops keep reduced axes with length 1; `Tensor` drops them by default.
import { UserError } from '../errors.ts'
import { type GradientContext, type ReduceOp, defineOp } from '../graph.ts'
import { sameShape, showSpec, sizeOf } from '../shape.ts'
import { type Tensor } from '../tensor.ts'
import { broadcastView, contiguousView, offsetsOf } from '../view.ts'

type Axes = { readonly axes: readonly number[] }
type Fold = ReduceOp['fold']

/** A maximum or minimum is NaN if any element is. */
const folds: Record<Fold, { start: number; step: (total: number, value: number) => number }> = {
  sum: { start: 0, step: (total, value) => total + value },
  max: { start: -Infinity, step: Math.max },
  min: { start: Infinity, step: Math.min },
}

declare module '../graph.ts' {
  interface OpAttributes extends Record<Fold, Axes> {}
}

function reduction(fold: Fold, gradient: (context: GradientContext<Axes>) => (Tensor | undefined)[]): void {
  defineOp({
    name: fold,
    kind: 'reduce',
    fold,
    axes: ({ axes }) => axes,
    rounding: fold === 'sum' ? undefined : 'none',
    infer: ([x], { axes }) => {
      if (axes.some(axis => axis >= x.shape.length))
        throw new UserError(`${fold}: ${showSpec(x)} has no axis ${axes.join(', ')}`)
      return [{ shape: x.shape.map((n, i) => (axes.includes(i) ? 1 : n)), dtype: x.dtype }]
    },
    gradient,
    reference: ([x], { inputs: [spec], outputs: [out] }) => {
      const { start, step } = folds[fold]
      const result = new Float64Array(sizeOf(out.shape)).fill(start)
      offsetsOf(broadcastView(contiguousView(out), spec.shape)).forEach((at, i) => {
        result[at] = step(result[at], x[i])
      })
      return [out.dtype === 'i32' ? result.map(n => n | 0) : out.dtype === 'u32' ? result.map(n => n >>> 0) : result]
    },
  })
}

reduction('sum', ({ inputs: [x], upstream: [dy] }) => [dy?.broadcastTo(x.shape)])

// Equal extremes share the gradient evenly, as in PyTorch; if the extreme is NaN, all NaN elements do.
for (const fold of ['max', 'min'] as const) {
  reduction(fold, ({ inputs: [x], outputs: [y], attributes, upstream: [dy] }) => {
    if (!dy) return [undefined]
    const hit = x.isNaN().where(1, x.equal(y).where(1, 0))
    return [hit.mul(dy.div(hit.sum(attributes.axes, true))).cast(x.dtype)]
  })
}

/** Undoes broadcasting: sums `t` over the axes along which `shape` was repeated. */
export function sumTo(t: Tensor, shape: readonly number[]): Tensor {
  if (sameShape(t.shape, shape)) return t
  const lead = t.shape.length - shape.length
  const axes = t.shape.map((_, i) => i).filter(i => i < lead || (shape[i - lead] === 1 && t.shape[i] !== 1))
  return t.sum(axes, true).reshape(shape)
}
