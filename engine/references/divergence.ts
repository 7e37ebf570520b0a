// The divergence and its gradient in float64.
import type { References } from '../graph.ts'

/** The largest of a row, and log Σ exp((x − largest) / temperature): NaN for a row of only −∞. */
function normalizersOf(row: Float64Array, temperature: number): [largest: number, logTotal: number] {
  const largest = row.reduce((a, b) => Math.max(a, b), -Number.MAX_VALUE)
  const total = row.reduce((sum, x) => sum + Math.exp((x - largest) / temperature), 0)
  return [largest, total === 0 ? NaN : Math.log(total)]
}

/** Rows of one operand in float64. */
const rowOf = (values: Float64Array, r: number, classes: number): Float64Array =>
  values.subarray(r * classes, (r + 1) * classes)

export const divergence: References<'divergence' | 'divergenceGradient'> = {
  divergence([logits, teacher], { inputs: [{ shape }] }, { temperature }) {
    const [rows, classes] = shape
    const losses = new Float64Array(rows)
    const kept = new Float64Array(rows * 4)
    for (let r = 0; r < rows; r++) {
      const [own, theirs] = [rowOf(logits, r, classes), rowOf(teacher, r, classes)]
      const [largest, logTotal] = normalizersOf(own, temperature)
      const [largestTeacher, logTeacherTotal] = normalizersOf(theirs, temperature)
      for (let c = 0; c < classes; c++) {
        const logP = (theirs[c] - largestTeacher) / temperature - logTeacherTotal
        const p = Math.exp(logP)
        if (p !== 0) losses[r] += p * (logP - ((own[c] - largest) / temperature - logTotal))
      }
      // NaN for a row without a teacher's answer, or of nothing but −∞.
      if (Number.isNaN(logTotal) || Number.isNaN(logTeacherTotal)) losses[r] = NaN
      kept.set([largest, logTotal, largestTeacher, logTeacherTotal], r * 4)
    }
    return [losses, kept]
  },
  divergenceGradient([logits, teacher, kept, dlosses], { inputs: [{ shape }] }, { temperature }) {
    const [rows, classes] = shape
    const dlogits = new Float64Array(rows * classes)
    for (let i = 0; i < dlogits.length; i++) {
      const r = Math.floor(i / classes)
      const probability = (x: number, at: number): number =>
        Math.exp((x - kept[4 * r + at]) / temperature - kept[4 * r + at + 1])
      dlogits[i] = ((probability(logits[i], 0) - probability(teacher[i], 2)) * dlosses[r]) / temperature
    }
    return [dlogits]
  },
}
