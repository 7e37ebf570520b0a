// Summary of an evaluation: the named metrics of each kind of task, whether larger is better, how each is formatted,
// and the scores of each class. The tables here define what `--best-metric` accepts and what results and reports
// contain.
import { UserError } from '../../engine/errors.ts'
import { labelConfidences, reliability, topConfidences } from './calibration.ts'
import { ConfusionMatrix, predictions } from './confusion.ts'
import {
  type Average,
  type Counts,
  type RowCounts,
  type Score,
  type SupportedScores,
  accuracy,
  averageScore,
  balancedAccuracy,
  countRows,
  hammingLoss,
  matthews,
  occurring,
  rowsOfClasses,
  rowsOfLabels,
  scoresByClass,
  subsetAccuracy,
} from './counts.ts'
import { type SchemeName, type TaggedSequences, compareSequences, rowsOfEntities, tagAccuracy } from './entities.ts'
import { binaryBrier, binaryLogLoss, brier, logLoss } from './probabilities.ts'
import { averagePrecision, rank, rankClass, rankLabel, rocAuc } from './ranking.ts'
import {
  kendall,
  meanAbsoluteError,
  meanSquaredError,
  pearson,
  r2,
  rootMeanSquaredError,
  spearman,
} from './regression.ts'
import { decide } from './thresholds.ts'
import { type BootstrapOptions, type Interval, bootstrap, wilson } from './uncertainty.ts'
import { type Figure, allWithin, checkLength, meanOf, weightedMeanOf } from './values.ts'

/** Single-label classification. */
export interface ClassResults {
  readonly kind: 'classes'
  readonly names: readonly string[]
  /** Class numbers, `[rows]`. */
  readonly truth: ArrayLike<number>
  /** `[rows, classes]`. */
  readonly probabilities: ArrayLike<number>
  /** For two classes: predict the second if its probability is above this, instead of the more probable class. */
  readonly threshold?: number
}

/** Multi-label classification. */
export interface LabelResults {
  readonly kind: 'labels'
  readonly names: readonly string[]
  /** `[rows, labels]`, positive above 0.5. */
  readonly truth: ArrayLike<number>
  /** `[rows, labels]`. */
  readonly probabilities: ArrayLike<number>
  /** `[labels]`: predict a label if its probability is above its threshold; 0.5 by default. */
  readonly thresholds?: ArrayLike<number>
}

/** A number per example. */
export interface NumberResults {
  readonly kind: 'regression'
  readonly truth: ArrayLike<number>
  readonly predicted: ArrayLike<number>
}

/** A tag per token. Tokens without a label are left out by the caller. */
export interface TagResults {
  readonly kind: 'tokens'
  readonly truth: readonly (readonly string[])[]
  readonly predicted: readonly (readonly string[])[]
  /** Interpret tags strictly by this scheme; by default leniently, as seqeval does. */
  readonly scheme?: SchemeName
}

/** Labels and predictions of an evaluation, by kind of task. */
export type Results = ClassResults | LabelResults | NumberResults | TagResults
export type Kind = Results['kind']

/** A metric's name and how to compare and show its values. */
export interface MetricInfo {
  /** In `--best-metric` and in files. */
  readonly name: string
  /** In reports. */
  readonly title: string
  readonly better: 'larger' | 'smaller'
  readonly shown: 'percent' | 'decimal'
}

/** Scores of a class, a label, or an entity type. */
export interface ClassRow extends SupportedScores {
  readonly name: string
  /** One against the rest; not for entity types. */
  readonly rocAuc?: Figure
  readonly averagePrecision?: Figure
}

export interface Summary {
  readonly kind: Kind
  /** Number of examples; of sequences, for tokens. */
  readonly rows: number
  /** By name, in the order of `metricsOf`; undefined where a metric is not defined for these examples. */
  readonly metrics: Readonly<Record<string, Figure>>
  /** Empty for regression, and if any value is not a probability. */
  readonly classes: readonly ClassRow[]
  /** Single-label only: `[label][predicted]`. */
  readonly confusion?: readonly (readonly number[])[]
}

interface Metric<View> extends MetricInfo {
  of(view: View): Figure
}

/** Calls `compute` at most once, on first use. */
function lazily<T>(compute: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => (made ??= { value: compute() }).value
}

/** What the metrics of classes and labels are computed from. */
interface ScoredView {
  readonly names: readonly string[]
  /** What each row of all adds to the counts. */
  readonly rowCounts: RowCounts
  readonly counts: Counts
  readonly truth: () => ArrayLike<number>
  /** As `truth`: class numbers, or `[rows, labels]` of 0 and 1. */
  readonly predicted: () => ArrayLike<number>
  /** `[rows, classes or labels]`. */
  readonly probabilities: () => ArrayLike<number>
  /** One class or label against the rest. */
  readonly aucs: () => Figure[]
  readonly precisions: () => Figure[]
}

