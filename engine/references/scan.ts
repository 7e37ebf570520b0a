// Running sums, products and recurrences in float64.
import { isFloat } from '../../shaders/kernel.ts'
import type { ScanKernel } from '../../shaders/scan.ts'
import type { OpAttributes, References, Specs } from '../graph.ts'
import { sizesOf } from '../ops/scan.ts'
import { inDType } from './dtype.ts'

/** `step` gives the next state from the last and the place of an element. */
function scanned(
  { outputs: [out] }: Specs,
  { axis, exclusive, reverse }: OpAttributes[ScanKernel],
  start: number,
  step: (state: number, at: number) => number,
): Float64Array[] {
  const { outer, length, inner } = sizesOf(out, axis)
  const result = new Float64Array(outer * length * inner)
  for (let row = 0; row < outer * inner; row++) {
    const base = Math.floor(row / inner) * length * inner + (row % inner)
    let state = start
    for (let i = 0; i < length; i++) {
      const at = base + (reverse ? length - 1 - i : i) * inner
      const next = step(state, at)
      result[at] = exclusive ? state : next
      state = next
    }
  }
  return [result]
}

export const scan: References<ScanKernel> = {
  cumsum: ([x], specs, attributes) =>
    scanned(specs, attributes, 0, (sum, at) => inDType(specs.outputs[0].dtype, sum + x[at])),
  cumprod: ([x], specs, attributes) => {
    const { dtype } = specs.outputs[0]
    const times = isFloat(dtype)
      ? (a: number, b: number) => a * b
      : (a: number, b: number) => inDType(dtype, Math.imul(a, b))
    return scanned(specs, attributes, 1, (product, at) => times(product, x[at]))
  },
  linearScan: ([a, b], specs, attributes) => scanned(specs, attributes, 0, (y, at) => a[at] * y + b[at]),
}
