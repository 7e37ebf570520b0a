// How well scores rank positive examples above negative ones, independent of a threshold: the area under the ROC curve
// and average precision; binary, one class against the rest, and per label.
import { type Figure, allFinite, checkLength } from './values.ts'

/** The scores of the positive and of the negative examples, each in ascending order. */
export interface Ranked {
  readonly positives: Float64Array
  readonly negatives: Float64Array
}

/** Binary labels (positive above 0.5) by score; undefined if a score is not finite. */
export function rank(truth: ArrayLike<number>, scores: ArrayLike<number>): Ranked | undefined {
  checkLength('scores', scores.length, truth.length)
  return rankBy(
    truth.length,
    i => truth[i] > 0.5,
    i => scores[i],
  )
}

/** Class `label` against all others: labels `[rows]`, scores `[rows, classes]`. */
export function rankClass(
  truth: ArrayLike<number>,
  scores: ArrayLike<number>,
  classes: number,
  label: number,
): Ranked | undefined {
  checkLength('scores', scores.length, truth.length * classes)
  return rankBy(
    truth.length,
    i => truth[i] === label,
    i => scores[i * classes + label],
  )
}

/** One label of a multi-label task: truth and scores `[rows, labels]`. */
export function rankLabel(
  truth: ArrayLike<number>,
  scores: ArrayLike<number>,
  labels: number,
  label: number,
): Ranked | undefined {
  checkLength('scores', scores.length, truth.length)
  return rankBy(
    truth.length / labels,
    i => truth[i * labels + label] > 0.5,
    i => scores[i * labels + label],
  )
}

function rankBy(count: number, isPositive: (i: number) => boolean, score: (i: number) => number): Ranked | undefined {
  let positive = 0
  for (let i = 0; i < count; i++) if (isPositive(i)) positive++
  const positives = new Float64Array(positive)
  const negatives = new Float64Array(count - positive)
  for (let i = 0, p = 0, n = 0; i < count; i++) {
    if (isPositive(i)) positives[p++] = score(i)
    else negatives[n++] = score(i)
  }
  if (!allFinite(positives) || !allFinite(negatives)) return undefined
  return { positives: positives.sort(), negatives: negatives.sort() }
}

/**
 * Visits the distinct scores in descending order, each with the number of positive and of negative examples that score
 * at least as high.
 */
export function descend(
  { positives, negatives }: Ranked,
  visit: (score: number, truePositives: number, falsePositives: number) => void,
): void {
  let [p, n] = [positives.length, negatives.length]
  while (p > 0 || n > 0) {
    const score = Math.max(p > 0 ? positives[p - 1] : -Infinity, n > 0 ? negatives[n - 1] : -Infinity)
    while (p > 0 && positives[p - 1] === score) p--
    while (n > 0 && negatives[n - 1] === score) n--
    visit(score, positives.length - p, negatives.length - n)
  }
}

/**
 * The area under the ROC curve: how often a positive example scores higher than a negative one, ties counting half.
 * Undefined without positive or without negative examples, and if a score is not finite.
 */
export function rocAuc(ranked: Ranked | undefined): Figure {
  if (!ranked || ranked.positives.length === 0 || ranked.negatives.length === 0) return undefined
  let [twiceArea, lastTrue, lastFalse] = [0, 0, 0]
  descend(ranked, (_, truePositives, falsePositives) => {
    twiceArea += (falsePositives - lastFalse) * (truePositives + lastTrue)
    lastTrue = truePositives
    lastFalse = falsePositives
  })
  return twiceArea / 2 / (ranked.positives.length * ranked.negatives.length)
}

/**
 * Average precision: the precision at each threshold, weighted by the recall gained there, without interpolation.
 * 0 if no example is positive; undefined without examples, and if a score is not finite.
 */
export function averagePrecision(ranked: Ranked | undefined): Figure {
  if (!ranked || ranked.positives.length + ranked.negatives.length === 0) return undefined
  if (ranked.positives.length === 0) return 0
  let [sum, lastTrue] = [0, 0]
  descend(ranked, (_, truePositives, falsePositives) => {
    sum += (truePositives - lastTrue) * (truePositives / (truePositives + falsePositives))
    lastTrue = truePositives
  })
  return sum / ranked.positives.length
}
