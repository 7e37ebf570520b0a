// Gathering and scattering along an axis in float64.
import type { AlongProblem } from '../../shaders/scatter.ts'
import type { References } from '../graph.ts'
import { problemOf } from '../ops/scatter.ts'
import { sizeOf } from '../shape.ts'
import { inDType } from './dtype.ts'

/** Calls `visit` for each index within the axis, with its own number and that of the element it names. */
function eachIndex(
  index: Float64Array,
  { length, count, inner }: AlongProblem,
  visit: (from: number, to: number) => void,
): void {
  index.forEach((id, i) => {
    if (id >= 0 && id < length) visit(i, (Math.floor(i / (count * inner)) * length + id) * inner + (i % inner))
  })
}

export const scatter: References<'gatherAlong' | 'scatterAdd' | 'scatterMax'> = {
  gatherAlong([x, index], { inputs: [spec, indexSpec] }, { axis }) {
    const result = new Float64Array(index.length)
    eachIndex(index, problemOf(indexSpec, axis, spec.shape[axis], spec), (i, at) => {
      result[i] = x[at]
    })
    return [result]
  },
  scatterAdd([index, source], { inputs: [spec], outputs: [out] }, { axis, length }) {
    const sums = new Float64Array(sizeOf(out.shape))
    eachIndex(index, problemOf(spec, axis, length, spec), (i, at) => {
      sums[at] += source[i]
    })
    return [sums.map(sum => inDType(out.dtype, sum))]
  },
  scatterMax([x, index, source], { inputs: [spec, indexSpec] }, { axis }) {
    const result = x.slice()
    eachIndex(index, problemOf(indexSpec, axis, spec.shape[axis], spec), (i, at) => {
      result[at] = Math.max(result[at], source[i])
    })
    return [result]
  },
}
