// Parts, repetitions and reorderings of tensors, composed of views and concat: nothing here has a kernel.
import { UserError } from '../errors.ts'
import { needArray } from '../options.ts'
import { normalizeAxes, showShape, showSpec } from '../shape.ts'
import { type Axes, type Tensor, defineMethods, needTensorList } from '../tensor.ts'
import { concat } from './concat.ts'

const isCount = (n: number, least = 0): boolean => Number.isInteger(n) && n >= least
const listOf = (axes: Axes): readonly number[] => (typeof axes === 'number' ? [axes] : axes)

/**
 * Tensors of equal shape side by side along a new axis, which becomes axis `axis` of the result. Throws a UserError on
 * shapes or dtypes that differ, and without tensors.
 */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  needTensorList('stack', tensors)
  const [first] = tensors
  if (!first) throw new UserError('stack: no tensors to join')
  const [at] = normalizeAxes('stack', [axis], first.rank + 1)
  const odd = tensors.find(t => showSpec(t) !== showSpec(first))
  if (odd) throw new UserError(`stack: ${showSpec(odd)} does not fit beside ${showSpec(first)}`)
  return concat(
    tensors.map(t => t.expandDims(at)),
    at,
  )
}

defineMethods({
  squeeze(axes) {
    const named = axes === undefined ? undefined : normalizeAxes('squeeze', listOf(axes), this.rank)
    const long = named?.find(axis => this.shape[axis] !== 1)
    if (long !== undefined) throw new UserError(`squeeze: axis ${long} of ${showSpec(this)} is not of length 1`)
    return this.reshape(this.shape.filter((n, axis) => (named ? !named.includes(axis) : n !== 1)))
  },
  expandDims(axis) {
    const [at] = normalizeAxes('expandDims', [axis], this.rank + 1)
    return this.reshape(this.shape.toSpliced(at, 0, 1))
  },
  flatten(first = 0, last = -1) {
    if (this.rank === 0) return this.reshape([1])
    const [from] = normalizeAxes('flatten', [first], this.rank)
    const [to] = normalizeAxes('flatten', [last], this.rank)
    if (from > to) throw new UserError(`flatten: axis ${first} of ${showSpec(this)} is after axis ${last}`)
    const length = this.shape.slice(from, to + 1).reduce((a, b) => a * b, 1)
    return this.reshape(this.shape.toSpliced(from, to + 1 - from, length))
  },
  narrow(axis, start, length) {
    const [at] = normalizeAxes('narrow', [axis], this.rank)
    const n = this.shape[at]
    const from = start < 0 ? start + n : start
    if (!Number.isInteger(from) || from < 0 || !isCount(length) || from + length > n) {
      throw new UserError(
        `narrow: ${length} elements from ${start} on are not within axis ${axis} of ${showSpec(this)}`,
      )
    }
    return this.slice(
      this.shape.map((_, i) => (i === at ? from : 0)),
      this.shape.with(at, from + length),
    )
  },
  split(lengths, axis = 0) {
    const [at] = normalizeAxes('split', [axis], this.rank)
    const n = this.shape[at]
    if (typeof lengths === 'number' && !isCount(lengths, 1))
      throw new UserError(`split: parts of ${lengths} elements were asked for, but a positive integer was expected`)
    const list =
      typeof lengths === 'number'
        ? Array.from({ length: Math.max(Math.ceil(n / lengths), 1) }, (_, i) => Math.min(lengths, n - i * lengths))
        : lengths
    needArray('split', list)
    const sum = list.reduce((a, b) => a + b, 0)
    if (sum !== n)
      throw new UserError(`split: parts of ${list.join(', ')} do not fill axis ${axis} of ${showSpec(this)}`)
    return list.map((length, i) => this.narrow(at, sumOf(list.slice(0, i)), length))
  },
  chunk(count, axis = 0) {
    const [at] = normalizeAxes('chunk', [axis], this.rank)
    if (!isCount(count, 1))
      throw new UserError(`chunk: ${count} parts were asked for, but a positive integer was expected`)
    const n = this.shape[at]
    return this.split(n > 0 ? Math.ceil(n / count) : new Array<number>(count).fill(0), at)
  },
  roll(shifts, axes) {
    if (axes === undefined) return this.reshape([this.size]).roll(shifts, 0).reshape(this.shape)
    const by = listOf(shifts)
    needArray('roll', by)
    const along = normalizeAxes('roll', listOf(axes), this.rank)
    if (by.length !== along.length || !by.every(Number.isInteger))
      throw new UserError(`roll: shifts ${by.join(', ')} are not one integer for each of axes ${along.join(', ')}`)
    return along.reduce((x: Tensor, axis, i) => rolled(x, by[i], axis), this)
  },
  tile(repeats) {
    needArray('tile', repeats)
    const rank = Math.max(this.rank, repeats.length)
    const filled = (of: readonly number[]): number[] => [...new Array<number>(rank - of.length).fill(1), ...of]
    const [shape, times] = [filled(this.shape), filled(repeats)]
    if (!times.every(n => isCount(n))) throw new UserError(`tile: ${showShape(repeats)} are not 0 or positive integers`)
    return this.reshape(shape.flatMap(n => [1, n]))
      .broadcastTo(shape.flatMap((n, i) => [times[i], n]))
      .reshape(shape.map((n, i) => n * times[i]))
  },
  repeat(repeats) {
    needArray('repeat', repeats)
    if (repeats.length < this.rank)
      throw new UserError(`repeat: ${showShape(repeats)} has fewer entries than ${showSpec(this)} has axes`)
    return this.tile(repeats)
  },
  repeatInterleave(count, axis) {
    if (axis === undefined) return this.reshape([this.size]).repeatInterleave(count, 0)
    const [at] = normalizeAxes('repeatInterleave', [axis], this.rank)
    if (!isCount(count)) throw new UserError(`repeatInterleave: ${count} is neither 0 nor a positive integer`)
    const n = this.shape[at]
    return this.expandDims(at + 1)
      .broadcastTo(this.shape.toSpliced(at + 1, 0, count))
      .reshape(this.shape.with(at, n * count))
  },
})

const sumOf = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

/** Moved by `shift` along one axis; what passes its end comes back at its start. */
function rolled(x: Tensor, shift: number, axis: number): Tensor {
  const n = x.shape[axis]
  const last = n > 0 ? ((shift % n) + n) % n : 0
  return last === 0 ? x : concat([x.narrow(axis, n - last, last), x.narrow(axis, 0, n - last)], axis)
}