interface TagView {
  readonly sequences: TaggedSequences
  readonly rowCounts: RowCounts
  readonly counts: Counts
  /** The sequences of a resample; all by default. */
  readonly indices?: Uint32Array
}

type ScoredValues = Pick<ScoredView, 'names' | 'rowCounts' | 'counts' | 'truth' | 'predicted' | 'probabilities'>

function viewScored(values: ScoredValues, rankOf: typeof rankClass): ScoredView {
  const { names, truth, probabilities } = values
  const ranked = lazily(() => names.map((_, label) => rankOf(truth(), probabilities(), names.length, label)))
  return {
    ...values,
    aucs: lazily(() => ranked().map(rocAuc)),
    precisions: lazily(() => ranked().map(averagePrecision)),
  }
}

/** The class that each row is given: the more probable one, or by the threshold. */
export function predictClasses({ names, truth, probabilities, threshold }: ClassResults): ArrayLike<number> {
  checkLength('probabilities', probabilities.length, truth.length * names.length)
  if (threshold === undefined) return predictions(probabilities, names.length)
  if (names.length !== 2) throw new RangeError(`A threshold is for two classes; there are ${names.length}`)
  return Uint8Array.from({ length: truth.length }, (_, row) => (probabilities[row * 2 + 1] > threshold ? 1 : 0))
}

type Properties = readonly [better: 'larger' | 'smaller', shown: 'percent' | 'decimal']
const PERCENT: Properties = ['larger', 'percent']
const COEFFICIENT: Properties = ['larger', 'decimal']
const ERROR: Properties = ['smaller', 'decimal']

const metric = <View>(
  name: string,
  title: string,
  [better, shown]: Properties,
  of: (view: View) => Figure,
): Metric<View> => ({ name, title, better, shown, of })

const TITLES: Readonly<Record<Score, string>> = { f1: 'F1', precision: 'precision', recall: 'recall' }

/** F1, precision and recall with each of these averages. */
function averages<View>(ways: readonly Average[], countsOf: (view: View) => Counts): Metric<View>[] {
  const scores = ['f1', 'precision', 'recall'] as const
  return scores.flatMap(score =>
    ways.map(way =>
      metric<View>(`${score}_${way}`, `${TITLES[score]}, ${way}`, PERCENT, view =>
        averageScore(countsOf(view), score, way),
      ),
    ),
  )
}

const ofSecondClass = (score: Score): Metric<ScoredView> =>
  metric(score, TITLES[score], PERCENT, ({ counts }) =>
    counts.rows === 0 ? undefined : scoresByClass(counts)[1][score],
  )

const CLASS_AVERAGES = averages<ScoredView>(['macro', 'micro', 'weighted'], ({ counts }) => occurring(counts))
const ACCURACY = metric<ScoredView>('accuracy', 'accuracy', PERCENT, ({ counts }) => accuracy(counts))

/** Metrics of any number of classes. */
const CLASS_REST: readonly Metric<ScoredView>[] = [
  metric('balanced_accuracy', 'balanced accuracy', PERCENT, ({ counts }) => balancedAccuracy(counts)),
  metric('matthews', 'Matthews correlation', COEFFICIENT, ({ counts }) => matthews(counts)),
  metric('log_loss', 'log loss', ERROR, ({ names, truth, probabilities }) =>
    logLoss(truth(), probabilities(), names.length),
  ),
  metric('brier', 'Brier score', ERROR, ({ names, truth, probabilities }) =>
    brier(truth(), probabilities(), names.length),
  ),
  metric(
    'calibration_error',
    'expected calibration error',
    ['smaller', 'percent'],
    ({ names, truth, probabilities }) => reliability(topConfidences(truth(), probabilities(), names.length))?.error,
  ),
]

const TWO_CLASSES: readonly Metric<ScoredView>[] = [
  ACCURACY,
  ofSecondClass('f1'),
  ofSecondClass('precision'),
  ofSecondClass('recall'),
  ...CLASS_AVERAGES,
  metric('roc_auc', 'ROC AUC', COEFFICIENT, ({ aucs }) => aucs()[1]),
  metric('average_precision', 'average precision', COEFFICIENT, ({ precisions }) => precisions()[1]),
  ...CLASS_REST,
]

