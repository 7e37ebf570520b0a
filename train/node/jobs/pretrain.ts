// Pretraining: a small base model from texts alone, the job behind `tilegrad pretrain`. It learns a WordPiece
// vocabulary, then trains a BERT to predict masked tokens (Devlin et al. 2019). The model that comes with tilegrad was
// made this way.
import { createHash } from 'node:crypto'
import { basename, join, resolve } from 'node:path'
import { showBytes } from '../../../engine/bytes.ts'
import { type Device, UserError } from '../../../engine/index.ts'
import { countParameters, modelTensors, toHubConfig } from '../../../models/index.ts'
import { BertForMaskedTexts } from '../../../models/bert.ts'
import type { MaskedModel } from '../../../models/masked.ts'
import { WEIGHTS_FILE, writeAtomic, writeSafetensors } from '../../../models/node/files.ts'
import { saveTokenizer } from '../../../models/node/tokenizer.ts'
import { type Tokenizer, flagsOfBert } from '../../../models/tokenizer.ts'
import { count } from '../../counts.ts'
import type { Best, Position } from '../../checkpoint-store.ts'
import { mean } from '../../metrics/means.ts'
import type { Encoded } from '../../task.ts'
import { type DistilledMaskedLM, distilledMaskedTask } from '../../tasks/distilled-masked-lm.ts'
import { MASKED_SHARE, maskedTask } from '../../tasks/masked-lm.ts'
import { maskedTextsTask } from '../../tasks/masked-texts.ts'
import { Trainer, type TrainerEvents, settingsAmong } from '../../trainer.ts'
import { type Console, percent } from '../cli/console.ts'
import {
  PRETRAIN_COMMAND,
  type PretrainOptions,
  parsePretrainOptions,
  pretrainArguments,
} from '../cli/pretrain-options.ts'
import { Progress, showDuration } from '../cli/progress.ts'
import { shellLine } from '../cli/shell.ts'
import { maskedOptionsOf, packTexts } from '../data/packed.ts'
import { openNamed } from '../device.ts'
import { optionalDependencies, version } from '../package.ts'
import { type Attempt, reopen, runAttempts } from './attempts.ts'
import { RunClock, trainingSpeed } from '../run/clock.ts'
import { checkpointsOf } from '../run/failures.ts'
import { describeAdapter } from '../run/config.ts'
import { type Run, chooseRunFolder, createNewRun, openRun } from '../run/folder.ts'
import { KernelChoices } from '../run/kernels.ts'
import { changedSince, rewind, warnOfChanges } from '../run/resume.ts'
import { type Base, buildMasked, fillMasked, openBase, savedConfig } from './pretrain/base.ts'
import { type Card, modelCard } from './pretrain/card.ts'
import { checkCountable, countedBias, countedEmbeddings } from './pretrain/embeddings.ts'
import { type Teacher, checkSameTokens, fillTeacher, openTeacher, withTeacher } from './pretrain/teacher.ts'
import { TOKENIZER, type Texts, existingTokenizer, learnTokenizer, openTexts } from './pretrain/texts.ts'

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** Everything that a run works with, checked; nothing is written yet. */
interface Job {
  readonly options: PretrainOptions
  readonly device: Device
  readonly choices: KernelChoices
  readonly tokenizer: Tokenizer
  /** The model that is continued, where there is one. */
  readonly base: Base | undefined
  /** The model that is learned from, where there is one. */
  readonly teacher: Teacher | undefined
  readonly fingerprints: Readonly<Record<string, string>>
  readonly texts: Pick<Texts, 'source' | 'located'> & Readonly<Record<'train' | 'held', number>>
  readonly rows: Readonly<Record<'train' | 'held', readonly Encoded<undefined>[]>>
  readonly model: MaskedModel
  /** The same model with its teacher, where there is one. */
  readonly distilled: DistilledMaskedLM | undefined
  readonly trainer: Trainer<undefined>
}

/**
 * From options to a trainer whose step is planned. Throws a UserError if texts, tokenizer, base or teacher changed since
 * the run began.
 */
