// Confidence intervals of metrics.
import { stream } from '../random.ts'
import { type Figure, quantile } from './values.ts'

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
  options: BootstrapOptions,
): Interval | undefined {
  return intervalFrom(resampled(rows, metric, options), options.level)
}

/** The percentile interval of a metric's values on resamples; undefined if it is defined on none. */
export function intervalFrom(draws: readonly Figure[], level = 0.95): Interval | undefined {
  const sorted = Float64Array.from(draws.filter(value => value !== undefined)).sort()
  const [low, high] = [quantile(sorted, (1 - level) / 2), quantile(sorted, (1 + level) / 2)]
  return low === undefined || high === undefined ? undefined : { low, high }
}

/** The metric on each resample, in the order of the draws; nothing without examples. The same seed draws the same rows. */
export function resampled(
  rows: number,
  metric: (indices: Uint32Array) => Figure,
  { seed, resamples = 1000, level = 0.95 }: BootstrapOptions,
): Figure[] {
  if (!(level > 0 && level < 1)) throw new RangeError(`A level lies between 0 and 1; got ${level}`)
  if (!(Number.isInteger(resamples) && resamples > 0)) throw new RangeError(`${resamples} resamples`)
  if (rows === 0) return []
  const random = stream(seed, 'bootstrap')
  const indices = new Uint32Array(rows)
  return Array.from({ length: resamples }, () => {
    for (let i = 0; i < rows; i++) indices[i] = random.below(rows)
    return metric(indices)
  })
}
