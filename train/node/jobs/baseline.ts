// `tilegrad baseline`: a light model on words and n-grams, from its options to a run's folder. The phases are in
// `baseline/`: documents (texts to words), fit (fit, calibrate, test), ablation, saved, report.
import { resolve } from 'node:path'
import { UserError } from '../../../engine/errors.ts'
import { exists } from '../../../models/node/files.ts'
import type { TextInput } from '../../../models/prediction.ts'
import { count } from '../../counts.ts'
import { BaselineClassifier } from '../../baseline/classifier.ts'
import type { BaselineSettings } from '../../baseline/settings.ts'
import { calibrationErrors } from '../../calibrate.ts'
import {
  type MetricInfo,
  type Results,
  type Summary,
  intervalOf,
  metricsOf,
  showFigure,
  summarise,
} from '../../metrics/summary.ts'
import { INTERVAL_SEED, type Interval } from '../../metrics/uncertainty.ts'
import { TASK_TEXTS } from '../../tasks/infer.ts'
import { describeReading, resultsOf } from '../../tasks/results.ts'
import {
  type BaselineOptions,
  baselineArguments,
  baselineSettings,
  fitOptionsOf,
  stepsOf,
  switchedSteps,
} from '../cli/baseline-options.ts'
import { type Console, table } from '../cli/console.ts'
import { Progress, downloadsOn, showDuration } from '../cli/progress.ts'
import { shellLine } from '../cli/shell.ts'
import { type SetFacts, factsOf } from '../data/statistics.ts'
import { TILEGRAD } from '../package.ts'
import { pinnedArguments } from '../run/config.ts'
import { dataHash } from './fingerprint.ts'
import { type Run, chooseRunFolder, createNewRun } from '../run/folder.ts'
import { classRecords, nullable } from '../run/json.ts'
import { predictionsOf, writePredictions } from '../run/predictions.ts'
import { type Ablated, ablate, pointsOf } from './baseline/ablation.ts'
import { type Fitted, fitBaseline } from './baseline/fit.ts'
import { saveBaseline } from './baseline/saved.ts'
import { answerLine, dataTable, examplesOf, taskText } from './fine-tune/describe.ts'
import { type Data, openData } from './job.ts'
import { isOnDisk } from './named.ts'

/** What the CPU is called where other runs name an adapter. */
const ADAPTER = 'CPU'

/** Fits, tests and saves. Nothing is written before all of that is done. Gives the exit status. */
export async function runBaseline(
  options: BaselineOptions,
  console: Console,
  version: string,
  progress = new Progress(),
): Promise<number> {
  const began = performance.now()
  const seconds = (): number => (performance.now() - began) / 1000
  const name = options.name ?? `${options.model}-baseline`
  if (options.data !== undefined) await isOnDisk(options.data)
  await chooseRunFolder(options.out, name)
  try {
    const { data, facts } = await open(options, console, progress)
    const { fitted, preprocessor } = await fitBaseline(options, data, progress)
    const measured = measure(data, fitted)
    const fitSeconds = seconds()
    const cpuSeconds = process.cpuUsage().user / 1e6
    const ablation = options.ablation !== undefined ? await ablated(options, data, fitted, progress) : undefined
    const settings = settingsOf(options, data, fitted)
    const result = resultOf(data, fitted, measured, { seconds: seconds(), fitSeconds, cpuSeconds, version, ablation })
    const { run, unlock } = await createNewRun(options.out, name, await configOf(options, data, facts, version, result))
    try {
      run.appendMetrics({ step: 1, epoch: 1, split: 'validation', ...definedOnly(measured.validation?.metrics) })
      await run.writeFolder('baseline', folder => saveBaseline(folder, fitted.model, settings))
      await writePredictions(run, predictionsOf(measured.results, data.test))
      if (ablation) await run.write('ablation.json', `${JSON.stringify(ablation, null, 2)}\n`)
      await run.writeResult(result)
      const { writeBaselineReport } = await import('./baseline/report.ts')
      const classifier = new BaselineClassifier(fitted.model, preprocessor, settings.answers)
      await writeBaselineReport(run, {
        data,
        fitted,
        result,
        ablation,
        metric: measured.main,
        interval: measured.interval,
        adapter: ADAPTER,
        settings: baselineSettings(options),
        command: repeatCommand(run),
      })
      tell(console, data, measured, fitted, result)
      if (ablation) console.say(`\n${ablationTable(ablation)}`)
      await tellPlaces(console, run, data, classifier)
      console.result({ ...result, folder: run.folder })
    } finally {
      await unlock()
    }
    return 0
  } finally {
    progress.stop()
  }
}

