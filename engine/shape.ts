// Arithmetic on shapes; no tensors here.
import { type Spec, sizeOf } from '../shaders/kernel.ts'
import { UserError } from './errors.ts'
import { needAll, needArray } from './options.ts'

export { sizeOf }

export type Shape = readonly number[]

export function sameShape(a: Shape, b: Shape): boolean {
  return Array.isArray(b) && a.length === b.length && a.every((n, i) => n === b[i])
}

export function showShape(shape: Shape): string {
  return Array.isArray(shape) ? `[${shape.join(', ')}]` : String(shape)
}

/** Whether it has no elements: one of its axes has length 0. */
export function isEmpty({ shape }: { readonly shape: Shape }): boolean {
  return shape.includes(0)
}

/** `f32[2, 3]`. JavaScript programs also pass what is neither a tensor nor a spec. */
export function showSpec(spec: Spec): string {
  return Array.isArray(spec.shape) ? spec.dtype + showShape(spec.shape) : '(not a tensor)'
}

/** Throws a UserError unless a spec has a shape. */
export const needShape = (op: string, spec: Spec | null | undefined): void =>
  needAll(op, 'an array', Array.isArray, { shape: spec?.shape })

/** NumPy's broadcasting rule. Throws a UserError naming `op`. */
export function broadcastShapes(op: string, shapes: readonly Shape[]): number[] {
  for (const shape of shapes) needArray(op, shape)
  const rank = Math.max(0, ...shapes.map(s => s.length))
  const out = new Array<number>(rank).fill(1)
  for (const shape of shapes) {
    shape.forEach((n, i) => {
      const at = i + rank - shape.length
      if (n === 1 || n === out[at]) return
      if (out[at] !== 1) throw new UserError(`${op}: shapes ${shapes.map(showShape).join(' and ')} do not broadcast`)
      out[at] = n
    })
  }
  return out
}

/**
 * The shape with −1 replaced by what is left of as many elements as `spec` has. Throws a UserError where two lengths
 * are −1, and where the other lengths do not divide the elements.
 */
export function completeShape(shape: Shape, spec: Spec): Shape {
  needArray('reshape', shape)
  const hole = shape.indexOf(-1)
  if (hole < 0) return shape
  if (shape.lastIndexOf(-1) !== hole)
    throw new UserError(`reshape: ${showShape(shape)} has -1 twice; only one length can be left open`)
  const size = sizeOf(spec.shape)
  const rest = size / sizeOf(shape.toSpliced(hole, 1))
  if (!Number.isInteger(rest))
    throw new UserError(`reshape: the ${size} elements of ${showSpec(spec)} do not divide into ${showShape(shape)}`)
  return shape.map((n, i) => (i === hole ? rest : n))
}

/** Axes as 0 … rank − 1, from possibly negative ones; throws on one out of range or named twice. */
export function normalizeAxes(op: string, axes: readonly number[], rank: number): number[] {
  needArray(op, axes)
  const out = axes.map(axis => {
    const at = axis < 0 ? axis + rank : axis
    if (!Number.isInteger(axis) || at < 0 || at >= rank)
      throw new UserError(`${op}: axis ${axis} is not one of ${rank} axes`)
    return at
  })
  if (new Set(out).size !== out.length) throw new UserError(`${op}: axes ${axes.join(', ')} name one axis twice`)
  return out
}
