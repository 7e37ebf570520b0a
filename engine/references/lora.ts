// LoRA's linear layer and its gradient in float64, product by product.
import type { Spec } from '../../shaders/kernel.ts'
import type { References } from '../graph.ts'
import { matrixShape } from '../ops/lora.ts'
import { contiguousView, permuteView, readThrough } from '../view.ts'
import { matmulReference } from './matmul.ts'

/** x·wᵀ in float64, with x as a matrix as wide as its last axis. */
function byTransposed(x: Float64Array, xSpec: Spec, w: Float64Array, wSpec: Spec): Float64Array {
  const turned = permuteView(contiguousView(wSpec), [1, 0])
  const rows = { ...xSpec, shape: matrixShape(xSpec.shape) }
  const out = { ...xSpec, shape: [rows.shape[0], wSpec.shape[0]] }
  return matmulReference(x, rows, readThrough(w, turned), turned, out)
}

export const lora: References<'loraLinear' | 'loraLinearGradient'> = {
  loraLinear([x, weight, a, b, bias], { inputs, outputs }, { scale }) {
    const [xSpec, weightSpec, aSpec, bSpec] = inputs
    const [ySpec, xaSpec] = outputs
    const xa = byTransposed(x, xSpec, a, aSpec)
    const y = byTransposed(x, xSpec, weight, weightSpec)
    const low = byTransposed(xa, xaSpec, b, bSpec)
    const width = ySpec.shape[ySpec.shape.length - 1]
    return [y.map((value, i) => value + scale * low[i] + (bias?.[i % width] ?? 0)), xa]
  },
  loraLinearGradient(
    [dy, weight, a, low],
    { inputs: [dySpec, weightSpec, aSpec, lowSpec], outputs: [out] },
    { scale },
  ) {
    const rest = matmulReference(low, lowSpec, a, aSpec, out, scale)
    return [matmulReference(dy, dySpec, weight, weightSpec, out).map((value, i) => value + rest[i])]
  },
}
