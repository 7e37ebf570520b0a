// From options to the examples that a run trains on. Nothing is written here, so a mistake in any of it leaves no trace.
// The model is model.ts'; settle.ts fills in what the user left open.
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { UserError } from '../../../engine/errors.ts'
import { type Classifier, publishedConfig } from '../../../models/index.ts'
import { exists } from '../../../models/node/files.ts'
import { brokenLink } from '../../../models/node/regular-file.ts'
import { resolveDataset } from '../../../models/node/hub.ts'
import { classWeights } from '../../class-weights.ts'
import { counted } from '../../counts.ts'
import { metricsOf } from '../../metrics/summary.ts'
import { balancedSample, setAside } from '../../strata.ts'
import type { Task } from '../../task.ts'
import { createTask } from '../../tasks/index.ts'
import { TASK_TEXTS, type Target, type TaskPlan } from '../../tasks/infer.ts'
import {
  type DataOptions,
  type Example,
  type LabelledData,
  loadLabelled,
  requireClasses,
  strataOf,
  stratumOf,
} from '../data/labelled.ts'
import { sentimentOf } from '../data/sentiment.ts'
import { countsOf } from '../data/statistics.ts'
import { type Options, REFERENCES, isReferenceName, referencesOf, toArguments } from '../cli/options.ts'
import { PACKAGES, requirePackages } from '../packages.ts'
import { isOnDisk } from './named.ts'
import { stream } from '../../random.ts'

const bundled = (part: string): string => fileURLToPath(new URL(`../bundled/${part}`, import.meta.url))

/** What comes with the repository: a small base model and short reviews. */
export const BUNDLED = { model: bundled('model'), data: bundled('reviews') } as const

/** The real thing. */
export const REAL = { model: 'distilbert-base-uncased', data: 'stanfordnlp/imdb' } as const

/** Sees that the paths among the options lead somewhere, before anything that takes time. Throws a UserError. */
export async function checkPaths({
  data,
  model,
  tokenizer,
  init,
  teacher,
  unlabelled,
  compareWith,
}: Options): Promise<void> {
  const run = referencesOf({ compareWith }).find(name => !isReferenceName(name) && !existsSync(name))
  if (run !== undefined)
    throw new UserError(`--compare-with ${run}: no run's folder there, and not one of ${REFERENCES.join(', ')}`)
  for (const path of unlabelled) await isOnDisk(path)
  if (data !== undefined) await isOnDisk(data)
  if (teacher !== undefined) await isOnDisk(teacher)
  if (model !== undefined && !(init === 'random' && publishedConfig(model))) await isOnDisk(model)
  if (tokenizer !== undefined && !(await exists(tokenizer)))
    throw (await brokenLink(tokenizer)) ?? new UserError(`No file or folder at ${tokenizer}`)
}

/**
 * Draws the rows of test sets, whatever `--seed` is: runs of one setting with several seeds are tested on the same rows,
 * so that they can be averaged and compared row by row.
 */
export const TEST_SEED = 42

export type Progress = (what: string, done: number, total: number) => void

/** The examples of a run. */
export interface Data {
  /** The task, and what its classes are called. */
  readonly plan: TaskPlan
  readonly columns: LabelledData['columns']
  readonly train: readonly Example[]
  readonly validation: readonly Example[]
  readonly test: readonly Example[]
  /** Training examples before validation was taken aside. */
  readonly all: readonly Example[]
  /** By which the rows of the test set were drawn, where they were drawn. */
  readonly testSeed: number
  /** Where they come from, and what was left out, in a few words. */
  readonly source: string
  /** Rows labelled −1, which are in no set. */
  readonly unlabelled: number
  readonly leftOut: LabelledData['leftOut']
  /** The Hub's, where they come from there. */
  readonly commit: string | undefined
}

/** Which reviews: on the Hub, those of both sets, and not the 50,000 without labels. */
export const WANTED = { select: (path: string) => !/unsupervised/.test(path), splits: ['train', 'test'] }

/** The options that say which examples a job has. */
export type DataChoices = Pick<
  Options,
  | 'data'
  | 'seed'
  | 'limitTrain'
  | 'limitTest'
  | 'valSplit'
  | 'task'
  | 'labels'
  | 'textColumn'
  | 'pairColumn'
  | 'labelColumn'
  | 'labelSeparator'
  | 'encoding'
  | 'skipBadRows'
  | 'minusOne'
