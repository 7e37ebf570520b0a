// One run from its options to its folder: what is shown before, the training itself, and what is left behind.
import { type AdapterInfo, type Device, type PlanSummary, UserError, currentDevice } from '../engine/index.ts'
import { countParameters, mergeLora, summaryText, type SequenceClassifier } from '../models/index.ts'
import { saveModel } from '../models/node/model.ts'
import { saveAdapter } from '../models/node/peft.ts'
import { codeOf, exists, writeAtomic } from '../models/node/files.ts'
import { saveTokenizer } from '../models/node/tokenizer.ts'
import { Checkpoints, type Position } from './checkpoint.ts'
import { type Console, table } from './console.ts'
import type { Tokenised } from './data/batches.ts'
import type { Example } from './data/examples.ts'
import { type SetFacts, factsOf, median } from './data/statistics.ts'
import { BUNDLED, type Data, REAL, type OpenedModel, buildModel, checkWeights, fetchWeights, fillModel, openData, openModel, repeatable, tokenise } from './job.ts'
import { type Options, parseOptions } from './options.ts'
import { dependencies } from './package.ts'
import { profileTable, measureCeilings, traceEvents } from './profile.ts'
import { Progress, showDuration } from './progress.ts'
import { type Run, chooseRunFolder, createRun } from './runs.ts'
import { KernelChoices } from './tuning.ts'
import { type Evaluation, Trainer, type TrainerEvents } from './trainer.ts'

/** Sentences that every run classifies in the end, to see the model at work. */
const SENTENCES = [
  'A warm, funny and beautifully acted film that I will happily watch again.',
  'Two dull hours of wooden acting and a story that goes nowhere.',
]

/** What the system says of a disk that takes no more. */
const DISK_TROUBLE: readonly string[] = ['ENOSPC', 'EDQUOT', 'EFBIG', 'EACCES', 'EPERM', 'EROFS', 'EIO']

function describeAdapter({ name, vendor, architecture, backend, driver, fallback }: AdapterInfo): Record<string, unknown> {
  return { name, vendor, architecture, backend, driver, software: fallback }
}

const count = (n: number): string => n.toLocaleString('en-US')
const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

/** Everything opened and checked, and shown; the trainer is made, but no weights are on the device. */
interface Prepared {
  readonly options: Options
  readonly device: Device
  readonly data: Data
  readonly facts: { readonly train: SetFacts, readonly test: SetFacts }
  readonly opened: OpenedModel
  readonly model: SequenceClassifier
  readonly trainer: Trainer
  readonly plan: PlanSummary
  readonly choices: KernelChoices
  readonly parameters: { readonly total: number, readonly trainable: number, readonly percent: number }
}

async function prepare(options: Options, console: Console, progress: Progress, version: string, run?: Run): Promise<Prepared> {
  const device = await currentDevice()
  const choices = await KernelChoices.begin(options.tuneKernels, device.info, version, run)
  let fetching: string | undefined
  const download = (file: string, done: number, total: number): void => {
    if (file === fetching) progress.update(done)
    else progress.start(`download ${file} (bytes)`, total, done)
    fetching = file
  }
  // What takes long, and the largest download above all, comes after all that may fail at once.
  const described = await openModel(options, download, commitOf(run, 'model', options.model))
  const model = buildModel(options, described.config)
  if (await exists(described.name)) await checkWeights(model, described.folder)
  const data = await openData(options, download, commitOf(run, 'data', options.data))
  const opened = await fetchWeights(described, download)
  await checkWeights(model, opened.folder)
  progress.stop()
  const facts = { train: factsOf(data.all), test: factsOf(data.test) }
  const parameters = countParameters(model)

  console.say(`Data: ${data.source}`)
  console.say(dataTable(facts, data))
  console.say(`\nModel: ${opened.name} (${opened.folder ? 'pretrained' : 'fresh weights'}), tuning: ${options.tune}`)
  console.say(`${summaryText(model)}\n`)

  const trainer = await Trainer.over(model, { ...options, padId: opened.tokenizer.padId })
  const plan = await trainer.plan(options.maxLength)
  console.say(`Step of ${options.batchSize} × ${options.maxLength} tokens on ${device.info.name}: ${plan.dispatches} dispatches `
    + `(${plan.unfused} without fusion), ${plan.pipelines} pipelines, peak memory ${megabytes(plan.peakBytes)}\n`)
  return { options, device, data, facts, opened, model, trainer, plan, parameters, choices }
}

