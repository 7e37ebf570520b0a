// What `--compare-with` asks for: models that a run is shown beside, on the same rows. The same training from random
// weights and baselines on words are measured; other runs' answers are read from their folders.
import { join } from 'node:path'
import { NonFinite, UserError, printableLine } from '../../../../engine/errors.ts'
import { writeAtomic } from '../../../../models/node/files.ts'
import { countParameters } from '../../../../models/index.ts'
import { count } from '../../../counts.ts'
import { pairedBootstrap, resampledMetric } from '../../../metrics/paired.ts'
import {
  type MetricInfo,
  type Results,
  type Summary,
  intervalOf,
  metricOn,
  resamplesFor,
  rowsOf,
  showDifference,
  showFigure,
  summarise,
} from '../../../metrics/summary.ts'
import { INTERVAL_SEED, type Interval } from '../../../metrics/uncertainty.ts'
import type { TextSets } from '../../../shapes.ts'
import type { Target } from '../../../tasks/infer.ts'
import { resultsOf } from '../../../tasks/results.ts'
import { BestInMemory } from '../../../best-in-memory.ts'
import { table } from '../../cli/console.ts'
import { type ReferenceName, isReferenceName, referencesOf } from '../../cli/options.ts'
import type { Progress } from '../../cli/progress.ts'
import type { Beside } from '../../report/tested.ts'
import type { Run } from '../../run/folder.ts'
import { classRecords, finiteJson, nullable } from '../../run/json.ts'
import { predictionsOf, writePredictions } from '../../run/predictions.ts'
import { buildModel, fillModel, withoutWeights } from '../model.ts'
import { REFERENCE_TITLES } from './describe.ts'
import { type Prepared, trainerOf } from './prepare.ts'
import { type Recorded, alignedResults, openRecorded } from './recorded-reference.ts'

/** A model on the run's test rows, by the run's main metric. */
export interface Reference extends Beside {
  /** As `--compare-with` names it. */
  readonly name: string
  readonly metrics: Summary['metrics']
  readonly trainedParameters: number | undefined
  readonly seconds: number | undefined
  /** Of what was not measured in this run: where it was. */
  readonly recorded: Pick<Recorded, 'adapter' | 'command'> | undefined
}

/** What is known of a reference's answers. */
type Known = Pick<Reference, 'name' | 'title' | 'metrics' | 'trainedParameters' | 'seconds' | 'recorded'>

/** A reference's answers, and how many parameters were fitted for them. */
interface Answered {
  readonly results: Results
  readonly trainedParameters: number
}

/**
 * Measures what the run is to be compared with, one after another. Undefined if the run's trainer was asked to stop
 * meanwhile.
 */
export async function measureReferences(
  prepared: Prepared,
  run: Run,
  texts: TextSets<Target>,
  ours: Results,
  metric: MetricInfo,
  progress: Progress,
): Promise<Reference[] | undefined> {
  const measured: Reference[] = []
  for (const name of referencesOf(prepared.options)) {
    if (prepared.trainer.stopping) return undefined
    const began = performance.now()
    try {
      if (!isReferenceName(name)) {
        measured.push(await fromFolder(name, prepared, ours, metric))
        continue
      }
      const answered =
        name === 'random'
          ? await fromRandomWeights(prepared, texts, progress)
          : await baseline(name, prepared, progress)
      if (!answered) return undefined
      const seconds = (performance.now() - began) / 1000
      const { metrics } = summarise(answered.results)
      const known = { name, title: REFERENCE_TITLES[name], metrics, recorded: undefined, seconds, ...answered }
      const reference = referenceOf(known, ours, answered.results, metric)
      if (name === 'random') await keep(run, prepared, reference, answered.results, metric)
      measured.push(reference)
    } catch (error) {
      // That a reference cannot be had says something of it, and nothing of the run.
      if (!(error instanceof NonFinite || error instanceof UserError)) throw error
      measured.push(without(name, printableLine(error.message)))
    } finally {
      progress.stop()
    }
  }
  return measured
}

function referenceOf(
  { name, title, metrics, trainedParameters, seconds, recorded }: Known,
  ours: Results,
  results: Results,
  metric: MetricInfo,
): Reference {
  const options = { seed: INTERVAL_SEED, resamples: resamplesFor(results, metric.name) }
  const [a, b] = [ours, results].map(one => resampledMetric(rowsOf(one), metricOn(one, metric.name), options))
  const paired = pairedBootstrap(a, b)
  return {
    name,
    title,
    value: metrics[metric.name],
    interval: intervalOf(results, metric.name, { seed: INTERVAL_SEED }),
    difference: paired && { value: paired.difference, interval: paired.interval },
    metrics,
    trainedParameters,
    seconds,
    recorded,
    reason: undefined,
  }
}

const without = (name: string, reason: string): Reference => ({
  name,
  title: isReferenceName(name) ? REFERENCE_TITLES[name] : name,
  value: undefined,
  interval: undefined,
  difference: undefined,
  metrics: {},
  trainedParameters: undefined,
  seconds: undefined,
  recorded: undefined,
  reason,
})

/** Another run, from the answers in its folder. */
async function fromFolder(folder: string, { data }: Prepared, ours: Results, metric: MetricInfo): Promise<Reference> {
  const recorded = await openRecorded(folder, data)
  const aligned = alignedResults(folder, recorded, data, predictionsOf(ours, data.test), metric)
  if (!aligned) throw new UserError(`--compare-with ${folder}: it keeps no probabilities, which ${metric.title} needs`)
  const { trained: trainedParameters } = recorded
  return referenceOf({ ...recorded, name: folder, trainedParameters, recorded }, aligned.ours, aligned.theirs, metric)
}