const MANY_CLASSES: readonly Metric<ScoredView>[] = [
  ACCURACY,
  ...CLASS_AVERAGES,
  metric('roc_auc_macro', 'ROC AUC, macro', COEFFICIENT, ({ aucs }) => meanOf(aucs())),
  metric('roc_auc_weighted', 'ROC AUC, weighted', COEFFICIENT, ({ aucs, counts }) =>
    weightedMeanOf(aucs(), counts.labelled),
  ),
  metric('average_precision_macro', 'average precision, macro', COEFFICIENT, ({ precisions }) => meanOf(precisions())),
  ...CLASS_REST,
]

const LABELS: readonly Metric<ScoredView>[] = [
  ...averages<ScoredView>(['micro', 'macro', 'weighted'], ({ counts }) => counts),
  metric('subset_accuracy', 'subset accuracy', PERCENT, ({ names, truth, predicted }) =>
    subsetAccuracy(truth(), predicted(), names.length),
  ),
  metric('hamming_loss', 'Hamming loss', ['smaller', 'percent'], ({ truth, predicted }) =>
    hammingLoss(truth(), predicted()),
  ),
  metric('roc_auc_macro', 'ROC AUC, macro', COEFFICIENT, ({ aucs }) => meanOf(aucs())),
  metric('roc_auc_micro', 'ROC AUC, micro', COEFFICIENT, ({ truth, probabilities }) =>
    rocAuc(rank(truth(), probabilities())),
  ),
  metric('average_precision_macro', 'average precision, macro', COEFFICIENT, ({ precisions }) => meanOf(precisions())),
  metric('average_precision_micro', 'average precision, micro', COEFFICIENT, ({ truth, probabilities }) =>
    averagePrecision(rank(truth(), probabilities())),
  ),
  metric('log_loss', 'log loss', ERROR, ({ truth, probabilities }) => binaryLogLoss(truth(), probabilities())),
  metric('brier', 'Brier score', ERROR, ({ truth, probabilities }) => binaryBrier(truth(), probabilities())),
  metric(
    'calibration_error',
    'expected calibration error',
    ['smaller', 'percent'],
    ({ truth, probabilities }) => reliability(labelConfidences(truth(), probabilities()))?.error,
  ),
]

const REGRESSION: readonly Metric<NumberResults>[] = [
  metric('mse', 'mean squared error', ERROR, ({ truth, predicted }) => meanSquaredError(truth, predicted)),
  metric('rmse', 'root mean squared error', ERROR, ({ truth, predicted }) => rootMeanSquaredError(truth, predicted)),
  metric('mae', 'mean absolute error', ERROR, ({ truth, predicted }) => meanAbsoluteError(truth, predicted)),
  metric('r2', 'R²', COEFFICIENT, ({ truth, predicted }) => r2(truth, predicted)),
  metric('pearson', 'Pearson correlation', COEFFICIENT, ({ truth, predicted }) => pearson(truth, predicted)),
  metric('spearman', 'Spearman correlation', COEFFICIENT, ({ truth, predicted }) => spearman(truth, predicted)),
  metric('kendall', 'Kendall correlation', COEFFICIENT, ({ truth, predicted }) => kendall(truth, predicted)),
]

const ofEntities = (score: Score): Metric<TagView> =>
  metric(score, `${TITLES[score]} of entities`, PERCENT, ({ counts }) => averageScore(counts, score, 'micro'))

const TAGS: readonly Metric<TagView>[] = [
  ofEntities('f1'),
  ofEntities('precision'),
  ofEntities('recall'),
  ...averages<TagView>(['macro', 'weighted'], ({ counts }) => occurring(counts)),
  metric('accuracy', 'accuracy of tokens', PERCENT, ({ sequences, indices }) => tagAccuracy(sequences, indices)),
]

/**
 * The metrics of a kind of task and number of classes. The first is the default for choosing the best checkpoint.
 */
export function metricsOf(kind: Kind, classes: number): readonly MetricInfo[] {
  switch (kind) {
    case 'classes':
      return classes === 2 ? TWO_CLASSES : MANY_CLASSES
    case 'labels':
      return LABELS
    case 'regression':
      return REGRESSION
    case 'tokens':
      return TAGS
  }
}

/** A metric by name. Throws a UserError that lists the known names. */
export function metricNamed(kind: Kind, classes: number, name: string): MetricInfo {
  const metrics = metricsOf(kind, classes)
  const found = metrics.find(info => info.name === name)
  if (!found) {
    const known = metrics.map(info => info.name).join(', ')
    throw new UserError(`Unknown metric ${JSON.stringify(name)}. This task has: ${known}`)
  }
  return found
}

/**
 * Whether `value` is better than `than`. An undefined value is never better; any other is better than an undefined one.
 */
