// What the ops over the last axis share: checks of shapes, rows as matrices, and how they are applied to other axes.
import { type Spec, isFloat } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { normalizeAxes, sameShape, showSpec, sizeOf } from '../shape.ts'
import type { Tensor } from '../tensor.ts'

/** A shape as [rows, width]: all axes but the last, and the last. */
export function asRows(spec: Spec): { rows: number; width: number } {
  return { rows: sizeOf(spec.shape.slice(0, -1)), width: spec.shape[spec.shape.length - 1] }
}

/** Throws a UserError unless `spec` holds floats and has at least one axis. */
export function needFloatRows(op: string, name: string, spec: Spec): void {
  if (!isFloat(spec.dtype) || spec.shape.length === 0) {
    throw new UserError(`${op}: ${name} is ${showSpec(spec)}, but f32 or f16 with at least one axis was expected`)
  }
}

/** Throws a UserError unless `spec` has this dtype and shape; `why` explains them. */
export function needSpec(op: string, name: string, spec: Spec | undefined, expected: Spec, why: string): void {
  if (!spec) throw new UserError(`${op}: ${name} is missing`)
  if (spec.dtype !== expected.dtype || !sameShape(spec.shape, expected.shape)) {
    throw new UserError(`${op}: ${name} is ${showSpec(spec)}, but ${showSpec(expected)} was expected (${why})`)
  }
}

/** Throws a UserError unless `spec` has one float for each element of a row of x. */
export function needWidth(op: string, name: string, spec: Spec, x: Spec): void {
  const { width } = asRows(x)
  if (!isFloat(spec.dtype) || spec.shape.length !== 1 || spec.shape[0] !== width) {
    const expected = `floats of shape [${width}] were expected (x is ${showSpec(x)})`
    throw new UserError(`${op}: ${name} is ${showSpec(spec)}, but ${expected}`)
  }
}

/** f32 [rows, width]. */
export function asMatrix(x: Tensor): Tensor {
  const { rows, width } = asRows(x)
  return x.cast('f32').reshape([rows, width])
}

/** [rows, 1], of one number for each row. */
export function column(numbers: Tensor): Tensor {
  return numbers.reshape([numbers.size, 1])
}

/** What `fn` makes of rows along the last axis, along another. Throws a UserError if x does not have that axis. */
export function alongLast(op: string, x: Tensor, axis: number, fn: (x: Tensor) => Tensor): Tensor {
  if (axis === -1) return fn(x)
  const [at] = normalizeAxes(op, [axis], x.rank)
  return at === x.rank - 1 ? fn(x) : fn(x.transpose(at, -1)).transpose(at, -1)
}
