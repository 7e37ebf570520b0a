// Temperature scaling (Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017): one number
// by which all logits are divided, such that the negative log-likelihood of validation labels is least. No prediction
// changes, only how sure it is.
import { type Figure, allFinite, checkLength } from './values.ts'

export interface Temperature {
  /** What logits are divided by. */
  readonly temperature: number
  /**
   * `fitted`: the minimum. `limit`: the minimum lies beyond 1/1000 or 1000, whichever was taken; labels that the logits
   * predict worse than chance have theirs at infinity. `separable`: all labels are predicted rightly, so that the
   * likelihood grows without end as the temperature falls. `flat`: logits do not differ. Neither says anything of the
   * scale: 1.
   */
  readonly outcome: 'fitted' | 'limit' | 'separable' | 'flat'
  /** Mean negative log-likelihood of the labels without and with the temperature. */
  readonly before: number
  readonly after: number
}

const LIMIT = 1000
const STEPS = 200
/** Of ln T, relative: as near as sums in double precision say. */
const NEAR = 1e-14

/** Mean negative log-likelihood with logits times `factor`, and its first two derivatives by it. It is convex in it. */
interface Likelihood {
  readonly loss: number
  readonly slope: number
  readonly curvature: number
}

interface Problem {
  readonly likelihood: (factor: number) => Likelihood
  readonly separable: boolean
  readonly flat: boolean
}

/** Newton's method on ln(1/T), kept between bounds that each step narrows, halving them where Newton would leave. */
function solve({ likelihood, separable, flat }: Problem): Temperature {
  const before = likelihood(1).loss
  if (flat || separable) return { temperature: 1, outcome: flat ? 'flat' : 'separable', before, after: before }
  const at = (temperature: number, outcome: 'fitted' | 'limit'): Temperature =>
    ({ temperature, outcome, before, after: likelihood(1 / temperature).loss })
  if (likelihood(1 / LIMIT).slope >= 0) return at(LIMIT, 'limit')
  if (likelihood(LIMIT).slope <= 0) return at(1 / LIMIT, 'limit')
  let [low, high, x] = [-Math.log(LIMIT), Math.log(LIMIT), 0]
  for (let step = 0; step < STEPS; step++) {
    const factor = Math.exp(x)
    const { slope, curvature } = likelihood(factor)
    if (slope === 0) break
    if (slope > 0) high = x
    else low = x
    // d slope / dx, by x = ln(factor).
    const newton = x - slope / (curvature * factor)
    const next = newton > low && newton < high ? newton : (low + high) / 2
    const moved = Math.abs(next - x)
    x = next
    if (moved <= NEAR * Math.max(1, Math.abs(x))) break
  }
  return at(Math.exp(-x), 'fitted')
}

/**
 * For one label an example: labels `[rows]`, logits `[rows, classes]` of a validation split. Undefined without
 * examples, and where a logit is not finite. Throws a RangeError on a label that is not a class.
 */
export function fitTemperature(
  truth: ArrayLike<number>, logits: ArrayLike<number>, classes: number,
): Temperature | undefined {
  checkLength('logits', logits.length, truth.length * classes)
  const largest = new Float64Array(truth.length)
  let [separable, flat] = [true, true]
  for (let row = 0; row < truth.length; row++) {
    if (!Number.isInteger(truth[row]) || truth[row] < 0 || truth[row] >= classes) {
      throw new RangeError(`Row ${row}: label ${truth[row]}; there are ${classes} classes`)
    }
    largest[row] = logits[row * classes]
    for (let c = 1; c < classes; c++) {
      largest[row] = Math.max(largest[row], logits[row * classes + c])
      flat &&= logits[row * classes + c] === logits[row * classes]
    }
    separable &&= logits[row * classes + truth[row]] === largest[row]
  }
  if (truth.length === 0 || !allFinite(logits)) return undefined
  const likelihood = (factor: number): Likelihood => {
    let [loss, slope, curvature] = [0, 0, 0]
    for (let row = 0; row < truth.length; row++) {
      // Logits less the row's largest: powers stay in range, and nothing else changes.
      let [sum, first, second] = [0, 0, 0]
      for (let c = 0; c < classes; c++) {
        const z = logits[row * classes + c] - largest[row]
        const power = Math.exp(factor * z)
        sum += power
        first += power * z
        second += power * z * z
      }
      const mean = first / sum
      const label = logits[row * classes + truth[row]] - largest[row]
      loss += Math.log(sum) - factor * label
      slope += mean - label
      curvature += second / sum - mean * mean
    }
    return { loss: loss / truth.length, slope: slope / truth.length, curvature: curvature / truth.length }
  }
  return solve({ likelihood, separable, flat })
}

/**
 * For labels that are there (above ½) or not, one logit each: one temperature for all labels of all examples. Undefined
 * without any, and where a logit is not finite.
 */
export function fitBinaryTemperature(truth: ArrayLike<number>, logits: ArrayLike<number>): Temperature | undefined {
  checkLength('logits', logits.length, truth.length)
  if (truth.length === 0 || !allFinite(logits)) return undefined
  let [separable, flat] = [true, true]
  for (let i = 0; i < truth.length; i++) {
    separable &&= truth[i] > 0.5 ? logits[i] >= 0 : logits[i] <= 0
    flat &&= logits[i] === 0
  }
  const likelihood = (factor: number): Likelihood => {
    let [loss, slope, curvature] = [0, 0, 0]
    for (let i = 0; i < truth.length; i++) {
      // z is how far the logit is on the wrong side; the loss is ln(1 + e^(factor z)).
      const z = truth[i] > 0.5 ? -logits[i] : logits[i]
      const power = Math.exp(-Math.abs(factor * z))
      const wrong = (z >= 0 ? 1 : power) / (1 + power)
      loss += Math.max(0, factor * z) + Math.log1p(power)
      slope += wrong * z
      curvature += (z * z * power) / (1 + power) ** 2
    }
    return { loss: loss / truth.length, slope: slope / truth.length, curvature: curvature / truth.length }
  }
  return solve({ likelihood, separable, flat })
}

/** How much a fit gained: the fall of the mean negative log-likelihood, in nats; undefined without a fit. */
export const gainOf = (fit: Temperature | undefined): Figure => (fit ? fit.before - fit.after : undefined)
