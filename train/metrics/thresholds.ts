// Decision thresholds chosen on a validation split, for two classes and for each label of a multi-label task. An
// example is predicted positive if its probability is above the threshold.
import { scoresFrom } from './confusion.ts'
import { type Ranked, descend, rank, rankLabel } from './ranking.ts'
import { type Figure, allWithin, checkLength, ratio } from './values.ts'

/** Counts of a binary decision. */
interface Decided {
  readonly truePositives: number
  readonly falsePositives: number
  readonly positives: number
  readonly negatives: number
}

const f1Of = ({ truePositives, falsePositives, positives }: Decided): number =>
  scoresFrom(truePositives, positives, truePositives + falsePositives).f1

/** What a threshold can maximise. */
const CRITERIA = {
  f1: f1Of,
  f1_macro: ({ truePositives, falsePositives, positives, negatives }: Decided): number => {
    const swapped = {
      truePositives: negatives - falsePositives,
      falsePositives: positives - truePositives,
      positives: negatives,
      negatives: positives,
    }
    return (f1Of({ truePositives, falsePositives, positives, negatives }) + f1Of(swapped)) / 2
  },
  accuracy: ({ truePositives, falsePositives, positives, negatives }: Decided): number =>
    (truePositives + negatives - falsePositives) / (positives + negatives),
  balanced_accuracy: ({ truePositives, falsePositives, positives, negatives }: Decided): number =>
    (truePositives * negatives + (negatives - falsePositives) * positives) / (2 * positives * negatives),
  matthews: ({ truePositives, falsePositives, positives, negatives }: Decided): number => {
    const predicted = truePositives + falsePositives
    const rows = positives + negatives
    const spread = predicted * (rows - predicted) * positives * negatives
    return ratio(truePositives * rows - predicted * positives, Math.sqrt(spread))
  },
} as const satisfies Record<string, (decided: Decided) => number>

export type ThresholdCriterion = keyof typeof CRITERIA
export const THRESHOLD_CRITERIA = Object.keys(CRITERIA) as readonly ThresholdCriterion[]

export const DEFAULT_THRESHOLD = 0.5

export interface Threshold {
  /** Predict positive if the probability is above it. */
  readonly threshold: number
  /** The criterion at this threshold and at 0.5, on the examples that it was chosen on. */
  readonly value: Figure
  readonly atHalf: Figure
  /** False without positive or without negative examples: the threshold is then 0.5. */
  readonly found: boolean
}

/**
 * The threshold that maximises `criterion`: the midpoint between two adjacent probabilities, or between the outermost
 * and 0 or 1. Among equally good ones, the nearest to 0.5, then the lower. Undefined without examples, and if a value
 * is not a probability.
 */
export function bestThreshold(
  truth: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  criterion: ThresholdCriterion = 'f1',
): Threshold | undefined {
  return bestOf(rank(truth, probabilities), criterion)
}

/** One threshold for each label of `[rows, labels]`; see `bestThreshold`. */
export function bestThresholds(
  truth: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  labels: number,
  criterion: ThresholdCriterion = 'f1',
): (Threshold | undefined)[] {
  return Array.from({ length: labels }, (_, label) => bestOf(rankLabel(truth, probabilities, labels, label), criterion))
}

function bestOf(ranked: Ranked | undefined, criterion: ThresholdCriterion): Threshold | undefined {
  if (!ranked || !allWithin(ranked.positives, 0, 1) || !allWithin(ranked.negatives, 0, 1)) return undefined
  const [positives, negatives] = [ranked.positives.length, ranked.negatives.length]
  if (positives + negatives === 0) return undefined
  const valueOf = (truePositives: number, falsePositives: number): number =>
    CRITERIA[criterion]({ truePositives, falsePositives, positives, negatives })
  let atHalf = [0, 0]
  const points: { score: number; truePositives: number; falsePositives: number }[] = []
  descend(ranked, (score, truePositives, falsePositives) => {
    points.push({ score, truePositives, falsePositives })
    if (score > DEFAULT_THRESHOLD) atHalf = [truePositives, falsePositives]
  })
  if (positives === 0 || negatives === 0) {
    const value = criterion === 'balanced_accuracy' ? undefined : valueOf(atHalf[0], atHalf[1])
    return { threshold: DEFAULT_THRESHOLD, value, atHalf: value, found: false }
  }
  // Start with no example predicted positive, then lower the threshold.
  const halfValue = valueOf(atHalf[0], atHalf[1])
  let best = { threshold: midway(points[0].score, 1), value: valueOf(0, 0) }
  for (const [i, { score, truePositives, falsePositives }] of points.entries()) {
    const threshold = i + 1 < points.length ? midway(points[i + 1].score, score) : belowAll(score)
    const value = valueOf(truePositives, falsePositives)
    const isNearer = Math.abs(threshold - DEFAULT_THRESHOLD) <= Math.abs(best.threshold - DEFAULT_THRESHOLD)
    if (value > best.value || (value === best.value && isNearer)) best = { threshold, value }
  }
  return { ...best, atHalf: halfValue, found: true }
}

/** The midpoint of two probabilities, strictly below the larger. */
function midway(low: number, high: number): number {
  const middle = low + (high - low) / 2
  return middle < high ? middle : low
}

/** A threshold below the smallest probability. */
const belowAll = (score: number): number => (score === 0 ? -Number.MIN_VALUE : midway(0, score))

/** 1 if a probability of `[rows, labels]` is above its label's threshold (0.5 by default), else 0. */
export function decide(
  probabilities: ArrayLike<number>,
  labels: number,
  thresholds?: ArrayLike<number>,
): Uint8Array<ArrayBuffer> {
  if (thresholds) checkLength('thresholds', thresholds.length, labels)
  return Uint8Array.from(probabilities, (probability, i) =>
    probability > (thresholds?.[i % labels] ?? DEFAULT_THRESHOLD) ? 1 : 0,
  )
}
