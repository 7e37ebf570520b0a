// One run of a trainer, phase by phase: begin, epochs of steps, evaluations, checkpoints, end. Figures of a step are
// read some steps late, so that the GPU never waits for the host.
import { type Tensor, UserError, currentDevice } from '../engine/index.ts'
import { batchSizeFor, lengthOf, makeBatches, rowsFor } from './batches.ts'
import type { Best, CheckpointStore, Position, RunShape } from './checkpoint-store.ts'
import type { Evaluation } from './evaluation.ts'
import type { BadNumber, FiniteCheck } from './guard.ts'
import { Throughput } from './metrics/running.ts'
import { type Namer, badStep, describeCause, figure } from './non-finite.ts'
import { stream } from './random.ts'
import { schedule } from './schedules.ts'
import type { TrainingSteps } from './steps.ts'
import type { Batch, Encoded } from './task.ts'
import type { Outcome, Trainer, TrainerEvents, TrainerOptions } from './trainer.ts'

const CHECKPOINT_SECONDS = 30
/**
 * How many times its own cost a checkpoint must be apart from the next, so that writing them takes no more than 5 %.
 */
const CHECKPOINT_COST_RATIO = 20
/** Steps whose figures are not read yet. */
const READ_LAG = 3
/** Which step of a run is profiled: late enough for drivers to have compiled, early enough for any run. */
const PROFILED_STEP = 3

/** A step whose figures are not read yet. */
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

/** What a trainer lends to a run. */
interface Parts {
  readonly steps: TrainingSteps
  readonly check: FiniteCheck
  readonly nameOf: Namer
}

export class Training<Target> {
  readonly #trainer: Trainer<Target>
  readonly #parts: Parts
  readonly #train: readonly Encoded<Target>[]
  readonly #validation: readonly Encoded<Target>[]
  readonly #checkpoints: CheckpointStore | undefined
  readonly #events: TrainerEvents
  readonly #lengths: readonly number[]
  readonly #speed = new Throughput()
  readonly #pending: Pending[] = []
  #position: Position = { step: 0, epoch: 0, stepInEpoch: 0, batches: 0, best: null }
  /** Where this run began: steps done and steps left out before. */
  #before = { step: 0, skipped: 0 }
  /** Bad steps that may still be left out. */
  #left = 0
  /** The last step whose figures were finite. */
  #last: { step: number; loss: number; norm: number; lr: number } | undefined
  #lastCheckpoint = performance.now()
  #checkpointCost = 0

  constructor(
    trainer: Trainer<Target>,
    parts: Parts,
    train: readonly Encoded<Target>[],
    validation: readonly Encoded<Target>[],
    checkpoints: CheckpointStore | undefined,
    events: TrainerEvents,
  ) {
    this.#trainer = trainer
    this.#parts = parts
    this.#train = train
    this.#validation = validation
    this.#checkpoints = checkpoints
    this.#events = events
    this.#lengths = train.map(text => lengthOf(text, trainer.options.maxLength))
  }

  /** Batches of each epoch, and how many make a step. Fewer in the last where `steps` ends the run within it. */
  static shapeOf(train: readonly Pick<Encoded<unknown>, 'ids' | 'further'>[], options: TrainerOptions): RunShape {
    const lengths = train.map(text => lengthOf(text, options.maxLength))
    const { epochs, steps = Infinity, accumulate, batchSize, batchTokens } = options
    const batches: number[] = []
    for (
      let left = steps;
      batches.length < epochs && left > 0;
      left -= Math.ceil(batches[batches.length - 1] / accumulate)
    ) {
      const all =
        batchTokens === undefined
          ? Math.ceil(lengths.length / batchSize)
          : batchesOf(batches.length, lengths, options).length
      batches.push(Math.min(all, left * accumulate))
    }
    return { batches, accumulate }
  }

  /** Optimizer steps of each epoch: not always the same where batches are made by tokens. */
  static stepsOf(train: readonly Pick<Encoded<unknown>, 'ids' | 'further'>[], options: TrainerOptions): number[] {
    const { batches, accumulate } = Training.shapeOf(train, options)
    return batches.map(count => Math.ceil(count / accumulate))
  }

