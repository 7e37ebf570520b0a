// Probabilities from logits, and scores of probabilities: log loss and the Brier score.
import { type Figure, allWithin, checkLength } from './values.ts'

/** Softmax of each row of `[rows, classes]` logits, after dividing them by a temperature. */
export function softmax(logits: ArrayLike<number>, classes: number, temperature = 1): Float64Array<ArrayBuffer> {
  const result = new Float64Array(logits.length)
  for (let start = 0; start < logits.length; start += classes) {
    let largest = -Infinity
    for (let i = start; i < start + classes; i++) largest = Math.max(largest, logits[i])
    let sum = 0
    for (let i = start; i < start + classes; i++) sum += result[i] = Math.exp((logits[i] - largest) / temperature)
    for (let i = start; i < start + classes; i++) result[i] /= sum
  }
  return result
}

/** The logistic function of each logit, after dividing it by a temperature. */
export function sigmoid(logits: ArrayLike<number>, temperature = 1): Float64Array<ArrayBuffer> {
  return Float64Array.from(logits, logit => {
    const power = Math.exp(-Math.abs(logit / temperature))
    return (logit >= 0 ? 1 : power) / (1 + power)
  })
}

/** scikit-learn clips probabilities to [ε, 1 − ε] before taking logarithms. */
const SMALLEST = Number.EPSILON

const negativeLog = (probability: number): number => -Math.log(Math.min(Math.max(probability, SMALLEST), 1 - SMALLEST))

/** Throws a RangeError unless there is a row of `classes` probabilities per label and every label is a class. */
function checkClasses(truth: ArrayLike<number>, probabilities: ArrayLike<number>, classes: number): void {
  checkLength('probabilities', probabilities.length, truth.length * classes)
  for (let row = 0; row < truth.length; row++) {
    if (!Number.isInteger(truth[row]) || truth[row] < 0 || truth[row] >= classes) {
      throw new RangeError(`Row ${row}: label ${truth[row]}; there are ${classes} classes`)
    }
  }
}

/**
 * Mean of −ln p(label) over `[rows, classes]` probabilities, clipped to [ε, 1 − ε]. Undefined without examples, for
 * fewer than two classes, and if any value is not a probability.
 */
export function logLoss(truth: ArrayLike<number>, probabilities: ArrayLike<number>, classes: number): Figure {
  checkClasses(truth, probabilities, classes)
  if (truth.length === 0 || classes < 2 || !allWithin(probabilities, 0, 1)) return undefined
  let sum = 0
  for (let row = 0; row < truth.length; row++) sum += negativeLog(probabilities[row * classes + truth[row]])
  return sum / truth.length
}

/**
 * The Brier score of `[rows, classes]` probabilities: the mean over examples of the squared distance from the one-hot
 * label, halved for two classes. Undefined where `logLoss` is.
 */
export function brier(truth: ArrayLike<number>, probabilities: ArrayLike<number>, classes: number): Figure {
  checkClasses(truth, probabilities, classes)
  if (truth.length === 0 || classes < 2 || !allWithin(probabilities, 0, 1)) return undefined
  let sum = 0
  for (let i = 0; i < probabilities.length; i++) {
    const wanted = i % classes === truth[Math.floor(i / classes)] ? 1 : 0
    sum += (wanted - probabilities[i]) ** 2
  }
  return sum / truth.length / (classes === 2 ? 2 : 1)
}

/** The mean log loss of binary labels (positive above 0.5), one probability each. Undefined where `logLoss` is. */
export function binaryLogLoss(truth: ArrayLike<number>, probabilities: ArrayLike<number>): Figure {
  checkLength('probabilities', probabilities.length, truth.length)
  if (truth.length === 0 || !allWithin(probabilities, 0, 1)) return undefined
  let sum = 0
  for (let i = 0; i < truth.length; i++) sum += negativeLog(truth[i] > 0.5 ? probabilities[i] : 1 - probabilities[i])
  return sum / truth.length
}

/** The Brier score of binary labels (positive above 0.5), one probability each. Undefined where `logLoss` is. */
export function binaryBrier(truth: ArrayLike<number>, probabilities: ArrayLike<number>): Figure {
  checkLength('probabilities', probabilities.length, truth.length)
  if (truth.length === 0 || !allWithin(probabilities, 0, 1)) return undefined
  let sum = 0
  for (let i = 0; i < truth.length; i++) sum += ((truth[i] > 0.5 ? 1 : 0) - probabilities[i]) ** 2
  return sum / truth.length
}
