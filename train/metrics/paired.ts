// Whether two models differ, from their answers to the same examples: McNemar's test of which are right, the paired
// bootstrap for any other metric, and Holm's correction where many pairs are tested.
import { mean } from './means.ts'
import { type BootstrapOptions, type Interval, resampled } from './uncertainty.ts'
import { type Figure, checkLength, quantile } from './values.ts'

/** McNemar's test of two models on the same examples. */
export interface McNemar {
  /** Examples that only the first, and that only the second, gets right. */
  readonly onlyA: number
  readonly onlyB: number
  /** Two-sided p-value. */
  readonly p: number
}

/** With at least this many discordant examples, the p-value is that of the χ² distribution. */
const MANY_DISCORDANT = 1000

/**
 * McNemar's test ("Note on the sampling error of the difference between correlated proportions or percentages", 1947):
 * `aCorrect[i]` and `bCorrect[i]` say whether either model is right on example i. The p-value is that of the exact
 * binomial test if fewer than 1000 examples are right for only one of the two, else of χ² with continuity correction.
 * Throws a RangeError on lists of different lengths.
 */
export function mcnemar(aCorrect: readonly boolean[], bCorrect: readonly boolean[]): McNemar {
  checkLength('answers of the second', bCorrect.length, aCorrect.length)
  let [onlyA, onlyB] = [0, 0]
  for (let i = 0; i < aCorrect.length; i++) {
    if (aCorrect[i] && !bCorrect[i]) onlyA++
    if (bCorrect[i] && !aCorrect[i]) onlyB++
  }
  const { exact, approximate } = mcnemarOf(onlyA, onlyB)
  return { onlyA, onlyB, p: onlyA + onlyB < MANY_DISCORDANT ? exact : approximate }
}

/** McNemar's test in its exact form, and with the χ² distribution. */
export interface McNemarForms {
  readonly onlyA: number
  readonly onlyB: number
  /** Two-sided p-value of the exact binomial test. */
  readonly exact: number
  /** The χ² statistic with continuity correction (Edwards, 1948), and its p-value with one degree of freedom. */
  readonly statistic: number
  readonly approximate: number
}

/** Both forms of McNemar's test, from the two counts. If both are 0, both p-values are 1 and the statistic is 0. */
export function mcnemarOf(onlyA: number, onlyB: number): McNemarForms {
  const different = onlyA + onlyB
  if (different === 0) return { onlyA, onlyB, exact: 1, statistic: 0, approximate: 1 }
  const exact = Math.min(1, 2 * fairCoinsAtMost(Math.min(onlyA, onlyB), different))
  const statistic = (Math.abs(onlyA - onlyB) - 1) ** 2 / different
  return { onlyA, onlyB, exact, statistic, approximate: complementaryError(Math.sqrt(statistic / 2)) }
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

/** The difference of a metric between two models, first minus second. */
export interface PairedDifference {
  readonly difference: number
  /** 95 % percentile interval, by default. */
  readonly interval: Interval
  /** Two-sided p-value. */
  readonly p: number
}

/** A metric of one model, on all rows and on resamples of them. */
export interface Resampled {
  readonly whole: Figure
  readonly draws: readonly Figure[]
}

/**
 * A metric on resamples of `rows` examples, for `pairedBootstrap`: two models have to be measured with the same number
 * of rows, in the same order, and the same options. `metric` gets the indices of a resample; without an argument it
 * measures all rows.
 */
export const resampledMetric = (
  rows: number,
  metric: (indices?: Uint32Array) => Figure,
  options: BootstrapOptions,
): Resampled => ({ whole: metric(), draws: resampled(rows, metric, options) })

/**
 * The paired bootstrap (Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapters 6 and 13): the
 * difference of a metric of two models on the same resamples, with its percentile interval. The p-value is that of a
 * normal distribution with the resamples' standard error: counting resamples beyond 0 could give none below 2 / (draws +
 * 1), which no correction for many pairs would leave significant. Undefined where the difference is.
 */
export function pairedBootstrap(a: Resampled, b: Resampled, level = 0.95): PairedDifference | undefined {
  checkLength('resamples of the second', b.draws.length, a.draws.length)
  if (a.whole === undefined || b.whole === undefined) return undefined
  const differences = a.draws.flatMap((value, i) => {
    const other = b.draws[i]
    return value === undefined || other === undefined ? [] : [value - other]
  })
  const drawn = Float64Array.from(differences).sort()
  const [low, high] = [quantile(drawn, (1 - level) / 2), quantile(drawn, (1 + level) / 2)]
  if (low === undefined || high === undefined) return undefined
  const difference = a.whole - b.whole
  return { difference, interval: { low, high }, p: normalP(difference, standardDeviation(drawn)) }
}

function standardDeviation(values: Float64Array): number {
  const centre = mean(values)
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / Math.max(1, values.length - 1))
}

/** Two-sided: the probability that a normal variable with mean 0 is at least this far from 0. */
const normalP = (value: number, deviation: number): number =>
  value === 0 ? 1 : complementaryError(Math.abs(value) / deviation / Math.SQRT2)

/**
 * P-values corrected for as many tests (Holm, "A simple sequentially rejective multiple test procedure", 1979): a test
 * is significant at a level if its corrected p-value is at most that level, and the probability of any false positive
 * is then at most the level.
 */
export function holm(pValues: readonly number[]): number[] {
  const order = pValues.map((_, i) => i).sort((a, b) => pValues[a] - pValues[b])
  const corrected = new Array<number>(pValues.length)
  let largest = 0
  order.forEach((index, rank) => {
    largest = Math.max(largest, Math.min(1, (pValues.length - rank) * pValues[index]))
    corrected[index] = largest
  })
  return corrected
}
