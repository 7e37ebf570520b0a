// Views in float64, each by the coordinates that its elements come from: strides, which the engine computes views by, are
// not used.
import type { Spec } from '../../shaders/kernel.ts'
import type { References } from '../graph.ts'
import { sizeOf } from '../shape.ts'

/** Fills `to` with the elements of x at the coordinates that `from` gives for those of the result. */
function pick(
  x: Float64Array,
  { shape }: Spec,
  to: Spec,
  from: (at: readonly number[]) => readonly number[],
): Float64Array {
  const at = to.shape.map(() => 0)
  return Float64Array.from({ length: sizeOf(to.shape) }, () => {
    const value = x[from(at).reduce((index, coordinate, axis) => index * shape[axis] + coordinate, 0)]
    for (let axis = at.length - 1; axis >= 0; axis--) {
      at[axis] += 1
      if (at[axis] < to.shape[axis]) break
      at[axis] = 0
    }
    return value
  })
}

export const views: References<'reshape' | 'permute' | 'slice' | 'broadcast' | 'flip' | 'diagonal'> = {
  reshape: ([x]) => [x],
  permute: ([x], { inputs: [spec], outputs: [out] }, { order }) => [
    pick(x, spec, out, at => spec.shape.map((_, axis) => at[order.indexOf(axis)])),
  ],
  slice: ([x], { inputs: [spec], outputs: [out] }, { start, step }) => [
    pick(x, spec, out, at => at.map((i, axis) => start[axis] + i * (step?.[axis] ?? 1))),
  ],
  broadcast: ([x], { inputs: [spec], outputs: [out] }) => [
    pick(x, spec, out, at =>
      spec.shape.map((length, axis) => (length === 1 ? 0 : at[axis + at.length - spec.shape.length])),
    ),
  ],
  flip: ([x], { inputs: [spec], outputs: [out] }, { axes }) => [
    pick(x, spec, out, at => at.map((i, axis) => (axes.includes(axis) ? spec.shape[axis] - 1 - i : i))),
  ],
  diagonal: ([x], { inputs: [spec], outputs: [out] }, { a, b }) => [
    pick(x, spec, out, at => {
      let next = 0
      return spec.shape.map((_, axis) => (axis === a || axis === b ? at[at.length - 1] : at[next++]))
    }),
  ],
}
