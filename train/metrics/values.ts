// Shared by all metrics: the rule for undefined values, means, quantiles.
//
// The rule: where scikit-learn, scipy or seqeval raises or returns NaN (no examples, one class only, a constant, a
// score that is not finite), a metric is `undefined`, never NaN. Lists whose lengths disagree are a
// programming error and throw a RangeError.

/** A metric's value, or undefined where the metric is not defined for the data. */
export type Figure = number | undefined

/** Throws a RangeError unless `length` is `expected`. */
export function checkLength(what: string, length: number, expected: number): void {
  if (length !== expected) throw new RangeError(`${what}: ${length} values, expected ${expected}`)
}

/** `part / whole`; 0 where `whole` is 0 (scikit-learn's `zero_division`). */
export const ratio = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole)

/** Whether all values lie in [low, high]; false if any is NaN. */
export function allWithin(values: ArrayLike<number>, low: number, high: number): boolean {
  for (let i = 0; i < values.length; i++) if (!(values[i] >= low && values[i] <= high)) return false
  return true
}

/** Whether no value is infinite or NaN. */
export const allFinite = (values: ArrayLike<number>): boolean => allWithin(values, -Number.MAX_VALUE, Number.MAX_VALUE)

/** The mean; undefined if there are no values or any of them is undefined. */
export function meanOf(values: readonly Figure[]): Figure {
  let sum = 0
  for (const value of values) {
    if (value === undefined) return undefined
    sum += value
  }
  return values.length === 0 ? undefined : sum / values.length
}

/** The weighted mean. Values of weight 0 are skipped; undefined if another is undefined or all weights are 0. */
export function weightedMeanOf(values: readonly Figure[], weights: ArrayLike<number>): Figure {
  checkLength('weights', weights.length, values.length)
  let [sum, total] = [0, 0]
  for (const [i, value] of values.entries()) {
    if (weights[i] === 0) continue
    if (value === undefined) return undefined
    sum += value * weights[i]
    total += weights[i]
  }
  return total === 0 ? undefined : sum / total
}

/**
 * The `part / parts` quantile of ascending values, with linear interpolation (NumPy's default). Undefined for no
 * values. The fraction is passed as two numbers so that integer positions are exact.
 */
export function quantile(sorted: ArrayLike<number>, part: number, parts = 1): Figure {
  if (sorted.length === 0) return undefined
  const position = (part * (sorted.length - 1)) / parts
  const below = Math.floor(position)
  const [low, high] = [sorted[below], sorted[Math.min(below + 1, sorted.length - 1)]]
  const t = position - below
  // As in NumPy: each form is exact at its own end.
  return t < 0.5 ? low + (high - low) * t : high - (high - low) * (1 - t)
}
