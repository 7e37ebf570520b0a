// One run from its options to its folder: what is shown before, the training itself, and what is left behind.
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type AdapterInfo, type Device, DeviceLost, type PlanSummary, UserError, currentDevice, measuring } from '../../../engine/index.ts'
import { printableLine } from '../../../engine/errors.ts'
import { baseTensors, countParameters, mergedTensors, originOf, summaryText, type Classifier } from '../../../models/index.ts'
import { ANSWERS_FILE, type Answers, answersJson } from '../../../models/answers.ts'
import { type Prediction, type TextInput, TextClassifier, textOf } from '../../../models/classifier.ts'
import { saveModel } from '../../../models/node/model.ts'
import { saveAdapter } from '../../../models/node/peft.ts'
import { exists, openWeights, writeAtomic } from '../../../models/node/files.ts'
import { saveTokenizer } from '../../../models/node/tokenizer.ts'
import type { Position } from '../../checkpoint-store.ts'
import type { Checkpoints } from '../run/checkpoints.ts'
import { checkpointsOf, explained, lossOf } from '../run/failures.ts'
import { type Console, percent as percentage, table } from '../cli/console.ts'
import type { Encoded, ExampleOutput } from '../../task.ts'
import { PROBLEM_OF } from '../../tasks/index.ts'
import type { Target, TaskName } from '../../tasks/infer.ts'
import { type Reading, resultsOf } from '../../tasks/results.ts'
import { encodeAll } from '../data/encode.ts'
import type { Example } from '../data/labelled.ts'
import { type SetFacts, factsOf, median } from '../data/statistics.ts'
import {
  BUNDLED, type Data, REAL, type OpenedModel, buildModel, checkWeights, fetchWeights, fillModel, namesOf, openData, openModel, repeatable,
  taskOf, withLabels,
} from './job.ts'
import { type Fingerprints, fingerprintsOf } from '../run/fingerprint.ts'
import { type Options, type Preset, parseOptions } from '../cli/options.ts'
import { openNamed } from '../device.ts'
import { dependencies } from '../package.ts'
import { profileTable, measureCeilings, traceEvents } from './profile.ts'
import { Progress, showDuration } from '../cli/progress.ts'
import { type Run, chooseRunFolder, createNewRun } from '../run/folder.ts'
import type { TextSets } from '../../shapes.ts'
import { type StopRequest, command, stopOnSignals } from '../cli/shell.ts'
import { KernelChoices } from '../run/kernels.ts'
import type { ReportParts } from '../report/write.ts'
import { calibrate, calibrationErrors } from '../../calibrate.ts'
import { type MetricInfo, metricNamed, metricsOf, showFigure, summarise } from '../../metrics/summary.ts'
import { type Evaluation, Trainer, type TrainerEvents } from '../../trainer.ts'

/** Sentences that every run classifies in the end, to see the model at work. */
const SENTENCES = [
  'A warm, funny and beautifully acted film that I will happily watch again.',
  'Two dull hours of wooden acting and a story that goes nowhere.',
]

/** How often the GPU may be lost without a new checkpoint between. */
const MOST_LOSSES = 3
/** How long the first attempt waits before it opens another device. */
const REOPEN_MS = 1000

function describeAdapter({ name, vendor, architecture, backend, driver, fallback }: AdapterInfo): Record<string, unknown> {
  return { name, vendor, architecture, backend, driver, software: fallback }
}

const count = (n: number): string => n.toLocaleString('en-US')
const percent = (fraction: number): string => percentage(fraction, 2)
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

/** Everything opened and checked, and shown; the trainer is made, but nothing is planned and no weights are on the device. */
interface Job {
  readonly options: Options
  readonly device: Device
  readonly data: Data
  readonly facts: { readonly train: SetFacts, readonly test: SetFacts }
  readonly opened: OpenedModel
  readonly fingerprints: Fingerprints
  readonly model: Classifier
  readonly trainer: Trainer<Target>
  readonly choices: KernelChoices
  readonly parameters: { readonly total: number, readonly trainable: number, readonly percent: number }
}

