// The end of a run that trained to its end: calibration, the test, what is saved, the result and the report.
import { showBytes } from '../../../../engine/bytes.ts'
import { printableLine } from '../../../../engine/errors.ts'
import { TextClassifier } from '../../../../models/classifier.ts'
import { count } from '../../../counts.ts'
import { LEAST_TEXTS, calibrate, calibrationErrors } from '../../../calibrate.ts'
import {
  type MetricInfo,
  type Results,
  type Summary,
  intervalOf,
  metricsOf,
  showFigure,
  summarise,
} from '../../../metrics/summary.ts'
import { INTERVAL_SEED, type Interval } from '../../../metrics/uncertainty.ts'
import type { TextSets } from '../../../shapes.ts'
import type { Encoded, ExampleOutput } from '../../../task.ts'
import type { Target } from '../../../tasks/infer.ts'
import { type Reading, describeReading, resultsOf } from '../../../tasks/results.ts'
import type { Evaluation, Outcome } from '../../../trainer.ts'
import { type Progress, showDuration } from '../../cli/progress.ts'
import { command, shellLine } from '../../cli/shell.ts'
import type { ReportParts } from '../../report/write.ts'
import type { Run } from '../../run/folder.ts'
import { BUNDLED, REAL } from '../job.ts'
import { type RunClock, trainingSpeed } from '../../run/clock.ts'
import { classRecords, nullable } from '../../run/json.ts'
import { predictionsOf, writePredictions } from '../../run/predictions.ts'
import { examplesOf } from './describe.ts'
import { type Prepared, mainMetric, overview } from './prepare.ts'
import { repeatCommand } from './recorded.ts'
import { type Reference, measureReferences, referenceRecords, referencesTable } from './references.ts'
import { answersOf, saveTrained } from './save.ts'
import type { Attempt } from './train.ts'
import { triedRecord, triedText, tryTexts } from './tried.ts'
import { TILEGRAD } from '../../package.ts'

/** How training ended, when it was not stopped. */
type Finished = Extract<Outcome, { kind: 'finished' }>

/**
 * Tests what was trained, saves it, measures what it is compared with, writes result.json and the report, and shows how
 * it went. Gives whether it came to that: not if it was stopped meanwhile.
 */
export async function conclude(
  prepared: Prepared,
  { run, texts, console, progress, version, checkpoints, stopping }: Attempt,
  outcome: Finished,
  clock: RunClock,
): Promise<boolean> {
  const { options, data } = prepared
  const measured = await measure(prepared, texts, progress)
  const answers = answersOf(data, options, measured.reading)
  const classifier = new TextClassifier(prepared.model, prepared.opened.tokenizer, {
    ...answers,
    batchSize: options.batchSize,
  })
  progress.start('explain')
  const tried = await tryTexts(classifier, examplesOf(data, options.try))
  progress.stop()
  await saveTrained(run, prepared, answers)
  await writePredictions(run, predictionsOf(measured.results, data.test))
  // Time and memory before others are measured, too.
  const own = resultOf(prepared, { run, checkpoints, version }, outcome, measured, clock)
  const references = await measureReferences(prepared, run, texts, measured.results, measured.main, progress)
  if (references === undefined) return false
  stopping.end()
  const result = {
    ...own,
    ...(references.length > 0 && { compared_with: referenceRecords(measured.main, references) }),
    tried: tried.map(triedRecord),
  }
  await run.writeResult(result)
  const parts = {
    ...measured,
    references,
    options,
    data,
    tokenizer: prepared.opened.tokenizer,
    classifier,
    result,
    best: mainMetric(options, data),
    exact: !prepared.choices.measured,
  }
  progress.start('report')
  const hasReport = !options.noReport && (await reported(run, parts))
  progress.stop()
  tell(prepared, { console }, measured, result, references)
  console.say(
    'What it says of some texts, with the words that decided: + for the answer, − against it (gradient × input)',
  )
  for (const one of tried) console.say(triedText(one))
  tellPlaces(prepared, { run, console }, hasReport)
  // The overview last: its adapter is described, the result's only named.
  console.result({ ...result, ...overview(prepared), folder: run.folder })
  return true
}

