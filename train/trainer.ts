// The training loop: epochs of length-bucketed batches, accumulation, late reading of losses, evaluation, checkpoints, the
// best values kept. It knows no command line and prints nothing: whoever runs it listens.
import { type KernelTime, NonFinite, type PlanSummary, UserError, currentDevice } from '../engine/index.ts'
import type { Tensor } from '../engine/tensor.ts'
import type { SequenceClassifier } from '../models/model.ts'
import type { Parameter } from '../models/nn.ts'
import { AdamW, type StateEntry } from './adamw.ts'
import type { CheckpointStore, Position } from './checkpoint-store.ts'
import { type Batch, type Tokenised, collate, evaluationBatches, makeBatches, padLength } from './batches.ts'
import { type BadNumber, FiniteCheck } from './guard.ts'
import { ConfusionMatrix, predictions } from './metrics/confusion.ts'
import { Mean, Throughput } from './metrics/running.ts'
import { type Namer, badStep, describeCause, figure } from './non-finite.ts'
import { stream } from './random.ts'
import { type ScheduleName, schedule } from './schedules.ts'
import { type TextSets, batchShapes } from './shapes.ts'
import { EvaluationStep, TrainingSteps } from './steps.ts'

export interface TrainerOptions {
  /** Peak learning rate. */
  readonly lr: number
  readonly schedule: ScheduleName
  /** A fraction of all steps below 1, else a count. */
  readonly warmup: number
  readonly weightDecay: number
  readonly epochs: number
  readonly batchSize: number
  /** Batches an optimizer step. */
  readonly accumulate: number
  /** Longest text, in tokens. */
  readonly maxLength: number
  /** Limit of the gradient's global norm; 0 for none. */
  readonly clip: number
  readonly seed: number
  readonly precision: 'f32' | 'f16'
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
}

/** What is known of a step whether it was taken or not. */
interface StepFigures {
  readonly step: number
  readonly epoch: number
  readonly accuracy: number
  readonly lr: number
  readonly examples_per_second: number
  readonly tokens_per_second: number
  readonly gpu_bytes: number
}

/** One line of metrics.jsonl for a step. All numbers are finite. */
export interface StepMetrics extends StepFigures {
  readonly loss: number
  readonly grad_norm: number
}

/** One line of metrics.jsonl for a step that changed nothing, with those figures that are finite. */
export interface SkippedStep extends StepFigures {
  /** An overflow that a smaller loss scale mends, or a step that was allowed to be left out. */
  readonly skipped: 'overflow' | 'not finite'
  readonly loss?: number
  readonly grad_norm?: number
}

export interface Evaluation {
  /** Mean cross-entropy. */
  readonly loss: number
  readonly accuracy: number
  readonly confusion: ConfusionMatrix
  /** Softmax of each example's logits, in the order of the examples. */
  readonly probabilities: readonly (readonly number[])[]
  readonly seconds: number
}

/** What a trainer tells while it works. */
export interface TrainerEvents {
  onStep?(metrics: StepMetrics): void
  /** In place of `onStep` for a step that changed nothing. */
  onSkippedStep?(step: SkippedStep): void
  onEvaluation?(epoch: number, step: number, evaluation: Evaluation, best: boolean): void | Promise<void>
  onEvaluationProgress?(done: number, total: number): void
  /** The kernels of one step, where the options ask for a profile. */
  onProfile?(kernels: readonly KernelTime[], batch: { readonly rows: number, readonly tokens: number, readonly sequence: number }): void | Promise<void>
  /** Called before a checkpoint is written: what was told so far must be on disk. */
  onCheckpoint?(position: Position): void
}

/** How training ended. */
export type Outcome =
  | { readonly kind: 'finished', readonly best: Position['best'] }
  | { readonly kind: 'stopped', readonly position: Position }

const CHECKPOINT_SECONDS = 30
/** How many times its own cost a checkpoint must be apart from the next, so that writing them takes no more than 5 %. */
const CHECKPOINT_COST_RATIO = 20
/** Steps whose figures are not read yet. */
const READ_LAG = 3
/** Which step of a call to `train` is profiled: late enough for drivers to have compiled, early enough for any run. */
const PROFILED_STEP = 3

interface Pending {
  readonly parts: readonly Tensor[]
  readonly norm: Tensor
  readonly left: Tensor
  readonly batches: readonly Batch[]
  /** Number of the first batch, for dropout. */
  readonly micro: number
  /** Number of the step in AdamW's count. */
  readonly t: number
  readonly step: number
  readonly epoch: number
  readonly lr: number
}

