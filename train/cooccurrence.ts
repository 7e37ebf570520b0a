// Word embeddings from counts, as a start for pretraining: the leading eigenvectors of the matrix of positive pointwise
// mutual information of tokens that stand near each other, scaled by the square roots of their eigenvalues, which is
// about what word2vec learns (Levy & Goldberg 2014; Levy, Goldberg & Dagan 2015 for the smoothing and the root). The
// eigenvectors come from subspace iteration on a random start (Halko, Martinsson & Tropp 2011).
import type { Random } from './random.ts'

export interface CooccurrenceOptions {
  /** Tokens on either side of one that count as near; the nearest count most, as 1 ÷ distance. */
  readonly window: number
  /** Ids that are left out: [CLS], [PAD] and the like. */
  readonly special: ReadonlySet<number>
}

/** Exponent of the counts of context tokens, which makes rare ones matter less. */
const SMOOTHING = 0.75

/** Vectors beside those that are kept, and rounds of iteration. */
const SPARE = 16
const ROUNDS = 4

/** A symmetric matrix by rows: row i has `columns` and `values` from `starts[i]` to `starts[i + 1]`. */
export interface SparseRows {
  readonly starts: Int32Array
  readonly columns: Int32Array
  readonly values: Float32Array
}

/** Weighted counts of pairs of tokens that are near each other in a row, [vocabulary, vocabulary], symmetric. */
export function countPairs(
  rows: readonly { readonly ids: ArrayLike<number> }[],
  vocabulary: number,
  { window, special }: CooccurrenceOptions,
): Float32Array {
  const counts = new Float32Array(vocabulary * vocabulary)
  for (const { ids } of rows) {
    for (let at = 0; at < ids.length; at++) {
      if (special.has(ids[at])) continue
      const first = Math.max(0, at - window)
      for (let near = first; near < at; near++) {
        if (special.has(ids[near])) continue
        const share = 1 / (at - near)
        counts[ids[at] * vocabulary + ids[near]] += share
        counts[ids[near] * vocabulary + ids[at]] += share
      }
    }
  }
  return counts
}

/**
 * max(0, log(p(i, j) ÷ (p(i) p(j)))) of symmetric counts [vocabulary, vocabulary], with p(j) smoothed; symmetric again
 * as the mean of both directions.
 */
export function positiveInformation(counts: Float32Array, vocabulary: number): SparseRows {
  const sums = Float64Array.from({ length: vocabulary }, (_, i) =>
    counts.subarray(i * vocabulary, (i + 1) * vocabulary).reduce((total, count) => total + count, 0),
  )
  const logs = sums.map(Math.log)
  const shift = Math.log(sums.reduce((total, sum) => total + sum ** SMOOTHING, 0))
  const informationOf = (i: number, j: number): number => {
    const count = counts[i * vocabulary + j]
    if (count === 0) return 0
    const joint = Math.log(count) + shift
    return (Math.max(0, joint - logs[i] - SMOOTHING * logs[j]) + Math.max(0, joint - logs[j] - SMOOTHING * logs[i])) / 2
  }
  const starts = new Int32Array(vocabulary + 1)
  for (let i = 0; i < vocabulary; i++) {
    let found = 0
    for (let j = 0; j < vocabulary; j++) if (informationOf(i, j) > 0) found++
    starts[i + 1] = starts[i] + found
  }
  const columns = new Int32Array(starts[vocabulary])
  const values = new Float32Array(starts[vocabulary])
  let at = 0
  for (let i = 0; i < vocabulary; i++) {
    for (let j = 0; j < vocabulary; j++) {
      const value = informationOf(i, j)
      if (value === 0) continue
      columns[at] = j
      values[at++] = value
    }
  }
  return { starts, columns, values }
}

/** A symmetric sparse matrix times a dense one [rows, width], row by row. */
function times({ starts, columns, values }: SparseRows, dense: Float32Array, width: number): Float32Array {
  const out = new Float32Array(dense.length)
  for (let row = 0; row < starts.length - 1; row++) {
    const sum = out.subarray(row * width, (row + 1) * width)
    for (let at = starts[row]; at < starts[row + 1]; at++) {
      const value = values[at]
      const from = columns[at] * width
      for (let k = 0; k < width; k++) sum[k] += value * dense[from + k]
    }
  }
  return out
}

