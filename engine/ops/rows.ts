// Shape checks shared by the ops over the last axis.
import { type Spec, isFloat } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { sameShape, showSpec, sizeOf } from '../shape.ts'

/** A shape as [rows, width]: all axes but the last, and the last. */
export function asRows(spec: Spec): { rows: number; width: number } {
  const width = spec.shape[spec.shape.length - 1]
  return { rows: sizeOf(spec.shape) / width, width }
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
