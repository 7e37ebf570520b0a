// Multinomial naive Bayes with additive smoothing, as in scikit-learn's MultinomialNB.
import type { SparseMatrix } from './sparse.ts'

export interface NaiveBayes {
  /** ln P(class), [classes]. */
  readonly logPriors: Float64Array
  /** ln P(feature | class), [classes, features]. */
  readonly logLikelihoods: Float64Array
}

/**
 * Fits to a matrix without negative entries and the class of each row. `smoothing` is added to every sum (α of Laplace
 * and Lidstone).
 */
export function fitNaiveBayes(
  matrix: SparseMatrix,
  truth: ArrayLike<number>,
  classes: number,
  smoothing: number,
): NaiveBayes {
  const { rows, columns } = matrix
  const counts = new Float64Array(classes)
  for (let row = 0; row < rows; row++) counts[truth[row]]++
  const logLikelihoods = sumByClass(matrix, truth, classes)
  for (let k = 0; k < classes; k++) logShares(logLikelihoods.subarray(k * columns, (k + 1) * columns), smoothing)
  return { logPriors: counts.map(count => Math.log(count / rows)), logLikelihoods }
}

/** The log-count ratio of Wang and Manning (2012) of each feature: ln (p / ‖p‖₁) − ln (q / ‖q‖₁), [features]. */
export function logCountRatio(matrix: SparseMatrix, truth: ArrayLike<number>, smoothing: number): Float64Array {
  const { logLikelihoods } = fitNaiveBayes(matrix, truth, 2, smoothing)
  const { columns } = matrix
  return Float64Array.from({ length: columns }, (_, j) => logLikelihoods[columns + j] - logLikelihoods[j])
}

/** Sums of the entries of each feature over the rows of each class, [classes, features]. */
function sumByClass(
  { rows, columns, starts, indices, values }: SparseMatrix,
  truth: ArrayLike<number>,
  classes: number,
): Float64Array {
  const sums = new Float64Array(classes * columns)
  for (let row = 0; row < rows; row++) {
    const offset = truth[row] * columns
    for (let i = starts[row], end = starts[row + 1]; i < end; i++) sums[offset + indices[i]] += values[i]
  }
  return sums
}

/** Turns sums into the logarithms of their smoothed shares, in place. */
function logShares(sums: Float64Array, smoothing: number): void {
  let total = smoothing * sums.length
  for (const sum of sums) total += sum
  const logTotal = Math.log(total)
  for (let j = 0; j < sums.length; j++) sums[j] = Math.log(sums[j] + smoothing) - logTotal
}