/** With its step planned, by kernels that are chosen for good. */
interface Prepared extends Job {
  readonly plan: PlanSummary
  /** The parameters that no file had, where the model holds its weights already. */
  readonly drawn?: readonly string[]
}

async function openJob(asked: Options, console: Console, progress: Progress, version: string, run?: Run): Promise<Job> {
  const device = await currentDevice()
  const choices = await KernelChoices.begin(asked.tuneKernels, device.info, version, run)
  let fetching: string | undefined
  const download = (file: string, done: number, total: number): void => {
    if (file === fetching) progress.update(done)
    else progress.start(`download ${file} (bytes)`, total, done)
    fetching = file
  }
  // What takes long, and the largest download above all, comes after all that may fail at once.
  const described = await openModel(asked, download, commitOf(run, 'model', asked.model))
  // The default follows the model; what is asked for must fit.
  const options = { ...asked, maxLength: Math.min(asked.maxLength, described.config.maxPositions) }
  if (await exists(described.name)) await checkWeights(buildModel(options, described.config, 'classes'), described.folder)
  const data = await openData(options, download, namesOf(described.config), commitOf(run, 'data', options.data))
  const opened = withLabels(await fetchWeights(described, download), data.plan)
  const model = buildModel(options, opened.config, data.plan.task)
  await checkWeights(model, opened.folder)
  checkMetric(options, data)
  checkBatch(options, opened, device)
  progress.stop()
  const fingerprints = await fingerprintsOf(data, opened)
  if (run) refuseChanges(run, fingerprints, options.data, opened)
  const facts = { train: factsOf(data.all, data.plan), test: factsOf(data.test, data.plan) }
  const parameters = countParameters(model)

  console.say(`Data: ${data.source}`)
  console.say(taskText(data, facts.train))
  console.say(dataTable(facts, data))
  console.say(`\nModel: ${opened.name} (${opened.folder ? 'pretrained' : 'fresh weights'}), tuning: ${options.tune}`)
  console.say(`${summaryText(model)}\n`)

  const trainer = await trainerOf({ options, data, opened, model })
  return { options, device, data, facts, opened, fingerprints, model, trainer, parameters, choices }
}

const trainerOf = ({ options, data, opened, model }: Pick<Job, 'options' | 'data' | 'opened' | 'model'>): Promise<Trainer<Target>> =>
  Trainer.over(model, taskOf(options, data), { ...options, padId: opened.tokenizer.padId })

/** Throws a UserError where a batch's hidden states alone are more than one buffer holds: by arithmetic, before anything is made. */
function checkBatch({ batchSize, batchTokens, maxLength }: Options, { config }: OpenedModel, { gpu: { limits }, info }: Device): void {
  const tokens = batchTokens === undefined ? batchSize * maxLength : Math.max(batchTokens, maxLength)
  const bytes = 4 * tokens * config.hidden
  const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize)
  if (bytes <= most) return
  const option = batchTokens === undefined ? `--batch-size ${batchSize} × --max-length ${maxLength}` : `--batch-tokens ${batchTokens}`
  throw new UserError(`${option}: hidden states of ${megabytes(bytes)} are more than one buffer of ${info.name} holds (${megabytes(most)}); `
    + 'use a smaller batch or length, with --accumulate for the same step')
}

/** Throws a UserError on a metric that the task does not have. */
function checkMetric({ bestMetric }: Options, { plan: { task, labels } }: Data): void {
  if (bestMetric !== undefined && bestMetric !== 'loss') metricNamed(task, labels.length, bestMetric)
}

const TASK_TEXTS: Readonly<Record<TaskName, string>> = {
  classes: 'one label a text', labels: 'several labels at once', regression: 'a number a text', tokens: 'a label a word',
}
/** Classes that are listed by name. */
const LISTED = 12
/** A class with less than this share of an even one is too rare to be learnt without a word. */
const RARE = 0.25