export function isBetter({ better }: MetricInfo, value: Figure, than: Figure): boolean {
  if (value === undefined || Number.isNaN(value)) return false
  if (than === undefined || Number.isNaN(than)) return true
  return better === 'larger' ? value > than : value < than
}

/** `93.14 %`, `0.8812`, or a dash if undefined. */
export function showFigure({ shown }: MetricInfo, value: Figure): string {
  if (value === undefined) return '–'
  return shown === 'percent' ? `${(100 * value).toFixed(2)} %` : value.toFixed(4)
}

/** A difference of two values of a metric, with its sign: `+25.50 points`, `−0.0812`. */
export function showDifference({ shown }: MetricInfo, value: number): string {
  const size = Math.abs(value)
  return `${value < 0 ? '−' : '+'}${shown === 'percent' ? `${(100 * size).toFixed(2)} points` : size.toFixed(4)}`
}

/** The values of metrics, or of those named in `only`. */
const valuesOf = <View>(metrics: readonly Metric<View>[], view: View | undefined, only?: readonly string[]) =>
  Object.fromEntries(
    metrics.filter(({ name }) => !only || only.includes(name)).map(({ name, of }) => [name, view && of(view)]),
  )

/**
 * What metrics are computed from. For classes and labels it is undefined if any value is not a probability, and so is
 * every metric.
 */
type View =
  | { readonly kind: 'classes'; readonly names: readonly string[]; readonly view?: ScoredView }
  | { readonly kind: 'labels'; readonly names: readonly string[]; readonly view?: ScoredView }
  | { readonly kind: 'regression'; readonly view: NumberResults }
  | { readonly kind: 'tokens'; readonly view: TagView }

function viewOf(results: Results): View {
  switch (results.kind) {
    case 'classes': {
      const { kind, names, truth } = results
      const predicted = predictClasses(results)
      return {
        kind,
        names,
        view: viewAll(results, predicted, rowsOfClasses(truth, predicted, names.length), rankClass),
      }
    }
    case 'labels': {
      const { kind, names, truth, probabilities, thresholds } = results
      const predicted = decide(probabilities, names.length, thresholds)
      return { kind, names, view: viewAll(results, predicted, rowsOfLabels(truth, predicted, names.length), rankLabel) }
    }
    case 'regression':
      return { kind: 'regression', view: results }
    case 'tokens': {
      const sequences = compareSequences(results.truth, results.predicted, results.scheme)
      const rowCounts = rowsOfEntities(sequences)
      return { kind: 'tokens', view: { sequences, rowCounts, counts: countRows(rowCounts) } }
    }
  }
}

/** The view of all rows; undefined if any value is not a probability. */
function viewAll(
  { names, truth, probabilities }: ClassResults | LabelResults,
  predicted: ArrayLike<number>,
  rowCounts: RowCounts,
  rankOf: typeof rankClass,
): ScoredView | undefined {
  if (!allWithin(probabilities, 0, 1)) return undefined
  const values = { truth: () => truth, predicted: () => predicted, probabilities: () => probabilities }
  return viewScored({ names, rowCounts, counts: countRows(rowCounts), ...values }, rankOf)
}

/** The rows of `[rows, width]` at these indices. */
function take(values: ArrayLike<number>, width: number, indices: Uint32Array): Float64Array {
  const taken = new Float64Array(indices.length * width)
  for (let i = 0; i < indices.length; i++) {
    for (let j = 0; j < width; j++) taken[i * width + j] = values[indices[i] * width + j]
  }
  return taken
}

/** The view of the examples at these indices. What a metric does not need is not gathered. */
function resample(whole: View, indices: Uint32Array): View {
  switch (whole.kind) {
    case 'classes':
      return { ...whole, view: whole.view && resampleScored(whole.view, indices, 1, rankClass) }
    case 'labels':
      return { ...whole, view: whole.view && resampleScored(whole.view, indices, whole.names.length, rankLabel) }
    case 'regression': {
      const { kind, truth, predicted } = whole.view
      return { kind, view: { kind, truth: take(truth, 1, indices), predicted: take(predicted, 1, indices) } }
    }
    case 'tokens': {
      const { sequences, rowCounts } = whole.view
      return { kind: 'tokens', view: { sequences, rowCounts, counts: countRows(rowCounts, indices), indices } }
    }
  }
}

/** `width`: values of truth and prediction for each row. */
function resampleScored(whole: ScoredView, indices: Uint32Array, width: number, rankOf: typeof rankClass): ScoredView {
  const { names, rowCounts, truth, predicted, probabilities } = whole
  return viewScored(
    {
      names,
      rowCounts,
      counts: countRows(rowCounts, indices),
      truth: lazily(() => take(truth(), width, indices)),
      predicted: lazily(() => take(predicted(), width, indices)),
      probabilities: lazily(() => take(probabilities(), names.length, indices)),
    },
    rankOf,
  )
}

