// Compares finished runs: each setting's metric with its interval, the test of each two runs on the same test rows, and
// what varies between them.
import { UserError } from '../../engine/errors.ts'
import { mean, meanInterval } from '../metrics/means.ts'
import { type Resampled, holm, mcnemar, pairedBootstrap, resampledMetric } from '../metrics/paired.ts'
import {
  type MetricInfo,
  isBetter,
  isFractionRight,
  metricNamed,
  metricOn,
  metricsOf,
  resamplesFor,
} from '../metrics/summary.ts'
import { INTERVAL_SEED, type Interval, intervalFrom, wilson } from '../metrics/uncertainty.ts'
import type { Figure } from '../metrics/values.ts'
import { TASK_TEXTS } from '../tasks/infer.ts'
import { type AlignedRun, alignRuns } from './align.ts'
import { type Axis, type Grid, axesOf, gridsOf, withinRange } from './effects.ts'
import { resultsOfAnswers } from './results.ts'
import type { Answer, ComparedRun, RunCost, Value } from './types.ts'

/** One setting: a run, or several that differ in their seed alone. */
export interface Entry {
  /** From 1, the best first. */
  readonly number: number
  readonly name: string
  readonly job: string
  /** The best first. */
  readonly runs: readonly RankedRun[]
  /** The metric; of several runs the mean. Undefined where it is not defined. */
  readonly value: Figure
  /** 95 %: of several runs Student's over the seeds, of one run that of its test. */
  readonly interval: Interval | undefined
  readonly over: 'seeds' | 'test rows'
  /** Means over the runs. */
  readonly cost: RunCost
  readonly options: Readonly<Record<string, Value>>
}

export interface RankedRun extends ComparedRun {
  readonly value: Figure
  /** 95 %, of the test. */
  readonly interval: Interval | undefined
}

/** The test of the difference between two runs, first minus second. */
export interface Pair {
  readonly a: string
  readonly b: string
  readonly difference: number
  /** Rows that only one of the two gets right; of metrics that count right rows. */
  readonly onlyA?: number
  readonly onlyB?: number
  /** Of other metrics, 95 % by the paired bootstrap. */
  readonly interval?: Interval
  readonly p: number
  /** Holm's correction of `p` for all pairs. */
  readonly corrected: number
}

export interface Comparison {
  readonly metric: MetricInfo
  readonly task: ComparedRun['task']
  /** The best first; those whose metric is not defined last. */
  readonly entries: readonly Entry[]
  /** All runs, the best first. */
  readonly runs: readonly RankedRun[]
  readonly pairs: readonly Pair[]
  /** Which pairs were tested. */
  readonly tested: 'all' | 'best against the others'
  readonly test: 'McNemar' | 'paired bootstrap'
  /** Options that are not the same in all settings of a job. */
  readonly varying: readonly string[]
  readonly axes: readonly Axis[]
  readonly grids: readonly Grid[]
  /** What could not be compared, a sentence each. */
  readonly notes: readonly string[]
}

/** With more runs, only the best one is tested against the others. */
const MOST_PAIRED = 20

/**
 * Compares runs by the metric that is named, else by the first of their task. Throws a UserError unless all have the
 * same task and the same labels, and on a metric that the task does not have.
 */
export function compareRuns(runs: readonly ComparedRun[], { metric: named }: { metric?: string } = {}): Comparison {
  refuseOthers(runs)
  const [{ task, labels }] = runs
  const classes = labels.length
  const metric = named === undefined ? metricsOf(task, classes)[0] : metricNamed(task, classes, named)
  const aligned = alignRuns(runs)
  const ranked = runs
    .map((run, i) => measured(run, aligned[i], metric, runs.length))
    .sort((a, b) => compareValues(metric, a.run, b.run))
  const entries = entriesOf(
    ranked.map(({ run }) => run),
    metric,
  )
  const { pairs, tested, test } = pairsOf(ranked, metric)
  const varying = varyingOptions(entries)
  return {
    metric,
    task,
    entries,
    runs: ranked.map(({ run }) => run),
    pairs,
    tested,
    test,
    varying,
    axes: axesOf(entries, varying, metric),
    grids: gridsOf(entries, varying, metric),
    notes: notesOn(ranked, metric),
  }
}