/** Makes the columns of a matrix [rows, width] orthonormal, in place (Gram–Schmidt, each column twice). */
function orthonormalise(matrix: Float32Array, width: number): void {
  const rows = matrix.length / width
  const dot = (a: number, b: number): number => {
    let sum = 0
    for (let row = 0; row < rows; row++) sum += matrix[row * width + a] * matrix[row * width + b]
    return sum
  }
  for (let column = 0; column < width; column++) {
    for (let earlier = 0; earlier < 2 * column; earlier++) {
      const other = earlier % column
      const share = dot(column, other)
      for (let row = 0; row < rows; row++) matrix[row * width + column] -= share * matrix[row * width + other]
    }
    const length = Math.sqrt(dot(column, column)) || 1
    for (let row = 0; row < rows; row++) matrix[row * width + column] /= length
  }
}

/** Eigenvalues and eigenvectors (columns) of a small symmetric matrix [size, size], by Jacobi's rotations. */
export function eigenOf(symmetric: Float64Array, size: number): { values: Float64Array; vectors: Float64Array } {
  const a = symmetric.slice()
  const tiny = 1e-30 * a.reduce((sum, value) => sum + value * value, 0)
  const vectors = Float64Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0))
  const rotate = (m: Float64Array, x: number, y: number, cos: number, sin: number): void => {
    const [p, q] = [m[x], m[y]]
    m[x] = cos * p - sin * q
    m[y] = sin * p + cos * q
  }
  for (let sweep = 0; sweep < 30; sweep++) {
    let off = 0
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        const between = a[p * size + q]
        off += between * between
        if (between === 0) continue
        const angle = 0.5 * Math.atan2(2 * between, a[q * size + q] - a[p * size + p])
        const [cos, sin] = [Math.cos(angle), Math.sin(angle)]
        for (let k = 0; k < size; k++) rotate(a, k * size + p, k * size + q, cos, sin)
        for (let k = 0; k < size; k++) rotate(a, p * size + k, q * size + k, cos, sin)
        for (let k = 0; k < size; k++) rotate(vectors, k * size + p, k * size + q, cos, sin)
      }
    }
    if (off <= tiny) break
  }
  return { values: Float64Array.from({ length: size }, (_, i) => a[i * size + i]), vectors }
}

/**
 * Embeddings f32 [vocabulary, width] of a symmetric matrix: its leading eigenvectors, those of the largest eigenvalues
 * in size first, each times the root of that size. `onProgress` is told how many of the `ROUNDS` are done.
 */
export async function factorise(
  matrix: SparseRows,
  width: number,
  random: Random,
  onProgress?: (done: number, total: number) => Promise<void> | void,
): Promise<Float32Array<ArrayBuffer>> {
  const rows = matrix.starts.length - 1
  const wide = Math.min(rows, width + SPARE)
  let basis: Float32Array = Float32Array.from({ length: rows * wide }, () => random.normal())
  for (let round = 0; round <= ROUNDS; round++) {
    basis = times(matrix, basis, wide)
    orthonormalise(basis, wide)
    await onProgress?.(round + 1, ROUNDS + 2)
  }
  const image = times(matrix, basis, wide)
  const projected = new Float64Array(wide * wide)
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < wide; i++) {
      const value = basis[row * wide + i]
      for (let j = 0; j < wide; j++) projected[i * wide + j] += value * image[row * wide + j]
    }
  }
  const { values, vectors } = eigenOf(projected, wide)
  const order = Array.from(values, (_, i) => i).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]))
  const out = new Float32Array(rows * width)
  for (let k = 0; k < Math.min(width, wide); k++) {
    const from = order[k]
    const root = Math.sqrt(Math.abs(values[from]))
    for (let row = 0; row < rows; row++) {
      let sum = 0
      for (let i = 0; i < wide; i++) sum += basis[row * wide + i] * vectors[i * wide + from]
      out[row * width + k] = sum * root
    }
  }
  return out
}

/** Scales values to a mean of 0 and this standard deviation, over all rows but those that are all 0, in place. */
export function scaleTo(embeddings: Float32Array, deviation: number): void {
  const used = embeddings.reduce((n, value) => n + (value === 0 ? 0 : 1), 0)
  const squares = embeddings.reduce((sum, value) => sum + value * value, 0)
  if (squares === 0) return
  const factor = deviation / Math.sqrt(squares / used)
  for (let i = 0; i < embeddings.length; i++) embeddings[i] *= factor
}
