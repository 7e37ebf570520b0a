// Sorting along an axis, and the first few of the sorted elements. As in PyTorch, NaN counts as the largest number;
// equal elements stay in their order.
import type { SortProblem } from '../../shaders/sort.ts'
import { UserError } from '../errors.ts'
import { defineOp } from '../graph.ts'
import { OnDemand } from '../on-demand.ts'
import { normalizeAxes, showSpec, sizeOf } from '../shape.ts'
import { type Sorted, type Tensor, applyAll, apply, defineMethods } from '../tensor.ts'

const kernels = new OnDemand(() => import('../../shaders/sort.ts'))

declare module '../graph.ts' {
  interface OpAttributes {
    readonly sort: { readonly keep: number; readonly descending: boolean }
  }
}

// Outputs: the first `keep` of each sorted row (the last axis), and their indices, i32.
defineOp({
  name: 'sort',
  kind: 'kernel',
  rounding: 'none',
  infer([x], { keep }) {
    const shape = x.shape.with(-1, keep)
    return [
      { shape, dtype: x.dtype },
      { shape, dtype: 'i32' },
    ]
  },
  gradient({ inputs: [x], outputs: [, indices], upstream: [dy] }) {
    const [axis, length] = [x.rank - 1, x.shape[x.rank - 1]]
    return [dy && apply('scatterAdd', [indices, dy], { axis, length, unique: true }).cast(x.dtype)]
  },
  kernels,
  lower({ inputs: [{ shape, dtype }], attributes: { keep, descending }, choose, traits }) {
    const { sortCandidates, sortLowering } = kernels.module
    const length = shape[shape.length - 1]
    const sizes = { rows: sizeOf(shape) / length, length, keep }
    const problem: SortProblem = { ...sizes, dtype, descending }
    const config = choose({ kernel: 'sort', sizes, options: { dtype } }, sortCandidates(sizes, traits))
    return sortLowering(problem, config, traits)
  },
})

/** The first `keep` elements along an axis, sorted. */
function sorted(op: string, x: Tensor, axis: number, descending: boolean, keep: number | 'all'): Sorted {
  if (x.rank === 0) throw new UserError(`${op}: ${showSpec(x)} has no axis`)
  const [at] = normalizeAxes(op, [axis], x.rank)
  const length = x.shape[at]
  const count = keep === 'all' ? length : keep
  if (!(Number.isInteger(count) && count >= 0 && count <= length))
    throw new UserError(
      `${op}: ${count} elements of axis ${axis} of ${showSpec(x)} were asked for, which has ${length}`,
    )
  const last = at === x.rank - 1 ? x : x.transpose(at, -1)
  const [values, indices] = applyAll('sort', [last], { keep: count, descending })
  return at === x.rank - 1
    ? { values, indices }
    : { values: values.transpose(at, -1), indices: indices.transpose(at, -1) }
}

defineMethods({
  sort(axis = -1, descending = false) {
    return sorted('sort', this, axis, descending, 'all')
  },
  argsort(axis = -1, descending = false) {
    return sorted('argsort', this, axis, descending, 'all').indices
  },
  topK(k, axis = -1, largest = true) {
    return sorted('topK', this, axis, largest, k)
  },
})