/** Throws a UserError, naming both runs, if a run's task or labels differ from the first one's. */
function refuseOthers(runs: readonly ComparedRun[]): void {
  if (runs.length < 2)
    throw new UserError(`compare needs at least two finished runs; there is ${runs.length || 'none'}`)
  const [first, ...others] = runs
  for (const other of others) {
    const why = differenceInKind(other, first)
    if (why !== undefined) throw new UserError(why)
  }
}

type Kinded = Pick<ComparedRun, 'name' | 'task' | 'labels'>

/** Why a run cannot be compared with another: it has another task or other labels. Undefined if it can. */
export function differenceInKind(run: Kinded, other: Kinded): string | undefined {
  const because = `${run.name} cannot be compared with ${other.name}`
  if (run.task !== other.task) return `${because}: its task is ${TASK_TEXTS[run.task]}, not ${TASK_TEXTS[other.task]}`
  const [labels, others] = [JSON.stringify(run.labels), JSON.stringify(other.labels)]
  return labels === others ? undefined : `${because}: its labels are ${labels}, not ${others}`
}

function compareValues(metric: MetricInfo, a: { readonly value: Figure }, b: { readonly value: Figure }): number {
  return isBetter(metric, a.value, b.value) ? -1 : isBetter(metric, b.value, a.value) ? 1 : 0
}

/** Rows that the resamples of all runs together read: a few seconds. */
const MOST_READ = 1e8
const LEAST_RESAMPLES = 200

/** A run with its interval. Any metric but a fraction of right rows is measured once per resample, for all pairs. */
function measured(run: ComparedRun, aligned: AlignedRun, metric: MetricInfo, runs: number): Ranked {
  const value = run.metrics[metric.name]
  if (value === undefined) return { run: { ...run, value, interval: undefined }, aligned }
  if (isFractionRight(run.task, metric.name)) {
    return { run: { ...run, value, interval: wilson(Math.round(value * run.rows), run.rows) }, aligned }
  }
  const { answers, set } = aligned
  const results = set === undefined ? undefined : resultsOfAnswers(run, answers, metric.name)
  if (!results) return { run: { ...run, value, interval: undefined }, aligned }
  const affordable = Math.max(LEAST_RESAMPLES, Math.floor(MOST_READ / (answers.length * runs)))
  const resamples = Math.min(resamplesFor(results, metric.name), affordable)
  const options = { seed: INTERVAL_SEED, resamples }
  const resampled = resampledMetric(answers.length, metricOn(results, metric.name), options)
  return { run: { ...run, value, interval: intervalFrom(resampled.draws) }, aligned, resampled }
}

/** Runs that are equal but for their seed, together. */
function entriesOf(runs: readonly RankedRun[], metric: MetricInfo): Entry[] {
  const settings = new Map<string, RankedRun[]>()
  for (const run of runs) {
    const sorted = Object.entries(run.options).sort(([a], [b]) => (a < b ? -1 : 1))
    // Without options or a seed nothing says that another run is a repetition of it.
    const isKnown = sorted.length > 0 && run.seed !== undefined
    const key = JSON.stringify(isKnown ? [run.job, sorted] : [run.name])
    settings.set(key, [...(settings.get(key) ?? []), run])
  }
  return [...settings.values()]
    .map(repeated => entryOf(repeated, metric))
    .sort((a, b) => compareValues(metric, a, b))
    .map((entry, i) => ({ ...entry, number: i + 1 }))
}

function entryOf(runs: readonly RankedRun[], metric: MetricInfo): Omit<Entry, 'number'> {
  const [first] = runs
  const values = runs.flatMap(({ value }) => (value === undefined ? [] : [value]))
  const means = values.length === 0 ? undefined : meanInterval(values)
  const isRepeated = runs.length > 1
  return {
    name: isRepeated ? runs.map(({ name }) => name).join(', ') : first.name,
    job: first.job,
    runs,
    value: means?.mean,
    interval: isRepeated ? means?.interval && withinRange(means.interval, metric) : first.interval,
    over: isRepeated ? 'seeds' : 'test rows',
    cost: meanCost(runs),
    options: first.options,
  }
}

function meanCost(runs: readonly RankedRun[]): RunCost {
  const over = (of: (cost: RunCost) => number | undefined): number | undefined => {
    const known = runs.flatMap(({ cost }) => of(cost) ?? [])
    return known.length === 0 ? undefined : mean(known)
  }
  return {
    trained: over(cost => cost.trained),
    total: over(cost => cost.total),
    seconds: over(cost => cost.seconds),
    gpuBytes: over(cost => cost.gpuBytes),
    diskBytes: over(cost => cost.diskBytes),
  }
}