/** The Hub's commit that a run began with, of a model or data that it still has: what the Hub holds now may be another. */
function commitOf(run: Run | undefined, what: 'model' | 'data', name: string | undefined): string | undefined {
  const { options, commits } = (run?.config ?? {}) as { options?: Record<string, unknown>, commits?: Record<string, unknown> }
  const commit = commits?.[what]
  return options?.[what] === name && typeof commit === 'string' ? commit : undefined
}

function dataTable(facts: { train: SetFacts, test: SetFacts }, data: Data): string {
  const columns = ['mean', 'std', 'min', '25%', '50%', '75%', 'max'] as const
  const row = (name: string, { rows, positive, text_length }: SetFacts): string[] =>
    [name, count(rows), percent(positive / rows), ...columns.map(c => text_length[c].toFixed(c === 'mean' || c === 'std' ? 1 : 0))]
  return table([
    ['set', 'reviews', 'positive', ...columns.map(c => (c === 'mean' ? 'length: mean' : c))],
    row('train', facts.train),
    row('test', facts.test),
  ]) + `\n${count(data.validation.length)} of the training reviews are held out for validation; lengths are in characters.`
}

function overview({ device, opened, parameters, facts, plan }: Prepared): Record<string, unknown> {
  return {
    adapter: describeAdapter(device.info),
    model: { name: opened.name, family: opened.config.family, parameters },
    data: facts,
    plan: {
      dispatches: plan.dispatches, pipelines: plan.pipelines, peak_bytes: plan.peakBytes,
      unfused_dispatches: plan.unfused, scratch_bytes: plan.scratchBytes, live_bytes: plan.liveBytes,
    },
  }
}

/** Resolves everything, plans one step, prints, trains nothing. */
export async function dryRun(options: Options, console: Console, version: string): Promise<number> {
  const progress = new Progress()
  const prepared = await prepare(options, console, progress, version)
  console.result(overview(prepared))
  return 0
}

/** A new run. Nothing is written before everything is resolved and checked. */
export async function startRun(options: Options, console: Console, version: string): Promise<number> {
  const progress = new Progress()
  const folder = await chooseRunFolder(options.out, options.name ?? options.model?.split('/').at(-1) ?? 'run')
  const prepared = await prepare(options, console, progress, version)
  const run = await createRun(folder, {
    tilegrad: version, node: process.version, webgpu: dependencies.webgpu, created_at: new Date().toISOString(),
    commits: { model: prepared.opened.commit, data: prepared.data.commit },
    arguments: await repeatable(options), options, ...overview(prepared),
  })
  return work(run, prepared, console, progress, version)
}

