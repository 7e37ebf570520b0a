// Precision, recall, F1 and everything else that follows from three counts per class: true positives, labelled,
// predicted. Single-label classes, multi-label labels and entity types are all counted this way.
import { type ClassScores, scoresFrom } from './confusion.ts'
import { type Figure, checkLength, meanOf, ratio, weightedMeanOf } from './values.ts'

/** Counts by class. */
export interface Counts {
  /** Labelled and predicted as this class: true positives. */
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

/** Counts of a single-label task. Throws a RangeError on a class that does not exist. */
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

/** Counts of a multi-label task: both arrays are `[rows, labels]`, positive above 0.5. */
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

/** The scores of one class, and how many examples are labelled with it. */
export interface SupportedScores extends ClassScores {
  readonly support: number
}

/** The scores of every class; those of classes that never occur are 0. */
export const scoresByClass = ({ hits, labelled, predicted }: Counts): SupportedScores[] =>
  Array.from(hits, (count, c) => ({ ...scoresFrom(count, labelled[c], predicted[c]), support: labelled[c] }))

/**
 * The counts without classes that are neither labelled nor predicted anywhere. scikit-learn leaves those out of
 * single-label averages, but not out of multi-label ones.
 */
export function occurring({ hits, labelled, predicted, rows }: Counts): Counts {
  const occurs = (_: number, c: number): boolean => labelled[c] + predicted[c] > 0
  return { hits: hits.filter(occurs), labelled: labelled.filter(occurs), predicted: predicted.filter(occurs), rows }
}

const sumOf = (counts: Float64Array): number => counts.reduce((sum, count) => sum + count, 0)

export type Average = 'macro' | 'micro' | 'weighted'
export type Score = keyof ClassScores

/**
 * A score averaged over classes: `macro` is the mean over the classes given, `weighted` the mean weighted by support (0
 * if all support is 0), `micro` the score of the summed counts. Undefined without examples; `macro` also without
 * classes.
 */
export function averageScore(counts: Counts, score: Score, average: Average): Figure {
  if (counts.rows === 0) return undefined
  if (average === 'micro') return scoresFrom(sumOf(counts.hits), sumOf(counts.labelled), sumOf(counts.predicted))[score]
  const values = scoresByClass(counts).map(scores => scores[score])
  if (average === 'macro') return meanOf(values)
  return weightedMeanOf(values, counts.labelled) ?? 0
}

/** Single-label: the fraction of examples whose class was predicted. */
export const accuracy = ({ hits, rows }: Counts): Figure => (rows === 0 ? undefined : sumOf(hits) / rows)

/** The mean recall over the classes that have support. */
export function balancedAccuracy({ hits, labelled }: Counts): Figure {
  const recalls: number[] = []
  for (let c = 0; c < hits.length; c++) if (labelled[c] > 0) recalls.push(hits[c] / labelled[c])
  return meanOf(recalls)
}

/**
 * Matthews' correlation coefficient of K classes (Gorodkin, "Comparing two K-category assignments by a K-category
 * correlation coefficient", 2004): 0 if all labels or all predictions are one class.
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

/** Multi-label: the fraction of examples with every label right, of `[rows, labels]`; undefined without examples. */
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

/** Multi-label: the fraction of all labels of all examples that are wrong; undefined without examples. */
export function hammingLoss(truth: ArrayLike<number>, predicted: ArrayLike<number>): Figure {
  checkLength('predicted labels', predicted.length, truth.length)
  let wrong = 0
  for (let i = 0; i < truth.length; i++) if (truth[i] > 0.5 !== predicted[i] > 0.5) wrong++
  return truth.length === 0 ? undefined : wrong / truth.length
}