/** What was understood of the labels: the task, and its classes with their counts. */
function taskText({ plan: { task, labels, why, namedBy } }: Data, { rows, classes }: SetFacts): string {
  const head = `Task: ${TASK_TEXTS[task]} (${why})`
  if (!classes) return head
  const shown = labels.slice(0, LISTED).map(name => `${name} ${count(classes[name])}`)
  const more = labels.length > LISTED ? `, and ${labels.length - LISTED} more` : ''
  const from = { file: 'the file', option: '--labels', model: 'the model', data: 'the data' }[namedBy]
  const lines = [head, `Classes, named by ${from}: ${shown.join(', ')}${more}`]
  const least = Math.min(...Object.values(classes))
  if (task === 'classes' && least < RARE * rows / labels.length) {
    const rare = labels.find(name => classes[name] === least)
    lines.push(`Only ${percent(least / rows)} of the training texts are ${rare}: accuracy says little of it. --class-weights balanced weighs classes alike, `
      + 'and --best-metric f1_macro judges by all of them.')
  }
  return lines.join('\n')
}

/** Ends all measuring, plans a step of the longest batch and shows what it costs. */
async function planStep(job: Job, console: Console): Promise<Prepared> {
  const { options: { batchSize, maxLength }, trainer, device, choices } = job
  choices.settle()
  const plan = await trainer.plan(maxLength)
  console.say(`Step of ${batchSize} × ${maxLength} tokens on ${device.info.name}: ${plan.dispatches} dispatches `
    + `(${plan.unfused} without fusion), ${plan.pipelines} pipelines, peak memory ${megabytes(plan.peakBytes)}\n`)
  return { ...job, plan }
}

/** The same for a run that trains on these texts: the kernels of its own batches are measured first, where that is wanted. */
async function prepare(job: Job, console: Console, progress: Progress): Promise<[Prepared, TextSets<Target>]> {
  const { options, data, device, trainer, opened: { tokenizer } } = job
  const tokenised = async (what: string, examples: readonly Example[]): Promise<Encoded<Target>[]> => {
    progress.start(`tokenise ${what}`, examples.length)
    const result = await encodeAll(examples, tokenizer, options, done => progress.update(done))
    progress.stop()
    return result
  }
  const texts = {
    train: await tokenised('train', data.train), validation: await tokenised('validation', data.validation), test: await tokenised('test', data.test),
  }
  const cut = texts.train.filter(({ ids }) => ids.length >= options.maxLength).length
  if (cut > 0) {
    console.say(`${count(cut)} of ${count(texts.train.length)} training texts (${percent(cut / texts.train.length)}) fill ${options.maxLength} tokens; what is beyond is cut.\n`)
  }
  await trainer.prepare(texts, () => measuring(device.traits) !== undefined)
  return [await planStep(job, console), texts]
}

/** The Hub's commit that a run began with, of a model or data that it still has: what the Hub holds now may be another. */
function commitOf(run: Run | undefined, what: 'model' | 'data', name: string | undefined): string | undefined {
  const { options, commits } = (run?.config ?? {}) as { options?: Record<string, unknown>, commits?: Record<string, unknown> }
  const commit = commits?.[what]
  return options?.[what] === name && typeof commit === 'string' ? commit : undefined
}

/** Throws a UserError where the run began with other data or another model than there are now. */
function refuseChanges({ folder, config }: Run, now: Fingerprints, data: string | undefined, opened: OpenedModel): void {
  const { fingerprints: before = {} } = config as { fingerprints?: Partial<Fingerprints> }
  const changed = (['data', 'model'] as const).find(what => before[what] !== undefined && before[what] !== now[what])
  if (!changed) return
  const what = changed === 'data' ? `the data in ${data}` : `the model ${opened.name}, or its tokenizer,`
  throw new UserError(`${what} changed since ${folder} began: put back what was there, or start another run`)
}

function dataTable(facts: { train: SetFacts, test: SetFacts }, data: Data): string {
  const columns = ['mean', 'std', 'min', '25%', '50%', '75%', 'max'] as const
  const withShare = facts.train.positive !== undefined
  const row = (name: string, { rows, positive = 0, text_length }: SetFacts): string[] => [
    name, count(rows), ...withShare ? [percent(positive / rows)] : [],
    ...columns.map(c => text_length[c].toFixed(c === 'mean' || c === 'std' ? 1 : 0)),
  ]
  return table([
    ['set', 'texts', ...withShare ? [data.plan.labels[1]] : [], ...columns.map(c => (c === 'mean' ? 'length: mean' : c))],
    row('train', facts.train),
    row('test', facts.test),
  ]) + `\n${count(data.validation.length)} texts are held out for validation; lengths are in characters.`
}

