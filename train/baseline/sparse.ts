// Sparse matrices in compressed rows (CSR): documents × features, most of which are 0.

export interface SparseMatrix {
  readonly rows: number
  readonly columns: number
  /** Row r has the entries starts[r] to starts[r + 1]; [rows + 1]. */
  readonly starts: Uint32Array
  /** The column of each entry; within a row each occurs once, in no particular order. */
  readonly indices: Uint32Array
  readonly values: Float32Array
}

/**
 * matrix · right, as [rows, width], where `right` is [columns + 1, width]: its last row is the intercept, which is
 * added to each row.
 */
export function multiply(
  { rows, columns, starts, indices, values }: SparseMatrix,
  right: Float64Array | Float32Array,
  width: number,
  out: Float64Array,
): void {
  if (width === 1) {
    const intercept = right[columns]
    for (let row = 0; row < rows; row++) {
      let sum = intercept
      for (let i = starts[row], end = starts[row + 1]; i < end; i++) sum += values[i] * right[indices[i]]
      out[row] = sum
    }
    return
  }
  for (let row = 0; row < rows; row++) {
    const at = row * width
    for (let k = 0; k < width; k++) out[at + k] = right[columns * width + k]
    for (let i = starts[row], end = starts[row + 1]; i < end; i++) {
      const from = indices[i] * width
      for (let k = 0; k < width; k++) out[at + k] += values[i] * right[from + k]
    }
  }
}

/** The transpose of the same: adds matrixᵀ · left, where `left` is [rows, width], to `out`, [columns + 1, width]. */
export function addTransposed(
  { rows, columns, starts, indices, values }: SparseMatrix,
  left: Float64Array,
  width: number,
  out: Float64Array,
): void {
  if (width === 1) {
    let intercept = 0
    for (let row = 0; row < rows; row++) {
      const factor = left[row]
      if (factor === 0) continue
      intercept += factor
      for (let i = starts[row], end = starts[row + 1]; i < end; i++) out[indices[i]] += values[i] * factor
    }
    out[columns] += intercept
    return
  }
  for (let row = 0; row < rows; row++) {
    const at = row * width
    for (let k = 0; k < width; k++) out[columns * width + k] += left[at + k]
    for (let i = starts[row], end = starts[row + 1]; i < end; i++) {
      const to = indices[i] * width
      for (let k = 0; k < width; k++) out[to + k] += values[i] * left[at + k]
    }
  }
}

/** As `addTransposed`, with the squares of the entries. */
export function addTransposedSquares(
  { rows, columns, starts, indices, values }: SparseMatrix,
  left: Float64Array,
  width: number,
  out: Float64Array,
): void {
  for (let row = 0; row < rows; row++) {
    const at = row * width
    for (let k = 0; k < width; k++) out[columns * width + k] += left[at + k]
    for (let i = starts[row], end = starts[row + 1]; i < end; i++) {
      const to = indices[i] * width
      const square = values[i] * values[i]
      for (let k = 0; k < width; k++) out[to + k] += square * left[at + k]
    }
  }
}

/** The matrix with each column times its factor. Shares all but the values. */
export function scaleColumns(matrix: SparseMatrix, factors: ArrayLike<number>): SparseMatrix {
  const { indices, values } = matrix
  const scaled = new Float32Array(values.length)
  for (let i = 0; i < values.length; i++) scaled[i] = values[i] * factors[indices[i]]
  return { ...matrix, values: scaled }
}
