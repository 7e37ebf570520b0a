// The leading eigenvectors of a symmetric sparse matrix: subspace iteration on a random start, then the eigenvectors of the
// small matrix that is left (Halko, Martinsson & Tropp 2011).
import type { Random } from './random.ts'

/** Vectors beside those that are kept, and rounds of iteration. */
const SPARE = 16
const ROUNDS = 4

/** Products that take about as long as each other: what `onProgress` of `factorise` counts. */
export const FACTORISE_STEPS = ROUNDS + 2

/** A symmetric matrix by rows: row i has `columns` and `values` from `starts[i]` to `starts[i + 1]`. */
export interface SparseRows {
  readonly starts: Int32Array
  readonly columns: Int32Array
  readonly values: Float32Array
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
 * in size first, each times the root of that size. `onProgress` hears of each of the `FACTORISE_STEPS`.
 */
export async function factorise(
  matrix: SparseRows,
  width: number,
  random: Random,
  onProgress?: (done: number) => Promise<void> | void,
): Promise<Float32Array<ArrayBuffer>> {
  const rows = matrix.starts.length - 1
  const wide = Math.min(rows, width + SPARE)
  let basis: Float32Array = Float32Array.from({ length: rows * wide }, () => random.normal())
  for (let round = 0; round <= ROUNDS; round++) {
    basis = times(matrix, basis, wide)
    orthonormalise(basis, wide)
    await onProgress?.(round + 1)
  }
  const image = times(matrix, basis, wide)
  await onProgress?.(FACTORISE_STEPS)
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