async function openJob(options: PretrainOptions, console: Console, progress: Progress, run?: Run): Promise<Job> {
  const base = options.model === undefined ? undefined : await openBase(options.model, options, progress)
  if (run && base) refuseChange(run, 'model', base.fingerprint, String(options.model))
  const teacher = options.teacher === undefined ? undefined : await openTeacher(options.teacher, options, progress)
  if (run && teacher) refuseChange(run, 'teacher', teacher.fingerprint, `the teacher ${options.teacher}`)
  const existing = base?.tokenizer ?? (await existingTokenizer(options, run)) ?? teacher?.tokenizer
  if (teacher && existing) checkSameTokens(teacher, existing, base)
  const texts = await openTexts(options, console, progress)
  const data = texts.fingerprint
  if (run) refuseChange(run, 'data', data, `the texts of ${options.data.join(' and ')}`)
  const tokenizer = existing ?? (await learnTokenizer(options, texts, console, progress))
  checkCountable(options, tokenizer.vocabSize)
  const fingerprints = {
    data,
    tokenizer: sha256(JSON.stringify(tokenizer.json)),
    ...(base && { model: base.fingerprint }),
    ...(teacher && { teacher: teacher.fingerprint }),
  }
  if (run) refuseChange(run, 'tokenizer', fingerprints.tokenizer, run.path(TOKENIZER))

  const { sequence, batchSize } = options
  progress.start('tokenise', texts.train.length + texts.held.length)
  const held = await packTexts(texts.held, tokenizer, sequence, done => progress.update(done))
  const train = await packTexts(texts.train, tokenizer, sequence, done => progress.update(texts.held.length + done))
  progress.stop()
  if (train.length === 0) throw new UserError(`the texts of ${options.data.join(' and ')} hold no token to train on`)

  const device = await openNamed(options.adapter, false)
  if (options.precision === 'f16' && !device.traits.f16) {
    throw new UserError(`--precision f16: ${device.info.name} does not offer shader-f16`)
  }
  if (base) console.say(baseText(base))
  if (teacher) console.say(teacherText(teacher, options))
  console.say(
    `${count(train.length)} rows of at most ${sequence} tokens, ${count(held.length)} more held out, ` +
      `${count(tokenizer.vocabSize)} tokens in the vocabulary, on ${device.info.name}`,
  )
  const choices = await KernelChoices.begin(options.tuneKernels, device, version, run)
  const rows = { train, held }
  const counted = { ...texts, train: texts.train.length, held: texts.held.length }
  const built = await modelOf({ options, tokenizer, base, teacher, rows })
  const { trainer } = built
  await trainer.prepare({ train, validation: held, test: [] }, () => device.tuning.secondsLeft > 0)
  choices.settle()
  const plan = await trainer.plan(sequence)
  console.say(
    `Step of ${batchSize} × ${sequence} tokens: ${plan.dispatches} dispatches, ` +
      `peak memory ${showBytes(plan.peakBytes)}\n`,
  )
  return { options, device, choices, tokenizer, base, teacher, fingerprints, texts: counted, rows, ...built }
}

function baseText({ config: { name }, drawn }: Base): string {
  const head = drawn.length === 0 ? 'its own' : `drawn at random (the weights lack ${drawn.join(', ')})`
  return `Model: continued from ${name}; masked-language head: ${head}`
}

function teacherText({ config: { name, layers, hidden } }: Teacher, options: PretrainOptions): string {
  const { distillWeight: weight, distillTemperature: temperature, distillHidden: factor } = options
  const states = factor === 0 ? '' : `; the distance between hidden states times ${factor} is added`
  return (
    `Teacher: ${name} (${layers} layers, ${hidden} wide), whose predictions are ${weight} of the loss, ` +
    `at temperature ${temperature}${states}`
  )
}

/** A model without values, with its teacher if it has one, and the trainer of both. */
async function modelOf({
  options,
  tokenizer,
  base,
  teacher,
  rows: { train },
}: Pick<Job, 'options' | 'tokenizer' | 'base' | 'teacher' | 'rows'>): Promise<
  Pick<Job, 'model' | 'distilled' | 'trainer'>
