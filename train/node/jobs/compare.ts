// `tilegrad compare`: finished runs and evaluations from their folders, those of sweeps and of folders of runs included.
import { readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { UserError } from '../../../engine/errors.ts'
import { exists, isFolder, readJson } from '../../../models/node/files.ts'
import { differenceInKind } from '../../compare/compare.ts'
import type { ComparedRun, Value } from '../../compare/types.ts'
import { metricsOf } from '../../metrics/summary.ts'
import { TASK_NAMES } from '../../tasks/infer.ts'
import { type RunConfig, pinnedArguments } from '../run/config.ts'
import { costOf } from '../run/cost.ts'
import { type Metrics, type Run, openRun } from '../run/folder.ts'
import { PREDICTIONS, type Prediction, readPredictions } from '../run/predictions.ts'

/** Runs that are to be compared, and what was left out, a sentence each. */
export interface OpenedRuns {
  readonly runs: readonly OpenedRun[]
  readonly notes: readonly string[]
}

export interface OpenedRun extends ComparedRun {
  readonly folder: string
  readonly createdAt: string | undefined
  readonly adapter: string | undefined
  /** The arguments that repeat it. */
  readonly arguments: readonly string[]
  readonly preset: string | undefined
}

/** Options that do not change what a run computes, and the seed, which makes a repetition. */
const NO_SETTINGS = new Set(
  (
    'seed out name resume dry-run json list-adapters help version given preset checkpoint-every keep-best merge profile ' +
    'tune-kernels adapter skip-bad-steps tensorboard ablation bundled compare-with try'
  ).split(' '),
)

/** Options whose defaults follow from others: one that no run was given is not a setting of its own. */
const FOLLOWERS = ['lora-alpha', 'lr', 'train-head', 'freeze-head']

const amount = z.number().nonnegative().nullable().optional()
const resultSchema = z.looseObject({
  task: z.enum(TASK_NAMES),
  test_metrics: z.record(z.string(), z.number().nullable()),
  test_classes: z.array(z.looseObject({ name: z.string() })).optional(),
  parameters: z.looseObject({ total: amount, trainable: amount }).optional(),
  wall_seconds: amount,
  gpu_bytes: amount,
  adapter: z.string().nullable().optional(),
})
type Result = z.output<typeof resultSchema>

const dataSchema = z
  .looseObject({
    labels: z.array(z.string()).optional(),
    test: z.looseObject({ rows: z.int().nonnegative() }).optional(),
  })
  .optional()

/** A run whose result is not that of a test on labelled texts, such as one of pretraining. */
class Untested extends UserError {}

/**
 * Opens what lies at each path: a run's folder, an evaluation's, a sweep's (its finished trials), or a folder that
 * contains any of them. Of the runs that a sweep or a folder contains, those that cannot be compared with the others
 * are left out with a note. Throws a UserError on a path that has no finished run, and on a damaged one.
 */
export async function openRuns(paths: readonly string[]): Promise<OpenedRuns> {
  const notes: string[] = []
  const places: Place[] = []
  for (const path of paths) {
    const found = await placesAt(path, notes)
    if (found.length === 0) throw new UserError(`${path} has no finished run`)
    places.push(...found)
  }
  const distinct = [...new Map(places.map(place => [resolve(place.folder), place])).values()]
  const names = uniqueNames(distinct)
  const opened: Opened[] = []
  const named = new Set(paths.map(path => resolve(path)))
  for (const [i, { folder }] of distinct.entries()) {
    const isContained = !named.has(resolve(folder))
    try {
      const run = await openRun(folder)
      opened.push({ run: await openFinished(run, names[i]), given: givenOf(run.config), isContained })
    } catch (error) {
      if (!(isContained && error instanceof Untested)) throw error
      notes.push(`Left out: ${error.message}.`)
    }
  }
  const comparable = comparableOf(opened, notes)
  if (comparable.length < 2 && notes.length > 0)
    throw new UserError(
      `compare needs at least two finished runs; there is ${comparable.length || 'none'}. ${notes.join(' ')}`,
    )
  const given = new Set(comparable.flatMap(one => one.given))
  const followed = FOLLOWERS.filter(name => !given.has(name))
  return { runs: comparable.map(({ run }) => withoutOptions(run, followed)), notes }
}

interface Opened {
  readonly run: OpenedRun
  /** Names of the options that it was given. */
  readonly given: readonly string[]
  /** Whether it was found in a sweep or a folder, and not named itself. */
  readonly isContained: boolean
}

/**
 * Without the contained runs that have another task or other labels than the first run that was named itself, or else
 * than most of the runs.
 */
function comparableOf(opened: readonly Opened[], notes: string[]): Opened[] {
  const kindOf = ({ run: { task, labels } }: Opened): string => JSON.stringify([task, labels])
  const kinds = [...Map.groupBy(opened, kindOf).values()].sort((a, b) => b.length - a.length)
  const wanted = opened.find(({ isContained }) => !isContained) ?? kinds[0]?.[0]
  return opened.filter(one => {
    const why = one.isContained && wanted && differenceInKind(one.run, wanted.run)
    if (why) notes.push(`Left out: ${why}.`)
    return !why
  })
}

interface Place {
  readonly folder: string
  /** From the most specific name to the least; the first that no other run has is taken. */
  readonly names: readonly string[]
}

const isRun = (folder: string): Promise<boolean> => exists(join(folder, 'config.json'))
const isFinished = (folder: string): Promise<boolean> => exists(join(folder, 'result.json'))
const isSweep = (folder: string): Promise<boolean> => exists(join(folder, 'sweep.json'))

async function placesAt(path: string, notes: string[]): Promise<Place[]> {
  if (!(await isFolder(path))) throw new UserError(`No run's folder at ${path}`)
  if (await isSweep(path)) return trialsOf(path, notes)
  if (await isRun(path)) {
    if (!(await isFinished(path))) throw new UserError(`${path} is not finished: it has no result.json`)
    return [{ folder: path, names: namesOf(path) }]
  }
  const found: Place[] = []
  for (const name of (await readdir(path)).toSorted()) {
    const folder = join(path, name)
    if (await isSweep(folder)) found.push(...(await trialsOf(folder, notes)))
    else if ((await isRun(folder)) && (await isFinished(folder))) found.push({ folder, names: namesOf(folder) })
    else if (await isRun(folder)) notes.push(`${folder} is not finished and is left out.`)
  }
  return found
}

/** The finished trials of a sweep that are on this machine. */
async function trialsOf(sweep: string, notes: string[]): Promise<Place[]> {
  const trials = join(sweep, 'trials')
  const numbers = (await isFolder(trials)) ? (await readdir(trials)).filter(name => /^\d+$/.test(name)) : []
  const all = numbers.sort((a, b) => Number(a) - Number(b))
  const finished: Place[] = []
  for (const number of all) {
    const folder = join(trials, number)
    if (!((await isRun(folder)) && (await isFinished(folder)))) continue
    const [name] = namesOf(sweep)
    finished.push({ folder, names: [`${name}/${number}`, ...namesOf(folder)] })
  }
  const elsewhere = (await completeTrials(sweep)).filter(number => !all.includes(String(number))).length
  if (elsewhere > 0) {
    notes.push(`Complete on other machines, and left out: ${elsewhere} of the trials of ${sweep}; see its trials.csv.`)
  }
  if (finished.length < all.length) {
    notes.push(`${all.length - finished.length} of ${all.length} trials in ${sweep} are not finished and are left out.`)
  }
  return finished
}

const trialsSchema = z.looseObject({ trials: z.array(z.looseObject({ number: z.int(), state: z.string() })) })

/** Numbers of the trials that are complete, on whatever machine. */
async function completeTrials(sweep: string): Promise<number[]> {
  const path = join(sweep, 'trials.json')
  if (!(await exists(path))) return []
  const { success, data } = trialsSchema.safeParse(await readJson(path))
  if (!success) throw new UserError(`${path}: not the trials of a sweep`)
  return data.trials.filter(({ state }) => state === 'complete').map(({ number }) => number)
}

/** The last part of a path, its last two, and so on. */
function namesOf(folder: string): string[] {
  const parts = resolve(folder)
    .split(/[\\/]/)
    .filter(part => part !== '')
  return parts.map((_, i) => parts.slice(parts.length - 1 - i).join('/'))
}

function uniqueNames(places: readonly Place[]): string[] {
  return places.map(({ names, folder }) => {
    const others = places.filter(other => other.folder !== folder)
    return names.find(name => others.every(other => !other.names.includes(name))) ?? resolve(folder)
  })
}

/** Names of the options that a run was given, as they are on the command line. */
const givenOf = ({ options }: RunConfig): string[] =>
  Array.isArray(options?.given) ? options.given.filter(name => typeof name === 'string') : []

const withoutOptions = (run: OpenedRun, names: readonly string[]): OpenedRun => ({
  ...run,
  options: Object.fromEntries(Object.entries(run.options).filter(([name]) => !names.includes(name))),
})

/** Throws a UserError, naming the line, on an answer that is not one of the classes. */
function checkClasses(answers: readonly Prediction[], labels: readonly string[], path: string): void {
  const known = new Set<unknown>(labels)
  for (const [i, { label, predicted, probabilities }] of answers.entries()) {
    const where = `${path}, line ${i + 1}`
    const unknown = [label, predicted].find(given => !known.has(given))
    if (unknown !== undefined)
      throw new UserError(`${where}: ${JSON.stringify(unknown)} is not one of the run's labels: ${labels.join(', ')}`)
    if (probabilities && probabilities.length !== labels.length)
      throw new UserError(`${where}: ${probabilities.length} probabilities for ${labels.length} labels`)
  }
}

/** Throws a UserError on a share of the test set that is not between 0 and 1. */
function checkFigures({ task, test_metrics }: Result, labels: readonly string[], path: string): void {
  for (const { name, shown } of metricsOf(task, labels.length)) {
    const value = test_metrics[name]
    if (shown === 'percent' && typeof value === 'number' && !(value >= 0 && value <= 1))
      throw new UserError(`${path}: test_metrics.${name} is ${value}, which is not between 0 and 1`)
  }
}

/** What config.json says of the data. Throws a UserError if it is not the config.json of a training run. */
function dataOf(run: Run): z.output<typeof dataSchema> {
  const where = run.path('config.json')
  if (!run.config.options) throw new UserError(`${where} has no options, so it is not that of a run`)
  const { success, data, error } = dataSchema.safeParse(run.config.data)
  if (success) return data
  const [{ path, message }] = error.issues
  throw new UserError(`${where}: ${['data', ...path].join('.')}: ${message}`)
}

/** A finished run by its folder. Throws a UserError if it is not finished, damaged, or not tested on labelled texts. */
export async function openFinishedRun(folder: string): Promise<{ opened: OpenedRun; config: RunConfig }> {
  const run = await openRun(folder)
  if (!(await isFinished(folder))) throw new UserError(`${folder} is not finished: it has no result.json`)
  return { opened: await openFinished(run, folder), config: run.config }
}

async function openFinished(run: Run, name: string): Promise<OpenedRun> {
  const { config, folder } = run
  const path = run.path('result.json')
  const { success, data: result, error } = resultSchema.safeParse(await readJson(path))
  if (!success) {
    const [{ path: field, message }] = error.issues
    const problem = [path, field.join('.'), message].filter(part => part !== '').join(': ')
    if (field[0] === 'task' || field[0] === 'test_metrics')
      throw new Untested(`${folder} was not tested on labelled texts: ${problem}`)
    throw new UserError(problem)
  }
  const data = dataOf(run)
  const lines = run.readMetrics()
  const labels = data?.labels ?? result.test_classes?.map(({ name }) => name) ?? []
  checkFigures(result, labels, path)
  const answers = await readPredictions(folder)
  const rows = data?.test?.rows
  if (answers && rows !== undefined && answers.length !== rows)
    throw new UserError(`${run.path(PREDICTIONS)} has ${answers.length} rows, but the test set has ${rows}`)
  if (result.task === 'classes') checkClasses(answers ?? [], labels, run.path(PREDICTIONS))
  const cost = await costOf(folder, result, lines)
  const metrics = Object.entries(result.test_metrics).map(([key, value]) => [key, value ?? undefined] as const)
  return {
    name,
    folder,
    job: config.job ?? 'fine-tune',
    task: result.task,
    labels,
    rows: answers?.length ?? rows ?? 0,
    metrics: Object.fromEntries(metrics),
    answers,
    cost: {
      trained: cost.parameters?.trainable,
      total: cost.parameters?.total,
      seconds: cost.seconds,
      gpuBytes: cost.gpuPeakBytes,
      diskBytes: cost.savedBytes?.total,
    },
    evaluations: lines.filter(({ split }) => split === 'validation').map(evaluationOf),
    ...settingsOf(config),
    createdAt: typeof config.created_at === 'string' ? config.created_at : undefined,
    adapter: result.adapter ?? undefined,
    arguments: pinnedArguments(config),
    preset: config.options?.preset,
  }
}

function evaluationOf({ step, wall_seconds: seconds, ...line }: Metrics): ComparedRun['evaluations'][number] {
  const values = Object.entries(line).filter((entry): entry is [string, number] => typeof entry[1] === 'number')
  return { step, seconds: typeof seconds === 'number' ? seconds : undefined, values: Object.fromEntries(values) }
}

const isValue = (value: unknown): value is Value => ['string', 'number', 'boolean'].includes(typeof value)

/** Options that name what lies somewhere, of which the end is shown. */
const PATHS: ReadonlySet<string> = new Set(['model', 'data', 'teacher', 'unlabelled'])

/**
 * The options that a run's result depends on, and its seed. Those of LoRA only where adapters were trained, and those of
 * distillation only where there was a teacher.
 */
function settingsOf({ job, options = {} }: RunConfig): Pick<ComparedRun, 'options' | 'seed'> {
  const isTaught = options.teacher !== undefined
  // Said of a run without one, too, so that the two differ.
  const settings: [string, Value][] = job === undefined && !isTaught ? [['teacher', 'none']] : []
  for (const [key, given] of Object.entries(options)) {
    const name = key.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
    const value = Array.isArray(given) ? given.join(',') : given
    if (NO_SETTINGS.has(name) || !isValue(value)) continue
    if (options.tune !== undefined && options.tune !== 'lora' && /^(lora-|train-head$|freeze-head$)/.test(name))
      continue
    if (!isTaught && /^(distill-|unlabelled$)/.test(name)) continue
    settings.push([name, PATHS.has(name) ? shortPath(String(value)) : value])
  }
  return {
    options: Object.fromEntries(settings),
    seed: typeof options.seed === 'number' ? options.seed : undefined,
  }
}

/** The end of a long path. Names of the Hub have one slash and stay as they are. */
function shortPath(path: string): string {
  const parts = path.split(/[\\/]/).filter(part => part !== '')
  return parts.length > 2 ? parts.slice(-2).join('/') : path
}