/** Loads and shows the data. Throws a UserError where it is for another kind of task. */
async function open(
  options: BaselineOptions,
  console: Console,
  progress: Progress,
): Promise<{ data: Data; facts: { train: SetFacts; test: SetFacts } }> {
  const data = await openData(options, downloadsOn(progress))
  progress.stop()
  const { task, why } = data.plan
  if (task !== 'classes' && task !== 'labels') {
    throw new UserError(
      `${options.data}: a baseline gives one label per text or several, and this is ${TASK_TEXTS[task]} (${why})`,
    )
  }
  const facts = { train: factsOf(data.all, data.plan), test: factsOf(data.test, data.plan) }
  console.say(`Data: ${data.source}`)
  console.say(taskText(data, facts.train))
  console.say(`${dataTable(facts, data)}\n`)
  return { data, facts }
}

async function ablated(options: BaselineOptions, data: Data, { test }: Fitted, progress: Progress): Promise<Ablated[]> {
  const switches = switchedSteps(options)
  // In hundredths of a variant, so that what is left can be estimated from the first on.
  progress.start(
    `ablation of ${switches.length} ${switches.length === 1 ? 'step' : 'steps'} (%)`,
    100 * switches.length,
  )
  const rows = await ablate(data, test, switches, fitOptionsOf(options), options.refit === 'on', done =>
    progress.update(Math.floor(100 * done)),
  )
  progress.stop()
  return rows
}

/** How good the model is. */
interface Measured {
  /** Of the test set, with neither temperature nor thresholds. */
  readonly results: Results
  readonly summary: Summary
  readonly main: MetricInfo
  readonly interval: Interval | undefined
  /** Of the model that was fitted without the validation set; undefined if there is none. */
  readonly validation: Summary | undefined
  readonly calibrated: Summary | undefined
  readonly errors: ReturnType<typeof calibrationErrors> | undefined
}

function measure({ plan: { task, labels } }: Data, { reading, validation, test }: Fitted): Measured {
  const results = resultsOf(task, labels, test)
  const [main] = metricsOf(task, labels.length)
  const isFitted = reading.temperature !== undefined || reading.thresholds !== undefined
  return {
    results,
    summary: summarise(results),
    main,
    interval: intervalOf(results, main.name, { seed: INTERVAL_SEED }),
    validation: validation.length === 0 ? undefined : summarise(resultsOf(task, labels, validation)),
    calibrated: isFitted ? summarise(resultsOf(task, labels, test, reading)) : undefined,
    errors: isFitted ? calibrationErrors(task, labels, test, reading) : undefined,
  }
}

const definedOnly = (metrics: Summary['metrics'] = {}): Record<string, number> =>
  Object.fromEntries(Object.entries(metrics).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))

/** What is kept beside the weights. */
function settingsOf(options: BaselineOptions, { plan, columns }: Data, { reading }: Fitted): BaselineSettings {
  return {
    model: options.model,
    steps: stepsOf(options),
    features: { weighting: options.features, sublinear: options.sublinear === 'on' },
    answers: {
      problem: plan.task === 'labels' ? 'multi_label_classification' : 'single_label_classification',
      labels: [...plan.labels],
      pairs: columns.pair !== undefined,
      columns,
      ...(reading.temperature !== undefined && { temperature: reading.temperature }),
      ...(reading.thresholds && { thresholds: [...reading.thresholds] }),
    },
  }
}

interface Spent {
  /** In all. */
  readonly seconds: number
  /** Without the ablation. */
  readonly fitSeconds: number
  /** Processor time of the same, over all threads. */
  readonly cpuSeconds: number
  readonly version: string
  readonly ablation: readonly Ablated[] | undefined
}

