// Softmax, log-softmax and their gradients in float64.
import type { Reference, References, Specs } from '../graph.ts'
import { asRows } from '../ops/rows.ts'

/** Maps every row of [rows, width]: `valuesOf` is given the row's range, and returns its elements by index. */
function mapRows(
  { outputs: [spec] }: Specs,
  valuesOf: (from: number, to: number) => (i: number) => number,
): Float64Array[] {
  const { rows, width } = asRows(spec)
  const out = new Float64Array(rows * width)
  for (let from = 0; from < out.length; from += width) {
    const value = valuesOf(from, from + width)
    for (let i = from; i < from + width; i++) out[i] = value(i)
  }
  return [out]
}

function sum(from: number, to: number, term: (i: number) => number): number {
  let total = 0
  for (let i = from; i < to; i++) total += term(i)
  return total
}

/** `value` gives an element of y, from x and its row's maximum and Σ exp(x − maximum). */
const forward =
  (value: (x: number, rowMax: number, total: number) => number): Reference =>
  ([x], specs) =>
    mapRows(specs, (from, to) => {
      const rowMax = x.subarray(from, to).reduce((a, b) => Math.max(a, b), -Infinity)
      const total = sum(from, to, i => Math.exp(x[i] - rowMax))
      return i => value(x[i], rowMax, total)
    })

/** `value` gives an element of dx, from y, dy and the sum of `term` over the row. */
const backward =
  (term: (y: number, dy: number) => number, value: (y: number, dy: number, total: number) => number): Reference =>
  ([y, dy], specs) =>
    mapRows(specs, (from, to) => {
      const total = sum(from, to, i => term(y[i], dy[i]))
      return i => value(y[i], dy[i], total)
    })

export const softmax: References<'softmax' | 'logSoftmax' | 'softmaxGradient' | 'logSoftmaxGradient'> = {
  softmax: forward((x, rowMax, total) => Math.exp(x - rowMax) / total),
  logSoftmax: forward((x, rowMax, total) => x - rowMax - Math.log(total)),
  softmaxGradient: backward(
    (y, dy) => dy * y,
    (y, dy, total) => y * (dy - total),
  ),
  logSoftmaxGradient: backward(
    (_y, dy) => dy,
    (y, dy, total) => dy - Math.exp(y) * total,
  ),
}
