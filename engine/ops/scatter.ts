// Gathering, scattering and taking along an axis, by i32 indices. An index outside of the axis gathers 0, has no
// gradient and scatters nothing.
import type { AlongProblem } from '../../shaders/scatter.ts'
import { type Spec, isFloat } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { defineOp } from '../graph.ts'
import { OnDemand } from '../on-demand.ts'
import { normalizeAxes, sameShape, showSpec, sizeOf } from '../shape.ts'
import { type Tensor, apply, defineMethods, needTensors, scalar } from '../tensor.ts'
import { coordinates } from './coordinates.ts'
import { filled, full } from './source.ts'

declare module '../graph.ts' {
  interface OpAttributes {
    readonly gatherAlong: { readonly axis: number }
    /** `unique`: no two indices of a line are equal. */
    readonly scatterAdd: { readonly axis: number; readonly length: number; readonly unique: boolean }
    readonly scatterMax: { readonly axis: number }
  }
}

const kernels = new OnDemand(() => import('../../shaders/scatter.ts'))

function needIndex(op: string, index: Spec): void {
  if (index.dtype !== 'i32') throw new UserError(`${op}: the index is ${showSpec(index)}, but i32 was expected`)
}

/** Throws a UserError unless the shapes are the same but for an axis. */
function needAlike(op: string, x: Spec, index: Spec, axis: number): void {
  if (!sameShape(x.shape.toSpliced(axis, 1), index.shape.toSpliced(axis, 1)) || x.shape.length !== index.shape.length)
    throw new UserError(`${op} along axis ${axis}: the index ${showSpec(index)} does not fit ${showSpec(x)}`)
}

/** The sizes of an index, into an axis of this length. */
export function problemOf({ shape }: Spec, axis: number, length: number, { dtype }: Spec): AlongProblem {
  return {
    outer: sizeOf(shape.slice(0, axis)),
    length,
    count: shape[axis],
    inner: sizeOf(shape.slice(axis + 1)),
    dtype,
  }
}

// x[…, index[…, j, …], …] for each j of the axis: the index's shape.
defineOp({
  name: 'gatherAlong',
  kind: 'kernel',
  rounding: 'none',
  infer([x, index], { axis }) {
    needIndex('gather', index)
    needAlike('gather', x, index, axis)
    return [{ shape: index.shape, dtype: x.dtype }]
  },
  gradient({ inputs: [x, index], upstream: [dy], attributes: { axis } }) {
    return [dy && apply('scatterAdd', [index, dy], { axis, length: x.shape[axis], unique: false }).cast(x.dtype)]
  },
  ofNothing: filled(0),
  kernels,
  lower({ inputs: [x, index], attributes: { axis }, traits }) {
    return { launches: [kernels.module.gatherAlongLaunch(problemOf(index, axis, x.shape[axis], x), traits)] }
  },
})

// Sums of a source [index.shape] over equal indices, f32 of floats: the index's shape with `length` along the axis.
defineOp({
  name: 'scatterAdd',
  kind: 'kernel',
  infer([index, source], { axis, length }) {
    needIndex('scatterAdd', index)
    if (!sameShape(source.shape, index.shape))
      throw new UserError(`scatterAdd: the source is ${showSpec(source)}, but the index is ${showSpec(index)}`)
    return [{ shape: index.shape.with(axis, length), dtype: isFloat(source.dtype) ? 'f32' : source.dtype }]
  },
  gradient: ({ inputs: [index, source], upstream: [u], attributes: { axis } }) => [
    undefined,
    u && apply('gatherAlong', [u, index], { axis }).cast(source.dtype),
  ],
  ofNothing: filled(0),
  kernels,
  lower({ inputs: [index, source], attributes: { axis, length, unique }, choose, traits }) {
    const { scatterAddCandidates, scatterAddLowering } = kernels.module
    const problem = problemOf(index, axis, length, source)
    const { dtype, ...sizes } = problem
    const question = { kernel: 'scatterAdd', sizes, options: { dtype, unique } }
    return scatterAddLowering(problem, choose(question, scatterAddCandidates(problem, unique, traits)), traits)
  },
})

