// Ops that depend on where an element is: the coordinates of a tensor's elements, and triangles of matrices. Both are
// functions of an element's number, so that they are part of any kernel that needs them and take no memory.
import type { DType } from '../../shaders/kernel.ts'
import { computed } from '../../shaders/wgsl.ts'
import { UserError } from '../errors.ts'
import { defineOp } from '../graph.ts'
import { normalizeAxes, showSpec, sizeOf } from '../shape.ts'
import { type Tensor, apply, defineMethods, needTensors, scalar } from '../tensor.ts'
import { ones } from './source.ts'

declare module '../graph.ts' {
  interface OpAttributes {
    readonly coordinates: { readonly shape: readonly number[]; readonly axis: number }
    readonly triangle: {
      readonly rows: number
      readonly columns: number
      readonly diagonal: number
      readonly upper: boolean
    }
  }
}

defineOp({
  name: 'coordinates',
  kind: 'elementwise',
  rounding: 'none',
  infer: (_, { shape }) => [{ shape, dtype: 'i32' }],
  uniforms: ({ shape, axis }) => [
    { type: 'u32', value: sizeOf(shape.slice(axis + 1)) },
    { type: 'u32', value: shape[axis] },
  ],
  wgsl: (_, { index, uniforms: [inner, length] }) => `i32(${index} / ${inner} % ${length})`,
  scalar: (_args, { shape, axis }, index) => Math.floor(index / sizeOf(shape.slice(axis + 1))) % shape[axis],
})

/** i32 of this shape: each element is its own index along an axis. Throws a UserError on an axis that does not exist. */
export function coordinates(shape: readonly number[], axis: number): Tensor {
  const [at] = normalizeAxes('coordinates', [axis], shape.length)
  return apply('coordinates', [], { shape, axis: at })
}

defineOp({
  name: 'triangle',
  kind: 'elementwise',
  rounding: 'none',
  infer: ([x]) => [x],
  uniforms: ({ rows, columns, diagonal }) => [
    { type: 'u32', value: rows },
    { type: 'u32', value: columns },
    { type: 'i32', value: diagonal },
  ],
  wgsl: ([x], { attributes: { upper }, output, index, uniforms: [rows, columns, diagonal] }) => {
    const [row, column] = [`i32(${index} / ${columns} % ${rows})`, `i32(${index} % ${columns})`]
    return `select(${computed(output)}(0), ${x}, ${column} - ${row} ${upper ? '>=' : '<='} ${diagonal})`
  },
  scalar: ([x], { rows, columns, diagonal, upper }, index) => {
    const distance = (index % columns) - (Math.floor(index / columns) % rows)
    return (upper ? distance >= diagonal : distance <= diagonal) ? x : 0
  },
  gradient: ({ attributes, upstream: [dy] }) => [dy && apply('triangle', [dy], attributes)],
})

function triangle(name: string, x: Tensor, diagonal: number, upper: boolean): Tensor {
  if (x.rank < 2) throw new UserError(`${name}: ${showSpec(x)} is not a matrix`)
  if (!Number.isInteger(diagonal) || Math.abs(diagonal) >= 2 ** 31)
    throw new UserError(`${name}: the diagonal is ${diagonal}, but a 32-bit integer was expected`)
  const [rows, columns] = x.shape.slice(-2)
  return apply('triangle', [x], { rows, columns, diagonal, upper })
}

defineMethods({
  tril(diagonal = 0) {
    return triangle('tril', this, diagonal, false)
  },
  triu(diagonal = 0) {
    return triangle('triu', this, diagonal, true)
  },
})

/** Ones on the main diagonal and zeros elsewhere, [rows, columns]; square by default. */
export function eye(rows: number, columns = rows, dtype: DType = 'f32'): Tensor {
  return ones([rows, columns], dtype).tril().triu()
}

/**
 * `count` evenly spaced numbers from `start` to `end`, both included, f32 [count]. Computed from the nearer end, as in
 * PyTorch. Throws a UserError on a count that is not an integer of at least 0.
 */
export function linspace(start: number, end: number, count: number): Tensor {
  const step = count > 1 ? (end - start) / (count - 1) : 0
  const at = coordinates([count], 0)
  const distance = scalar(count - 1, 'i32').sub(at)
  return at
    .less(Math.max(1, Math.floor(count / 2)))
    .where(at.cast('f32').mul(step).add(start), scalar(end).sub(distance.cast('f32').mul(step)))
}

/**
 * [...ids.shape, classes]: 1 where the class is the id (i32 or u32), else 0; a row of zeros for an id that is not a
 * class.
 */
export function oneHot(ids: Tensor, classes: number, dtype: DType = 'f32'): Tensor {
  needTensors('oneHot', { ids })
  if (ids.dtype !== 'i32' && ids.dtype !== 'u32') throw new UserError(`oneHot: ids are ${showSpec(ids)}, not integers`)
  const own = coordinates([...ids.shape, classes], -1)
  return ids
    .expandDims(-1)
    .equal(ids.dtype === 'i32' ? own : own.cast('u32'))
    .cast(dtype)
}
