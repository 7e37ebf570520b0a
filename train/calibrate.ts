// Probabilities that one can use: a temperature and thresholds found on validation data, kept with what was trained.
import { mcnemar } from './metrics/paired.ts'
import { fitBinaryTemperature, fitTemperature } from './metrics/temperature.ts'
import { DEFAULT_THRESHOLD, type Threshold, bestThreshold, bestThresholds } from './metrics/thresholds.ts'
import { summarise } from './metrics/summary.ts'
import type { ExampleOutput } from './task.ts'
import type { Target, TaskName } from './tasks/infer.ts'
import { type Reading, flatOutputs, resultsOf } from './tasks/results.ts'

/** With fewer validation texts than this, what is found says more of their draw than of the model. */
export const LEAST_TEXTS = 50

type Outputs = readonly ExampleOutput<Target>[]

/**
 * What logits of a validation set are to be divided by (Guo et al. 2017), and from which probability on the second of
 * two classes (by accuracy), or each of several labels (by F1), is given: ½ unless another is better on these texts, of
 * two classes beyond chance.
 * Empty for numbers, for labels of words, for fewer than `LEAST_TEXTS` texts, and for scores that are no better than
 * chance on them.
 */
export function calibrate(task: TaskName, labels: readonly string[], validation: Outputs): Reading {
  if (validation.length < LEAST_TEXTS || (task !== 'classes' && task !== 'labels')) return {}
  const classes = labels.length
  const logits = flatOutputs(validation, classes)
  const fit =
    task === 'classes'
      ? fitTemperature(
          validation.map(({ target }) => Number(target)),
          logits,
          classes,
        )
      : fitBinaryTemperature(
          validation.flatMap(({ target }) => (typeof target === 'number' ? [] : Array.from(target))),
          logits,
        )
  // At the limit, scores predict worse than chance: the best temperature would make all probabilities equal.
  if (!fit || fit.outcome === 'limit') return {}
  const { temperature } = fit
  const results = resultsOf(task, labels, validation, { temperature })
  if (results.kind === 'labels') {
    const found = bestThresholds(results.truth, results.probabilities, classes)
    return { temperature, thresholds: found.map(betterOf) }
  }
  if (results.kind !== 'classes' || classes !== 2) return { temperature }
  const second = Float64Array.from({ length: validation.length }, (_, row) => results.probabilities[2 * row + 1])
  const found = betterOf(bestThreshold(results.truth, second, 'accuracy'))
  const threshold = isClearlyBetter(found, results.truth, second) ? found : DEFAULT_THRESHOLD
  return { temperature, thresholds: [1 - threshold, threshold] }
}

/** Above this p-value a better threshold is one of chance. */
const SIGNIFICANT = 0.05

/**
 * Whether a threshold is right on more texts than ½ is beyond chance, by McNemar's test: of a hundred texts the best
 * threshold is nearly always right on one or two more, and wrong on as many new ones.
 */
function isClearlyBetter(threshold: number, truth: ArrayLike<number>, probabilities: ArrayLike<number>): boolean {
  const isRight = (at: number): boolean[] =>
    Array.from(probabilities, (probability, row) => probability > at === (truth[row] === 1))
  return mcnemar(isRight(threshold), isRight(DEFAULT_THRESHOLD)).p < SIGNIFICANT
}

/** The threshold that was found, if it is better than ½ on the texts that it was found on. */
const betterOf = (found: Threshold | undefined): number =>
  found?.value !== undefined && found.atHalf !== undefined && found.value > found.atHalf
    ? found.threshold
    : DEFAULT_THRESHOLD

/** The expected calibration error of a test set before and after; undefined where the task has no probabilities. */
export function calibrationErrors(
  task: TaskName,
  labels: readonly string[],
  test: Outputs,
  reading: Reading,
): { readonly before: number | undefined; readonly after: number | undefined } {
  const error = (how: Reading): number | undefined =>
    summarise(resultsOf(task, labels, test, how)).metrics.calibration_error
  return { before: error({}), after: error({ temperature: reading.temperature }) }
}