export class Trainer {
  readonly options: TrainerOptions
  readonly optimizer: AdamW
  readonly #steps: TrainingSteps
  readonly #evaluation: EvaluationStep
  readonly #parameters: readonly Parameter[]
  readonly #nameOf: Namer
  readonly #check: FiniteCheck
  #stopping = false

  private constructor(
    options: TrainerOptions, model: SequenceClassifier, parameters: readonly Parameter[], optimizer: AdamW, steps: TrainingSteps,
  ) {
    this.options = options
    this.optimizer = optimizer
    this.#parameters = parameters
    this.#steps = steps
    this.#evaluation = new EvaluationStep(model)
    this.#check = new FiniteCheck(this.state())
    const names = new Set(model.parameters().map(({ name }) => name))
    this.#nameOf = (variable, element) => optimizer.placeOf(variable, element) ?? (names.has(variable) ? { name: variable, element } : undefined)
  }

  /**
   * Takes over the model's trainable parameters (settle tuning first; values that they hold move along). In f16 the
   * frozen weights' dtype is the model's business: `storeFrozenAs`.
   */
  static async over(model: SequenceClassifier, options: TrainerOptions): Promise<Trainer> {
    const device = await currentDevice()
    const parameters = model.trainable()
    const { weightDecay, clip, seed, accumulate, precision, recompute, skipBadSteps } = options
    const optimizer = await AdamW.over(parameters, { weightDecay, clip, maxArenaBytes: device.gpu.limits.maxStorageBufferBindingSize })
    const steps = await TrainingSteps.over(model, parameters, optimizer, { seed, accumulate, scaleLoss: precision === 'f16', recompute, skipBadSteps })
    return new Trainer(options, model, parameters, optimizer, steps)
  }

  /** What one step over batches of this length (in tokens) costs; nothing runs. */
  async plan(sequence: number): Promise<PlanSummary> {
    const { batchSize, padId } = this.options
    return this.#steps.prepare(collate([], [], { padId, sequence, batchSize }))
  }

