// Sorting in float64.
import type { References } from '../graph.ts'
import { sizeOf } from '../shape.ts'

export const sort: References<'sort'> = {
  sort([x], { inputs: [{ shape }], outputs: [out] }, { keep, descending }) {
    const length = shape[shape.length - 1]
    const values = new Float64Array(sizeOf(out.shape))
    const indices = new Float64Array(values.length)
    const compare = (a: number, b: number): number => {
      if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b))
      return a < b ? -1 : a > b ? 1 : 0
    }
    for (let begin = 0, at = 0; begin < x.length; begin += length) {
      const order = Array.from({ length }, (_, i) => i).sort((i, j) => {
        const ascending = compare(x[begin + i], x[begin + j])
        return (descending ? -ascending : ascending) || i - j
      })
      for (const id of order.slice(0, keep)) {
        values[at] = x[begin + id]
        indices[at++] = id
      }
    }
    return [values, indices]
  },
}
