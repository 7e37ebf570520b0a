// Arithmetic on shapes, strides and views; no tensors here.
import { type Spec, type View, rowMajorStrides } from '../shaders/kernel.ts'
import { UserError } from './errors.ts'

export type Shape = readonly number[]

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  let size = 1
  for (const n of shape) size *= n
  return size
}

export function contiguousView(spec: Spec): View {
  return { shape: spec.shape, dtype: spec.dtype, strides: rowMajorStrides(spec.shape), offset: 0 }
}

/** Row-major with no gaps (axes of length 1 may have any stride), whatever the offset. */
export function isContiguous(view: View): boolean {
  let stride = 1
  for (let i = view.shape.length - 1; i >= 0; i--) {
    if (view.shape[i] !== 1 && view.strides[i] !== stride) return false
    stride *= view.shape[i]
  }
  return true
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i])
}

export function showShape(shape: Shape): string {
  return `[${shape.join(', ')}]`
}

/** `f32[2, 3]` */
export function showSpec(spec: Spec): string {
  return spec.dtype + showShape(spec.shape)
}

/** NumPy's broadcasting rule. Throws a UserError naming `op`. */
export function broadcastShapes(op: string, shapes: readonly Shape[]): number[] {
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

/** The view read as `shape` by repeating (stride 0) what has length 1. */
export function broadcastView(view: View, shape: Shape): View {
  const lead = shape.length - view.shape.length
  const strides = shape.map((n, i) => {
    const at = i - lead
    return at < 0 || (view.shape[at] === 1 && n !== 1) ? 0 : view.strides[at]
  })
  return { ...view, shape, strides }
}

/**
 * The shape with −1 replaced by what is left of as many elements as `spec` has. Throws a UserError where two lengths
 * are −1, and where the other lengths do not divide the elements.
 */
export function completeShape(shape: Shape, spec: Spec): Shape {
  const hole = shape.indexOf(-1)
  if (hole < 0) return shape
  if (shape.lastIndexOf(-1) !== hole)
    throw new UserError(`reshape: ${showShape(shape)} has -1 twice; only one length can be left open`)
  const known = sizeOf(shape.filter((_, i) => i !== hole))
  const rest = sizeOf(spec.shape) / known
  if (!Number.isInteger(rest)) {
    throw new UserError(
      `reshape: the ${sizeOf(spec.shape)} elements of ${showSpec(spec)} do not divide into ${showShape(shape)}`,
    )
  }
  return shape.map((n, i) => (i === hole ? rest : n))
}

/** The view under another shape of as many elements, or undefined where strides can't express it. */
export function reshapeView(view: View, shape: Shape): View | undefined {
  if (isContiguous(view)) return { ...view, shape, strides: rowMajorStrides(shape) }
  // Match runs of old axes that lie contiguously in memory with runs of new axes of the same size.
  const old = view.shape.map((n, i) => ({ n, stride: view.strides[i] })).filter(axis => axis.n !== 1)
  const strides = new Array<number>(shape.length).fill(0)
  let at = 0
  let i = 0
  while (i < shape.length) {
    if (shape[i] === 1) {
      i++
      continue
    }
    let want = shape[i]
    let last = i
    if (at >= old.length) return undefined
    let have = old[at].n
    let end = at
    while (want !== have) {
      if (want < have) {
        last++
        if (last >= shape.length) return undefined
        want *= shape[last]
      } else {
        end++
        if (end >= old.length || old[end - 1].stride !== old[end].n * old[end].stride) return undefined
        have *= old[end].n
      }
    }
    let stride = old[end].stride
    for (let k = last; k >= i; k--) {
      strides[k] = stride
      stride *= shape[k]
    }
    i = last + 1
    at = end + 1
  }
  return { ...view, shape, strides }
}

/** Axes as 0 … rank − 1, from possibly negative ones; throws on one out of range or named twice. */
export function normalizeAxes(op: string, axes: readonly number[], rank: number): number[] {
  const out = axes.map(axis => {
    const at = axis < 0 ? axis + rank : axis
    if (!Number.isInteger(axis) || at < 0 || at >= rank)
      throw new UserError(`${op}: axis ${axis} is not one of ${rank} axes`)
    return at
  })
  if (new Set(out).size !== out.length) throw new UserError(`${op}: axes ${axes.join(', ')} name one axis twice`)
  return out
}
