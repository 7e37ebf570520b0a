// What a report says of a test, as values: metrics with their interval, the constant answer, calibration. No markup.
import { IGNORED } from '../../../models/losses.ts'
import { type Reliability, labelConfidences, reliability, topConfidences } from '../../metrics/calibration.ts'
import { type ConstantAnswer, constantAnswer } from '../../metrics/constant.ts'
import { type MetricInfo, type Results, type Summary, intervalOf, metricsOf, summarise } from '../../metrics/summary.ts'
import { INTERVAL_SEED, type Interval } from '../../metrics/uncertainty.ts'
import type { ExampleOutput } from '../../task.ts'
import type { Target, TaskName } from '../../tasks/infer.ts'
import { type Reading, basisOf, describeReading, resultsOf } from '../../tasks/results.ts'
import type { Explanation } from './worst.ts'

/** A text that was tested on, in the order of the results. */
export interface TestedText {
  readonly text: string
  readonly pair?: string
  /** The words that have a label and that the model saw, for labels of words. */
  readonly words?: readonly string[]
}

/** A test: outputs of a model against labels. */
export interface Test {
  readonly task: TaskName
  readonly labels: readonly string[]
  readonly outputs: readonly ExampleOutput<Target>[]
  readonly texts: readonly TestedText[]
  /** How `tilegrad predict` reads the outputs. */
  readonly reading: Reading
  /** Whether all figures are computed with that reading, rather than as trained. */
  readonly applied: boolean
  /** The metric that is reported first. */
  readonly metric: MetricInfo
  /** Where the constant answer is chosen from. */
  readonly basis: { readonly targets: readonly Target[]; readonly name: string }
  /** Which texts these are, e.g. `the test set`. */
  readonly name: string
}

export interface CalibrationFacts {
  /** What logits are divided by; undefined where none was fitted. */
  readonly temperature: number | undefined
  readonly before: Reliability | undefined
  /** With the temperature, where it changes anything. */
  readonly after: Reliability | undefined
}

/** Another model on the same texts, by the same metric. */
export interface Beside {
  readonly title: string
  /** Undefined if there is none, for a `reason`. */
  readonly value: number | undefined
  readonly interval: Interval | undefined
  /** The tested model's value less this one's, with its 95 % interval by the paired bootstrap. */
  readonly difference: { readonly value: number; readonly interval: Interval } | undefined
  readonly reason: string | undefined
}

export interface Tested extends Pick<Test, 'task' | 'labels' | 'texts' | 'metric' | 'name'> {
  readonly results: Results
  readonly summary: Summary
  readonly metrics: readonly MetricInfo[]
  readonly interval: Interval | undefined
  readonly constant: (ConstantAnswer & { readonly from: string }) | undefined
  /** Of classes and labels. */
  readonly calibration: CalibrationFacts | undefined
  /** With the temperature and the thresholds, as `tilegrad predict` and `evaluate` answer. */
  readonly answered: {
    readonly results: Results
    readonly summary: Summary
    /** What was fitted, in words; undefined if nothing was. */
    readonly by: string | undefined
    /** Whether `results` and `summary` above are the same, because they were computed so or nothing was fitted. */
    readonly applied: boolean
  }
  /** Chosen on validation data. */
  readonly thresholds: readonly number[] | undefined
  /** Other models that were measured on the same texts. */
  readonly references: readonly Beside[]
  /** By rows of the worst mistakes: the words that pushed the model to its answer. */
  readonly explanations?: ReadonlyMap<number, Explanation>
}

/** Computes what the report says. `known` holds what the caller has computed already. */
export function testedOf(
  test: Test,
  known: { readonly interval?: Interval; readonly references?: readonly Beside[] } = {},
): Tested {
  const { task, labels, outputs, texts, reading, metric, basis, name } = test
  const by = describeReading(reading, task, labels)
  const applied = test.applied || by === undefined
  const answered = resultsOf(task, labels, outputs, reading)
  const answeredSummary = summarise(answered)
  const results = applied ? answered : resultsOf(task, labels, outputs)
  const constant = constantAnswer(results, basisOf(task, labels, basis.targets), metric)
  return {
    task,
    labels,
    texts,
    metric,
    name,
    results,
    summary: applied ? answeredSummary : summarise(results),
    metrics: metricsOf(task, labels.length),
    interval: known.interval ?? intervalOf(results, metric.name, { seed: INTERVAL_SEED }),
    constant: constant && { ...constant, from: basis.name },
    calibration: calibrationOf(test),
    answered: { results: answered, summary: answeredSummary, by, applied },
    thresholds: reading.thresholds,
    references: known.references ?? [],
  }
}

function calibrationOf({ task, labels, outputs, reading: { temperature } }: Test): CalibrationFacts | undefined {
  const under = (reading: Reading): Reliability | undefined => {
    const results = resultsOf(task, labels, outputs, reading)
    if (results.kind === 'classes')
      return reliability(topConfidences(results.truth, results.probabilities, labels.length))
    if (results.kind === 'labels') return reliability(labelConfidences(results.truth, results.probabilities))
    return undefined
  }
  if (task !== 'classes' && task !== 'labels') return undefined
  return {
    temperature,
    before: under({}),
    after: temperature === undefined || temperature === 1 ? undefined : under({ temperature }),
  }
}

/** The words of an example that its results have a tag for: those that the model saw and that have a label. */
export function taggedWords(words: readonly string[], target: ArrayLike<number>, firstOf: readonly number[]): string[] {
  return firstOf.filter(word => word >= 0 && target[word] !== IGNORED).map(word => words[word])
}