> & {
  /** `TEST_SEED` unless given. */
  readonly testSeed?: number
}

/** All that `openData` goes by, as one text. */
export const dataKey = (options: DataChoices, model?: readonly string[], revision?: string): string => {
  const { data, seed, testSeed, limitTrain, limitTest, valSplit, task, labels } = options
  const { textColumn, pairColumn, labelColumn, labelSeparator, encoding, skipBadRows, minusOne } = options
  const sets = [data, seed, testSeed, limitTrain, limitTest, valSplit, task, labels]
  const columns = [textColumn, pairColumn, labelColumn, labelSeparator, encoding, skipBadRows, minusOne]
  return JSON.stringify([sets, columns, model, revision])
}

/** Where data lies: as it is named on disk, or where the Hub's was downloaded to. */
export async function locateData(
  data: string,
  progress: Progress,
  revision?: string,
): Promise<{ folder: string; commit?: string }> {
  if (await isOnDisk(data)) return { folder: data }
  return resolveDataset(data, { ...WANTED, progress, revision })
}

/**
 * Loads the examples (of a commit, where a run is resumed), draws what was asked for, takes validation aside. `model`
 * are the classes that the base model has names for.
 */
export async function openData(
  options: DataChoices,
  progress: Progress,
  model?: readonly string[],
  revision?: string,
): Promise<Data> {
  const { data, seed, testSeed = TEST_SEED, limitTrain, limitTest, valSplit } = options
  if (data === undefined) throw new UserError('--data is missing')
  const { folder, commit } = await locateData(data, progress, revision)
  const loaded = await loadLabelled(folder, readingOf(options, model))
  const { plan, columns, unlabelled, leftOut } = loaded
  const sample = (
    option: 'limit-train' | 'limit-test',
    examples: readonly Example[],
    count: number | undefined,
    drawnBy: number,
  ): readonly Example[] => (count === undefined ? examples : sampleOf(option, examples, count, drawnBy, plan))
  const all = sample('limit-train', loaded.train, limitTrain, seed)
  const test = sample('limit-test', loaded.test, limitTest, testSeed)
  const { rest: train, aside } = loaded.validation
    ? { rest: all, aside: loaded.validation }
    : naming(`${limitTrain === undefined ? '' : `--limit-train ${limitTrain}, `}--val-split ${valSplit}`, () =>
        setAside(all, valSplit, stream(seed, 'validation'), stratumOf(plan), strataOf(plan)),
      )
  requireClasses(train, plan, limitTrain === undefined ? data : `${data} with --limit-train ${limitTrain}`)
  const source = sourceText(loaded)
  return { plan, columns, train, validation: aside, test, all, testSeed, source, unlabelled, leftOut, commit }
}

/** How the options want data read; `model` are the classes that the base model has names for. */
export function readingOf(options: DataChoices, model?: readonly string[]): DataOptions {
  const { textColumn, pairColumn, labelColumn, labelSeparator, encoding, skipBadRows, minusOne } = options
  return {
    testSeed: options.testSeed ?? TEST_SEED,
    task: options.task,
    given: options.labels?.split(',').map(name => name.trim()),
    model,
    textColumn,
    pairColumn,
    labelColumn,
    labelSeparator,
    encoding,
    skipBadRows,
    minusOne,
    spellings: sentimentOf,
  }
}

/** Where examples come from and how they were read, with the rows that were taken for unlabelled. */
export function sourceText({ source, unlabelled }: Pick<LabelledData, 'source' | 'unlabelled'>): string {
  if (unlabelled === 0) return source
  return `${source}; ${counted(unlabelled, 'row')} without a label (-1) left out (--minus-one label takes -1 for a class)`
}

function sampleOf(
  option: string,
  examples: readonly Example[],
  count: number,
  seed: number,
  plan: TaskPlan,
): Example[] {
  const strata = plan.task === 'classes' ? plan.labels.length : 1
  return naming(`--${option} ${count}`, () =>
    balancedSample(examples, count, stream(seed, option), stratumOf(plan), strata),
  )
}

