// Precision, recall, F1 and what else follows from three counts a class: how often it was predicted rightly, how often
// it is the label, how often it was predicted. Classes, labels of several at once, and types of entities are all
// counted so.
import { type ClassScores, scoresFrom } from './confusion.ts'
import { type Figure, checkLength, meanOf, ratio, weightedMeanOf } from './values.ts'

/** Counts by class. */
export interface Counts {
  /** Labelled and predicted as this class. */
  readonly hits: Float64Array
  /** Labelled as this class: its support. */
  readonly labelled: Float64Array
  /** Predicted as this class. */
  readonly predicted: Float64Array
  /** Examples counted. */
  readonly rows: number
}

const emptyCounts = (classes: number, rows: number): Counts => ({
  hits: new Float64Array(classes), labelled: new Float64Array(classes), predicted: new Float64Array(classes), rows,
})

/** One label an example. Throws a RangeError on a class that does not exist. */
export function countClasses(truth: ArrayLike<number>, predicted: ArrayLike<number>, classes: number): Counts {
  checkLength('predicted classes', predicted.length, truth.length)
  const counts = emptyCounts(classes, truth.length)
  const isClass = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < classes
  for (let row = 0; row < truth.length; row++) {
    const [label, found] = [truth[row], predicted[row]]
    if (!isClass(label) || !isClass(found)) {
      throw new RangeError(`Row ${row}: label ${label}, predicted ${found}; there are ${classes} classes`)
    }
    counts.labelled[label]++
    counts.predicted[found]++
    if (label === found) counts.hits[label]++
  }
  return counts
}

/** Several labels at once: both `[rows, labels]`, a label is there where the value is above ½. */
export function countLabels(truth: ArrayLike<number>, predicted: ArrayLike<number>, labels: number): Counts {
  checkLength('predicted labels', predicted.length, truth.length)
  const rows = truth.length / labels
  if (!Number.isInteger(rows)) throw new RangeError(`${truth.length} values are not rows of ${labels} labels`)
  const counts = emptyCounts(labels, rows)
  for (let i = 0; i < truth.length; i++) {
    const label = i % labels
    const [isLabelled, isPredicted] = [truth[i] > 0.5, predicted[i] > 0.5]
    if (isLabelled) counts.labelled[label]++
    if (isPredicted) counts.predicted[label]++
    if (isLabelled && isPredicted) counts.hits[label]++
  }
  return counts
}

/** The scores of one class, and how often it is the label. */
export interface SupportedScores extends ClassScores {
  readonly support: number
}

/** The scores of each class, also of those that never occur: theirs are 0. */
export const scoresByClass = ({ hits, labelled, predicted }: Counts): SupportedScores[] =>
  Array.from(hits, (count, c) => ({ ...scoresFrom(count, labelled[c], predicted[c]), support: labelled[c] }))

/**
 * The counts without classes that are neither labelled nor predicted anywhere. scikit-learn's averages over classes
 * leave those out; its averages over labels of several at once do not.
 */
export function occurring({ hits, labelled, predicted, rows }: Counts): Counts {
  const occurs = (_: number, c: number): boolean => labelled[c] + predicted[c] > 0
  return { hits: hits.filter(occurs), labelled: labelled.filter(occurs), predicted: predicted.filter(occurs), rows }
}

const sumOf = (counts: Float64Array): number => counts.reduce((sum, count) => sum + count, 0)

export type Average = 'macro' | 'micro' | 'weighted'
export type Score = keyof ClassScores

/**
 * A score of all classes together: `macro` is the mean over the classes given, `weighted` the mean by support (0 where
 * there is none), `micro` the score of all counts together. Undefined without examples, and `macro` without classes.
 */
export function averageScore(counts: Counts, score: Score, average: Average): Figure {
  if (counts.rows === 0) return undefined
  if (average === 'micro') return scoresFrom(sumOf(counts.hits), sumOf(counts.labelled), sumOf(counts.predicted))[score]
  const values = scoresByClass(counts).map(scores => scores[score])
  if (average === 'macro') return meanOf(values)
  return weightedMeanOf(values, counts.labelled) ?? 0
}

/** The fraction of examples whose class was predicted; of one label an example. */
export const accuracy = ({ hits, rows }: Counts): Figure => (rows === 0 ? undefined : sumOf(hits) / rows)

/** The mean recall of the classes that are labels of something. */
export function balancedAccuracy({ hits, labelled }: Counts): Figure {
  const recalls: number[] = []
  for (let c = 0; c < hits.length; c++) if (labelled[c] > 0) recalls.push(hits[c] / labelled[c])
  return meanOf(recalls)
}

/**
 * Matthews' correlation coefficient of K classes (Gorodkin, "Comparing two K-category assignments by a K-category
 * correlation coefficient", 2004): 0 where labels or predictions are all of one class.
 */
export function matthews({ hits, labelled, predicted, rows }: Counts): Figure {
  if (rows === 0) return undefined
  let [both, squaredLabels, squaredPredictions] = [0, 0, 0]
  for (let c = 0; c < hits.length; c++) {
    both += labelled[c] * predicted[c]
    squaredLabels += labelled[c] ** 2
    squaredPredictions += predicted[c] ** 2
  }
  const spread = (rows ** 2 - squaredLabels) * (rows ** 2 - squaredPredictions)
  return ratio(sumOf(hits) * rows - both, Math.sqrt(spread))
}

/** The fraction of examples all of whose labels were predicted, of `[rows, labels]`; undefined without examples. */
export function subsetAccuracy(truth: ArrayLike<number>, predicted: ArrayLike<number>, labels: number): Figure {
  checkLength('predicted labels', predicted.length, truth.length)
  const rows = truth.length / labels
  let wrong = 0
  for (let row = 0; row < rows; row++) {
    for (let i = row * labels; i < (row + 1) * labels; i++) {
      if (truth[i] > 0.5 === predicted[i] > 0.5) continue
      wrong++
      break
    }
  }
  return rows === 0 ? undefined : (rows - wrong) / rows
}

/** The fraction of labels, of all examples, that were predicted wrongly; undefined without examples. */
export function hammingLoss(truth: ArrayLike<number>, predicted: ArrayLike<number>): Figure {
  checkLength('predicted labels', predicted.length, truth.length)
  let wrong = 0
  for (let i = 0; i < truth.length; i++) if (truth[i] > 0.5 !== predicted[i] > 0.5) wrong++
  return truth.length === 0 ? undefined : wrong / truth.length
}
