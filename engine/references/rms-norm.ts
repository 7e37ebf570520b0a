// RMS norm and its gradient in float64.
import type { References } from '../graph.ts'
import { asRows } from '../ops/rows.ts'

export const rmsNorm: References<'rmsNorm' | 'rmsNormGradient'> = {
  rmsNorm([x, gamma], { inputs: [spec] }, { epsilon }) {
    const { rows, width } = asRows(spec)
    const y = new Float64Array(rows * width)
    const rstd = new Float64Array(rows)
    for (let r = 0; r < rows; r++) {
      const row = x.subarray(r * width, (r + 1) * width)
      rstd[r] = 1 / Math.sqrt(row.reduce((total, v) => total + v * v, 0) / width + epsilon)
      row.forEach((v, i) => {
        y[r * width + i] = v * rstd[r] * gamma[i]
      })
    }
    return [y, rstd]
  },
  rmsNormGradient([x, gamma, rstd, dy], { inputs: [spec] }) {
    const { rows, width } = asRows(spec)
    const dx = new Float64Array(rows * width)
    for (let r = 0; r < rows; r++) {
      let total = 0
      for (let i = 0, at = r * width; i < width; i++, at++) total += dy[at] * gamma[i] * x[at] * rstd[r]
      for (let i = 0, at = r * width; i < width; i++, at++)
        dx[at] = rstd[r] * (dy[at] * gamma[i] - x[at] * rstd[r] * (total / width))
    }
    return [dx]
  },
}
