// Fits and tests a baseline: first on the training set, calibrated on the validation set, then on both together.
import { UserError } from '../../../../engine/errors.ts'
import { logitsOf } from '../../../baseline/classifier.ts'
import { type FitOptions, type Labels, type LinearModel, fitModel, scoresOf } from '../../../baseline/model.ts'
import type { Preprocessor } from '../../../baseline/steps.ts'
import type { Corpus } from '../../../baseline/vocabulary.ts'
import { calibrate } from '../../../calibrate.ts'
import type { ExampleOutput } from '../../../task.ts'
import type { Target, TaskPlan } from '../../../tasks/infer.ts'
import type { Reading } from '../../../tasks/results.ts'
import { type BaselineOptions, fitOptionsOf, stepsOf } from '../../cli/baseline-options.ts'
import type { Progress } from '../../cli/progress.ts'
import type { Example } from '../../data/labelled.ts'
import type { Data } from '../job.ts'
import { type Documents, isAside, readDocuments, textsOf, turn } from './documents.ts'
import { openPreprocessor } from './saved.ts'

export type Outputs = readonly ExampleOutput<Target>[]

/** A fitted baseline with what it gives for the held-out sets. */
export interface Fitted {
  readonly model: LinearModel
  readonly reading: Reading
  /** Of the validation set, by the model that was fitted without it. */
  readonly validation: Outputs
  readonly test: Outputs
}

/**
 * Reads the words of the data and fits the baseline that the options ask for. Throws a UserError if there is nothing to
 * learn from.
 */
export async function fitBaseline(
  options: BaselineOptions,
  data: Data,
  progress: Progress,
): Promise<{ fitted: Fitted; preprocessor: Preprocessor }> {
  const preprocessor = await openPreprocessor(stepsOf(options))
  progress.start('read words', textsOf(data))
  const documents = await readDocuments(data, preprocessor, done => progress.update(done))
  // In percent, because the number of iterations is not known in advance.
  progress.start('fit (%)', 100)
  const fitted = await fitAndTest(documents, data, fitOptionsOf(options), options.refit === 'on', done =>
    progress.update(Math.floor(100 * done)),
  )
  progress.stop()
  if (fitted.model.vocabulary.size > 0) return { fitted, preprocessor }
  throw new UserError(
    `${options.data}: no n-gram is in at least ${options.minDf} training texts (--min-df); there is nothing to learn from`,
  )
}

/**
 * Fits to the training set; with `refit` once more to all training examples, where validation was taken from them. The
 * calibration is that of the first fit. `onProgress` is called with the share of all fits that is done, from 0 to 1.
 */
export async function fitAndTest(
  documents: Documents,
  data: Data,
  options: FitOptions,
  refit: boolean,
  onProgress: (done: number) => void,
): Promise<Fitted> {
  const { plan } = data
  const isRefitted = refit && isAside(data)
  const fits = isRefitted ? 2 : 1
  const first = await fitTo(documents.train, data.train, plan, options, done => onProgress(done / fits))
  const validation = outputsOf(first, documents.validation, data.validation, plan)
  const reading = calibrate(plan.task, plan.labels, validation)
  const { corpus, examples } = fittedTo(documents, data, refit)
  const model = isRefitted ? await fitTo(corpus, examples, plan, options, done => onProgress((1 + done) / fits)) : first
  return { model, reading, validation, test: outputsOf(model, documents.test, data.test, plan) }
}

/** What a saved model is fitted to: the training set, with `refit` also the texts that validation took from it. */
export const fittedTo = (
  { all, train }: Documents,
  data: Data,
  refit: boolean,
): { corpus: Corpus; examples: readonly Example[] } =>
  refit ? { corpus: all, examples: data.all } : { corpus: train, examples: data.train }

/** Fits to the documents of these examples. */
export const fitTo = (
  corpus: Corpus,
  examples: readonly Example[],
  plan: TaskPlan,
  options: FitOptions,
  onProgress: (done: number) => void,
): Promise<LinearModel> =>
  fitModel(corpus, labelsOf(examples, plan), options, done => {
    onProgress(done)
    return turn()
  })

function labelsOf(examples: readonly Example[], { task, labels }: TaskPlan): Labels {
  if (task === 'classes')
    return { kind: 'classes', classes: labels.length, truth: examples.map(({ target }) => Number(target)) }
  const truth = new Uint8Array(examples.length * labels.length)
  examples.forEach(({ target }, row) => typeof target !== 'number' && truth.set(target, row * labels.length))
  return { kind: 'labels', labels: labels.length, truth }
}

/** What the model gives for each example. */
export function outputsOf(
  model: LinearModel,
  corpus: Corpus,
  examples: readonly Example[],
  { labels }: TaskPlan,
): ExampleOutput<Target>[] {
  const logits = logitsOf(model, scoresOf(model, corpus), { labels })
  return examples.map(({ target }, i) => ({ target, output: logits[i] }))
}