// The largest of x and of the source's elements whose index names it. The index and the source have one shape.
defineOp({
  name: 'scatterMax',
  kind: 'kernel',
  rounding: 'none',
  infer([x, index, source], { axis }) {
    needIndex('scatterMax', index)
    needAlike('scatterMax', x, index, axis)
    if (!sameShape(source.shape, index.shape) || source.dtype !== x.dtype)
      throw new UserError(`scatterMax: the source is ${showSpec(source)}, but the index is ${showSpec(index)}`)
    return [x]
  },
  // Equal extremes share the gradient evenly, as in PyTorch; if the extreme is NaN, all NaN elements do.
  gradient({ inputs: [x, index, source], outputs: [y], upstream: [dy], attributes: { axis } }) {
    if (!dy) return []
    const hit = (a: Tensor, largest: Tensor): Tensor => largest.isNaN().where(a.isNaN(), a.equal(largest)).cast('f32')
    const isInside = index.cast('u32').less(x.shape[axis])
    const xHit = hit(x, y)
    const sourceHit = isInside.where(hit(source, apply('gatherAlong', [y, index], { axis })), 0)
    const hits = apply('scatterAdd', [index, sourceHit], { axis, length: x.shape[axis], unique: false }).add(xHit)
    const share = dy.div(hits)
    return [
      share.mul(xHit).cast(x.dtype),
      undefined,
      apply('gatherAlong', [share, index], { axis }).mul(sourceHit).cast(source.dtype),
    ]
  },
  ofNothing: ({ inputs: [x] }) => [x],
  kernels,
  lower({ inputs: [x, index], attributes: { axis }, traits }) {
    return kernels.module.scatterMaxLowering(problemOf(index, axis, x.shape[axis], x), traits)
  },
})

/**
 * Index and source as wide as x on the other axes: the source's elements without an index are left out, elements of x
 * without one get an index that names nothing.
 */
function widened(op: string, x: Tensor, axis: number, index: Tensor, source: Tensor): [Tensor, Tensor] {
  needTensors(op, { index, source })
  needIndex(op, index)
  const fits = (at: number): boolean =>
    index.shape[at] <= source.shape[at] && (at === axis || index.shape[at] <= x.shape[at])
  if (index.rank !== x.rank || source.rank !== x.rank || !x.shape.every((_, at) => fits(at))) {
    const shown = `the index ${showSpec(index)} and the source ${showSpec(source)}`
    throw new UserError(`${op} along axis ${axis}: ${shown} do not fit ${showSpec(x)}`)
  }
  if (source.dtype !== x.dtype) throw new UserError(`${op}: the source is ${showSpec(source)}, but x is ${showSpec(x)}`)
  const own = sameShape(source.shape, index.shape) ? source : source.slice([], index.shape)
  const after = x.shape.map((n, at) => (at === axis ? 0 : n - index.shape[at]))
  if (after.every(n => n === 0)) return [index, own]
  const before = after.map(() => 0)
  return [index.pad(before, after, -1), own.pad(before, after)]
}

defineMethods({
  gather(first: Tensor | number, index?: Tensor) {
    if (typeof first !== 'number') return this.take(first)
    if (!index) throw new UserError('gather: an axis was given, but no index')
    const [axis] = normalizeAxes('gather', [first], this.rank)
    if (index.rank !== this.rank || !this.shape.every((n, at) => at === axis || index.shape[at] <= n))
      throw new UserError(`gather along axis ${first}: the index ${showSpec(index)} does not fit ${showSpec(this)}`)
    const ends = index.shape.with(axis, this.shape[axis])
    return apply('gatherAlong', [sameShape(ends, this.shape) ? this : this.slice([], ends), index], { axis })
  },
  scatterAdd(axis, index, source) {
    const [at] = normalizeAxes('scatterAdd', [axis], this.rank)
    const [ids, own] = widened('scatterAdd', this, at, index, source)
    const sums = apply('scatterAdd', [ids, own], { axis: at, length: this.shape[at], unique: false })
    return this.add(sums).cast(this.dtype)
  },
  scatterMax(axis, index, source) {
    const [at] = normalizeAxes('scatterMax', [axis], this.rank)
    const [ids, own] = widened('scatterMax', this, at, index, source)
    return apply('scatterMax', [this, ids, own], { axis: at })
  },
  scatter(axis, index, source) {
    const [at] = normalizeAxes('scatter', [axis], this.rank)
    const [ids, own] = widened('scatter', this, at, index, source)
    // Of the elements for one place the last: the largest of their own indices.
    const last = apply('scatterMax', [full(this.shape, -1, 'i32'), ids, coordinates(ids.shape, at)], { axis: at })
    return last.less(0).where(this, apply('gatherAlong', [own, last], { axis: at }))
  },
  take(ids, axis = 0) {
    const [at] = normalizeAxes('take', [axis], this.rank)
    const length = this.shape[at]
    const [before, after] = [this.shape.slice(0, at), this.shape.slice(at + 1)]
    const [outer, inner] = [sizeOf(before), sizeOf(after)]
    const table = this.reshape([outer * length, inner])
    if (outer === 1) return apply('gather', [table, ids]).reshape([...before, ...ids.shape, ...after])
    needIndex('take', ids)
    // Rows of the flattened table; an id outside of the axis must not name a row of the next slab.
    const flat = ids.reshape([ids.size])
    const rows = coordinates([outer, ids.size], 0).mul(length).add(flat)
    const known = flat.cast('u32').less(length).where(rows, scalar(-1, 'i32'))
    return apply('gather', [table, known]).reshape([...before, ...ids.shape, ...after])
  },
})