> {
  const { sequence, batchSize, steps, textLoss } = options
  // A teacher's table of embeddings may be rounded up; its predictions are compared entry by entry.
  const model = buildMasked(
    options,
    { ...tokenizer, vocabSize: teacher?.config.vocabSize ?? tokenizer.vocabSize },
    base,
  )
  const batchTokens = batchSize * sequence
  const settings = settingsAmong({
    ...options,
    // Enough for the steps, which end the run: a batch has no more tokens than these.
    epochs: Math.ceil(steps / Math.ceil(tokensOf(train) / batchTokens)),
    batchTokens,
    accumulate: 1,
    maxLength: sequence,
    precision: options.precision === 'f16' ? 'mixed' : 'f32',
    padId: tokenizer.padId,
  })
  const masked = maskedOptionsOf(tokenizer)
  if (model instanceof BertForMaskedTexts) {
    const trainer = await Trainer.over(model, maskedTextsTask(masked, textLoss), settings)
    return { model, distilled: undefined, trainer }
  }
  if (!teacher) {
    return { model, distilled: undefined, trainer: await Trainer.over(model, maskedTask(masked), settings) }
  }
  const distilled = withTeacher(model, teacher, options)
  const { distillWeight: weight, distillTemperature: temperature, distillHidden: hidden } = options
  const task = distilledMaskedTask(masked, { weight, temperature, hidden })
  return { model, distilled, trainer: await Trainer.over(distilled, task, settings) }
}

/**
 * The same job on a new device of the same adapter, with the kernels that the run began with. Throws a DeviceLost if
 * there is none.
 */
async function rebuild(job: Job, run: Run, losses: number): Promise<Job> {
  const { options } = job
  const device = await reopen(job.device, options.adapter, false, losses)
  const choices = await KernelChoices.begin(options.tuneKernels, device, version, run)
  choices.settle()
  return { ...job, device, choices, ...(await modelOf(job)) }
}

function refuseChange(run: Run, what: string, now: string, called: string): void {
  if (run.config.fingerprints?.[what] !== now) throw changedSince(run, called)
}

/** A new run. Nothing is written before everything is resolved and checked. Gives the exit status. */
export async function startPretraining(options: PretrainOptions, console: Console): Promise<number> {
  const progress = new Progress()
  await chooseRunFolder(options.out, 'pretrain')
  const job = await openJob(options, console, progress)
  const { fingerprints, device, model, texts, base, teacher } = job
  const { run, unlock } = await createNewRun(options.out, 'pretrain', {
    job: 'pretrain',
    tilegrad: version,
    node: process.version,
    webgpu: optionalDependencies.webgpu,
    created_at: new Date().toISOString(),
    fingerprints,
    arguments: pretrainArguments(options, {
      omit: ['json', 'out'],
      values: {
        ...texts.located,
        ...(base && { model: base.located }),
        ...(teacher && { teacher: teacher.located }),
        ...(options.tokenizer !== undefined && { tokenizer: resolve(options.tokenizer) }),
      },
    }),
    options,
    source: texts.source,
    adapter: describeAdapter(device.info),
    model: { parameters: countParameters(model) },
  })
  try {
    return await work(run, job, console, progress)
  } finally {
    await unlock()
  }
}

/** Resumes a run from its last undamaged checkpoint, or from its beginning if there is none. Gives the exit status. */
export async function resumePretraining(folder: string, given: PretrainOptions, console: Console): Promise<number> {
  const run = await openRun(folder)
  const where = run.path('config.json')
  const { job, arguments: recorded } = run.config
  if (job !== 'pretrain' || recorded === undefined) {
    throw new UserError(`${folder} is not a pretraining run: see ${where}`)
  }
  if (await run.finished()) throw new UserError(`${folder} is finished: see its result.json`)
  const options = parsePretrainOptions([...recorded, ...pretrainArguments(given, { omit: ['resume'] })])
  const unlock = await run.lock()
  try {
    const progress = new Progress()
    const checkpoints = checkpointsOf(run)
    // First of all: a run that can't be resumed says so before it loads anything.
    await checkpoints.find()
    const resumed = await openJob(options, console, progress, run)
    warnOfChanges(run, resumed.device.info, version)
    const position = await rewind(run, checkpoints, resumed.trainer.shapeOf(resumed.rows.train), { console, progress })
    return await work(run, resumed, console, progress, position)
  } finally {
    await unlock()
  }
}

/** The command that resumes runs. */
const command = (...args: readonly string[]): string => shellLine(PRETRAIN_COMMAND, ...args)