interface Ranked {
  readonly run: RankedRun
  readonly aligned: AlignedRun
  /** Of a metric that is tested by the bootstrap. */
  readonly resampled?: Resampled
}

function pairsOf(ranked: readonly Ranked[], metric: MetricInfo): Pick<Comparison, 'pairs' | 'tested' | 'test'> {
  const known = ranked.filter(({ run, aligned }) => run.value !== undefined && aligned.set !== undefined)
  const tested = known.length <= MOST_PAIRED ? 'all' : 'best against the others'
  const test = isFractionRight(ranked[0].run.task, metric.name) ? 'McNemar' : 'paired bootstrap'
  const compare = test === 'McNemar' ? byMcNemar(known) : byBootstrap(known)
  const pairs: Omit<Pair, 'corrected'>[] = []
  known.forEach((a, i) => {
    if (tested !== 'all' && i > 0) return
    known.slice(i + 1).forEach((b, j) => {
      if (a.aligned.set !== b.aligned.set) return
      const found = compare(i, i + 1 + j)
      if (found) pairs.push({ a: a.run.name, b: b.run.name, ...found })
    })
  })
  const corrected = holm(pairs.map(({ p }) => p))
  return { pairs: pairs.map((pair, i) => ({ ...pair, corrected: corrected[i] })), tested, test }
}

type Compare = (a: number, b: number) => Omit<Pair, 'a' | 'b' | 'corrected'> | undefined

/** Several labels are right if all of them are; their order says nothing, and is the same in both. */
const isRight = ({ label, predicted }: Answer): boolean => JSON.stringify(label) === JSON.stringify(predicted)

function byMcNemar(runs: readonly Ranked[]): Compare {
  const right = runs.map(({ aligned }) => aligned.answers.map(isRight))
  return (a, b) => {
    const found = mcnemar(right[a], right[b])
    return { difference: (found.onlyA - found.onlyB) / right[a].length, ...found }
  }
}

function byBootstrap(runs: readonly Ranked[]): Compare {
  return (a, b) => {
    const [first, second] = [runs[a].resampled, runs[b].resampled]
    return first && second && pairedBootstrap(first, second)
  }
}

/** Options with more than one value among the settings of one job that have them. */
function varyingOptions(entries: readonly Entry[]): string[] {
  const varying = new Set<string>()
  for (const job of new Set(entries.map(entry => entry.job))) {
    const own = entries.filter(entry => entry.job === job)
    for (const name of new Set(own.flatMap(({ options }) => Object.keys(options)))) {
      if (new Set(own.flatMap(({ options }) => options[name] ?? [])).size > 1) varying.add(name)
    }
  }
  return [...varying]
}

function notesOn(ranked: readonly Ranked[], metric: MetricInfo): string[] {
  const named = (runs: readonly Ranked[]): string => runs.map(({ run }) => run.name).join(', ')
  const notes: string[] = []
  const undefinedOnes = ranked.filter(({ run }) => run.value === undefined)
  if (undefinedOnes.length > 0) notes.push(`Not measured by ${metric.title}: ${named(undefinedOnes)}.`)
  const without = ranked.filter(({ aligned }) => aligned.set === undefined)
  if (without.length > 0) {
    notes.push(`No predictions.jsonl, so no test against the others: ${named(without)}. Runs of this version have one.`)
  }
  const sets = Map.groupBy(
    ranked.filter(({ aligned }) => aligned.set !== undefined),
    ({ aligned }) => aligned.set,
  )
  if (sets.size > 1) {
    const parts = [...sets.values()].map(set => `${named(set)} (${set[0].aligned.answers.length} rows)`)
    notes.push(
      `These runs were tested on different rows, so their figures are not comparable and no test is made between them: ${parts.join('; ')}.`,
    )
  }
  if (
    without.length < ranked.length &&
    ranked.some(({ run }) => run.value !== undefined) &&
    !canBeTested(ranked, metric)
  ) {
    notes.push(`No test is made: ${metric.title} cannot be computed from predictions.jsonl.`)
  }
  return notes
}

const canBeTested = (ranked: readonly Ranked[], metric: MetricInfo): boolean =>
  ranked.some(({ run, resampled }) => resampled !== undefined || isFractionRight(run.task, metric.name))