/** How the trained model did on the test set, and how its scores are read. */
interface Measured {
  readonly tested: Evaluation
  readonly outputs: readonly ExampleOutput<Target>[]
  /** As trained, with neither temperature nor thresholds. */
  readonly results: Results
  readonly summary: Summary
  /**
   * The metric by which the best evaluation was chosen, or the task's first where the loss decided, with its 95 %
   * interval.
   */
  readonly main: MetricInfo
  readonly interval: Interval | undefined
  /** Temperature and thresholds found on the validation set, by which `predict` and `evaluate` answer. */
  readonly reading: Reading
  /**
   * The test set as `predict` and `evaluate` answer; undefined where neither temperature nor thresholds were fitted.
   */
  readonly calibrated: Summary | undefined
  /** Expected calibration error on the test set, before and after. */
  readonly errors: ReturnType<typeof calibrationErrors> | undefined
}

/** Calibrates on the validation set and evaluates on the test set. */
async function measure(
  { trainer, options, data }: Prepared,
  texts: TextSets<Target>,
  progress: Progress,
): Promise<Measured> {
  const {
    plan: { task, labels },
  } = data
  const evaluated = async (
    what: string,
    examples: readonly Encoded<Target>[],
  ): Promise<[Evaluation, ExampleOutput<Target>[]]> => {
    progress.start(what, examples.length)
    const evaluation = await trainer.evaluate(
      examples,
      { onEvaluationProgress: done => progress.update(done) },
      `the ${what}`,
    )
    progress.stop()
    return [evaluation, examples.map(({ target }, i) => ({ target, output: evaluation.outputs[i] }))]
  }
  const isCalibrated = texts.validation.length >= LEAST_TEXTS && (task === 'classes' || task === 'labels')
  const reading = isCalibrated ? calibrate(task, labels, (await evaluated('calibration', texts.validation))[1]) : {}
  const [tested, outputs] = await evaluated('test', texts.test)
  const results = resultsOf(task, labels, outputs)
  const isFitted = reading.temperature !== undefined || reading.thresholds !== undefined
  const errors = isFitted ? calibrationErrors(task, labels, outputs, reading) : undefined
  const calibrated = isFitted ? summarise(resultsOf(task, labels, outputs, reading)) : undefined
  const best = mainMetric(options, data)
  const main = best.name === 'loss' ? metricsOf(task, labels.length)[0] : best
  const interval = intervalOf(results, main.name, { seed: INTERVAL_SEED })
  return { tested, outputs, results, summary: summarise(results), main, interval, reading, calibrated, errors }
}

/** What result.json says. */
function resultOf(
  { options, data, parameters, plan, device }: Prepared,
  { run, checkpoints, version }: Pick<Attempt, 'run' | 'checkpoints' | 'version'>,
  { best, early }: Finished,
  { tested, summary, main, interval, reading, calibrated, errors }: Measured,
  clock: RunClock,
) {
  const lines = run.readMetrics()
  const steps = lines.filter(line => line.split === undefined)
  const metric = mainMetric(options, data)
  return {
    val_accuracy: metric.name === 'accuracy' ? (best?.score ?? null) : null,
    val_score: best?.score ?? null,
    best_metric: metric.name,
    val_loss: best?.loss ?? null,
    best_epoch: best?.epoch ?? null,
    best_step: best?.step ?? null,
    stopped_early: early,
    best_checkpoints: checkpoints.best.map(({ file, ...evaluation }) => ({
      ...evaluation,
      file: `checkpoints/${file}`,
    })),
    test_accuracy: summary.metrics.accuracy ?? null,
    test_loss: tested.loss,
    loss: steps.findLast(line => typeof line.loss === 'number')?.loss ?? null,
    ...(summary.metrics.f1 !== undefined && { f1: summary.metrics.f1 }),
    task: data.plan.task,
    test_metrics: nullable(summary.metrics),
    test_classes: classRecords(summary.classes),
    interval: { metric: main.name, low: interval?.low ?? null, high: interval?.high ?? null },
    ...(calibrated && { test_metrics_calibrated: nullable(calibrated.metrics) }),
    ...(errors && {
      calibration: { ...reading, error_before: errors.before ?? null, error_after: errors.after ?? null },
    }),
    parameters,
    steps: steps.length,
    skipped_steps: steps.filter(line => line.skipped === 'not finite').length,
    examples_per_second: trainingSpeed(lines),
    wall_seconds: clock.seconds,
    plan_peak_bytes: plan.peakBytes,
    gpu_bytes: device.buffers.bytes,
    gpu_buffers: device.buffers.count,
    adapter: device.info.name,
    tilegrad: version,
  }
}

