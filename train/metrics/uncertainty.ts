// How far a metric of so many examples can be trusted, and whether two runs differ by more than chance.
import { stream } from '../random.ts'
import { type Figure, checkLength, quantile } from './values.ts'

/** Bounds between which the true value lies, as often as the level says. */
export interface Interval {
  readonly low: number
  readonly high: number
}

/** The standard normal's 97.5 % point: two-sided bounds at 95 %. */
const Z95 = 1.959963984540054

/**
 * 95 % bounds of a probability of which `successes` in `trials` were seen (Wilson, "Probable inference, the law of
 * succession, and statistical inference", 1927); inside [0, 1], and of some width also for none or all. Undefined
 * without trials.
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

export interface BootstrapOptions {
  readonly seed: number
  readonly resamples?: number
  /** The share of resamples between the bounds. */
  readonly level?: number
}

/**
 * Bounds of any metric by the percentile bootstrap (Efron and Tibshirani, "An introduction to the bootstrap", 1993,
 * chapter 13): `metric` of `rows` examples drawn with replacement, whose indices it is given, again and again. The same
 * seed gives the same bounds. Draws for which the metric is undefined are left out; undefined without examples, or
 * where all are.
 */
export function bootstrap(
  rows: number, metric: (indices: Uint32Array) => Figure, { seed, resamples = 1000, level = 0.95 }: BootstrapOptions,
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

/** What McNemar's test says of two classifiers on the same examples. */
export interface McNemar {
  /** Examples that only the first, and that only the second, gets right. */
  readonly onlyFirst: number
  readonly onlySecond: number
  /** Two-sided probability of so unequal counts, or more so, were both equally good: by the binomial distribution. */
  readonly exact: number
  /** The χ² statistic, with Edwards' continuity correction, and the probability by χ² with one degree of freedom. */
  readonly statistic: number
  readonly approximate: number
}

/**
 * McNemar's test ("Note on the sampling error of the difference between correlated proportions or percentages", 1947).
 * Where the two never differ in being right, the probabilities are 1 and the statistic 0.
 */
export function mcnemar(
  truth: ArrayLike<number>, first: ArrayLike<number>, second: ArrayLike<number>,
): McNemar {
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

/** The same from the two counts. */
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
  // Down from the largest term: each is the one above it times k / (tosses − k + 1).
  let [sum, term] = [0, 1]
  for (let k = most; k >= 0 && term > sum * Number.EPSILON; k--) {
    sum += term
    term *= k / (tosses - k + 1)
  }
  return Math.exp(logarithm) * sum
}

/**
 * 1 − erf(x) for x ≥ 0: by erf's series (Abramowitz and Stegun 7.1.6) where x is small, else by a continued fraction
 * (7.1.14).
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
