// Shape checks that the ops over the last axis share.
import type { Spec } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { sameShape, showSpec, sizeOf } from '../shape.ts'

/** A tensor read as [rows, width]: the last axis, and all others as one. */
export function asRows(spec: Spec): { rows: number; width: number } {
  const width = spec.shape[spec.shape.length - 1]
  return { rows: sizeOf(spec.shape) / width, width }
}

/** Throws unless `spec` holds floats and has a last axis. */
export function needFloatRows(op: string, name: string, spec: Spec): void {
  if ((spec.dtype !== 'f32' && spec.dtype !== 'f16') || spec.shape.length === 0) {
    throw new UserError(`${op}: ${name} is ${showSpec(spec)}, but f32 or f16 with at least one axis was expected`)
  }
}

/** Throws unless `spec` has exactly this dtype and shape; `why` says where the expectation comes from. */
export function needSpec(op: string, name: string, spec: Spec, expected: Spec, why: string): void {
  if (spec.dtype !== expected.dtype || !sameShape(spec.shape, expected.shape)) {
    throw new UserError(`${op}: ${name} is ${showSpec(spec)}, but ${showSpec(expected)} was expected (${why})`)
  }
}
