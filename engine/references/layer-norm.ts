// Layer norm and its gradients in float64.
import type { References } from '../graph.ts'
import { asRows } from '../ops/rows.ts'

export const layerNorm: References<'layerNorm' | 'layerNormGradient' | 'layerNormParameterGradient'> = {
  layerNorm([x, gamma, beta], specs, { epsilon }) {
    const { rows, width } = asRows(specs.inputs[0])
    const y = new Float64Array(rows * width)
    const mean = new Float64Array(rows)
    const rstd = new Float64Array(rows)
    for (let r = 0; r < rows; r++) {
      const row = x.subarray(r * width, (r + 1) * width)
      mean[r] = row.reduce((sum, v) => sum + v, 0) / width
      // A constant row has variance 0; in float64 too its mean is rounded.
      const center = row.every(v => v === row[0]) ? row[0] : mean[r]
      const variance = row.reduce((sum, v) => sum + (v - center) ** 2, 0) / width
      rstd[r] = 1 / Math.sqrt(variance + epsilon)
      for (let i = 0; i < width; i++) y[r * width + i] = (row[i] - center) * rstd[r] * gamma[i] + beta[i]
    }
    return [y, mean, rstd]
  },
  layerNormGradient([x, gamma, mean, rstd, dy], specs) {
    const { rows, width } = asRows(specs.inputs[0])
    const dx = new Float64Array(rows * width)
    for (let r = 0; r < rows; r++) {
      let sumG = 0
      let sumProduct = 0
      for (let i = 0, at = r * width; i < width; i++, at++) {
        sumG += dy[at] * gamma[i]
        sumProduct += dy[at] * gamma[i] * (x[at] - mean[r]) * rstd[r]
      }
      for (let i = 0, at = r * width; i < width; i++, at++) {
        dx[at] = rstd[r] * (dy[at] * gamma[i] - sumG / width - (x[at] - mean[r]) * rstd[r] * (sumProduct / width))
      }
    }
    return [dx]
  },
  layerNormParameterGradient([x, mean, rstd, dy], specs) {
    const { rows, width } = asRows(specs.inputs[0])
    const dgamma = new Float64Array(width)
    const dbeta = new Float64Array(width)
    for (let r = 0; r < rows; r++) {
      for (let i = 0, at = r * width; i < width; i++, at++) {
        dgamma[i] += dy[at] * (x[at] - mean[r]) * rstd[r]
        dbeta[i] += dy[at]
      }
    }
    return [dgamma, dbeta]
  },
}