/** Trains to the end, and continues on another device of the same adapter if the GPU is lost. Gives the exit status. */
function work(run: Run, first: Job, console: Console, progress: Progress, from?: Position): Promise<number> {
  return runAttempts(first, from, {
    run,
    progress,
    command,
    attempt: (job, given) => attempt(run, job, console, progress, given),
    rebuild: (job, losses) => rebuild(job, run, losses),
  })
}

/** Trains from where the attempt begins, and writes what comes of it. */
async function attempt(
  run: Run,
  job: Job,
  console: Console,
  progress: Progress,
  { checkpoints, stopping, from }: Attempt,
): Promise<number> {
  const { options, choices, tokenizer, rows, trainer } = job
  const clock = new RunClock(run)
  await choices.keepIn(run)
  await run.write(TOKENIZER, JSON.stringify(tokenizer.json))
  if (options.tensorboard) await run.keepEvents()
  await fillMasked(job.model, options.seed, job.base)
  // A checkpoint brings its own.
  if (!job.base && !from) {
    await countedBias(job)
    if (options.embeddings === 'ppmi' && !(await countedEmbeddings(job, progress, stopping))) {
      console.say(`Stopped before the first step. Begin again with: ${command('--resume', run.folder)}`)
      console.result({ stopped: true, folder: run.folder, step: 0 })
      return stopping.status
    }
  }
  if (job.distilled && job.teacher) await fillTeacher(job.distilled, job.teacher, options.seed)

  progress.start('pretrain', options.steps, from?.step ?? 0)
  const outcome = await trainer.train(rows.train, rows.held, checkpoints, eventsOf(run, job, progress, clock), from)
  progress.stop()
  if (outcome.kind === 'stopped') {
    // Signals are listened to until the end: a second copy of the one that stopped the run may still come.
    console.say(`Stopped after step ${outcome.position.step}. Resume with: ${command('--resume', run.folder)}`)
    console.result({ stopped: true, folder: run.folder, step: outcome.position.step })
    return stopping.status
  }
  stopping.end()
  await conclude(run, job, outcome.best, clock.seconds, console)
  return 0
}

/** Steps over which the training loss is averaged. */
const LAST_STEPS = 100

/** Writes the model with its card and result.json, and prints the result. */
async function conclude(run: Run, job: Job, best: Best | null, seconds: number, console: Console): Promise<void> {
  const { device, tokenizer, rows, model } = job
  const lines = run.readMetrics()
  const steps = lines.filter(line => line.split === undefined)
  const evaluations = lines.flatMap(({ split, step, loss, accuracy }) =>
    split === 'validation' ? [{ step, loss: Number(loss), accuracy: Number(accuracy) }] : [],
  )
  const evaluated = evaluations.find(({ step }) => step === best?.step)
  const losses = steps.flatMap(({ loss }) => (typeof loss === 'number' ? [loss] : [])).slice(-LAST_STEPS)
  const speed = trainingSpeed(lines)
  const chance = Math.log(tokenizer.vocabSize)
  const result = {
    val_loss: evaluated?.loss ?? null,
    val_accuracy: evaluated?.accuracy ?? null,
    best_step: best?.step ?? null,
    loss: losses.at(-1) ?? null,
    chance_loss: chance,
    steps: steps.length,
    skipped_steps: steps.filter(line => line.skipped !== undefined).length,
    vocabulary: tokenizer.vocabSize,
    rows: { train: rows.train.length, validation: rows.held.length },
    tokens: tokensOf(rows.train),
    parameters: countParameters(model),
    examples_per_second: speed,
    wall_seconds: seconds,
    gpu_bytes: device.buffers.bytes,
    adapter: device.info.name,
    tilegrad: version,
  }
  const card = modelCard({
    ...cardOf(run, job),
    steps: steps.length,
    epochs: Number(steps.at(-1)?.epoch ?? 0),
    seconds,
    loss: losses.length === 0 ? undefined : mean(losses),
    evaluations,
    best: best?.step,
  })
  await run.writeFolder('model', folder => saveBase(folder, job, card))
  await run.writeResult(result)
  if (evaluated) {
    console.say(
      `Held-out loss ${evaluated.loss.toFixed(4)} (${chance.toFixed(4)} is chance), ` +
        `${percent(evaluated.accuracy)} of the hidden tokens guessed, after step ${evaluated.step}`,
    )
  }
  console.say(`${showDuration(seconds)}, ${speed.toFixed(1)} rows/s in training steps`)
  console.say(`Model:   ${run.path('model')}`)
  console.result({ ...result, folder: run.folder })
}

