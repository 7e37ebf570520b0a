// Trains any module at a task: what a run is told once, and its phases. The loop itself is `training.ts`. It knows no
// labels, no command line and no files, and prints nothing: whoever runs it listens.
import { type KernelTime, type PlanSummary, UserError } from '../engine/index.ts'
import { defined, needArray, needObjects, needOneOf, needOptions } from '../engine/options.ts'
import { type Module, needModules } from '../models/nn/module.ts'
import type { Parameter } from '../models/nn.ts'
import { AdamW } from './optimizers/adamw.ts'
import { type Optimizer, needOptimizer } from './optimizers/optimizer.ts'
import type { StateEntry, ValueEntry } from './state.ts'
import { type BatchingOptions, rowsOf } from './batches.ts'
import type { Best, CheckpointStore, Position, RunShape } from './checkpoint-store.ts'
import { type Evaluation, evaluate } from './evaluation.ts'
import { FiniteCheck } from './guard.ts'
import type { Namer } from './non-finite.ts'
import { stream } from './random.ts'
import { SCHEDULES, type ScheduleName } from './schedules.ts'
import { type TextSets, batchShapes } from './shapes.ts'
import { EvaluationStep, TrainingSteps } from './steps.ts'
import type { Batch, Encoded, Task } from './task.ts'
import { Training } from './training.ts'

export type { Evaluation } from './evaluation.ts'

export interface TrainerOptions extends BatchingOptions {
  /** Peak learning rate. */
  readonly lr: number
  readonly schedule: ScheduleName
  /** A fraction of all steps below 1, else a count. */
  readonly warmup: number
  readonly weightDecay: number
  readonly epochs: number
  /** Ends the run after so many optimizer steps, in the middle of an epoch if need be; after `epochs` when left out. */
  readonly steps?: number
  /** Batches an optimizer step. */
  readonly accumulate: number
  /** Limit of the gradient's global norm; 0 for none. */
  readonly clip: number
  readonly seed: number
  /**
   * `f16`: what is frozen is stored in f16, and so are activations, therefore. `mixed`: parameters are f32, activations
   * f16. In both the loss is scaled.
   */
  readonly precision: 'f32' | 'f16' | 'mixed'
  /** Makes each layer's activations again in the backward pass instead of keeping them. */
  readonly recompute?: boolean
  /** Id of the padding token. */
  readonly padId: number
  /** Seconds between checkpoints within an epoch, 30 when left out; 0 for one after every step. */
  readonly checkpointEvery?: number
  /** Times every kernel of one early step. */
  readonly profile?: boolean
  /** Steps that may be left out because their loss or gradient is not finite; 0 when left out. */
  readonly skipBadSteps?: number
  /** Steps between evaluations; after each epoch when left out. The last step is always followed by one. */
  readonly evaluateEvery?: number
  /** Ends training after so many evaluations in a row that are not better than the best; never when left out. */
  readonly patience?: number
  /** The figure, or `loss`, that decides the best evaluation; the task's own when left out. */
  readonly bestMetric?: string
  /** How many evaluations' values are kept, the best by that figure; 1 when left out. */
  readonly keepBest?: number
  /** Makes the optimizer; AdamW when left out. Groups with rates of their own follow the schedule, too. */
  readonly optimizer?: (
    parameters: readonly Parameter[],
    settings: { readonly lr: number; readonly weightDecay: number; readonly clip: number },
  ) => Optimizer
}

/** What has no default must be given; `maxLength` and `padId`, too, where examples are texts. */
export type TrainerSettings = Partial<TrainerOptions> & Pick<TrainerOptions, 'batchSize' | 'epochs'>

const DEFAULTS = {
  lr: 1e-3,
  schedule: 'constant',
  warmup: 0,
  weightDecay: 0.01,
  accumulate: 1,
  clip: 0,
  seed: 0,
  precision: 'f32',
  maxLength: 1,
  padId: 0,
} as const

/** All settings by name: of those that are whole numbers the least that they may be. */
const LEAST: Readonly<Record<keyof TrainerOptions, number | undefined>> = {
  batchSize: 1,
  batchTokens: 1,
  maxLength: 1,
  epochs: 0,
  steps: 0,
  accumulate: 1,
  seed: 0,
  skipBadSteps: 0,
  evaluateEvery: 1,
  patience: 1,
  keepBest: 1,
  lr: undefined,
  schedule: undefined,
  warmup: undefined,
  weightDecay: undefined,
  clip: undefined,
  precision: undefined,
  recompute: undefined,
  padId: undefined,
  checkpointEvery: undefined,
  profile: undefined,
  bestMetric: undefined,
  optimizer: undefined,
}
const NAMES = Object.keys(LEAST) as (keyof TrainerOptions)[]

/** The settings of a trainer among other options. */
export function settingsAmong<O extends TrainerSettings>(options: O): TrainerSettings {
  const { batchSize, epochs } = options
  return defined({ batchSize, epochs, ...Object.fromEntries(NAMES.map(name => [name, options[name]])) })
}

