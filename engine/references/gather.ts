// Rows of a table, and sums of rows, in float64.
import type { References } from '../graph.ts'

export const gather: References<'gather' | 'gatherGradient'> = {
  gather([table, ids], { inputs: [{ shape }] }) {
    const [rows, width] = shape
    const result = new Float64Array(ids.length * width)
    ids.forEach((id, position) => {
      if (id >= 0 && id < rows) result.set(table.subarray(id * width, (id + 1) * width), position * width)
    })
    return [result]
  },
  gatherGradient([ids, dy], { outputs: [{ shape }] }) {
    const [rows, width] = shape
    const dtable = new Float64Array(rows * width)
    ids.forEach((id, position) => {
      if (id < 0 || id >= rows) return
      for (let i = 0; i < width; i++) dtable[id * width + i] += dy[position * width + i]
    })
    return [dtable]
  },
}