  async run(from: Position | undefined): Promise<Outcome> {
    const { options } = this.#trainer
    const perEpoch = Training.stepsOf(this.#train, options)
    const total = perEpoch.reduce((sum, steps) => sum + steps, 0)
    if (this.#train.length === 0) throw new UserError('there are no examples to train on')
    const factor = schedule(options.schedule, { warmup: options.warmup, steps: total })
    await this.#begin(from)
    while (this.#position.epoch < perEpoch.length) {
      if (this.#patienceIsOut()) return this.#end(true)
      const stopped = await this.#epoch(perEpoch[this.#position.epoch], total, factor)
      if (stopped) return stopped
    }
    if (this.#trainer.stopping) return { kind: 'stopped', position: this.#position }
    return this.#end(false)
  }

  /** Restores a checkpoint, or evaluates what there is before any step and writes the first one. */
  async #begin(from: Position | undefined): Promise<void> {
    const { check, steps } = this.#parts
    if (from) {
      await this.#checkpoints?.load(from, this.#trainer.state())
      const bad = await check.first()
      if (bad) throw new UserError(`the checkpoint of step ${from.step} is damaged: ${this.#described(bad)}`)
      this.#position = from
    }
    this.#before = { step: this.#position.step, skipped: this.#position.skipped ?? 0 }
    this.#left = Math.max(0, (this.#trainer.options.skipBadSteps ?? 0) - this.#before.skipped)
    await steps.begin(this.#left, this.#before.step - this.#before.skipped)
    if (from) return
    if (this.#validation.length > 0) {
      const evaluation = await this.#trainer.evaluate(this.#validation, this.#events, 'validation before training')
      // Throws now, not after the first epoch, if no figure has that name.
      this.#scoreOf(evaluation)
      await this.#events.onEvaluation?.(0, 0, evaluation, false)
    }
    await this.#checkpoint()
  }

  /** The steps that are left of an epoch. Gives an outcome where training ends within it. */
  async #epoch(perEpoch: number, total: number, factor: (step: number) => number): Promise<Outcome | undefined> {
    const { options } = this.#trainer
    const batches = batchesOf(this.#position.epoch, this.#lengths, options)
    while (this.#position.stepInEpoch < perEpoch) {
      if (this.#trainer.stopping) {
        await this.#checkpoint()
        return { kind: 'stopped', position: this.#position }
      }
      const first = this.#position.stepInEpoch * options.accumulate
      await this.#step(
        batches.slice(first, first + options.accumulate),
        options.lr * factor(this.#position.step),
        total,
      )
      // Not at an epoch's end: its evaluation comes first, so that a resumed run does not tell of it twice.
      if (this.#position.stepInEpoch === perEpoch) break
      if (options.evaluateEvery !== undefined && this.#position.step % options.evaluateEvery === 0) {
        await this.#evaluate()
        if (this.#patienceIsOut()) return this.#end(true)
      } else if (this.#isCheckpointDue()) await this.#checkpoint()
    }
    this.#position = { ...this.#position, epoch: this.#position.epoch + 1, stepInEpoch: 0 }
    const { step } = this.#position
    if (options.evaluateEvery === undefined || step % options.evaluateEvery === 0 || step === total)
      await this.#evaluate()
    else await this.#checkpoint()
    return undefined
  }

  /** One optimizer step over some batches. */
  async #step(chosen: readonly (readonly number[])[], lr: number, total: number): Promise<void> {
    const { steps } = this.#parts
    const { options, task } = this.#trainer
    const { step, epoch, batches: micro } = this.#position
    const batches = chosen.map((indices, i) => {
      const size = {
        ...batchSizeFor(
          indices.map(index => this.#lengths[index]),
          options,
        ),
        padId: options.padId,
      }
      return task.collate(
        indices.map(index => this.#train[index]),
        size,
        stream(options.seed, `batch ${micro + i}`),
      )
    })
    const profiles = options.profile && step === Math.min(this.#before.step + PROFILED_STEP, total) - 1
    const run = profiles ? steps.profile : steps.run
    const t = step + 1 - this.#before.skipped
    const { parts, norm, left, kernels } = await run.call(steps, batches, micro, t, lr)
    if (kernels) await this.#events.onProfile?.(kernels, batches[0])
    this.#position = {
      ...this.#position,
      step: step + 1,
      stepInEpoch: this.#position.stepInEpoch + 1,
      batches: micro + batches.length,
    }
    this.#pending.push({ parts, norm, left, batches, micro, t, step: step + 1, epoch: epoch + 1, lr })
    await this.#drain(READ_LAG)
  }

  /** Reads the figures of all but the last `leave` steps. */
  async #drain(leave: number): Promise<void> {
    while (this.#pending.length > leave) {
      const [done] = this.#pending.splice(0, 1)
      await this.#tell(done)
    }
  }

  /** Tells of a step, or ends the run where it is not finite and may not be left out. */
  async #tell({
    parts,
    norm: normTensor,
    left: leftTensor,
    step,
    epoch,
    lr,
    batches,
    micro,
    t,
  }: Pending): Promise<void> {
    const told = await Promise.all(parts.map(part => part.data()))
    const norm = await normTensor.item()
    const sum = (place: number): number => told.reduce((total, part) => total + part[place], 0)
    const loss = sum(0)
    const countOf = (name: string): number =>
      batches.reduce((total, { counts, count }) => total + (counts?.[name] ?? count), 0)
    const examples = batches.reduce((total, batch) => total + batch.rows, 0)
    this.#speed.add(
      examples,
      batches.reduce((total, batch) => total + batch.tokens, 0),
    )
    const { examplesPerSecond, tokensPerSecond } = this.#speed.recent
    const { buffers } = await currentDevice()
    const sums = Object.fromEntries(
      this.#trainer.task.sums.map((name, i) => [name, countOf(name) > 0 ? sum(i + 1) / countOf(name) : 0]),
    )
    const rates = {
      examples,
      examples_per_second: examplesPerSecond,
      tokens_per_second: tokensPerSecond,
      gpu_bytes: buffers.bytes,
    }
    // As the GPU judges, which sums losses in f32.
    if (Number.isFinite(Math.fround(loss)) && Number.isFinite(norm)) {
      this.#events.onStep?.({ step, epoch, loss, ...sums, lr, grad_norm: norm, ...rates })
      this.#last = { step, loss, norm, lr }
      return
    }
    const leftAfter = await leftTensor.item()
    const isBad = leftAfter < this.#left
    this.#left = leftAfter
    const skipped = this.#position.skipped ?? 0
    if (this.#left < 0) {
      const { steps, nameOf } = this.#parts
      const cause = describeCause(await steps.diagnose(batches, micro, t, lr), nameOf)
      throw badStep({ step, loss, norm, lr, lossScale: await steps.lossScale(), skipped }, cause)
    }
    if (isBad) this.#position = { ...this.#position, skipped: skipped + 1 }
    this.#events.onSkippedStep?.({
      step,
      epoch,
      skipped: isBad ? 'not finite' : 'overflow',
      ...Object.fromEntries(Object.entries(sums).filter(([, value]) => Number.isFinite(value))),
      lr,
      ...(Number.isFinite(loss) && { loss }),
      ...(Number.isFinite(norm) && { grad_norm: norm }),
      ...rates,
    })
  }

  /**
   * Reads all figures and looks at the state itself: an update can overflow though its step was finite. The next step
   * would show it, and there may be none.
   */
  async #settle(): Promise<void> {
    await this.#drain(0)
    const bad = await this.#parts.check.first()
    if (!bad) return
    if (!this.#last) throw new UserError(`the weights are not finite before any step: ${this.#described(bad)}`)
    throw badStep(
      { ...this.#last, lossScale: undefined, skipped: this.#position.skipped ?? 0 },
      `its update overflowed (adamw): ${this.#described(bad)}`,
    )
  }

  /** Evaluates, keeps the values where they are the best so far, and writes a checkpoint. */
  async #evaluate(): Promise<void> {
    await this.#settle()
    if (this.#validation.length > 0) {
      const { step, epoch, stepInEpoch } = this.#position
      const evaluation = await this.#trainer.evaluate(this.#validation, this.#events, `validation after step ${step}`)
      const begun = epoch + (stepInEpoch > 0 ? 1 : 0)
      const score = this.#scoreOf(evaluation)
      const place =
        score === undefined ? undefined : await this.#rank({ step, epoch: begun, score, loss: evaluation.loss })
      this.#position = { ...this.#position, stale: place === 0 ? 0 : (this.#position.stale ?? 0) + 1 }
      await this.#events.onEvaluation?.(begun, step, evaluation, place === 0)
    }
    await this.#checkpoint()
  }

  /** Keeps the values where their evaluation is among the best. Gives its place, 0 for the best. */
  async #rank(evaluated: Best): Promise<number> {
    const { best, runnersUp = [] } = this.#position
    const { keepBest: most = 1 } = this.#trainer.options
    const kept = best ? [best, ...runnersUp] : []
    const worse = kept.findIndex(other => this.#isBetter(evaluated, other))
    const place = worse === -1 ? kept.length : worse
    if (place < most) {
      const [first, ...others] = kept.toSpliced(place, 0, evaluated).slice(0, most)
      this.#position = { ...this.#position, best: first, ...(others.length > 0 && { runnersUp: others }) }
      await this.#checkpoints?.saveBest(this.#trainer.values(), { place, most })
    }
    return place
  }

  /** What decides the best evaluation. Throws a UserError if there is no figure of that name. */
  #scoreOf({ loss, figures }: Evaluation): number | undefined {
    const { options, task } = this.#trainer
    const metric = options.bestMetric ?? task.bestMetric
    if (metric !== 'loss' && !(metric in figures)) {
      const names = ['loss', ...Object.keys(figures)].join(', ')
      throw new UserError(`the best evaluation is chosen by ${metric}, but an evaluation has only ${names}`)
    }
    return metric === 'loss' ? loss : figures[metric]
  }

  /** A better score; of equal ones the smaller loss. */
  #isBetter({ score, loss }: Best, other: Best): boolean {
    const { options, task } = this.#trainer
    if (score === other.score) return loss < other.loss
    const metric = options.bestMetric ?? task.bestMetric
    const lessIsBetter = metric === 'loss' || task.lessIsBetter?.includes(metric)
    return lessIsBetter ? score < other.score : score > other.score
  }

  #patienceIsOut(): boolean {
    const { patience } = this.#trainer.options
    return patience !== undefined && (this.#position.stale ?? 0) >= patience
  }

  #isCheckpointDue(): boolean {
    const { checkpointEvery = CHECKPOINT_SECONDS } = this.#trainer.options
    const apart =
      checkpointEvery === 0 ? 0 : Math.max(checkpointEvery * 1000, CHECKPOINT_COST_RATIO * this.#checkpointCost)
    return performance.now() - this.#lastCheckpoint >= apart
  }

  async #checkpoint(): Promise<void> {
    await this.#settle()
    if (!this.#checkpoints) return
    const start = performance.now()
    this.#events.onCheckpoint?.(this.#position)
    await this.#checkpoints.save(this.#position, this.#trainer.state())
    this.#lastCheckpoint = performance.now()
    this.#checkpointCost = this.#lastCheckpoint - start
  }

  async #end(early: boolean): Promise<Outcome> {
    const { best, step } = this.#position
    if (best && best.step !== step) await this.#checkpoints?.loadBest(this.#trainer.values())
    return { kind: 'finished', best, early }
  }

  /** `bert.pooler.dense.weight is NaN in element 7`. */
  #described({ variable, element, value }: BadNumber): string {
    const place = this.#parts.nameOf(variable, element) ?? { name: variable, element }
    const moment = /\.([mv])$/.exec(variable)
    return `${place.name}${moment ? ` (moment ${moment[1]})` : ''} is ${figure(value)} in element ${place.element}`
  }
}

/** The batches of an epoch, as indices of the examples. */
function batchesOf(epoch: number, lengths: readonly number[], options: TrainerOptions): number[][] {
  return makeBatches(lengths, rowsFor(options), stream(options.seed, `epoch ${epoch}`))
}
