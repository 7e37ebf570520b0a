// Running sums and products along an axis, and first-order recurrences, which are also the gradients of products.
import type { Lowering, Spec } from '../../shaders/kernel.ts'
import { isFloat } from '../../shaders/kernel.ts'
import type { ScanKernel } from '../../shaders/scan.ts'
import { UserError } from '../errors.ts'
import { type LoweringContext, defineOp } from '../graph.ts'
import { OnDemand } from '../on-demand.ts'
import { needOptions } from '../options.ts'
import { normalizeAxes, showSpec, sizeOf } from '../shape.ts'
import { type ScanOptions, type Tensor, apply, defineMethods, needTensors } from '../tensor.ts'
import { needSpec } from './rows.ts'
import { zeros } from './source.ts'

const kernels = new OnDemand(() => import('../../shaders/scan.ts'))

type ScanAttributes = {
  readonly axis: number
  /** Each result is that of the elements before its own. */
  readonly exclusive: boolean
  /** From the end of the axis to its start. */
  readonly reverse: boolean
}

declare module '../graph.ts' {
  interface OpAttributes extends Record<ScanKernel, ScanAttributes> {}
}

/** Throws a UserError unless `x` has the axis. */
function needAxis(name: string, x: Spec, axis: number): void {
  if (!(axis >= 0 && axis < x.shape.length)) throw new UserError(`${name}: ${showSpec(x)} has no axis ${axis}`)
}

/** A shape as [outer, length, inner]: the axes before the scanned one, itself, and those after. */
export function sizesOf({ shape }: Spec, axis: number): { outer: number; length: number; inner: number } {
  return { outer: sizeOf(shape.slice(0, axis)), length: shape[axis], inner: sizeOf(shape.slice(axis + 1)) }
}

function lower(
  kernel: ScanKernel,
  { inputs: [x], attributes, choose, traits }: LoweringContext<ScanAttributes>,
): Lowering {
  const { scanCandidates, scanLowering } = kernels.module
  const { axis, exclusive, reverse } = attributes
  const sizes = sizesOf(x, axis)
  const problem = { kernel, ...sizes, dtype: x.dtype, exclusive, reverse }
  const question = { kernel, sizes, options: { dtype: x.dtype, exclusive, reverse } }
  return scanLowering(problem, choose(question, scanCandidates(problem, traits)), traits)
}

/** The elements one place further along the axis (`by` 1) or back (−1), zeros where there are none. */
function shifted(x: Tensor, axis: number, by: 1 | -1): Tensor {
  const length = x.shape[axis]
  if (length === 1) return zeros(x.shape, x.dtype)
  const along = (number: number): number[] => x.shape.map((_, i) => (i === axis ? number : 0))
  const kept = x.shape.map((n, i) => (i === axis ? length - (by === 1 ? 1 : 0) : n))
  const [before, after] = by === 1 ? [1, 0] : [0, 1]
  return x.slice(along(by === 1 ? 0 : 1), kept).pad(along(before), along(after))
}

defineOp({
  name: 'cumsum',
  kind: 'kernel',
  infer([x], { axis }) {
    needAxis('cumsum', x, axis)
    return [x]
  },
  gradient: ({ attributes, upstream: [dy] }) => [
    dy && apply('cumsum', [dy], { ...attributes, reverse: !attributes.reverse }),
  ],
  kernels,
  lower: context => lower('cumsum', context),
})

// With the products P before each element, dx = P∘S, where S sums what later results make of an element: S = dy + x'∘S'
// of the next element. So nothing is divided by, and zeros are numbers like others.
defineOp({
  name: 'cumprod',
  kind: 'kernel',
  infer([x], { axis }) {
    needAxis('cumprod', x, axis)
    return [x]
  },
  gradient({ inputs: [x], attributes, upstream: [dy] }) {
    if (!dy) return []
    const { axis, exclusive, reverse } = attributes
    const next = (t: Tensor): Tensor => shifted(t, axis, reverse ? 1 : -1)
    const before = apply('cumprod', [x], { axis, exclusive: true, reverse })
    const later = apply('linearScan', [next(x), exclusive ? next(dy) : dy], {
      axis,
      exclusive: false,
      reverse: !reverse,
    })
    return [before.mul(later)]
  },
  kernels,
  lower: context => lower('cumprod', context),
})

// y = a∘y' + b of the element before: db is the scan of dy in the other direction, da = db∘y'.
defineOp({
  name: 'linearScan',
  kind: 'kernel',
  infer([a, b], { axis }) {
    needAxis('linearScan', a, axis)
    if (!isFloat(a.dtype)) throw new UserError(`linearScan takes floats, not ${showSpec(a)}`)
    needSpec('linearScan', 'b', b, a, `as a is ${showSpec(a)}`)
    return [a]
  },
  gradient({ inputs: [a], outputs: [y], attributes, upstream: [dy], needs }) {
    if (!dy) return []
    const { axis, exclusive, reverse } = attributes
    const next = (t: Tensor): Tensor => shifted(t, axis, reverse ? 1 : -1)
    const db = apply('linearScan', [next(a), exclusive ? next(dy) : dy], { axis, exclusive: false, reverse: !reverse })
    if (!needs[0]) return [undefined, db]
    const before = exclusive ? y : shifted(y, axis, reverse ? -1 : 1)
    return [db.mul(before), needs[1] ? db : undefined]
  },
  kernels,
  lower: context => lower('linearScan', context),
})

function running(name: 'cumsum' | 'cumprod', x: Tensor, axis: number, options: ScanOptions = {}): Tensor {
  needOptions(name, options, 'exclusive', 'reverse')
  const { exclusive = false, reverse = false } = options
  const [at] = normalizeAxes(name, [axis], x.rank)
  return apply(name, [x], { axis: at, exclusive, reverse })
}

defineMethods({
  cumsum(axis, options) {
    return running('cumsum', this, axis, options)
  },
  cumprod(axis, options) {
    return running('cumprod', this, axis, options)
  },
})

/**
 * The recurrence y_i = a_i·y_{i−1} + b_i along an axis, from y_{−1} = 0 on: running means, discounted sums, linear state
 * spaces. `a` and `b` are floats of one shape and dtype, and so is the result. `reverse` begins at the end of the axis.
 * Many steps are joined at once (Blelloch 1990), so products of factors that overflow or vanish on the way may be
 * infinite or 0. Throws a UserError on other shapes and dtypes, and on an axis that does not exist.
 */
export function linearScan(a: Tensor, b: Tensor, axis: number, options: { readonly reverse?: boolean } = {}): Tensor {
  needTensors('linearScan', { a, b })
  needOptions('linearScan', options, 'reverse')
  const [at] = normalizeAxes('linearScan', [axis], a.rank)
  return apply('linearScan', [a, b], { axis: at, exclusive: false, reverse: options.reverse ?? false })
}