/** Throws a UserError on a setting that does not exist, and on counts that are none. */
function checkSettings(settings: TrainerSettings): void {
  needOptions('Trainer', settings, ...NAMES)
  const { batchSize, epochs, schedule = 'constant', precision = 'f32' } = settings
  needOneOf('Trainer', 'schedule', schedule, ...SCHEDULES)
  needOneOf('Trainer', 'precision', precision, 'f32', 'f16', 'mixed')
  for (const [name, value] of Object.entries({ ...settings, batchSize, epochs })) {
    const least = LEAST[name as keyof TrainerOptions]
    const isOptional = value === undefined && name !== 'batchSize' && name !== 'epochs'
    if (least === undefined || isOptional || (Number.isInteger(value) && Number(value) >= least)) continue
    throw new UserError(`Trainer: ${name} is ${String(value)}, but an integer of at least ${least} was expected`)
  }
}

/** Throws a UserError unless these are examples that tasks take. */
function needExamples(op: string, list: readonly unknown[]): void {
  needArray(op, list, 'examples')
  const odd = list.findIndex(each => typeof each !== 'object' || each === null || !('ids' in each))
  if (odd >= 0) throw new UserError(`${op}: example ${odd} has no ids: plainExamples(…) makes examples of anything`)
}

/** What is known of a step whether it was taken or not; the task's sums, such as `accuracy`, are among it by name. */
interface StepFigures {
  readonly step: number
  readonly epoch: number
  readonly lr: number
  /** Texts of this step. */
  readonly examples: number
  /** Recent rates, over some seconds. */
  readonly examples_per_second: number
  readonly tokens_per_second: number
  readonly gpu_bytes: number
}

/** One line of metrics.jsonl for a step. All numbers are finite. */
export interface StepMetrics extends StepFigures {
  readonly [name: string]: number
  readonly loss: number
  readonly grad_norm: number
}

/** One line of metrics.jsonl for a step that changed nothing, with those figures that are finite. */
export interface SkippedStep extends StepFigures {
  readonly [name: string]: number | string | undefined
  /** An overflow that a smaller loss scale avoids next time, or a step that may be skipped. */
  readonly skipped: 'overflow' | 'not finite'
  readonly loss?: number
  readonly grad_norm?: number
}

/** What a trainer reports while it works. */
export interface TrainerEvents {
  onStep?(metrics: StepMetrics): void
  /** In place of `onStep` for a step that changed nothing. */
  onSkippedStep?(step: SkippedStep): void
  onEvaluation?(epoch: number, step: number, evaluation: Evaluation, best: boolean): void | Promise<void>
  onEvaluationProgress?(done: number, total: number): void
  /** The kernels of one step, where the options ask for a profile. */
  onProfile?(
    kernels: readonly KernelTime[],
    batch: { readonly rows: number; readonly tokens: number; readonly sequence: number },
  ): void | Promise<void>
  /** Called before a checkpoint is written: what was told so far must be on disk. */
  onCheckpoint?(position: Position): void
}

/** How training ended; `early` where patience ran out. */
export type Outcome =
  | { readonly kind: 'finished'; readonly best: Best | null; readonly early: boolean }
  | { readonly kind: 'stopped'; readonly position: Position }

export class Trainer<Target = unknown> {
  readonly options: TrainerOptions
  readonly optimizer: Optimizer
  readonly task: Task<Target, never>
  readonly #steps: TrainingSteps
  readonly #evaluation: EvaluationStep
  readonly #parameters: readonly Parameter[]
  /** Running statistics, which steps change, too. */
  readonly #statistics: readonly Parameter[]
  readonly #nameOf: Namer
  readonly #check: FiniteCheck
  #stopping = false

  private constructor(
    options: TrainerOptions,
    model: Module,
    task: Task<Target, never>,
    parameters: readonly Parameter[],
    optimizer: Optimizer,
    steps: TrainingSteps,
  ) {
    // The compiler knows that this is private, JavaScript does not.
    needOptimizer('a trainer is made by Trainer.over(model, task, settings); new Trainer', { optimizer })
    this.options = options
    this.optimizer = optimizer
    this.task = task
    this.#parameters = parameters
    this.#statistics = model.parameters().filter(({ role }) => role === 'statistic')
    this.#steps = steps
    this.#evaluation = new EvaluationStep(model, task, options.precision === 'mixed')
    this.#check = new FiniteCheck(this.state())
    const names = new Set(model.parameters().map(({ name }) => name))
    this.#nameOf = (variable, element) =>
      optimizer.placeOf(variable, element) ?? (names.has(variable) ? { name: variable, element } : undefined)
  }

