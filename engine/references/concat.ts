// Concat and pad in float64.
import type { View } from '../../shaders/kernel.ts'
import type { References } from '../graph.ts'
import { concatStarts, corner, partOf } from '../ops/concat.ts'
import { sizeOf } from '../shape.ts'
import { offsetsOf } from '../view.ts'

/** Writes a contiguous array to where a view of another has its elements. */
function writeThrough(from: Float64Array, view: View, into: Float64Array): void {
  offsetsOf(view).forEach((at, i) => {
    into[at] = from[i]
  })
}

export const concat: References<'concat' | 'pad'> = {
  concat: (arrays, { inputs, outputs: [out] }, { axis }) => {
    const result = new Float64Array(sizeOf(out.shape))
    concatStarts(inputs, axis).forEach((at, i) =>
      writeThrough(arrays[i], partOf(out, corner(out.shape, axis, at), inputs[i].shape), result),
    )
    return [result]
  },
  pad: ([x], { inputs: [spec], outputs: [out] }, { before, fill }) => {
    const result = new Float64Array(sizeOf(out.shape)).fill(fill)
    writeThrough(x, partOf(out, before, spec.shape), result)
    return [result]
  },
}