/** The folder, in that of a run, that can be compared with instead of training from random weights again. */
const KEPT = 'from-random-weights'

/** Keeps what was measured from random weights as a finished run, for `tilegrad compare` and `--compare-with`. */
async function keep(
  run: Run,
  { data, parameters, device }: Prepared,
  { title, metrics, interval, seconds }: Reference,
  results: Results,
  metric: MetricInfo,
): Promise<void> {
  const { config } = run
  const settings = { ...config, title, options: { ...config.options, init: 'random', compareWith: undefined } }
  const result = {
    task: data.plan.task,
    test_accuracy: metrics.accuracy ?? null,
    test_metrics: nullable(metrics),
    test_classes: classRecords(summarise(results).classes),
    interval: { metric: metric.name, low: interval?.low ?? null, high: interval?.high ?? null },
    parameters,
    wall_seconds: seconds,
    adapter: device.info.name,
  }
  await run.writeFolder(KEPT, async path => {
    const write = (name: string, text: string): Promise<void> => writeAtomic(join(path, name), text)
    await write('config.json', `${finiteJson(settings, KEPT, 2)}\n`)
    await write('result.json', `${finiteJson(result, KEPT, 2)}\n`)
    await writePredictions({ write }, predictionsOf(results, data.test))
  })
}

/**
 * The run once more from fresh weights: the same architecture, trained parameters, seed, batches and steps, and the best
 * evaluation's values in the end. Undefined if it was stopped.
 */
async function fromRandomWeights(
  { options, opened, data, trainer: main }: Prepared,
  texts: TextSets<Target>,
  progress: Progress,
): Promise<Answered | undefined> {
  const what = 'train from random weights'
  progress.start(what)
  const { model } = await buildModel(options, opened, data.plan.task)
  const trainer = await trainerOf({ options: { ...options, profile: false }, data, opened, model })
  await fillModel(model, withoutWeights(opened), options)
  const steps = trainer.totalSteps(texts.train)
  progress.start(what, steps)
  const outcome = await trainer.train(texts.train, texts.validation, new BestInMemory(), {
    onStep: ({ step, loss, accuracy, examples_per_second: examplesPerSecond }) => {
      progress.update(step, { loss, accuracy, examplesPerSecond })
      if (main.stopping) trainer.stop()
    },
  })
  if (outcome.kind === 'stopped') return undefined
  progress.start('test from random weights', texts.test.length)
  const { outputs } = await trainer.evaluate(texts.test, { onEvaluationProgress: done => progress.update(done) })
  const answered = texts.test.map(({ target }, i) => ({ target, output: outputs[i] }))
  return {
    results: resultsOf(data.plan.task, data.plan.labels, answered),
    trainedParameters: countParameters(model).trainable,
  }
}

/** What `tilegrad baseline` fits to the same texts. */
async function baseline(
  name: Exclude<ReferenceName, 'random'>,
  { options, data }: Prepared,
  progress: Progress,
): Promise<Answered> {
  progress.start(REFERENCE_TITLES[name])
  // Loaded only here: the packages of its steps take a while.
  const [{ parseBaseline }, { fitBaseline }] = await Promise.all([
    import('../../cli/baseline-options.ts'),
    import('../baseline/fit.ts'),
  ])
  const { fitted } = await fitBaseline(parseBaseline([`--model=${name}`, `--data=${options.data}`]), data, progress)
  return {
    results: resultsOf(data.plan.task, data.plan.labels, fitted.test),
    trainedParameters: fitted.model.weights.length,
  }
}

/** The run and what it is compared with, a row each. */
export function referencesTable(
  metric: MetricInfo,
  ours: { readonly value: number | undefined; readonly interval: Interval | undefined },
  references: readonly Reference[],
  rows: number,
): string {
  const show = (value: number | undefined): string => showFigure(metric, value)
  const range = (interval: Interval | undefined, shown: (value: number) => string = show): string =>
    interval === undefined ? '' : `${shown(interval.low)} to ${shown(interval.high)}`
  const less = (value: number): string => showDifference(metric, value).replace(' points', '')
  const lines = [
    [
      `on the same ${count(rows)} texts`,
      metric.title,
      '95 % interval',
      metric.shown === 'percent' ? 'this run minus that (points)' : 'this run minus that',
      '95 % interval',
    ],
    ['this run', show(ours.value), range(ours.interval), '', ''],
    ...references.map(({ title, value, interval, difference }) => [
      title,
      show(value),
      range(interval),
      difference === undefined ? '' : less(difference.value),
      range(difference?.interval, less),
    ]),
  ]
  const reasons = references.flatMap(({ title, reason }) =>
    reason === undefined ? [] : [`No figure for ${title}: ${reason}`],
  )
  const recorded = references.flatMap(({ title, recorded }) =>
    recorded === undefined
      ? []
      : [`${title}: ${recorded.command}, on ${recorded.adapter ?? 'an adapter that is not known'}`],
  )
  return [table(lines), ...reasons, ...recorded].join('\n')
}

/** As result.json has them. */
export const referenceRecords = (metric: MetricInfo, references: readonly Reference[]): object[] =>
  references.map(
    ({ name, title, value, interval, difference, metrics, trainedParameters, seconds, reason, recorded }) => ({
      name,
      title,
      metric: metric.name,
      value: value ?? null,
      low: interval?.low ?? null,
      high: interval?.high ?? null,
      difference: difference?.value ?? null,
      difference_low: difference?.interval.low ?? null,
      difference_high: difference?.interval.high ?? null,
      test_metrics: nullable(metrics),
      trained_parameters: trainedParameters ?? null,
      seconds: seconds ?? null,
      ...(recorded && { recorded_on: recorded.adapter ?? null, recorded_command: recorded.command }),
      ...(reason !== undefined && { reason }),
    }),
  )
