// Confidence intervals of metrics, and a significance test of the difference between two runs.
import { stream } from '../random.ts'
import { type Figure, checkLength, quantile } from './values.ts'

/** A confidence interval. */
export interface Interval {
  readonly low: number
  readonly high: number
}

/** The 97.5 % point of the standard normal distribution. */
const Z95 = 1.959963984540054

/**
 * The Wilson score interval of a proportion, 95 % by default (Wilson, "Probable inference, the law of succession, and
 * statistical inference", 1927). It stays within [0, 1], and has a width even for 0 or all successes. Undefined without
 * trials.
 */
export function wilson(successes: number, trials: number, z = Z95): Interval | undefined {
  if (!(successes >= 0 && successes <= trials)) throw new RangeError(`${successes} successes in ${trials} trials`)
  if (trials === 0) return undefined
  const p = successes / trials
  const shrink = 1 + (z * z) / trials
  const centre = (p + (z * z) / (2 * trials)) / shrink
  const half = (z * Math.sqrt((p * (1 - p) + (z * z) / (4 * trials)) / trials)) / shrink
  return { low: successes === 0 ? 0 : centre - half, high: successes === trials ? 1 : centre + half }
}

/** The seed of the bootstrap wherever intervals are shown: the same answers have the same interval. */
export const INTERVAL_SEED = 42

export interface BootstrapOptions {
  readonly seed: number
  readonly resamples?: number
  /** Confidence level, 0.95 by default. */
  readonly level?: number
}

/**
 * The percentile bootstrap interval of any metric (Efron and Tibshirani, "An introduction to the bootstrap", 1993,
 * chapter 13). `metric` gets the indices of `rows` examples drawn with replacement; the array is reused. The same seed
 * gives the same interval. Resamples on which the metric is undefined are skipped; the interval is undefined without
 * examples, and if every resample was skipped.
 */
export function bootstrap(
  rows: number,
  metric: (indices: Uint32Array) => Figure,
  { seed, resamples = 1000, level = 0.95 }: BootstrapOptions,
): Interval | undefined {
  if (!(level > 0 && level < 1)) throw new RangeError(`A level lies between 0 and 1; got ${level}`)
  if (!(Number.isInteger(resamples) && resamples > 0)) throw new RangeError(`${resamples} resamples`)
  if (rows === 0) return undefined
  const random = stream(seed, 'bootstrap')
  const indices = new Uint32Array(rows)
  const values: number[] = []
  for (let draw = 0; draw < resamples; draw++) {
    for (let i = 0; i < rows; i++) indices[i] = random.below(rows)
    const value = metric(indices)
    if (value !== undefined) values.push(value)
  }
  const sorted = Float64Array.from(values).sort()
  const [low, high] = [quantile(sorted, (1 - level) / 2), quantile(sorted, (1 + level) / 2)]
  return low === undefined || high === undefined ? undefined : { low, high }
}

/** McNemar's test of two classifiers on the same examples. */
export interface McNemar {
  /** Examples that only the first, and that only the second, gets right. */
  readonly onlyFirst: number
  readonly onlySecond: number
  /** Two-sided p-value of the exact binomial test. */
  readonly exact: number
  /** The χ² statistic with continuity correction (Edwards, 1948), and its p-value with one degree of freedom. */
  readonly statistic: number
  readonly approximate: number
}

/**
 * McNemar's test ("Note on the sampling error of the difference between correlated proportions or percentages", 1947).
 * If no example distinguishes the two, both p-values are 1 and the statistic is 0.
 */
export function mcnemar(truth: ArrayLike<number>, first: ArrayLike<number>, second: ArrayLike<number>): McNemar {
  checkLength('predictions of the first', first.length, truth.length)
  checkLength('predictions of the second', second.length, truth.length)
  let [onlyFirst, onlySecond] = [0, 0]
  for (let i = 0; i < truth.length; i++) {
    const [firstRight, secondRight] = [first[i] === truth[i], second[i] === truth[i]]
    if (firstRight && !secondRight) onlyFirst++
    if (secondRight && !firstRight) onlySecond++
  }
  return mcnemarOf(onlyFirst, onlySecond)
}

/** McNemar's test from the two counts. */
export function mcnemarOf(onlyFirst: number, onlySecond: number): McNemar {
  const different = onlyFirst + onlySecond
  if (different === 0) return { onlyFirst, onlySecond, exact: 1, statistic: 0, approximate: 1 }
  const exact = Math.min(1, 2 * fairCoinsAtMost(Math.min(onlyFirst, onlySecond), different))
  const statistic = (Math.abs(onlyFirst - onlySecond) - 1) ** 2 / different
  return { onlyFirst, onlySecond, exact, statistic, approximate: complementaryError(Math.sqrt(statistic / 2)) }
}

/** The probability of at most `most` heads in `tosses` of a fair coin. */
function fairCoinsAtMost(most: number, tosses: number): number {
  let logarithm = -tosses * Math.LN2
  for (let i = 1; i <= most; i++) logarithm += Math.log((tosses - most + i) / i)
  // Relative to the largest term, which comes first; each next one is k / (tosses − k + 1) times the last.
  let [sum, term] = [0, 1]
  for (let k = most; k >= 0 && term > sum * Number.EPSILON; k--) {
    sum += term
    term *= k / (tosses - k + 1)
  }
  return Math.exp(logarithm) * sum
}

/**
 * erfc(x) = 1 − erf(x) for x ≥ 0: by the series of erf (Abramowitz and Stegun 7.1.6) for small x, else by a continued
 * fraction (7.1.14).
 */
export function complementaryError(x: number): number {
  const density = Math.exp(-x * x) / Math.sqrt(Math.PI)
  if (x < 2) {
    let [sum, term] = [0, 2 * x]
    for (let n = 1; term > sum * Number.EPSILON; n++) {
      sum += term
      term *= (2 * x * x) / (2 * n + 1)
    }
    return 1 - density * sum
  }
  let fraction = x
  for (let n = 120; n >= 1; n--) fraction = x + n / 2 / fraction
  return density / fraction
}