const tokensOf = (rows: readonly Encoded<undefined>[]): number => rows.reduce((sum, { ids }) => sum + ids.length, 0)

/** What the model card tells that is known before the end. Paths are as they were given when the run began. */
function cardOf(
  run: Run,
  { options, base, texts, rows, model, tokenizer, device }: Job,
): Omit<Card, 'steps' | 'epochs' | 'seconds' | 'loss' | 'evaluations' | 'best'> {
  const { data, exclude, model: from, tokenizer: given, teacher } = run.config.options ?? {}
  const typed = Object.entries({ data, exclude, model: from, tokenizer: given, teacher })
  const values = Object.fromEntries(typed.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))
  return {
    name: basename(resolve(run.folder)),
    config: savedConfig(model, base),
    parameters: countParameters(model).total,
    cased: cased(tokenizer),
    base: from,
    teacher:
      teacher === undefined
        ? undefined
        : {
            name: teacher,
            weight: options.distillWeight,
            temperature: options.distillTemperature,
            hidden: options.distillHidden,
          },
    counted: base === undefined && options.embeddings === 'ppmi',
    textLoss: options.textLoss,
    source: run.config.source ?? texts.source,
    texts: { train: texts.train, held: texts.held },
    rows: { train: rows.train.length, held: rows.held.length },
    tokens: tokensOf(rows.train),
    masked: MASKED_SHARE,
    command: command(...pretrainArguments(options, { omit: ['json', 'out'], values })),
    adapter: device.info.name,
    versions: { tilegrad: version, webgpu: optionalDependencies.webgpu, node: process.version },
  }
}

/** Whether capitals count for a tokenizer; undefined if its steps are not BERT's. */
function cased({ json }: Tokenizer): boolean | undefined {
  const flags = flagsOfBert(json)
  return flags && !flags.lowercase
}

function eventsOf(run: Run, { options }: Job, progress: Progress, clock: RunClock): TrainerEvents {
  let validating = false
  return {
    onStep: metrics => {
      run.appendMetrics(clock.timed(metrics))
      const { step, loss, accuracy, examples_per_second: examplesPerSecond } = metrics
      progress.update(step, { loss, accuracy, examplesPerSecond })
    },
    onSkippedStep: metrics => {
      run.appendMetrics(clock.timed(metrics))
      const { step, examples_per_second: examplesPerSecond } = metrics
      progress.update(step, { examplesPerSecond })
      progress.note(`step ${step} is not finite and was left out (--skip-bad-steps ${options.skipBadSteps})`)
    },
    onEvaluationProgress: (done, total) => {
      if (!validating) progress.start('validate', total)
      validating = true
      progress.update(done)
    },
    onEvaluation: (epoch, step, { loss, figures: { accuracy = 0 } }) => {
      validating = false
      progress.start('pretrain', options.steps, step)
      run.appendMetrics(clock.timed({ step, epoch, split: 'validation', loss, accuracy }))
      const when = step === 0 ? 'before training' : `after step ${step}`
      progress.note(`held out, ${when}: loss ${loss.toFixed(4)}, accuracy ${percent(accuracy)}`)
    },
    onCheckpoint: () => run.flushMetrics(),
  }
}

/** Writes the model with its masked-language head. Half precision is enough to start from, and half the bytes. */
async function saveBase(folder: string, { model, tokenizer, base }: Job, card: string): Promise<void> {
  const config = savedConfig(model, base)
  const halves = modelTensors(model).map(tensor => ({ ...tensor, dtype: 'F16' as const }))
  await writeSafetensors(join(folder, WEIGHTS_FILE), halves, { format: 'pt' })
  await saveTokenizer(folder, tokenizer, config)
  const json = { ...toHubConfig(config), architectures: [model.architecture] }
  await writeAtomic(join(folder, 'config.json'), `${JSON.stringify(json, null, 2)}\n`)
  await writeAtomic(join(folder, 'README.md'), card)
}
