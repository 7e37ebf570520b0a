// Means, and of a few repeated measurements, such as a metric over seeds, how far the mean may lie from the true one.
import type { Interval } from './uncertainty.ts'

/** The mean; NaN of no values. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]
  return sum / values.length
}

export interface MeanInterval {
  readonly mean: number
  /** Student's 95 % interval; undefined for a single value. */
  readonly interval: Interval | undefined
}

/** The mean of values with Student's interval ("The probable error of a mean", 1908). Throws a RangeError on none. */
export function meanInterval(values: readonly number[], level = 0.95): MeanInterval {
  const { length } = values
  if (length === 0) throw new RangeError('The mean of no values')
  const centre = mean(values)
  if (length === 1) return { mean: centre, interval: undefined }
  const variance = values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (length - 1)
  const half = studentQuantile(length - 1, level) * Math.sqrt(variance / length)
  return { mean: centre, interval: { low: centre - half, high: centre + half } }
}

/**
 * The sum of `values` over the sum of `sizes`, such as the loss of all tokens of texts that have several, with Student's
 * interval over the texts (the ratio estimator: Cochran, "Sampling Techniques", 1977). Throws a RangeError on no values,
 * or another number of sizes.
 */
export function ratioInterval(values: ArrayLike<number>, sizes: ArrayLike<number>, level = 0.95): MeanInterval {
  const { length } = values
  if (length === 0 || sizes.length !== length) throw new RangeError(`${length} values and ${sizes.length} sizes`)
  let [sum, total, squares] = [0, 0, 0]
  for (let i = 0; i < length; i++) {
    sum += values[i]
    total += sizes[i]
  }
  const ratio = sum / total
  if (length === 1) return { mean: ratio, interval: undefined }
  for (let i = 0; i < length; i++) squares += (values[i] - ratio * sizes[i]) ** 2
  const error = Math.sqrt((length / (length - 1)) * squares) / total
  const half = studentQuantile(length - 1, level) * error
  return { mean: ratio, interval: { low: ratio - half, high: ratio + half } }
}

/** The t for which a variable of Student's distribution lies within ±t with probability `level`. */
export function studentQuantile(degrees: number, level = 0.95): number {
  if (!(Number.isInteger(degrees) && degrees > 0)) throw new RangeError(`${degrees} degrees of freedom`)
  if (!(level > 0 && level < 1)) throw new RangeError(`A level lies between 0 and 1; got ${level}`)
  let [low, high] = [0, 1]
  while (studentWithin(high, degrees) < level) high *= 2
  for (;;) {
    const middle = (low + high) / 2
    if (middle <= low || middle >= high) return middle
    if (studentWithin(middle, degrees) < level) low = middle
    else high = middle
  }
}

/** The probability that |T| ≤ t, for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4). */
function studentWithin(t: number, degrees: number): number {
  const angle = Math.atan(t / Math.sqrt(degrees))
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)]
  const isOdd = degrees % 2 === 1
  let [sum, term] = [0, isOdd ? cosine : 1]
  for (let power = isOdd ? 1 : 0; power <= degrees - 2; power += 2) {
    sum += term
    term *= ((power + 1) / (power + 2)) * cosine * cosine
  }
  return isOdd ? (2 / Math.PI) * (angle + sine * sum) : sine * sum
}