function overview({ device, opened, parameters, facts, plan, data }: Prepared): Record<string, unknown> {
  return {
    adapter: describeAdapter(device.info),
    model: { name: opened.name, family: opened.config.family, parameters },
    data: { ...facts, unlabelled: data.unlabelled, columns: data.columns, task: data.plan.task, labels: data.plan.labels },
    plan: {
      dispatches: plan.dispatches, pipelines: plan.pipelines, peak_bytes: plan.peakBytes,
      unfused_dispatches: plan.unfused, scratch_bytes: plan.scratchBytes, live_bytes: plan.liveBytes,
    },
  }
}

/** Resolves everything, of a run that goes on as it began, plans one step, prints, trains nothing. */
export async function dryRun(options: Options, console: Console, version: string, run?: Run): Promise<number> {
  const progress = new Progress()
  const prepared = await planStep(await openJob(options, console, progress, version, run), console)
  console.result(overview(prepared))
  return 0
}

/** A new run. Nothing is written before everything is resolved and checked. */
export async function startRun(options: Options, console: Console, version: string): Promise<number> {
  const progress = new Progress()
  const name = options.name ?? options.model?.split('/').at(-1) ?? 'run'
  await chooseRunFolder(options.out, name)
  const [prepared, texts] = await prepare(await openJob(options, console, progress, version), console, progress)
  // Weights that are refused leave no folder behind.
  const drawn = await fillModel(prepared.model, prepared.opened.folder, prepared.options.seed)
  const { run, unlock } = await createNewRun(options.out, name, {
    tilegrad: version, node: process.version, webgpu: dependencies.webgpu, created_at: new Date().toISOString(),
    commits: { model: prepared.opened.commit, data: prepared.data.commit }, fingerprints: prepared.fingerprints,
    arguments: await repeatable(options), options: prepared.options, ...overview(prepared),
  })
  try {
    return await runTraining(run, { ...prepared, drawn }, texts, console, progress, version)
  } finally {
    await unlock()
  }
}

/** Whose defaults a run began with. Those of runs that do not say were the study's. */
function presetOf({ config }: Run): Preset {
  const { options } = config as { options?: { preset?: unknown } }
  return options?.preset === 'tilegrad' ? 'tilegrad' : 'imdb'
}

