// One trial on a worker: a run of its own folder, from its beginning or from the checkpoint that another worker left,
// with each checkpoint stored where all workers reach it.
import { mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { printableLine } from '../../../../engine/errors.ts'
import { DeviceLost, NonFinite, UserError } from '../../../../engine/index.ts'
import { temporaryName } from '../../../../models/node/files.ts'
import type { Position } from '../../../checkpoint-store.ts'
import { shouldPrune } from '../../../search/halving.ts'
import type { Intermediate } from '../../../search/types.ts'
import { SilentConsole } from '../../cli/console.ts'
import { type Options, parseOptions } from '../../cli/options.ts'
import type { Progress } from '../../cli/progress.ts'
import type { Startup } from '../../cli/shell.ts'
import { version } from '../../package.ts'
import { checkpointsOf, isDiskTrouble } from '../../run/failures.ts'
import { type Run, openRun } from '../../run/folder.ts'
import { digestOf } from '../../run/state-file.ts'
import { recordedOptions, resumeRun, startRun } from '../fine-tune.ts'
import type { Host } from '../fine-tune/host.ts'
import type { Job } from '../fine-tune/prepare.ts'
import { checkPaths } from '../job.ts'
import type { Shared } from '../shared.ts'
import { makeBaseline } from './baseline-trial.ts'
import { DatabaseGone } from './database.ts'
import { type Depot, linkOrCopy } from './depot.ts'
import { type Plan, trialArguments } from './plan.ts'
import {
  type Attempt,
  type Ending,
  type StoredCheckpoint,
  type StoredFile,
  type SweepRecord,
  type SweepStore,
  Superseded,
  type TrialRecord,
} from './store.ts'

/** Something on this machine keeps it from making a trial: the disk is full, the GPU is lost, the data is another. */
export class MachineTrouble extends UserError {}

/** What a trial is made with. */
export interface TrialContext {
  readonly store: SweepStore
  readonly depot: Depot
  readonly shared: Shared
  readonly progress: Progress
  /** The folder of the trial's run; what is there is replaced. */
  readonly folder: string
  /** Hands over what ends the trial with a checkpoint, whenever training can be ended. */
  readonly onTraining: (stop: () => void) => void
  /** Hears of each step. */
  readonly onStep: (step: number, steps: number, seconds: number) => void
}

/** How a worker's part in a trial ended: for good, or with a checkpoint that others can go on from. */
export type Outcome = Ending | 'stopped'

const NO_STARTUP: Startup = { beforeStop: () => undefined, end: () => undefined }

/**
 * Makes a trial, or resumes it. Throws a Superseded if another worker has taken it over, and a MachineTrouble where
 * another machine may be able to do what this one can't. Any other failure is how the trial ends.
 */
export async function makeTrial(sweep: SweepRecord, record: TrialRecord, context: TrialContext): Promise<Outcome> {
  if (sweep.plan.command === 'baseline') return makeBaselineTrial(sweep, record, context)
  const making = new Making(sweep, record, context)
  try {
    const isFinished = await making.run()
    await making.settle()
    if (isFinished) return making.ending('complete', await making.result())
    return making.pruned ? making.ending('pruned') : 'stopped'
  } catch (error) {
    await making.settle().catch(() => undefined)
    if (making.refusal) throw making.refusal
    if (error instanceof MachineTrouble || error instanceof DatabaseGone || error instanceof Superseded) throw error
    const cause = error instanceof Error ? error.cause : undefined
    const trouble = [error, cause].find(one => isDiskTrouble(one) || one instanceof DeviceLost)
    if (trouble instanceof Error) throw new MachineTrouble(trouble.message, { cause: error })
    return { ...making.ending('failed'), error: reasonOf(error instanceof NonFinite ? (cause ?? error) : error) }
  }
}

async function makeBaselineTrial({ plan }: SweepRecord, record: TrialRecord, context: TrialContext): Promise<Outcome> {
  const began = performance.now()
  const seconds = (): number => record.seconds + (performance.now() - began) / 1000
  const argv = trialArguments(plan, record)
  const said = { console: new SilentConsole(), progress: context.progress }
  try {
    const { value, result } = await makeBaseline(argv, plan.spec.metric, context.folder, said)
    return { state: 'complete', value, result, seconds: seconds() }
  } catch (error) {
    if (isDiskTrouble(error) && error instanceof Error) throw new MachineTrouble(error.message, { cause: error })
    return { state: 'failed', error: reasonOf(error), seconds: seconds() }
  }
}

/** An error in one line; if the user did not cause it, with its kind. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return printableLine(String(error))
  const isExplained = error instanceof UserError || error instanceof NonFinite
  return printableLine(isExplained ? error.message : `${error.name}: ${error.message}`)
}

class Making {
  readonly #sweep: SweepRecord
  readonly #record: TrialRecord
  readonly #context: TrialContext
  readonly #attempt: Attempt
  readonly #began = performance.now()
  #stop: (() => void) | undefined
  #run: Run | undefined
  #steps = Infinity
  #intermediate: readonly Intermediate[]
  #stored: StoredCheckpoint | undefined
  /** The last checkpoint's way to the store. */
  #storing: Promise<void> = Promise.resolve()
  pruned = false
  /** Why this worker may not go on; the rest of what happens then does not count. */
  refusal: Error | undefined

  constructor(sweep: SweepRecord, record: TrialRecord, context: TrialContext) {
    this.#sweep = sweep
    this.#record = record
    this.#context = context
    this.#attempt = { sweep: sweep.id, trial: record.number, attempt: record.attempt }
    this.#intermediate = record.intermediate
    this.#stored = record.checkpoint
  }

  get #seconds(): number {
    return this.#record.seconds + (performance.now() - this.#began) / 1000
  }

  /** Runs to the end, or until it is stopped. Gives whether it came to the end. */
  async run(): Promise<boolean> {
    const { folder } = this.#context
    await rm(folder, { recursive: true, force: true })
    await mkdir(dirname(folder), { recursive: true })
    if (this.#record.checkpoint) {
      await this.#fetch(this.#record.checkpoint)
      const run = await openRun(folder)
      const options = recordedOptions(run, [])
      await onThisMachine(options)
      await resumeRun(run, options, new SilentConsole(), version, NO_STARTUP, this.#host())
    } else {
      const options = optionsOf(this.#sweep.plan, this.#record, folder)
      await onThisMachine(options)
      await startRun(options, new SilentConsole(), version, NO_STARTUP, this.#host())
    }
    return (await openRun(folder)).finished()
  }

  /** Waits until all that is under way is stored. Throws what kept it from that. */
  async settle(): Promise<void> {
    await this.#storing
    if (this.refusal) throw this.refusal
  }

  /** The result of the run's folder. */
  async result(): Promise<object> {
    const result = await this.#run?.readResult()
    if (typeof result !== 'object' || result === null) throw new Error(`${this.#context.folder} has no result`)
    return result
  }

  ending(state: Ending['state'], result?: object): Ending {
    return { state, value: this.#value(state), result, seconds: this.#seconds }
  }

  /** The best evaluation of a trial that is complete, the last one of one that was pruned. */
  #value(state: Ending['state']): number | undefined {
    const values = this.#intermediate.map(({ value }) => value)
    if (values.length === 0 || state === 'failed') return undefined
    if (state === 'pruned') return values.at(-1)
    return this.#sweep.plan.spec.direction === 'maximize' ? Math.max(...values) : Math.min(...values)
  }

  #host(): Host {
    const { shared, progress, onTraining, onStep } = this.#context
    return {
      shared,
      progress,
      onOpened: job => this.#compare(job),
      onTraining: (run, steps, stop) => {
        this.#run = run
        this.#stop = stop
        this.#steps = steps
        onTraining(stop)
      },
      onStep: step => onStep(step, this.#steps, this.#seconds),
      onEvaluation: (step, figures) => this.#evaluated(step, figures),
      onCheckpoint: (run, position) => this.#checkpointed(run, position),
    }
  }

  /** Remembers why a write was refused, and ends the trial for it. */
  async #noted(writing: Promise<unknown>): Promise<void> {
    await writing.catch((error: unknown) => {
      this.refusal ??= error instanceof Error ? error : new Error(String(error))
      this.#stop?.()
    })
  }

  /** Compares data, models and texts without labels with those of the other workers. */
  async #compare({ options, opened, fingerprints, data }: Job): Promise<void> {
    const { seed, limitTrain, limitTest, valSplit } = options
    const sources = {
      data: [JSON.stringify([options.data, seed, data.testSeed, limitTrain, limitTest, valSplit])],
      model: [JSON.stringify([options.model, options.tokenizer, options.init])],
      teacher: [JSON.stringify([options.teacher])],
      unlabelled: [JSON.stringify([options.unlabelled])],
    }
    const hashes = {
      data: fingerprints.data,
      model: [fingerprints.model, opened.commit ?? '', opened.adapter?.commit ?? ''].join(' ').trim(),
      teacher: fingerprints.teacher,
      unlabelled: fingerprints.unlabelled,
    }
    const called = {
      data: `the data ${options.data} (${data.source})`,
      model: `the model ${options.model}`,
      teacher: `the teacher ${options.teacher}`,
      unlabelled: `the data ${options.unlabelled.join(' and ')}`,
    }
    for (const what of ['data', 'model', 'teacher', 'unlabelled'] as const) {
      const hash = hashes[what]
      if (hash === undefined) continue
      const agreed = await this.#context.store.agree(this.#sweep.id, `${what} ${sources[what].join()}`, hash)
      if (agreed === hash) continue
      throw new MachineTrouble(`${called[what]} is not the same here as on the worker that began the sweep`)
    }
  }

  async #evaluated(step: number, figures: Readonly<Record<string, number | undefined>>): Promise<void> {
    if (step === 0) return
    const { spec } = this.#sweep.plan
    const value = figures[spec.metric]
    if (value === undefined) {
      const known = Object.keys(figures).filter(name => figures[name] !== undefined)
      throw new UserError(`the evaluations have no metric ${spec.metric}, but ${known.join(', ')}`)
    }
    const before = this.#intermediate.filter(evaluation => evaluation.step < step)
    this.#intermediate = [...before, { step, value }]
    await this.#context.store.evaluated(this.#attempt, this.#intermediate)
    // The last one decides nothing: there is no more to save.
    if (!spec.halving || step >= this.#steps) return
    const trials = await this.#context.store.trials(this.#sweep.id)
    if (!shouldPrune(spec, trials, { ...this.#record, intermediate: this.#intermediate })) return
    this.pruned = true
    this.#stop?.()
  }

  /** Begins to store a checkpoint; training goes on meanwhile. */
  async #checkpointed(run: Run, { step }: Position): Promise<void> {
    // One that is still on its way comes first.
    await this.#storing
    if (this.refusal) return
    const staged = await stage(run, step)
    this.#storing = this.#noted(this.#keep(staged, step))
  }

  async #keep({ folder, paths }: Staged, step: number): Promise<void> {
    const { store, depot } = this.#context
    try {
      const known = this.#stored?.files ?? []
      const files: StoredFile[] = []
      for (const path of paths) {
        const digest = await digestOf(join(folder, path))
        const stored = known.find(file => file.digest === digest)
        if (!stored) await depot.put(this.#attempt, digest, join(folder, path))
        files.push({ path, digest, attempt: stored?.attempt ?? this.#attempt.attempt })
      }
      const checkpoint = { step, files }
      await store.checkpointed(this.#attempt, checkpoint, this.#seconds)
      this.#stored = checkpoint
      await depot.keep(this.#attempt, files)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  /** Makes the run's folder as it was at a checkpoint. */
  async #fetch({ files }: StoredCheckpoint): Promise<void> {
    const { folder, depot } = this.#context
    for (const file of files) {
      const path = join(folder, file.path)
      await mkdir(dirname(path), { recursive: true })
      await depot.get(this.#attempt, file, path)
    }
  }
}

/** Files of a checkpoint under names of their own, so that they stay while the run goes on. */
interface Staged {
  readonly folder: string
  readonly paths: readonly string[]
}

async function stage(run: Run, step: number): Promise<Staged> {
  const checkpoints = (await checkpointsOf(run).files(step)).map(path => join('checkpoints', path))
  const folder = run.path(temporaryName('checkpoint'))
  const paths: string[] = []
  for (const path of ['config.json', 'kernels.json', 'metrics.jsonl', ...checkpoints]) {
    const target = join(folder, path)
    await mkdir(dirname(target), { recursive: true })
    if (await linkOrCopy(run.path(path), target, { copy: path === 'metrics.jsonl' })) paths.push(path)
  }
  return { folder, paths }
}

/** The options of a trial's run, into a folder of its own. Throws a UserError. */
export const optionsOf = (plan: Plan, trial: Pick<TrialRecord, 'values' | 'seed'>, out: string): Options =>
  parseOptions([...trialArguments(plan, trial), `--out=${out}`], 'tilegrad')

/** Throws a MachineTrouble if a path among the options leads nowhere. */
async function onThisMachine(options: Options): Promise<void> {
  await checkPaths(options).catch((error: unknown) => {
    throw error instanceof UserError ? new MachineTrouble(error.message) : error
  })
}
