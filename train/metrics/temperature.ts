// Temperature scaling (Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017): all
// logits are divided by the one number that minimises the negative log-likelihood of the validation labels. It changes
// confidences, but no prediction.
import { allFinite, checkLength } from './values.ts'

export interface Temperature {
  /** What logits are divided by. */
  readonly temperature: number
  /**
   * `fitted`: the minimum. `limit`: the minimum is beyond 1/1000 or 1000, and the temperature is that limit; logits
   * that predict worse than chance have their minimum at infinity. `separable`: every label is predicted right, so the
   * likelihood has no maximum: it grows as the temperature goes to 0. `flat`: all logits are equal. In the last two
   * cases the data does not determine a temperature, and it stays 1.
   */
  readonly outcome: 'fitted' | 'limit' | 'separable' | 'flat'
  /** Mean negative log-likelihood of the labels without and with the temperature. */
  readonly before: number
  readonly after: number
}

const LIMIT = 1000
const STEPS = 200
/** Relative tolerance of ln T, near the limit of double precision. */
const NEAR = 1e-14

/** Mean negative log-likelihood of logits times `factor`, in which it is convex, with its first two derivatives. */
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

/** Newton's method on x = ln(1/T), with bisection where a step would leave the bracket. */
function solve({ likelihood, separable, flat }: Problem): Temperature {
  const before = likelihood(1).loss
  if (flat || separable) return { temperature: 1, outcome: flat ? 'flat' : 'separable', before, after: before }
  const at = (temperature: number, outcome: 'fitted' | 'limit'): Temperature => ({
    temperature,
    outcome,
    before,
    after: likelihood(1 / temperature).loss,
  })
  if (likelihood(1 / LIMIT).slope >= 0) return at(LIMIT, 'limit')
  if (likelihood(LIMIT).slope <= 0) return at(1 / LIMIT, 'limit')
  let [low, high, x] = [-Math.log(LIMIT), Math.log(LIMIT), 0]
  for (let step = 0; step < STEPS; step++) {
    const factor = Math.exp(x)
    const { slope, curvature } = likelihood(factor)
    if (slope === 0) break
    if (slope > 0) high = x
    else low = x
    // By the chain rule, d slope / dx = curvature · factor.
    const newton = x - slope / (curvature * factor)
    const next = newton > low && newton < high ? newton : (low + high) / 2
    const moved = Math.abs(next - x)
    x = next
    if (moved <= NEAR * Math.max(1, Math.abs(x))) break
  }
  return at(Math.exp(-x), 'fitted')
}

/**
 * Single-label: labels `[rows]` and logits `[rows, classes]` of a validation split. Undefined without examples, and if
 * a logit is not finite. Throws a RangeError on a label that is not a class.
 */
export function fitTemperature(
  truth: ArrayLike<number>,
  logits: ArrayLike<number>,
  classes: number,
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
      // Subtracting the row's largest logit keeps exp() in range and changes nothing else.
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
 * Binary labels (positive above 0.5), one logit each, such as those of a multi-label task: one temperature for all of
 * them. Undefined without labels, and if a logit is not finite.
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
      // The logit of the wrong answer; the loss is ln(1 + e^(factor z)).
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