  /**
   * Takes over the model's trainable parameters (settle tuning first; values that they hold move along). In f16 the
   * frozen weights' dtype is the model's business: `storeFrozenAs`.
   */
  static async over<Target, M extends Module>(
    model: M,
    task: Task<Target, M>,
    settings: TrainerSettings,
  ): Promise<Trainer<Target>> {
    needModules('Trainer', { model })
    needObjects('Trainer', { task })
    checkSettings(settings)
    const options = { ...DEFAULTS, ...defined(settings) }
    const parameters = model.trainable()
    const { lr, weightDecay, clip, seed, accumulate, precision, recompute, skipBadSteps } = options
    const { optimizer: make = (trained, shared) => new AdamW(trained, shared) } = options
    const optimizer = await make(parameters, { lr, weightDecay, clip }).adopt()
    const steps = await TrainingSteps.over(model, task, parameters, optimizer, {
      seed,
      accumulate,
      scaleLoss: precision !== 'f32',
      mixed: precision === 'mixed',
      recompute,
      skipBadSteps,
    })
    return new Trainer(options, model, task, parameters, optimizer, steps)
  }

  /** What one step over batches of this length (in tokens), and of so many windows if any, costs; nothing runs. */
  async plan(sequence: number, windows?: number): Promise<PlanSummary> {
    return this.#steps.prepare(this.#sample(sequence, windows))
  }

  /**
   * Plans what a run over such texts meets, what takes longest first, for as long as `wanted`. Nothing runs but trials
   * of kernels.
   */
  async prepare(texts: TextSets<Target>, wanted: () => boolean): Promise<void> {
    for (const { training, sequence, windows } of wanted() ? batchShapes(texts, this.options) : []) {
      if (!wanted()) return
      const set = training ? texts.train : [...texts.validation, ...texts.test]
      const examples = this.task.needsExamples ? set.slice(0, this.options.batchSize) : []
      await (training ? this.#steps : this.#evaluation).prepare(this.#sample(sequence, windows, examples))
    }
  }

  /** A batch that has the shapes of any; of no examples unless the task needs some. */
  #sample(sequence: number, windows?: number, examples: readonly Encoded<Target>[] = []): Batch {
    const { padId, seed } = this.options
    return this.task.collate(
      examples,
      { batch: rowsOf(sequence, this.options), sequence, windows, padId },
      stream(seed, 'plan'),
    )
  }

  /** Optimizer steps of a whole run over such examples. */
  totalSteps(train: readonly Pick<Encoded<Target>, 'ids' | 'further'>[]): number {
    return Training.stepsOf(train, this.options).reduce((sum, steps) => sum + steps, 0)
  }

  /** What the positions of a run over such examples fit. */
  shapeOf(train: readonly Pick<Encoded<Target>, 'ids' | 'further'>[]): RunShape {
    return Training.shapeOf(train, this.options)
  }

  /** Asks for an end after the step under way, with a checkpoint. */
  stop(): void {
    this.#stopping = true
  }

  get stopping(): boolean {
    return this.#stopping
  }

  /** Everything that a checkpoint keeps. */
  state(): StateEntry[] {
    const statistics = this.#statistics.flatMap(({ name, variable }) => (variable ? [{ name, variable }] : []))
    return [...this.optimizer.state(), ...this.#steps.state(), ...statistics]
  }

  /** The values that training changes alone, by the names of their parameters. */
  values(): ValueEntry[] {
    const changed = [...this.#parameters, ...this.#statistics]
    return changed.map(parameter => ({ name: parameter.name, variable: parameter }))
  }

  /** The parameters that it trains. */
  get parameters(): readonly Parameter[] {
    return this.#parameters
  }

  /**
   * Trains on `train`, evaluating on `validation` (if any) before training, and during it as the options say, and
   * keeping the best values. With `from`, continues from that checkpoint to the same bits. In the end the best values
   * are in place, or without `checkpoints`, which keep them, the last ones.
   *
   * Throws a NonFinite at the first step that is not finite and may not be left out, where an evaluation is not, and
   * where an update left numbers that are not: nothing is kept of what such a step did, and the last checkpoint stands.
   */
  async train(
    train: readonly Encoded<Target>[],
    validation: readonly Encoded<Target>[],
    checkpoints: CheckpointStore | undefined,
    events: TrainerEvents = {},
    from?: Position,
  ): Promise<Outcome> {
    needExamples('train', train)
    needExamples('train', validation)
    const training = new Training(
      this,
      { steps: this.#steps, check: this.#check, nameOf: this.#nameOf },
      train,
      validation,
      checkpoints,
      events,
    )
    return training.run(from)
  }

  /**
   * Loss, figures and outputs on all examples. Throws a NonFinite, which begins with `what`, where one is not finite, and
   * a UserError if there are none.
   */
  async evaluate(
    examples: readonly Encoded<Target>[],
    events: TrainerEvents = {},
    what = 'the evaluation',
  ): Promise<Evaluation> {
    needExamples('evaluate', examples)
    if (examples.length === 0) throw new UserError(`${what}: there are no examples`)
    return evaluate(this.#evaluation, this.task, examples, this.options, {
      what,
      nameOf: this.#nameOf,
      onProgress: (done, total) => events.onEvaluationProgress?.(done, total),
    })
  }
}