/** What `run` gives; a UserError of it begins with the options that it comes from. */
function naming<T>(options: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${options}: ${error.message}`) : error
  }
}

/** The task of a run, with the weights of its classes. Throws a UserError on weights that do not fit the classes. */
export function taskOf(
  { classWeights: asked, labelSmoothing, teacher, distillWeight: weight, distillTemperature: temperature }: Options,
  { plan, train }: Pick<Data, 'plan' | 'train'>,
): Task<Target, Classifier> {
  const weights = asked === undefined ? undefined : weightsOf(asked, plan, train)
  const distillation = teacher === undefined ? undefined : { weight, temperature }
  return createTask(plan.task, { labels: plan.labels, classWeights: weights, labelSmoothing, distillation })
}

/** The weight of each class for `--class-weights`. Throws a UserError on weights that do not fit the classes. */
export function weightsOf(asked: string, plan: TaskPlan, train: readonly Example[]): number[] {
  const counts = countsOf(train, plan) ?? []
  if (asked !== 'balanced') {
    const weights = asked.split(',').map(Number)
    if (weights.length === counts.length) return classWeights(weights, counts)
    throw new UserError(
      `--class-weights ${asked}: ${counted(weights.length, 'weight')} for ${counts.length} classes (${plan.labels.join(', ')})`,
    )
  }
  // Of several labels at once each is weighed against its own absence, as PyTorch's pos_weight suggests; one that all
  // texts have, or none, has nothing to be weighed against.
  if (plan.task === 'labels')
    return counts.map(count => (count > 0 && count < train.length ? (train.length - count) / count : 1))
  return classWeights('balanced', counts)
}

/** What only a validation set gives a meaning to. */
const NEED_VALIDATION = ['evaluate-every', 'patience', 'best-metric', 'keep-best'] as const

/** Throws a UserError on options that mean nothing for this task, or for data without a validation set. */
export function checkTraining(
  {
    bestMetric,
    classWeights: weights,
    labelSmoothing,
    compareWith,
    try: tried,
    given,
  }: Pick<Options, 'bestMetric' | 'classWeights' | 'labelSmoothing' | 'compareWith' | 'try' | 'given'>,
  { plan: { task, labels, why }, columns, validation }: Pick<Data, 'plan' | 'columns' | 'validation'>,
): void {
  if (task === 'regression' && weights !== undefined)
    throw new UserError('--class-weights is for tasks with classes, not for regression')
  if (task === 'regression' && labelSmoothing > 0)
    throw new UserError('--label-smoothing is for tasks with classes, not for regression')
  if (bestMetric !== undefined && bestMetric !== 'loss') {
    const known = metricsOf(task, labels.length).map(({ name }) => name)
    if (!known.includes(bestMetric))
      throw new UserError(`--best-metric ${bestMetric}: this task has loss, ${known.join(', ')}`)
  }
  const baseline = referencesOf({ compareWith }).find(name => isReferenceName(name) && name !== 'random')
  if (baseline !== undefined && task !== 'classes' && task !== 'labels') {
    throw new UserError(
      `--compare-with ${baseline}: a baseline gives one label per text or several, and this is ${TASK_TEXTS[task]} (${why})`,
    )
  }
  if (baseline !== undefined) requirePackages(`--compare-with ${baseline}`, PACKAGES.words)
  if (tried.length > 0 && columns.pair !== undefined)
    throw new UserError(`--try takes one text, and this data has pairs (second texts in column "${columns.pair}")`)
  const idle = validation.length === 0 ? NEED_VALIDATION.find(name => given.has(name)) : undefined
  if (idle)
    throw new UserError(
      `--${idle} needs a validation set: give --val-split more than 0, or data with a validation file`,
    )
}

/**
 * The arguments that repeat a run from anywhere, into a folder of its own: paths on this machine made absolute, and
 * `located`, values that are known to lead there.
 */
export async function repeatable(
  options: Options,
  located: Readonly<Record<string, readonly string[]>> = {},
): Promise<string[]> {
  const values: Record<string, string | readonly string[]> = { ...located }
  for (const name of ['data', 'model', 'tokenizer', 'teacher'] as const) {
    const value = options[name]
    if (value !== undefined && (await exists(value))) values[name] = resolve(value)
  }
  const compared = referencesOf(options).map(name => (isReferenceName(name) ? name : resolve(name)))
  if (compared.length > 0) values['compare-with'] = compared.join()
  return toArguments(options, { omit: ['json', 'out'], values })
}
