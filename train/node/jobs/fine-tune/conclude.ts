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
import { answerLine, examplesOf } from './describe.ts'
import { type Prepared, mainMetric, overview } from './prepare.ts'
import { repeatCommand } from './recorded.ts'
import { answersOf, saveTrained } from './save.ts'
import type { Attempt } from './train.ts'
import { TILEGRAD } from '../../package.ts'

/** How training ended, when it was not stopped. */
type Finished = Extract<Outcome, { kind: 'finished' }>

/** Tests what was trained, saves it, writes result.json and the report, and shows how it went. */
export async function conclude(
  prepared: Prepared,
  { run, texts, console, progress, version, checkpoints }: Attempt,
  outcome: Finished,
  clock: RunClock,
): Promise<void> {
  const { options, data } = prepared
  const measured = await measure(prepared, texts, progress)
  const answers = answersOf(data, options, measured.reading)
  const samples = [...examplesOf(data)]
  const classifier = new TextClassifier(prepared.model, prepared.opened.tokenizer, {
    ...answers,
    batchSize: options.batchSize,
  })
  const said = await classifier.classify(samples)
  await saveTrained(run, prepared, answers)
  await writePredictions(run, predictionsOf(measured.results, data.test))
  const result = resultOf(prepared, { run, checkpoints, version }, outcome, measured, clock)
  await run.writeResult(result)
  const parts = {
    ...measured,
    options,
    data,
    tokenizer: prepared.opened.tokenizer,
    classifier,
    result,
    best: mainMetric(options, data),
    exact: !prepared.choices.measured,
  }
  const hasReport = !options.noReport && (await reported(run, parts))
  tell(prepared, { console }, measured, result)
  samples.forEach((example, i) => console.say(answerLine(example, said[i])))
  tellPlaces(prepared, { run, console }, hasReport)
  // The overview last: its adapter is described, the result's only named.
  console.result({ ...result, ...overview(prepared), folder: run.folder })
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
  { tested, summary: { metrics }, main, calibrated, reading }: Measured,
  {
    wall_seconds: seconds,
    examples_per_second: speed,
  }: Pick<ReturnType<typeof resultOf>, 'wall_seconds' | 'examples_per_second'>,
): void {
  const {
    plan: { task, labels },
    validation,
    test,
  } = data
  const f1 = metrics.f1 === undefined || main.name === 'f1' ? '' : `, F1 ${metrics.f1.toFixed(4)}`
  console.say(
    `\nHeld-out ${main.title}: ${showFigure(main, metrics[main.name])} of ${count(test.length)} texts that training never saw` +
      ` (loss ${tested.loss.toFixed(4)}${f1})`,
  )
  if (calibrated) {
    console.say(
      `As predict and evaluate answer (${describeReading(reading, task, labels)}): ` +
        `${main.title} ${showFigure(main, calibrated.metrics[main.name])}`,
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
  console.say(
    `${showDuration(seconds)}, ${speed.toFixed(1)} texts/s in training steps, GPU memory ${showBytes(device.buffers.bytes)}\n`,
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
  if (options.model === BUNDLED.model && options.data === BUNDLED.data) {
    console.say(
      '\nThe real thing, on a machine with a GPU (downloads IMDb and DistilBERT):\n' +
        `  ${command(options.preset, '--data', REAL.data, '--model', REAL.model, ...'--lora-rank 8 --lora-alpha 1 --lora-targets query,value,mlp'.split(' '))}`,
    )
  }
}
