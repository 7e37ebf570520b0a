// The matrix product in float64.
import type { Spec } from '../../shaders/kernel.ts'
import type { References } from '../graph.ts'
import { sizeOf } from '../shape.ts'
import { broadcastView, contiguousView, offsetsOf } from '../view.ts'

/** The product in float64, from contiguous arrays. */
export function matmulReference(
  a: Float64Array,
  aSpec: Spec,
  b: Float64Array,
  bSpec: Spec,
  out: Spec,
  scale = 1,
): Float64Array {
  const [m, n] = out.shape.slice(-2)
  const k = aSpec.shape[aSpec.shape.length - 1]
  const result = new Float64Array(sizeOf(out.shape))
  /** The number of an operand's matrix, by that of the result. */
  const matrices = ({ shape, dtype }: Spec): Uint32Array =>
    offsetsOf(broadcastView(contiguousView({ shape: shape.slice(0, -2), dtype }), out.shape.slice(0, -2)))
  const [left, right] = [matrices(aSpec), matrices(bSpec)]
  for (let at = 0; at < result.length; at++) {
    const [matrix, i, j] = [Math.floor(at / (m * n)), Math.floor(at / n) % m, at % n]
    const [aStart, bStart] = [(left[matrix] * m + i) * k, right[matrix] * k * n + j]
    let sum = 0
    for (let l = 0; l < k; l++) sum += a[aStart + l] * b[bStart + l * n]
    result[at] = scale * sum
  }
  return result
}

export const matmul: References<'matmul'> = {
  matmul([a, b], { inputs: [aSpec, bSpec], outputs: [out] }, { scale }) {
    return [matmulReference(a, aSpec, b, bSpec, out, scale)]
  },
}