/**
 * Writes the report. It shows what the folder holds, so a run whose report fails is done all the same: that is said on
 * stderr, and the run's status stays 0.
 */
async function reported(run: Run, parts: Omit<ReportParts, 'command'>): Promise<boolean> {
  try {
    // Loaded only here: the charts' library takes longer to load than all else.
    const { writeReport } = await import('../../report/write.ts')
    await writeReport(run, { ...parts, command: repeatCommand(run) })
    return true
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    process.stderr.write(
      `tilegrad: ${printableLine(`no report was written (${reason}); everything else is in ${run.folder}`)}\n`,
    )
    return false
  }
}

/** Shows how good the model is, and what it took. */
function tell(
  { data, device }: Prepared,
  { console }: Pick<Attempt, 'console'>,
  { tested, summary: { metrics }, main, interval, calibrated, reading }: Measured,
  {
    wall_seconds: seconds,
    examples_per_second: speed,
  }: Pick<ReturnType<typeof resultOf>, 'wall_seconds' | 'examples_per_second'>,
  references: readonly Reference[],
): void {
  const {
    plan: { task, labels },
    validation,
    test,
  } = data
  const f1 = metrics.f1 === undefined || main.name === 'f1' ? '' : `, F1 ${metrics.f1.toFixed(4)}`
  const show = (value: number | undefined): string => showFigure(main, value)
  const range = interval && `95 % interval ${show(interval.low)} to ${show(interval.high)}, `
  console.say(
    `\nHeld-out ${main.title}: ${show(metrics[main.name])} of ${count(test.length)} texts that training never saw` +
      ` (${range ?? ''}loss ${tested.loss.toFixed(4)}${f1})`,
  )
  if (calibrated) {
    console.say(
      `As predict and evaluate answer (${describeReading(reading, task, labels)}): ` +
        `${main.title} ${show(calibrated.metrics[main.name])}`,
    )
  }
  if ((task === 'classes' || task === 'labels') && !calibrated) {
    console.say(
      `Not calibrated: ${
        validation.length < LEAST_TEXTS
          ? `${count(validation.length)} validation texts are too few (${LEAST_TEXTS} needed)`
          : 'on the validation texts, the scores are no better than chance'
      }`,
    )
  }
  if (references.length > 0) {
    const ours = { value: metrics[main.name], interval }
    console.say(`\n${referencesTable(main, ours, references, test.length)}\n`)
  }
  const others = references.reduce((sum, { recorded, seconds = 0 }) => sum + (recorded ? 0 : seconds), 0)
  const more = others >= 1 ? ` (and ${showDuration(others)} for what it is compared with)` : ''
  console.say(
    `${showDuration(seconds)}${more} on ${device.info.name}, ${speed.toFixed(1)} texts/s in training steps, GPU memory ${showBytes(device.buffers.bytes)}\n`,
  )
}

/** Shows where the files are, and what to try next. */
function tellPlaces(
  { options }: Prepared,
  { run, console }: Pick<Attempt, 'run' | 'console'>,
  hasReport: boolean,
): void {
  if (hasReport) console.say(`\nReport:  ${run.path('report.html')}`)
  if (options.profile)
    console.say(`Profile: ${run.path('profile.txt')}; ${run.path('trace.json')} opens in https://ui.perfetto.dev`)
  console.say(
    options.tune === 'lora' ? `Adapter: ${run.path('adapter')} (PEFT's format)` : `Model:   ${run.path('model')}`,
  )
  console.say(`Try it:  ${shellLine(`${TILEGRAD} predict`, run.folder)} "your text"`)
  if (options.model === BUNDLED.model && options.data === BUNDLED.data) console.say(`\n${nextText(options)}`)
}

/** What to type after a run on what comes with tilegrad. */
function nextText({ preset }: Prepared['options']): string {
  const real = '--lora-rank 8 --lora-alpha 1 --lora-targets query,value,mlp'.split(' ')
  const lines = [
    ['Your own texts, from a table with columns text and label:', `${TILEGRAD} fine-tune --data my.csv`],
    ['A larger model, from the Hub:', `${TILEGRAD} fine-tune --data my.csv --model ${REAL.model}`],
    [
      'The real thing, on a machine with a GPU (downloads IMDb and DistilBERT):',
      command(preset, '--data', REAL.data, '--model', REAL.model, ...real),
    ],
    ['All commands:', `${TILEGRAD} --help`],
  ]
  return lines.map(([says, line]) => `${says}\n  ${line}`).join('\n')
}
