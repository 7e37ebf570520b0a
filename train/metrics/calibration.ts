// Calibration: whether predictions made with 80 % confidence are right 80 % of the time.
import { allWithin, checkLength, quantile } from './values.ts'
import { predictions } from './confusion.ts'

/** Each prediction's confidence, and whether it is right (1 or 0). */
export interface Confidences {
  readonly confidence: Float64Array
  readonly right: Uint8Array
}

/** Single-label: the largest probability of each row of `[rows, classes]`. */
export function topConfidences(
  truth: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  classes: number,
): Confidences {
  checkLength('probabilities', probabilities.length, truth.length * classes)
  const predicted = predictions(probabilities, classes)
  return {
    confidence: Float64Array.from(predicted, (label, row) => probabilities[row * classes + label]),
    right: Uint8Array.from(predicted, (label, row) => (label === truth[row] ? 1 : 0)),
  }
}

/** Binary labels (positive above 0.5): the probability of each, and whether it is positive. */
export function labelConfidences(truth: ArrayLike<number>, probabilities: ArrayLike<number>): Confidences {
  checkLength('probabilities', probabilities.length, truth.length)
  return { confidence: Float64Array.from(probabilities), right: Uint8Array.from(truth, value => (value > 0.5 ? 1 : 0)) }
}

/** Predictions with a confidence in (low, high]; the first bin includes its lower edge. */
export interface ReliabilityBin {
  readonly low: number
  readonly high: number
  readonly count: number
  /** Mean confidence; undefined in an empty bin. */
  readonly confidence: number | undefined
  /** The fraction that is right; undefined in an empty bin. */
  readonly accuracy: number | undefined
}

export interface Reliability {
  readonly bins: readonly ReliabilityBin[]
  /** Expected calibration error: |accuracy − confidence| of each bin, weighted by its count. */
  readonly error: number
  /** Maximum calibration error: the largest |accuracy − confidence| of any bin. */
  readonly largestError: number
}

export const CALIBRATION_BINS = 15

/**
 * Confidence against accuracy: `width` has bins of equal width (Guo, Pleiss, Sun and Weinberger, "On calibration of
 * modern neural networks", 2017), `mass` bins with edges at quantiles, of about equally many predictions (Nguyen and
 * O'Connor, "Posterior calibration and exploratory analysis for natural language processing models", 2015). Undefined
 * without predictions, and if a confidence is not a probability.
 */
export function reliability(
  { confidence, right }: Confidences,
  bins = CALIBRATION_BINS,
  by: 'width' | 'mass' = 'width',
): Reliability | undefined {
  checkLength('rightness', right.length, confidence.length)
  if (confidence.length === 0 || !allWithin(confidence, 0, 1)) return undefined
  const sorted = by === 'mass' ? confidence.slice().sort() : undefined
  const edges = Array.from({ length: bins + 1 }, (_, i) => (sorted ? (quantile(sorted, i, bins) ?? 0) : i / bins))
  const sums = edges.slice(1).map(() => ({ count: 0, confidence: 0, right: 0 }))
  for (let i = 0; i < confidence.length; i++) {
    const sum = sums[binOf(confidence[i], edges)]
    sum.count++
    sum.confidence += confidence[i]
    sum.right += right[i]
  }
  let [error, largestError] = [0, 0]
  for (const sum of sums) {
    const gap = Math.abs(sum.right - sum.confidence)
    error += gap / confidence.length
    if (sum.count > 0) largestError = Math.max(largestError, gap / sum.count)
  }
  return {
    bins: sums.map((sum, i) => ({
      low: edges[i],
      high: edges[i + 1],
      count: sum.count,
      confidence: sum.count > 0 ? sum.confidence / sum.count : undefined,
      accuracy: sum.count > 0 ? sum.right / sum.count : undefined,
    })),
    error,
    largestError,
  }
}

/** The first bin whose upper edge is at least the value. */
function binOf(value: number, edges: readonly number[]): number {
  let [low, high] = [0, edges.length - 2]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (value <= edges[middle + 1]) high = middle
    else low = middle + 1
  }
  return low
}