  /** Plans what a run over such texts meets, what takes longest first, for as long as `wanted`. Nothing runs but trials of kernels. */
  async prepare(texts: TextSets, wanted: () => boolean): Promise<void> {
    const { batchSize, padId } = this.options
    for (const { training, sequence } of wanted() ? batchShapes(texts, this.options) : []) {
      if (!wanted()) return
      await (training ? this.#steps : this.#evaluation).prepare(collate([], [], { padId, sequence, batchSize }))
    }
  }

  /** Optimizer steps in an epoch of so many examples. */
  stepsPerEpoch(examples: number): number {
    return Math.ceil(Math.ceil(examples / this.options.batchSize) / this.options.accumulate)
  }

  /** Asks for an end after the step under way, with a checkpoint. */
  stop(): void {
    this.#stopping = true
  }

  /** Everything that a checkpoint keeps. */
  state(): StateEntry[] {
    return [...this.optimizer.state(), ...this.#steps.state()]
  }

  /** The trained values alone. */
  values(): StateEntry[] {
    return this.optimizer.state().filter(({ name }) => name.endsWith('.values'))
  }

  /** The parameters that it trains. */
  get parameters(): readonly Parameter[] {
    return this.#parameters
  }

  /**
   * Trains on `train`, evaluating on `validation` (if any) before and after each epoch and keeping the best values. With `from`, goes
   * on from that checkpoint to the same bits. In the end the best values are in place, or without `checkpoints`, which keep
   * them, the last ones.
   *
   * Throws a NonFinite at the first step that is not finite and may not be left out, where an evaluation is not, and where
   * an update left numbers that are not: nothing is kept of what such a step did, and the last checkpoint stands.
   */
  async train(
    train: readonly Tokenised[], validation: readonly Tokenised[], checkpoints: CheckpointStore | undefined,
    events: TrainerEvents = {}, from?: Position,
  ): Promise<Outcome> {
    const { batchSize, accumulate, epochs, seed, padId, maxLength, checkpointEvery = CHECKPOINT_SECONDS, skipBadSteps = 0 } = this.options
    const device = await currentDevice()
    const lengths = train.map(text => text.ids.length)
    const perEpoch = this.stepsPerEpoch(train.length)
    const total = perEpoch * epochs
    const factor = schedule(this.options.schedule, { warmup: this.options.warmup, steps: total })
    let position: Position = from ?? { step: 0, epoch: 0, stepInEpoch: 0, batches: 0, best: null }
    if (from) {
      await checkpoints?.load(from, this.state())
      const bad = await this.#check.first()
      if (bad) throw new UserError(`the checkpoint of step ${from.step} is damaged: ${this.#described(bad)}`)
    }
    const before = position.step
    const skippedBefore = position.skipped ?? 0
    let left = Math.max(0, skipBadSteps - skippedBefore)
    await this.#steps.begin(left, before - skippedBefore)
    let last: { step: number, loss: number, norm: number, lr: number } | undefined
    const speed = new Throughput()
    const pending: Pending[] = []
    let lastCheckpoint = performance.now()
    let checkpointCost = 0

    const drain = async (leave: number): Promise<void> => {
      while (pending.length > leave) {
        const done = pending.shift()
        if (!done) return
        const told = await Promise.all(done.parts.map(part => part.data()))
        const norm = await done.norm.item()
        const loss = told.reduce((sum, [part]) => sum + part, 0)
        const { step, epoch, lr, batches, micro, t } = done
        const rows = batches.reduce((sum, batch) => sum + batch.rows, 0)
        speed.add(rows, batches.reduce((sum, batch) => sum + batch.tokens, 0))
        const { examplesPerSecond, tokensPerSecond } = speed.recent
        const accuracy = told.reduce((sum, [, right]) => sum + right, 0) / rows
        const speeds = { examples_per_second: examplesPerSecond, tokens_per_second: tokensPerSecond, gpu_bytes: device.buffers.bytes }
        // As the GPU judges, which sums losses in f32.
        if (Number.isFinite(Math.fround(loss)) && Number.isFinite(norm)) {
          events.onStep?.({ step, epoch, loss, accuracy, lr, grad_norm: norm, ...speeds })
          last = { step, loss, norm, lr }
          continue
        }
        const leftAfter = await done.left.item()
        const isBad = leftAfter < left
        left = leftAfter
        const skipped = position.skipped ?? 0
        if (left < 0) {
          const cause = describeCause(await this.#steps.diagnose(batches, micro, t, lr), this.#nameOf)
          throw badStep({ step, loss, norm, lr, lossScale: await this.#steps.lossScale(), skipped }, cause)
        }
        if (isBad) position = { ...position, skipped: skipped + 1 }
        const skippedFor = isBad ? 'not finite' : 'overflow'
        const known = { ...(Number.isFinite(loss) && { loss }), ...(Number.isFinite(norm) && { grad_norm: norm }) }
        events.onSkippedStep?.({ step, epoch, skipped: skippedFor, accuracy, lr, ...known, ...speeds })
      }
    }
    // An update can overflow though its step was finite: the next step would show it, and there may be none.
    const settle = async (): Promise<void> => {
      await drain(0)
      const bad = await this.#check.first()
      if (!bad) return
      if (!last) throw new UserError(`the weights are not finite before any step: ${this.#described(bad)}`)
      const { step, loss, norm, lr } = last
      throw badStep({ step, loss, norm, lr, lossScale: undefined, skipped: position.skipped ?? 0 },
        `its update overflowed (adamw): ${this.#described(bad)}`)
    }
    const checkpoint = async (): Promise<void> => {
      await settle()
      if (!checkpoints) return
      const start = performance.now()
      events.onCheckpoint?.(position)
      await checkpoints.save(position, this.state())
      lastCheckpoint = performance.now()
      checkpointCost = lastCheckpoint - start
    }

    if (!from) {
      if (validation.length > 0) {
        await events.onEvaluation?.(0, 0, await this.evaluate(validation, events, 'validation before training'), false)
      }
      await checkpoint()
    }
    while (position.epoch < epochs) {
      const epoch = position.epoch
      const batches = makeBatches(lengths, batchSize, stream(seed, `epoch ${epoch}`))
      while (position.stepInEpoch < perEpoch) {
        if (this.#stopping) {
          await checkpoint()
          return { kind: 'stopped', position }
        }
        const chosen = batches.slice(position.stepInEpoch * accumulate, (position.stepInEpoch + 1) * accumulate).map(indices => {
          const longest = Math.max(...indices.map(i => lengths[i]))
          return collate(train, indices, { padId, sequence: padLength(longest, maxLength), batchSize })
        })
        const lr = this.options.lr * factor(position.step)
        const profiles = this.options.profile && position.step === Math.min(before + PROFILED_STEP, total) - 1
        const step = profiles ? this.#steps.profile : this.#steps.run
        const micro = position.batches
        const t = position.step + 1 - skippedBefore
        const { parts, norm, left, kernels } = await step.call(this.#steps, chosen, micro, t, lr)
        if (kernels) await events.onProfile?.(kernels, chosen[0])
        position = {
          ...position, step: position.step + 1, stepInEpoch: position.stepInEpoch + 1, batches: position.batches + chosen.length,
        }
        pending.push({ parts, norm, left, batches: chosen, micro, t, step: position.step, epoch: epoch + 1, lr })
        await drain(READ_LAG)
        // Not at an epoch's end: its evaluation comes first, so that a resumed run does not tell of it twice.
        if (position.stepInEpoch === perEpoch) break
        const apart = checkpointEvery === 0 ? 0 : Math.max(checkpointEvery * 1000, CHECKPOINT_COST_RATIO * checkpointCost)
        if (performance.now() - lastCheckpoint >= apart) await checkpoint()
      }
      await settle()
      position = { ...position, epoch: epoch + 1, stepInEpoch: 0 }
      if (validation.length > 0) {
        const evaluation = await this.evaluate(validation, events, `validation after step ${position.step}`)
        const { accuracy, loss } = evaluation
        const { best } = position
        const better = !best || accuracy > best.accuracy || (accuracy === best.accuracy && loss < best.loss)
        if (better) {
          position = { ...position, best: { epoch: epoch + 1, accuracy, loss } }
          await checkpoints?.saveBest(this.values())
        }
        await events.onEvaluation?.(epoch + 1, position.step, evaluation, better)
      }
      await checkpoint()
    }
    if (this.#stopping) return { kind: 'stopped', position }
    if (position.best && position.best.epoch !== epochs) await checkpoints?.loadBest(this.values())
    return { kind: 'finished', best: position.best }
  }

  /** `bert.pooler.dense.weight is NaN in element 7`. */
  #described({ variable, element, value }: BadNumber): string {
    const place = this.#nameOf(variable, element) ?? { name: variable, element }
    const moment = /\.([mv])$/.exec(variable)
    return `${place.name}${moment ? ` (moment ${moment[1]})` : ''} is ${figure(value)} in element ${place.element}`
  }

  /**
   * Loss, accuracy and probabilities on all examples, without dropout. Throws a NonFinite, which begins with `what`, where an
   * example's loss or logits are not finite.
   */
  async evaluate(examples: readonly Tokenised[], events: TrainerEvents = {}, what = 'the evaluation'): Promise<Evaluation> {
    const { batchSize, padId, maxLength } = this.options
    const start = performance.now()
    const lengths = examples.map(text => text.ids.length)
    const loss = new Mean()
    const probabilities: number[][] = new Array(examples.length)
    const waiting: { indices: number[], batch: Batch, losses: Tensor, logits: Tensor }[] = []
    let classes = 2
    let done = 0
    const drain = async (leave: number): Promise<void> => {
      while (waiting.length > leave) {
        const next = waiting.shift()
        if (!next) return
        const [losses, logits] = [await next.losses.data(), await next.logits.data()]
        classes = next.logits.shape[1]
        for (const [row, index] of next.indices.entries()) {
          const scores = Array.from(logits.subarray(row * classes, (row + 1) * classes))
          if (![losses[row], ...scores].every(Number.isFinite)) {
            const cause = describeCause(await this.#evaluation.diagnose(next.batch), this.#nameOf)
            throw new NonFinite(`${what} is not finite: example ${index + 1} of ${examples.length} has loss ${figure(losses[row])} `
              + `and logits ${scores.slice(0, 4).map(figure).join(', ')}${classes > 4 ? ', …' : ''}; ${cause}`)
          }
          loss.add(losses[row])
          probabilities[index] = softmax(scores)
        }
        done += next.indices.length
        events.onEvaluationProgress?.(done, examples.length)
      }
    }
    for (const indices of evaluationBatches(lengths, batchSize)) {
      const sequence = padLength(Math.max(...indices.map(i => lengths[i])), maxLength)
      const batch = collate(examples, indices, { padId, sequence, batchSize })
      const { losses, logits } = await this.#evaluation.run(batch)
      waiting.push({ indices, batch, losses, logits })
      await drain(READ_LAG)
    }
    await drain(0)
    const confusion = new ConfusionMatrix(classes)
    confusion.add(examples.map(text => text.label), predictions(probabilities.flat(), classes))
    return { loss: loss.value, accuracy: confusion.accuracy, confusion, probabilities, seconds: (performance.now() - start) / 1000 }
  }
}

function softmax(logits: readonly number[]): number[] {
  const most = Math.max(...logits)
  const powers = logits.map(x => Math.exp(x - most))
  const sum = powers.reduce((a, b) => a + b, 0)
  return powers.map(p => p / sum)
}
