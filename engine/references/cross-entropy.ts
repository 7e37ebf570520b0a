// Cross entropy and its gradient in float64.
import type { References } from '../graph.ts'

export const crossEntropy: References<'crossEntropy' | 'crossEntropyGradient'> = {
  crossEntropy([logits, labels], { inputs: [{ shape }] }, { ignoreIndex }) {
    const [rows, classes] = shape
    const losses = new Float64Array(rows)
    const kept = new Float64Array(rows * 2)
    for (let r = 0; r < rows; r++) {
      const row = logits.subarray(r * classes, (r + 1) * classes)
      const rowMax = row.reduce((a, b) => Math.max(a, b), -Number.MAX_VALUE)
      const total = row.reduce((sum, x) => sum + Math.exp(x - rowMax), 0)
      const logTotal = total === 0 ? NaN : Math.log(total)
      const label = labels[r]
      if (label === ignoreIndex) losses[r] = 0
      else losses[r] = label >= 0 && label < classes ? logTotal - (row[label] - rowMax) : NaN
      kept.set([rowMax, logTotal], r * 2)
    }
    return [losses, kept]
  },
  crossEntropyGradient([logits, labels, kept, dlosses], { inputs: [{ shape }] }, { ignoreIndex }) {
    const [rows, classes] = shape
    const dlogits = new Float64Array(rows * classes)
    for (let r = 0; r < rows; r++) {
      const label = labels[r]
      if (label === ignoreIndex) continue
      const dloss = label >= 0 && label < classes ? dlosses[r] : NaN
      for (let c = 0; c < classes; c++) {
        const probability = Math.exp(logits[r * classes + c] - kept[2 * r] - kept[2 * r + 1])
        dlogits[r * classes + c] = (probability - (c === label ? 1 : 0)) * dloss
      }
    }
    return [dlogits]
  },
}
