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

/**
 * What each row adds to the counts, so that any selection of rows is counted without reading labels again. Row i has
 * the events from `starts[i]` to `starts[i + 1]`, each numbered 3 · class + what happened: 0 for labelled and predicted
 * as the class, 1 for labelled only, 2 for predicted only.
 */
export interface RowCounts {
  readonly classes: number
  readonly starts: Uint32Array
  readonly events: Uint32Array
}

/** `read` calls `add` for each event of a row; all rows together have at most `most` events. */
export function rowCountsOf(
  rows: number,
  classes: number,
  most: number,
  read: (row: number, add: (label: number, what: 0 | 1 | 2) => void) => void,
): RowCounts {
  const starts = new Uint32Array(rows + 1)
  const events = new Uint32Array(most)
  let count = 0
  const add = (label: number, what: 0 | 1 | 2): void => {
    events[count++] = 3 * label + what
  }
  for (let row = 0; row < rows; row++) {
    read(row, add)
    starts[row + 1] = count
  }
  return { classes, starts, events: events.slice(0, count) }
}

/** Counts of the rows at `indices`, each as often as it is there, or of all. */
export function countRows({ classes, starts, events }: RowCounts, indices?: Uint32Array): Counts {
  const all = starts.length - 1
  const times = new Uint32Array(all)
  if (indices) for (let i = 0; i < indices.length; i++) times[indices[i]]++
  else times.fill(1)
  const sums = new Float64Array(3 * classes)
  for (let row = 0; row < all; row++) {
    const drawn = times[row]
    if (drawn === 0) continue
    const end = starts[row + 1]
    for (let at = starts[row]; at < end; at++) sums[events[at]] += drawn
  }
  const hits = Float64Array.from({ length: classes }, (_, c) => sums[3 * c])
  return {
    hits,
    labelled: hits.map((hit, c) => hit + sums[3 * c + 1]),
    predicted: hits.map((hit, c) => hit + sums[3 * c + 2]),
    rows: indices?.length ?? all,
  }
}

/** The rows of a single-label task. Throws a RangeError on a class that does not exist. */
export function rowsOfClasses(truth: ArrayLike<number>, predicted: ArrayLike<number>, classes: number): RowCounts {
  checkLength('predicted classes', predicted.length, truth.length)
  const isClass = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < classes
  return rowCountsOf(truth.length, classes, 2 * truth.length, (row, add) => {
    const [label, found] = [truth[row], predicted[row]]
    if (!isClass(label) || !isClass(found)) {
      throw new RangeError(`Row ${row}: label ${label}, predicted ${found}; there are ${classes} classes`)
    }
    if (label === found) add(label, 0)
    else {
      add(label, 1)
      add(found, 2)
    }
  })
}

/** The rows of a multi-label task: both arrays are `[rows, labels]`, positive above 0.5. */
export function rowsOfLabels(truth: ArrayLike<number>, predicted: ArrayLike<number>, labels: number): RowCounts {
  checkLength('predicted labels', predicted.length, truth.length)
  const rows = truth.length / labels
  if (!Number.isInteger(rows)) throw new RangeError(`${truth.length} values are not rows of ${labels} labels`)
  return rowCountsOf(rows, labels, truth.length, (row, add) => {
    for (let label = 0, i = row * labels; label < labels; label++, i++) {
      const isPredicted = predicted[i] > 0.5
      if (truth[i] > 0.5) add(label, isPredicted ? 0 : 1)
      else if (isPredicted) add(label, 2)
    }
  })
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