/** The options that a run was started with, `changes` on top. Throws a UserError on a folder that names none. */
export function recordedOptions(run: Run, changes: readonly string[]): Options {
  const where = run.path('config.json')
  const recorded = run.config.arguments
  if (!Array.isArray(recorded)) throw new UserError(`${run.folder} is not a run folder: ${where} names no arguments`)
  try {
    return parseOptions([...recorded.map(String), ...changes], presetOf(run))
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${where}: arguments: ${error.message}`) : error
  }
}

/** Resumes a run from its last undamaged checkpoint, or from its beginning where there is none. */
export async function resumeRun(run: Run, options: Options, console: Console, version: string): Promise<number> {
  const unlock = await run.lock()
  try {
    return await resume(run, options, console, version)
  } finally {
    await unlock()
  }
}

async function resume(run: Run, options: Options, console: Console, version: string): Promise<number> {
  const progress = new Progress()
  const checkpoints = checkpointsOf(run)
  // First of all: a run that can't be resumed says so before it loads anything.
  await checkpoints.find()
  const [prepared, texts] = await prepare(await openJob(options, console, progress, version, run), console, progress)
  const { position, damaged } = await checkpoints.find(prepared.trainer.shapeOf(texts.train))
  for (const { step, reason } of damaged) progress.note(`The checkpoint of step ${step} is damaged and is left out: ${reason}.`)
  await checkpoints.discard(damaged.map(({ step }) => step))
  const { name, driver } = prepared.device.info
  const { adapter: before, tilegrad } = run.config as { adapter?: { name?: unknown, driver?: unknown }, tilegrad?: unknown }
  const changes = [[before?.name, name], [before?.driver, driver], [`tilegrad ${String(tilegrad)}`, `tilegrad ${version}`]].filter(([a, b]) => a !== b)
  for (const [old, now] of changes) {
    const line = `The run began on ${String(old)}; on ${String(now)} its numbers may differ in the last bits.`
    process.stderr.write(`${printableLine(line)}\n`)
  }
  await run.cutMetrics(position?.step ?? -1)
  console.say(position ? `Resuming after step ${position.step}.\n` : 'No checkpoint found; starting over.\n')
  return runTraining(run, prepared, texts, console, progress, version, position)
}

/** What an attempt to train needs beside what is trained. */
interface Attempt {
  readonly run: Run
  readonly texts: TextSets<Target>
  readonly console: Console
  readonly progress: Progress
  readonly version: string
  readonly checkpoints: Checkpoints
  readonly stopping: StopRequest
  /** Where to go on from; undefined for the beginning. */
  readonly from: Position | undefined
}

/**
 * Trains to the end. When the GPU is lost, the job is built anew on a device of the same adapter and goes on from the last
 * checkpoint, to the same bits, up to `MOST_LOSSES` times without a new checkpoint between.
 */
async function runTraining(
  run: Run, first: Prepared, texts: TextSets<Target>, console: Console, progress: Progress, version: string, from?: Position,
): Promise<number> {
  let prepared = first
  let position = from
  let lost: DeviceLost | undefined
  let losses = 0
  const stopping = stopOnSignals(() => prepared.trainer.stop())
  try {
    for (;;) {
      const checkpoints = checkpointsOf(run)
      try {
        if (lost) {
          progress.stop()
          prepared.device.close()
          position = await checkpoints.latest()
          await run.cutMetrics(position?.step ?? -1)
          const where = position ? `from the checkpoint of step ${position.step}` : 'from the beginning'
          progress.note(`${lost.message}. Resuming ${where} (attempt ${losses} of ${MOST_LOSSES}).`)
          prepared = await rebuild(prepared, run, losses, version)
        }
        if (stopping.requested) prepared.trainer.stop()
        return await train(prepared, { run, texts, console, progress, version, checkpoints, stopping, from: position })
      } catch (error) {
        lost = await lossOf(error, prepared.device)
        losses = checkpoints.saved > 0 ? 1 : losses + 1
        if (lost && losses <= MOST_LOSSES) continue
        throw await explained(lost ?? error, run, (...args) => command(presetOf(run), ...args))
      }
    }
  } finally {
    stopping.end()
    progress.stop()
  }
}

/** The same job on a new device of the same adapter, with the kernels that the run began with. Throws a DeviceLost where there is none. */
async function rebuild(job: Prepared, run: Run, attempt: number, version: string): Promise<Prepared> {
  const { options, data, opened, device: { info: before } } = job
  // A driver that restarts needs a moment, and more of them where that was not enough.
  await sleep(attempt * REOPEN_MS)
  const device = await openNamed(options.adapter, options.profile).catch((error: unknown) => {
    throw error instanceof UserError ? new DeviceLost(error.message) : error
  })
  if (device.info.name !== before.name || device.info.driver !== before.driver) {
    device.close()
    throw new DeviceLost(`the GPU was lost: ${before.name} is no longer offered, only ${device.info.name}`)
  }
  const choices = await KernelChoices.begin(options.tuneKernels, device.info, version, run)
  choices.settle()
  const model = buildModel(options, opened.config, data.plan.task)
  const trainer = await trainerOf({ options, data, opened, model })
  return { ...job, device, choices, model, trainer, drawn: undefined }
}

async function train(prepared: Prepared, { run, texts, console, progress, version, checkpoints, stopping, from }: Attempt): Promise<number> {
  const { options, data, opened, model, trainer, device } = prepared
  const { train, validation, test } = texts
  const began = performance.now()
  // A run that goes on has already taken what its last kept line says.
  const spent = Number(run.readMetrics().at(-1)?.wall_seconds ?? 0)
  const wallSeconds = (): number => spent + (performance.now() - began) / 1000
  await prepared.choices.keepIn(run)
  const drawn = prepared.drawn ?? await fillModel(model, opened.folder, options.seed)
  const heads = drawn.filter(name => !name.includes('lora_'))
  if (opened.folder && heads.length > 0 && !from) console.say(`Freshly drawn, since the model's file has no such head: ${heads.join(', ')}\n`)

  const total = trainer.totalSteps(train)
  const { task, labels } = data.plan
  const metric = mainMetric(options, data)
  const show = (label: string, { figures, loss }: Evaluation): void =>
    progress.note(`${label}: ${metric.title} ${showFigure(metric, figures[metric.name])}, loss ${loss.toFixed(4)}`)
  let validating = false
  const events: TrainerEvents = {
    onStep: metrics => {
      run.appendMetrics({ ...metrics, wall_seconds: wallSeconds() })
      progress.update(metrics.step, { loss: metrics.loss, accuracy: metrics.accuracy, examplesPerSecond: metrics.examples_per_second })
    },
    onSkippedStep: step => {
      run.appendMetrics({ ...step, wall_seconds: wallSeconds() })
      progress.update(step.step, { examplesPerSecond: step.examples_per_second })
      if (step.skipped === 'not finite') progress.note(`step ${step.step} is not finite and was left out (--skip-bad-steps ${options.skipBadSteps})`)
    },
    onEvaluationProgress: (done, total) => {
      if (!validating) progress.start('validate', total)
      validating = true
      progress.update(done)
    },
    onEvaluation: (epoch, step, evaluation, best) => {
      validating = false
      progress.start('train', total, step)
      run.appendMetrics({ step, epoch, split: 'validation', loss: evaluation.loss, ...nullable(evaluation.figures), wall_seconds: wallSeconds() })
      const when = options.evaluateEvery === undefined ? `epoch ${epoch}` : `step ${step}`
      show(epoch === 0 ? 'validation before training' : `validation after ${when}${best ? ' (best so far)' : ''}`, evaluation)
    },
    onCheckpoint: () => run.flushMetrics(),
    onProfile: async (kernels, { rows, sequence }) => {
      const text = `One step of ${rows} × ${sequence} tokens on ${device.info.name}\n\n${profileTable(kernels, await measureCeilings())}\n`
      await run.write('profile.txt', text)
      await run.write('trace.json', JSON.stringify(traceEvents(kernels)))
      progress.note(`\n${text}`)
    },
  }
  progress.start('train', total, from?.step ?? 0)
  const outcome = await trainer.train(train, validation, checkpoints, events, from)
  progress.stop()
  if (outcome.kind === 'stopped') {
    // Signals are listened to until the end: a second copy of the one that stopped the run may still come.
    console.say(`Stopped after step ${outcome.position.step}. Resume with: ${command(presetOf(run), '--resume', run.folder)}`)
    console.result({ stopped: true, folder: run.folder, step: outcome.position.step })
    return stopping.status
  }
  stopping.end()

  if (outcome.early) progress.note(`Stopped early: ${options.patience} evaluations in a row were not better than the best.`)
  const evaluated = async (what: string, examples: readonly Encoded<Target>[]): Promise<[Evaluation, ExampleOutput<Target>[]]> => {
    progress.start(what, examples.length)
    const evaluation = await trainer.evaluate(examples, { onEvaluationProgress: done => progress.update(done) }, `the ${what}`)
    progress.stop()
    return [evaluation, examples.map(({ target }, i) => ({ target, output: evaluation.outputs[i] }))]
  }
  const isCalibrated = validation.length > 0 && (task === 'classes' || task === 'labels')
  const reading = isCalibrated ? calibrate(task, labels, (await evaluated('calibration', validation))[1]) : {}
  const [tested, outputs] = await evaluated('test', test)
  const examples = [...examplesOf(data)]
  const classifier = new TextClassifier(model, opened.tokenizer, { ...answersOf(data, options, reading), batchSize: options.batchSize })
  const said = await classifier.classify(examples)
  await saveTrained(run, prepared, answersOf(data, options, reading))
  const steps = run.readMetrics().filter(line => line.split === undefined)
  const examplesPerSecond = median(steps.map(line => Number(line.examples_per_second))) ?? 0
  const results = resultsOf(task, labels, outputs)
  const summary = summarise(results)
  const accuracy = summary.metrics.accuracy ?? null
  const errors = isCalibrated ? calibrationErrors(task, labels, outputs, reading) : undefined
  const result = {
    val_accuracy: metric.name === 'accuracy' ? outcome.best?.score ?? null : null,
    val_score: outcome.best?.score ?? null, best_metric: metric.name, val_loss: outcome.best?.loss ?? null,
    best_epoch: outcome.best?.epoch ?? null, best_step: outcome.best?.step ?? null, stopped_early: outcome.early,
    test_accuracy: accuracy, test_loss: tested.loss, loss: steps.findLast(line => typeof line.loss === 'number')?.loss ?? null,
    ...summary.metrics.f1 !== undefined && { f1: summary.metrics.f1 },
    task, test_metrics: nullable(summary.metrics), test_classes: summary.classes.map(nullable),
    ...errors && { calibration: { ...reading, error_before: errors.before ?? null, error_after: errors.after ?? null } },
    parameters: prepared.parameters, steps: steps.length,
    skipped_steps: steps.filter(line => line.skipped === 'not finite').length,
    examples_per_second: examplesPerSecond, wall_seconds: wallSeconds(),
    plan_peak_bytes: prepared.plan.peakBytes, gpu_bytes: device.buffers.bytes, gpu_buffers: device.buffers.count,
    adapter: device.info.name, tilegrad: version,
  }
  await run.writeResult(result)
  const probabilities = results.kind === 'classes' ? test.map((_, row) =>
    Array.from({ length: labels.length }, (_, i) => results.probabilities[row * labels.length + i])) : []
  const hasReport = await reported(run, {
    result, confusion: summary.confusion ?? [], probabilities, test: data.test, data, exact: !prepared.choices.measured,
  })

  const main = metricsOf(task, labels.length)[0]
  const f1 = summary.metrics.f1 === undefined || main.name === 'f1' ? '' : `, F1 ${summary.metrics.f1.toFixed(4)}`
  console.say(`\nHeld-out ${main.title}: ${showFigure(main, summary.metrics[main.name])} of ${count(test.length)} texts that training never saw`
    + ` (loss ${tested.loss.toFixed(4)}${f1})`)
  console.say(`${showDuration(result.wall_seconds)}, ${examplesPerSecond.toFixed(1)} examples/s, GPU memory ${megabytes(device.buffers.bytes)}\n`)
  examples.forEach((example, i) => console.say(answerLine(example, said[i])))
  if (hasReport) console.say(`\nReport:  ${run.path('report.html')}`)
  if (options.profile) console.say(`Profile: ${run.path('profile.txt')}; ${run.path('trace.json')} opens in https://ui.perfetto.dev`)
  console.say(`${options.tune === 'lora' ? `Adapter: ${run.path('adapter')} (PEFT's format)` : `Model:   ${run.path('model')}`}`)
  console.say(`Try it:  npm run -s tilegrad -- predict ${run.folder} "your text"`)
  if (options.model === BUNDLED.model && options.data === BUNDLED.data) {
    console.say('\nThe real thing, on a machine with a GPU (downloads IMDb and DistilBERT):\n'
      + `  ${command(options.preset, '--data', REAL.data, '--model', REAL.model, ...'--lora-rank 8 --lora-alpha 1 --lora-targets query,value,mlp'.split(' '))}`)
  }
  // The overview last: its adapter is described, the result's only named.
  console.result({ ...result, ...overview(prepared), folder: run.folder })
  return 0
}

/**
 * Writes the report. It shows what the folder holds, so a run whose report fails is done all the same: that is said on
 * stderr, and the run's status stays 0.
 */
async function reported(run: Run, parts: Omit<ReportParts, 'command'>): Promise<boolean> {
  try {
    // Loaded only here: the charts' library takes longer to load than all else.
    const { writeReport } = await import('../report/write.ts')
    await writeReport(run, { ...parts, command: command(presetOf(run), ...pinnedArguments(run)) })
    return true
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    process.stderr.write(`tilegrad: ${printableLine(`no report was written (${reason}); everything else is in ${run.folder}`)}\n`)
    return false
  }
}

/** The metric by which evaluations of a run are compared. */
function mainMetric({ bestMetric }: Options, { plan: { task, labels } }: Data): MetricInfo {
  if (bestMetric === 'loss') return { name: 'loss', title: 'loss', better: 'smaller', shown: 'decimal' }
  return bestMetric === undefined ? metricsOf(task, labels.length)[0] : metricNamed(task, labels.length, bestMetric)
}

/** Figures for a file: null for what is not defined. */
const nullable = (figures: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, value === undefined ? null : value as unknown]))

/** What is kept beside the weights, to answer with. */
function answersOf({ plan: { task, labels } }: Data, { maxLength }: Options, reading: Reading): Answers {
  return { problem: PROBLEM_OF[task], labels, maxLength, ...reading }
}

/** Two texts that the model is shown at work on: for reviews two plain ones, else the first of the test set. */
function examplesOf({ plan: { task, labels }, test }: Data): readonly TextInput[] {
  if (task === 'classes' && labels.join() === 'negative,positive' && test[0].pair === undefined) return SENTENCES
  return test.slice(0, 2).map(({ text, pair, words }) => (words ? { words } : pair === undefined ? text : { text, pair }))
}

function answerLine(input: TextInput, answer: Prediction): string {
  const text = textOf(input)
  switch (answer.kind) {
    case 'label': return `${answer.label} (${percent(answer.probability)}): ${text}`
    case 'labels': return `${answer.labels.join(', ') || 'none'}: ${text}`
    case 'number': return `${answer.value.toFixed(3)}: ${text}`
    case 'words': return answer.words.map(({ text, label }) => (label === 'O' ? text : `${text}[${label}]`)).join(' ')
  }
}

/** Writes the adapter, with its base where that is nowhere else, and then the whole model where that is asked for. */
async function saveTrained(run: Run, { options, model, opened }: Prepared, answers: Answers): Promise<void> {
  const saveAnswers = (folder: string): Promise<void> =>
    writeAtomic(join(folder, ANSWERS_FILE), `${JSON.stringify(answersJson(answers), null, 2)}\n`)
  const save = (name: string, tensors: Parameters<typeof saveModel>[2]): Promise<void> => run.writeFolder(name, async path => {
    await saveModel(path, model, tensors, answers.problem)
    await saveTokenizer(path, opened.tokenizer, model.config)
    await saveAnswers(path)
  })
  if (options.tune === 'lora') {
    if (opened.folder === undefined) await save('base', baseTensors(model, originOf(model, undefined, options.seed)))
    const [base, revision] = await baseOf(run, opened)
    await run.writeFolder('adapter', async path => {
      await saveAdapter(path, model, base, revision)
      await saveAnswers(path)
    })
    if (!options.merge) return
  }
  // Only what the GPU has rounded is read again from where it came from.
  const isRounded = model.parameters().some(({ dtype }) => dtype === 'f16')
  const weights = isRounded && opened.folder !== undefined ? await openWeights(opened.folder) : undefined
  try {
    await save('model', mergedTensors(model, originOf(model, weights, options.seed)))
  } finally {
    await weights?.close()
  }
}

/** The adapter's base and its revision: what was asked for of the Hub, or else what that was; a folder by its whole path. */
async function baseOf(run: Run, { name, revision, commit, folder }: OpenedModel): Promise<[string, string | undefined]> {
  if (folder === undefined) return [resolve(run.path('base')), undefined]
  return await exists(name) ? [resolve(name), undefined] : [name, revision ?? commit]
}

/** The arguments of a run, with the Hub's model and data as the commits that they were. */
function pinnedArguments({ config }: Run): string[] {
  const { arguments: given, commits = {} } = config as { arguments?: unknown, commits?: Record<string, unknown> }
  return (Array.isArray(given) ? given.map(String) : []).map(argument => {
    const [, what, name] = /^--(model|data)=([^@]+)/.exec(argument) ?? []
    return what !== undefined && typeof commits[what] === 'string' ? `--${what}=${name}@${commits[what]}` : argument
  })
}
