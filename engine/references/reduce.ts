// Reductions in float64.
import { isFloat } from '../../shaders/kernel.ts'
import type { Fold } from '../../shaders/reduce.ts'
import type { Reference, References } from '../graph.ts'
import { sizeOf } from '../shape.ts'
import { broadcastView, contiguousView, offsetsOf } from '../view.ts'
import { inDType } from './dtype.ts'

type Place = 'argmax' | 'argmin'

const reduction =
  (start: number, step: (total: number, value: number) => number, integerStep = step): Reference =>
  ([x], { inputs: [spec], outputs: [out] }) => {
    const result = new Float64Array(sizeOf(out.shape)).fill(start)
    const next = isFloat(out.dtype) ? step : integerStep
    offsetsOf(broadcastView(contiguousView(out), spec.shape)).forEach((at, i) => {
      result[at] = next(result[at], x[i])
    })
    return [result.map(number => inDType(out.dtype, number))]
  }

const place =
  (fold: Place): Reference =>
  ([x], { inputs: [spec], outputs: [out] }) => {
    const outputs = offsetsOf(broadcastView(contiguousView(out), spec.shape))
    return [placesOf(fold, x, outputs, new Float64Array(sizeOf(out.shape)))]
  }

/** Into `result`: the number of the first largest or least element among those of each output; NaN is before all. */
function placesOf(fold: Place, x: Float64Array, outputs: Uint32Array, result: Float64Array): Float64Array {
  const best = new Float64Array(result.length)
  const counts = new Float64Array(result.length)
  outputs.forEach((at, i) => {
    const isBetter = Number.isNaN(x[i])
      ? !Number.isNaN(best[at])
      : fold === 'argmax'
        ? x[i] > best[at]
        : x[i] < best[at]
    if (counts[at] === 0 || isBetter) [best[at], result[at]] = [x[i], counts[at]]
    counts[at]++
  })
  return result
}

/** A maximum or minimum is NaN if any element is. */
export const reduce: References<Fold> = {
  sum: reduction(0, (total, value) => total + value),
  prod: reduction(1, (total, value) => total * value, Math.imul),
  max: reduction(-Infinity, Math.max),
  min: reduction(Infinity, Math.min),
  argmax: place('argmax'),
  argmin: place('argmin'),
}