/** What result.json says, under the names that every run uses. */
function resultOf(
  { plan, all }: Data,
  { model, reading }: Fitted,
  { summary, main, interval, validation, calibrated, errors }: Measured,
  { seconds, fitSeconds, cpuSeconds, version, ablation }: Spent,
) {
  const total = model.weights.length
  return {
    val_accuracy: validation?.metrics.accuracy ?? null,
    val_score: validation?.metrics[main.name] ?? null,
    best_metric: main.name,
    val_loss: validation?.metrics.log_loss ?? null,
    test_accuracy: summary.metrics.accuracy ?? null,
    test_loss: summary.metrics.log_loss ?? null,
    ...(summary.metrics.f1 !== undefined && { f1: summary.metrics.f1 }),
    task: plan.task,
    test_metrics: nullable(summary.metrics),
    test_classes: classRecords(summary.classes),
    interval: { metric: main.name, low: interval?.low ?? null, high: interval?.high ?? null },
    ...(calibrated && { test_metrics_calibrated: nullable(calibrated.metrics) }),
    ...(errors && {
      calibration: { ...reading, error_before: errors.before ?? null, error_after: errors.after ?? null },
    }),
    parameters: { total, trainable: total, percent: 100 },
    features: model.vocabulary.size,
    examples_per_second: all.length / fitSeconds,
    wall_seconds: seconds,
    fit_seconds: fitSeconds,
    cpu_seconds: cpuSeconds,
    peak_memory_bytes: 1024 * process.resourceUsage().maxRSS,
    adapter: ADAPTER,
    tilegrad: version,
    ...(ablation && { ablation }),
  }
}

export type BaselineResult = ReturnType<typeof resultOf>

async function configOf(
  options: BaselineOptions,
  data: Data,
  facts: { train: SetFacts; test: SetFacts },
  version: string,
  { parameters }: BaselineResult,
): Promise<Record<string, unknown>> {
  const path = options.data !== undefined && (await exists(options.data)) ? { data: resolve(options.data) } : undefined
  return {
    job: 'baseline',
    tilegrad: version,
    node: process.version,
    created_at: new Date().toISOString(),
    commits: { data: data.commit },
    test_seed: data.testSeed,
    fingerprints: { data: dataHash(data) },
    arguments: baselineArguments(options, { omit: ['json', 'out'], values: path }),
    options,
    adapter: { name: ADAPTER },
    model: { name: options.model, family: 'baseline', parameters },
    data: {
      ...facts,
      unlabelled: data.unlabelled,
      columns: data.columns,
      task: data.plan.task,
      labels: data.plan.labels,
    },
  }
}

/** The command that repeats the run, with the Hub's data as the commit that it was. */
const repeatCommand = ({ config }: Run): string => shellLine(`${TILEGRAD} baseline`, ...pinnedArguments(config))

/** Shows how good the model is, and what it took. */
function tell(
  console: Console,
  { plan: { task, labels }, test }: Data,
  { summary, main, interval, validation, calibrated }: Measured,
  { model, reading }: Fitted,
  { fit_seconds: seconds, cpu_seconds: cpuSeconds }: BaselineResult,
): void {
  const show = (value: number | undefined): string => showFigure(main, value)
  const range = interval && ` (95 % interval ${show(interval.low)} to ${show(interval.high)})`
  console.say(
    `Held-out ${main.title}: ${show(summary.metrics[main.name])}${range ?? ''} of ${count(test.length)} texts`,
  )
  if (validation) console.say(`On the validation set, fitted without it: ${show(validation.metrics[main.name])}`)
  if (calibrated) {
    const by = describeReading(reading, task, labels)
    console.say(`As predict and evaluate answer (${by}): ${show(calibrated.metrics[main.name])}`)
  }
  console.say(
    `${showDuration(seconds)}, ${showDuration(cpuSeconds)} of processor time; ${count(model.vocabulary.size)} n-grams, ${count(model.weights.length)} weights`,
  )
}

/** A row for each step that was switched. */
function ablationTable(rows: readonly Ablated[]): string {
  const accuracy = rows[0].accuracy - rows[0].difference
  return table([
    ['step', 'accuracy', 'points', 'only this run', 'only switched', 'p (McNemar)', 'p (Holm)'],
    ['this run', `${(100 * accuracy).toFixed(2)} %`, '', '', '', '', ''],
    ...rows.map(row => [
      `${row.option} ${row.value}`,
      `${(100 * row.accuracy).toFixed(2)} %`,
      pointsOf(row),
      String(row.only_run),
      String(row.only_switched),
      row.p.toPrecision(2),
      row.p_holm.toPrecision(2),
    ]),
  ])
}

/** Shows the model at work, where the files are, and what to try next. */
async function tellPlaces(console: Console, run: Run, data: Data, classifier: BaselineClassifier): Promise<void> {
  const samples: readonly TextInput[] = examplesOf(data)
  const answers = await classifier.classify(samples)
  console.say()
  samples.forEach((sample, i) => console.say(answerLine(sample, answers[i])))
  console.say(`\nReport:  ${run.path('report.html')}`)
  console.say(`Model:   ${run.path('baseline')}`)
  console.say(`Try it:  ${shellLine(`${TILEGRAD} predict`, run.folder)} "your text"`)
}
