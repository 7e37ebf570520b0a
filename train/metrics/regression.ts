// Metrics of predicted numbers: errors, R², correlations.
import { mean } from './means.ts'
import { type Figure, allFinite, checkLength } from './values.ts'

/** Whether there are at least `least` pairs, all finite. Throws a RangeError on lists of different lengths. */
function comparable(truth: ArrayLike<number>, predicted: ArrayLike<number>, least: number): boolean {
  checkLength('predictions', predicted.length, truth.length)
  return truth.length >= least && allFinite(truth) && allFinite(predicted)
}

function meanDifference(
  truth: ArrayLike<number>,
  predicted: ArrayLike<number>,
  of: (difference: number) => number,
): Figure {
  if (!comparable(truth, predicted, 1)) return undefined
  let sum = 0
  for (let i = 0; i < truth.length; i++) sum += of(truth[i] - predicted[i])
  const mean = sum / truth.length
  return Number.isFinite(mean) ? mean : undefined
}

/** Mean squared error; undefined without examples, and if a value is not finite. */
export const meanSquaredError = (truth: ArrayLike<number>, predicted: ArrayLike<number>): Figure =>
  meanDifference(truth, predicted, difference => difference * difference)

/** The root of the mean squared error, in the units of the truth. */
export function rootMeanSquaredError(truth: ArrayLike<number>, predicted: ArrayLike<number>): Figure {
  const squared = meanSquaredError(truth, predicted)
  return squared === undefined ? undefined : Math.sqrt(squared)
}

/** Mean absolute error; undefined without examples, and if a value is not finite. */
export const meanAbsoluteError = (truth: ArrayLike<number>, predicted: ArrayLike<number>): Figure =>
  meanDifference(truth, predicted, Math.abs)

function isConstant(values: ArrayLike<number>): boolean {
  for (let i = 1; i < values.length; i++) if (values[i] !== values[0]) return false
  return true
}

/**
 * R², the fraction of the truth's variance that the predictions explain: 1 if perfect, 0 for predicting its mean,
 * negative for worse. For a constant truth, 1 if predicted exactly, else 0. Undefined for fewer than two examples, and
 * if a value is not finite.
 */
export function r2(truth: ArrayLike<number>, predicted: ArrayLike<number>): Figure {
  if (!comparable(truth, predicted, 2)) return undefined
  const centre = mean(truth)
  let [residual, spread] = [0, 0]
  for (let i = 0; i < truth.length; i++) {
    residual += (truth[i] - predicted[i]) ** 2
    spread += (truth[i] - centre) ** 2
  }
  if (isConstant(truth)) return residual === 0 ? 1 : 0
  const value = 1 - residual / spread
  return Number.isFinite(value) ? value : undefined
}

/** The centred values, normalised; they are divided by the largest first so that squares do not overflow. */
function directionOf(values: ArrayLike<number>): Float64Array {
  const centre = mean(values)
  const centred = Float64Array.from(values, value => value - centre)
  const largest = centred.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  const norm = Math.sqrt(centred.reduce((sum, value) => sum + (value / largest) ** 2, 0))
  return centred.map(value => value / largest / norm)
}

/**
 * Pearson's correlation; undefined for fewer than two examples, if either list is constant, and if a value is not
 * finite.
 */
export function pearson(truth: ArrayLike<number>, predicted: ArrayLike<number>): Figure {
  if (!comparable(truth, predicted, 2) || isConstant(truth) || isConstant(predicted)) return undefined
  const [a, b] = [directionOf(truth), directionOf(predicted)]
  let product = 0
  for (let i = 0; i < a.length; i++) product += a[i] * b[i]
  return Number.isNaN(product) ? undefined : Math.min(1, Math.max(-1, product))
}

/** Ranks from 1; equal values share the mean of their ranks. */
export function averageRanks(values: ArrayLike<number>): Float64Array {
  const order = Uint32Array.from({ length: values.length }, (_, i) => i).sort((i, j) => values[i] - values[j])
  const ranks = new Float64Array(values.length)
  for (let start = 0; start < order.length;) {
    let end = start + 1
    while (end < order.length && values[order[end]] === values[order[start]]) end++
    for (let i = start; i < end; i++) ranks[order[i]] = (start + 1 + end) / 2
    start = end
  }
  return ranks
}

/** Spearman's correlation: Pearson's of the average ranks. Undefined where `pearson` is. */
export function spearman(truth: ArrayLike<number>, predicted: ArrayLike<number>): Figure {
  if (!comparable(truth, predicted, 2)) return undefined
  return pearson(averageRanks(truth), averageRanks(predicted))
}

/** Number of pairs of equal values in a sorted list; `isTied(i)` compares value `i` with the one before it. */
function tiedPairs(count: number, isTied: (i: number) => boolean): number {
  let [pairs, run] = [0, 0]
  for (let i = 1; i < count; i++) {
    run = isTied(i) ? run + 1 : 0
    pairs += run
  }
  return pairs
}

/** Merge sort in place that counts the pairs in the wrong order; `space` is scratch of the same length. */
function sortCountingSwaps(values: Float64Array, from: number, to: number, space: Float64Array): number {
  if (to - from < 2) return 0
  const middle = (from + to) >>> 1
  let swaps = sortCountingSwaps(values, from, middle, space) + sortCountingSwaps(values, middle, to, space)
  for (let i = from, j = middle, k = from; k < to; k++) {
    const takesLeft = j >= to || (i < middle && values[i] <= values[j])
    if (!takesLeft) swaps += middle - i
    space[k] = takesLeft ? values[i++] : values[j++]
  }
  values.set(space.subarray(from, to), from)
  return swaps
}

/**
 * Kendall's τ-b, which accounts for ties, in O(n log n) (Knight, "A computer method for calculating Kendall's tau with
 * ungrouped data", 1966). Undefined where `pearson` is.
 */
export function kendall(truth: ArrayLike<number>, predicted: ArrayLike<number>): Figure {
  if (!comparable(truth, predicted, 2) || isConstant(truth) || isConstant(predicted)) return undefined
  const count = truth.length
  const order = Uint32Array.from({ length: count }, (_, i) => i).sort(
    (i, j) => truth[i] - truth[j] || predicted[i] - predicted[j],
  )
  const following = Float64Array.from(order, i => predicted[i])
  const sameTruth = (i: number): boolean => truth[order[i]] === truth[order[i - 1]]
  const truthTies = tiedPairs(count, sameTruth)
  // Within a run of equal truths the predictions are sorted, so pairs tied in both are adjacent.
  const bothTies = tiedPairs(count, i => sameTruth(i) && following[i] === following[i - 1])
  const discordant = sortCountingSwaps(following, 0, count, new Float64Array(count))
  const predictedTies = tiedPairs(count, i => following[i] === following[i - 1])
  const pairs = (count * (count - 1)) / 2
  const difference = pairs - truthTies - predictedTies + bothTies - 2 * discordant
  return Math.min(1, Math.max(-1, difference / Math.sqrt(pairs - truthTies) / Math.sqrt(pairs - predictedTies)))
}