function metricsFrom(whole: View, only?: readonly string[]): Record<string, Figure> {
  switch (whole.kind) {
    case 'classes':
      return valuesOf(whole.names.length === 2 ? TWO_CLASSES : MANY_CLASSES, whole.view, only)
    case 'labels':
      return valuesOf(LABELS, whole.view, only)
    case 'regression':
      return valuesOf(REGRESSION, whole.view, only)
    case 'tokens':
      return valuesOf(TAGS, whole.view, only)
  }
}

function tableOf(whole: View): ClassRow[] {
  if (whole.kind === 'regression' || !whole.view) return []
  const scores = scoresByClass(whole.view.counts)
  if (whole.kind === 'tokens') {
    const { types } = whole.view.sequences
    return scores.map((row, type) => ({ name: types[type], ...row }))
  }
  const { names, aucs, precisions } = whole.view
  return scores.map((row, c) => ({ name: names[c], ...row, rocAuc: aucs()[c], averagePrecision: precisions()[c] }))
}

/** Number of examples. */
export const rowsOf = (results: Results): number =>
  results.kind === 'labels' ? results.truth.length / results.names.length : results.truth.length

/** Only the metrics named, which is cheaper than `summarise`: for choosing the best checkpoint. */
export const measure = (results: Results, names: readonly string[]): Record<string, Figure> =>
  metricsFrom(viewOf(results), names)

/** One metric of an evaluation, of all examples or of a resample of them. */
export function metricOn(results: Results, name: string): (indices?: Uint32Array) => Figure {
  const whole = viewOf(results)
  return indices => metricsFrom(indices ? resample(whole, indices) : whole, [name])[name]
}

/**
 * All metrics of an evaluation, with the scores of each class. Throws a RangeError on lists of inconsistent lengths.
 */
export function summarise(results: Results): Summary {
  const whole = viewOf(results)
  const summary = { kind: results.kind, rows: rowsOf(results), metrics: metricsFrom(whole), classes: tableOf(whole) }
  if (whole.kind !== 'classes' || !whole.view) return summary
  const matrix = new ConfusionMatrix(whole.names.length)
  matrix.add(whole.view.truth(), whole.view.predicted())
  return { ...summary, confusion: matrix.rows }
}

/** Draws of the bootstrap, and how many there are at least however large the evaluation is. */
const [RESAMPLES, LEAST_RESAMPLES] = [1000, 100]
/** Values that all draws together read, for metrics that read every value of a resample: a few seconds. */
const MOST_VALUES = 1e8
const COUNTED = /^(accuracy|balanced_accuracy|matthews|(f1|precision|recall)(_macro|_micro|_weighted)?)$/

/**
 * Whether a metric of classes or labels is computed from counts of labels and predictions: a resample costs about as
 * much as its rows.
 */
export const isCounted = (name: string): boolean => COUNTED.test(name)

/** Whether a metric is the fraction of examples that are right. */
export const isFractionRight = (kind: Kind, name: string): boolean =>
  (kind === 'classes' && name === 'accuracy') || name === 'subset_accuracy'

/** Draws for a metric of an evaluation, where they are not given. */
export function resamplesFor(results: Results, name: string): number {
  if (results.kind === 'tokens' || isCounted(name)) return RESAMPLES
  const values = results.kind === 'regression' ? results.truth.length : results.probabilities.length
  return Math.max(LEAST_RESAMPLES, Math.min(RESAMPLES, Math.floor(MOST_VALUES / values)))
}

/**
 * The 95 % interval of a metric: Wilson's for single-label accuracy and subset accuracy, which are proportions of
 * examples; by the bootstrap over examples (over sequences, for tokens) for all others, with 1,000 resamples unless
 * `options` says otherwise. Metrics that are not computed from counts of labels, such as ROC AUC and log loss, get
 * fewer for an evaluation of more than 100,000 values (rows × classes), 100 at least. Undefined where the metric is.
 */
export function intervalOf(results: Results, name: string, options: BootstrapOptions): Interval | undefined {
  const metric = metricOn(results, name)
  const value = metric()
  if (value === undefined) return undefined
  const rows = rowsOf(results)
  if (isFractionRight(results.kind, name)) return wilson(Math.round(value * rows), rows)
  const resamples = options.resamples ?? resamplesFor(results, name)
  return bootstrap(rows, metric, { ...options, resamples })
}