/** The options that a run was started with, `changes` on top. Throws a UserError on a folder that names none. */
export function recordedOptions(run: Run, changes: readonly string[]): Options {
  const where = run.path('config.json')
  const recorded = run.config.arguments
  if (!Array.isArray(recorded)) throw new UserError(`${run.folder} is no run's folder: ${where} names no arguments`)
  try {
    return parseOptions([...recorded.map(String), ...changes])
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${where}: arguments: ${error.message}`) : error
  }
}

/** Goes on with a run from its last checkpoint, or from its beginning where it came to none. */
export async function resumeRun(run: Run, options: Options, console: Console, version: string): Promise<number> {
  const position = await new Checkpoints(run.path('checkpoints')).latest()
  const progress = new Progress()
  const prepared = await prepare(options, console, progress, version, run)
  const { name, driver } = prepared.device.info
  const { adapter: before, tilegrad } = run.config as { adapter?: { name?: unknown, driver?: unknown }, tilegrad?: unknown }
  const changes = [[before?.name, name], [before?.driver, driver], [`tilegrad ${String(tilegrad)}`, `tilegrad ${version}`]].filter(([a, b]) => a !== b)
  for (const [old, now] of changes) {
    process.stderr.write(`The run began on ${String(old)}; on ${String(now)} its numbers may differ in the last bits.\n`)
  }
  await run.cutMetrics(position?.step ?? -1)
  console.say(position ? `Going on after step ${position.step}.\n` : 'The run came to no checkpoint: starting at its beginning.\n')
  return work(run, prepared, console, progress, version, position)
}

async function work(run: Run, prepared: Prepared, console: Console, progress: Progress, version: string, from?: Position): Promise<number> {
  const { options, data, opened, model, trainer, device } = prepared
  const began = performance.now()
  // A run that goes on has already taken what its last kept line says.
  const spent = Number(run.readMetrics().at(-1)?.wall_seconds ?? 0)
  const wallSeconds = (): number => spent + (performance.now() - began) / 1000
  try {
    await prepared.choices.keepIn(run)
    const tokenised = async (what: string, examples: readonly Example[]): Promise<Tokenised[]> => {
      progress.start(`tokenise ${what}`, examples.length)
      const result = await tokenise(examples, opened.tokenizer, options.maxLength, done => progress.update(done))
      progress.stop()
      return result
    }
    const train = await tokenised('train', data.train)
    const validation = await tokenised('validation', data.validation)
    const test = await tokenised('test', data.test)
    const drawn = await fillModel(model, opened.folder, options.seed)
    const heads = drawn.filter(name => !name.includes('lora_'))
    if (opened.folder && heads.length > 0) console.say(`Freshly drawn, since the model's file has no such head: ${heads.join(', ')}\n`)

    const stopping = stopOnSignals(() => trainer.stop())
    const perEpoch = trainer.stepsPerEpoch(train.length)
    const show = (label: string, { accuracy, loss }: Evaluation): void =>
      progress.note(`${label}: accuracy ${percent(accuracy)}, loss ${loss.toFixed(4)}`)
    let validating = false
    const events: TrainerEvents = {
      onStep: metrics => {
        run.appendMetrics({ ...metrics, wall_seconds: wallSeconds() })
        progress.update(metrics.step, { loss: metrics.loss, accuracy: metrics.accuracy, examplesPerSecond: metrics.examples_per_second })
      },
      onEvaluationProgress: (done, total) => {
        if (!validating) progress.start('validate', total)
        validating = true
        progress.update(done)
      },
      onEvaluation: (epoch, step, evaluation, best) => {
        validating = false
        progress.start('train', perEpoch * options.epochs, step)
        run.appendMetrics({ step, epoch, split: 'validation', loss: evaluation.loss, accuracy: evaluation.accuracy, wall_seconds: wallSeconds() })
        show(epoch === 0 ? 'validation before training' : `validation after epoch ${epoch}${best ? ' (best so far)' : ''}`, evaluation)
      },
      onCheckpoint: () => run.flushMetrics(),
      onProfile: async (kernels, { rows, sequence }) => {
        const text = `One step of ${rows} × ${sequence} tokens on ${device.info.name}\n\n${profileTable(kernels, await measureCeilings())}\n`
        await writeAtomic(run.path('profile.txt'), text)
        await writeAtomic(run.path('trace.json'), JSON.stringify(traceEvents(kernels)))
        progress.note(`\n${text}`)
      },
    }
    progress.start('train', perEpoch * options.epochs, from?.step ?? 0)
    const outcome = await trainer.train(train, validation, new Checkpoints(run.path('checkpoints')), events, from)
    progress.stop()
    stopping.end()
    if (outcome.kind === 'stopped') {
      console.say(`Stopped after step ${outcome.position.step}. To go on: ${command('--resume', run.folder)}`)
      console.result({ stopped: true, folder: run.folder, step: outcome.position.step })
      return stopping.status()
    }

    progress.start('test', test.length)
    const tested = await trainer.evaluate(test, { onEvaluationProgress: done => progress.update(done) })
    progress.stop()
    // Before adapters are merged: the trainer's compiled steps add them.
    const sentences = await tokenise(SENTENCES.map(text => ({ text, label: 0 as const })), opened.tokenizer, options.maxLength)
    const said = await trainer.evaluate(sentences)
    if (options.tune === 'lora') await saveAdapter(run.path('adapter'), model, opened.name, opened.revision)
    if (options.tune !== 'lora' || options.merge) {
      if (options.tune === 'lora') await mergeLora(model)
      await saveModel(run.path('model'), model)
      await saveTokenizer(run.path('model'), opened.tokenizer, model.config)
    }
    const steps = run.readMetrics().filter(line => line.split === undefined)
    const examplesPerSecond = median(steps.map(line => Number(line.examples_per_second))) ?? 0
    const result = {
      val_accuracy: outcome.best?.accuracy ?? null, val_loss: outcome.best?.loss ?? null, best_epoch: outcome.best?.epoch ?? null,
      test_accuracy: tested.accuracy, test_loss: tested.loss, loss: steps.at(-1)?.loss ?? null,
      f1: tested.confusion.scores().f1, parameters: prepared.parameters, steps: steps.length,
      examples_per_second: examplesPerSecond, wall_seconds: wallSeconds(),
      plan_peak_bytes: prepared.plan.peakBytes, gpu_bytes: device.buffers.bytes, gpu_buffers: device.buffers.count,
      adapter: device.info.name, tilegrad: version,
    }
    // Loaded only here: the charts' library takes longer to load than all else.
    const { writeReport } = await import('./report/write.ts')
    await writeReport(run, { result, evaluation: tested, test: data.test, data, command: commandOf(run) })
    await run.writeResult(result)

    console.say(`\nHeld-out accuracy: ${percent(tested.accuracy)} of ${count(test.length)} reviews that training never saw`
      + ` (loss ${tested.loss.toFixed(4)}, F1 ${result.f1.toFixed(4)})`)
    console.say(`${showDuration(result.wall_seconds)}, ${examplesPerSecond.toFixed(1)} examples/s, GPU memory ${megabytes(device.buffers.bytes)}\n`)
    SENTENCES.forEach((text, i) => {
      const [, positive] = said.probabilities[i]
      console.say(`${positive >= 0.5 ? 'positive' : 'negative'} (${percent(Math.max(positive, 1 - positive))}): ${text}`)
    })
    console.say(`\nReport:  ${run.path('report.html')}`)
    if (options.profile) console.say(`Profile: ${run.path('profile.txt')}; ${run.path('trace.json')} opens in https://ui.perfetto.dev`)
    console.say(`${options.tune === 'lora' ? `Adapter: ${run.path('adapter')} (PEFT's format)` : `Model:   ${run.path('model')}`}`)
    if (options.model === BUNDLED.model) {
      console.say('\nThe real thing, on a machine with a GPU (downloads IMDb and DistilBERT):\n'
        + `  ${command('--data', REAL.data, '--model', REAL.model, ...'--lora-rank 8 --lora-alpha 1 --lora-targets query,value,mlp'.split(' '))}`)
    }
    // The overview last: its adapter is described, the result's only named.
    console.result({ ...result, ...overview(prepared), folder: run.folder })
    return 0
  } catch (error) {
    const code = codeOf(error)
    if (code === undefined || !DISK_TROUBLE.includes(code)) throw error
    throw new UserError(`Cannot write to ${run.folder}: ${code}. To go on once that is mended: ${command('--resume', run.folder)}`)
  } finally {
    progress.stop()
  }
}

/** Signals that come together are one: a terminal sends Ctrl-C to npm and to this process, and npm passes it on. */
const SAME_SIGNAL_MS = 1000

/** Ctrl-C, and how schedulers end a job: the first calls `stop`, another one ends the process at once. */
function stopOnSignals(stop: () => void): { status(): number, end(): void } {
  let first: { readonly at: number, readonly status: number } | undefined
  const onSignal = (signal: NodeJS.Signals): void => {
    if (!first) {
      process.stderr.write('\nFinishing this step and writing a checkpoint; again to end at once.\n')
      first = { at: performance.now(), status: signal === 'SIGTERM' ? 143 : 130 }
      stop()
    } else if (performance.now() - first.at > SAME_SIGNAL_MS) {
      end()
      process.kill(process.pid, signal)
    }
  }
  const end = (): void => void process.removeListener('SIGINT', onSignal).removeListener('SIGTERM', onSignal)
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  return { status: () => first?.status ?? 0, end }
}

/** A command for the user's shell, run by the Node that came with the packages. */
function command(...args: readonly string[]): string {
  const quote = (text: string): string => (/^[\w=./:,@+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)
  return ['npx node train/imdb.ts', ...args.map(quote)].join(' ')
}

function commandOf({ config: { arguments: given } }: Run): string {
  return command(...(Array.isArray(given) ? given.map(String) : []))
}
