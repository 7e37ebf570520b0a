// The compiled functions of training and evaluation: one replayed plan per batch shape.
import {
  type KernelTime,
  type NonFiniteCause,
  type PlanSummary,
  type Variable,
  compile,
  concat,
  grad,
  scalar,
  tensor,
  variable,
} from '../engine/index.ts'
import type { Tensor } from '../engine/tensor.ts'
import { meanOf } from '../models/losses.ts'
import { Model } from '../models/model.ts'
import { type Module, type Parameter, forwardContext, inContext } from '../models/nn.ts'
import type { Optimizer } from './optimizers/optimizer.ts'
import type { StateEntry } from './state.ts'
import { StepGuard } from './guard.ts'
import type { Batch, Forward, HostArray, Task, TaskInputs } from './task.ts'

/** Batches have one of a few sizes already. */
const MANY_SHAPES = { traces: Infinity }

/** What a compiled function takes of a batch; `types` is there for models without segments too, and not read. */
type BatchTensors = { readonly [Name in 'ids' | 'mask' | 'types']: Tensor } & {
  readonly pooling?: Tensor
  readonly arrays: Readonly<Record<string, Tensor>>
}

function tensorsOf(batch: Batch): BatchTensors {
  const shape = [batch.windows, batch.sequence]
  const tensorOf = ({ data, shape }: HostArray): Tensor => tensor(data, [...shape])
  return {
    ids: tensor(batch.ids, shape),
    mask: tensor(batch.mask, shape),
    types: tensor(batch.typeIds, shape),
    ...(batch.pooling && { pooling: tensorOf(batch.pooling) }),
    arrays: {
      ...Object.fromEntries(Object.entries(batch.arrays).map(([name, array]) => [name, tensorOf(array)])),
      ...batch.tensors,
    },
  }
}

const inputsOf = (model: Module, { types, ...batch }: BatchTensors): TaskInputs => ({
  ...batch,
  types: model instanceof Model && model.config.typeVocab > 0 ? types : undefined,
})

/**
 * Dynamic loss scaling (Micikevicius et al. 2018): halved on an overflow, doubled after so many good steps in a row.
 */
export const LOSS_SCALE = { initial: 2 ** 15, most: 2 ** 24, least: 1, growthInterval: 200 } as const

/** The loss scale, kept on the GPU so that no step waits for the host to look at it. */
export class LossScaler {
  readonly scale: Variable = variable({ shape: [], dtype: 'f32' }, 'loss_scale')
  /** Steps since the scale changed. */
  readonly good: Variable = variable({ shape: [], dtype: 'f32' }, 'loss_scale.good_steps')
  /** Steps that were not skipped: AdamW's bias correction counts no others, as with torch.amp. */
  readonly taken: Variable = variable({ shape: [], dtype: 'f32' }, 'loss_scale.taken_steps')

  async initialise(): Promise<void> {
    await this.scale.write(Float32Array.of(LOSS_SCALE.initial))
  }

  /** Whether a smaller scale is left to try, u32 []. */
  get canShrink(): Tensor {
    return this.scale.tensor.greater(LOSS_SCALE.least)
  }

  /** After a step whose gradient had this norm; nothing changes where `counts` (u32 []) is 0. */
  update(norm: Tensor, counts: Tensor = scalar(1, 'u32')): void {
    const { most, least, growthInterval } = LOSS_SCALE
    const finite = norm.isFinite()
    const good = this.good.tensor.add(1)
    const grown = good.greaterEqual(growthInterval)
    const scale = finite.where(
      grown.where(this.scale.tensor.mul(2).minimum(most), this.scale.tensor),
      this.scale.tensor.mul(0.5).maximum(least),
    )
    this.scale.assign(counts.where(scale, this.scale.tensor))
    this.good.assign(counts.where(finite.where(grown.where(0, good), 0), this.good.tensor))
    this.taken.assign(this.taken.tensor.add(counts.where(finite.where(1, 0), 0)))
  }
}

/**
 * What a step reports, read late: for each batch its share of the loss and the task's sums, f32 [1 + sums]; and the
 * gradient's norm.
 */
export interface StepResult {
  readonly parts: readonly Tensor[]
  readonly norm: Tensor
  /**
   * Bad steps that may still be left out, f32 []: less than before where this was one, −1 where it was one too many.
   */
  readonly left: Tensor
  /** Every dispatch, where the step was profiled. */
  readonly kernels?: readonly KernelTime[]
}

export interface StepOptions {
  readonly seed: number
  /** Batches an optimizer step. */
  readonly accumulate: number
  /** Scales the loss dynamically: for f16 activations. */
  readonly scaleLoss: boolean
  /** As in `ForwardContext`. */
  readonly mixed?: boolean
  /** Makes each layer's activations again in the backward pass instead of keeping them. */
  readonly recompute?: boolean
  /** Steps that may be left out because their loss or gradient is not finite; 0 when left out. */
  readonly skipBadSteps?: number
}

/** One optimizer step at a time. Everything that changes from step to step is an input. */
export class TrainingSteps {
  readonly #options: StepOptions
  readonly #optimizer: Optimizer
  readonly #scaler: LossScaler | undefined
  readonly #guard = new StepGuard()
  readonly #sums: readonly Variable[]
  /** The loss of the batches so far, where several make a step. */
  readonly #loss: Variable = variable({ shape: [], dtype: 'f32' }, 'loss')
  readonly #whole
  readonly #part
  readonly #finish

  private constructor(
    model: Module,
    task: Task<never, Module>,
    parameters: readonly Parameter[],
    optimizer: Optimizer,
    options: StepOptions,
  ) {
    this.#options = options
    this.#optimizer = optimizer
    const scaler = options.scaleLoss ? new LossScaler() : undefined
    this.#scaler = scaler
    this.#sums = options.accumulate > 1 ? optimizer.accumulators() : []
    const lossScale = (): Tensor => scaler?.scale.tensor ?? scalar(1)

    const gradients = (
      batch: BatchTensors,
      step: Tensor,
      weight: Tensor,
    ): { flat: Tensor[]; loss: Tensor; told: Tensor } => {
      const layers: Tensor[] = []
      const context = forwardContext({
        training: true,
        seed: options.seed,
        step,
        mixed: options.mixed,
        onLayer: hidden => {
          layers.push(hidden)
        },
      })
      const { losses, sums } = inContext(context, () => task.forward(model, inputsOf(model, batch), context))
      const weighted = meanOf(losses).mul(weight)
      const scaled = scaler ? weighted.mul(lossScale()) : weighted
      // The last layer's are needed as soon as they are made.
      const boundaries = options.recompute ? layers.slice(0, -1) : []
      const flat = optimizer.flatten(
        parameters,
        grad(
          scaled,
          parameters.map(p => p.tensor),
          undefined,
          boundaries,
        ),
      )
      return {
        flat,
        loss: weighted,
        told: concat([weighted, ...task.sums.map(name => sums[name])].map(each => each.reshape([1]))),
      }
    }
    const guard = this.#guard
    const apply = (flat: readonly Tensor[], hyper: Tensor, loss: Tensor): { norm: Tensor; left: Tensor } => {
      // Where no step is ever left out, the host knows how many were taken.
      const taken = scaler?.taken ?? (options.skipBadSteps ? guard.taken : undefined)
      let left = guard.left.tensor
      const norm = optimizer.update(flat, hyper, lossScale(), taken?.tensor.add(1), norm => {
        left = guard.judge(loss, norm, scaler?.canShrink)
        return guard.isGood(left)
      })
      if (scaler) scaler.update(norm, guard.isGood(left))
      else if (options.skipBadSteps) guard.count(guard.isGood(left), norm)
      return { norm, left }
    }
    this.#whole = compile((batch: BatchTensors, step: Tensor, hyper: Tensor) => {
      const { flat, loss, told } = gradients(batch, step, scalar(1))
      return { told, ...apply(flat, hyper, loss) }
    }, MANY_SHAPES)
    this.#part = compile((batch: BatchTensors, step: Tensor, weight: Tensor, first: Tensor) => {
      const { flat, loss, told } = gradients(batch, step, weight)
      const sums = [...this.#sums.map((sum, i) => [sum, flat[i]] as const), [this.#loss, loss] as const]
      for (const [sum, part] of sums) sum.assign(first.notEqual(scalar(0, 'u32')).where(0, sum.tensor).add(part))
      return { told }
    }, MANY_SHAPES)
    this.#finish = compile((hyper: Tensor) =>
      apply(
        this.#sums.map(sum => sum.tensor),
        hyper,
        this.#loss.tensor,
      ),
    )
  }

  static async over<Target, M extends Module>(
    model: M,
    task: Task<Target, M>,
    parameters: readonly Parameter[],
    optimizer: Optimizer,
    options: StepOptions,
  ): Promise<TrainingSteps> {
    const steps = new TrainingSteps(model, task, parameters, optimizer, options)
    await steps.#scaler?.initialise()
    await steps.begin(options.skipBadSteps ?? 0, 0)
    return steps
  }

  /**
   * Before the first step of a run, or of one that goes on: how many bad steps may be left out, and how many were taken
   * before.
   */
  async begin(left: number, taken: number): Promise<void> {
    await this.#guard.begin(left, taken)
  }

  /**
   * Runs optimizer step `t` = 1, 2, … at rate `lr` over up to `accumulate` batches, numbered from `micro` for dropout.
   */
  async run(batches: readonly Batch[], micro: number, t: number, lr: number): Promise<StepResult> {
    const hyper = this.#optimizer.hyper(t, lr)
    if (this.#options.accumulate === 1) {
      const { told, norm, left } = await this.#whole(tensorsOf(batches[0]), number(micro), hyper)
      return { parts: [told], norm, left }
    }
    const parts: Tensor[] = []
    for (const args of this.#partArguments(batches, micro)) parts.push((await this.#part(...args)).told)
    const { norm, left } = await this.#finish(hyper)
    return { parts, norm, left }
  }

  /**
   * What each batch of a step is run with. Every example of the step counts the same, those of a short last batch too.
   */
  #partArguments(batches: readonly Batch[], micro: number): [BatchTensors, Tensor, Tensor, Tensor][] {
    const total = batches.reduce((sum, batch) => sum + batch.weight, 0)
    return batches.map((batch, i) => [
      tensorsOf(batch),
      number(micro + i),
      tensor(total > 0 ? batch.weight / total : 0),
      number(i === 0 ? 1 : 0),
    ])
  }

  /**
   * Runs a step again that was not taken, and tells where it stopped being finite. The same arguments give the same
   * numbers as long as no step has been taken since.
   */
  async diagnose(batches: readonly Batch[], micro: number, t: number, lr: number): Promise<NonFiniteCause | undefined> {
    const hyper = this.#optimizer.hyper(t, lr)
    if (this.#options.accumulate === 1) return this.#whole.diagnose(tensorsOf(batches[0]), number(micro), hyper)
    for (const args of this.#partArguments(batches, micro)) {
      const cause = await this.#part.diagnose(...args)
      if (cause) return cause
      // The sums are those of a later step by now.
      await this.#part(...args)
    }
    return this.#finish.diagnose(hyper)
  }

  /** The loss scale as it is; undefined where the loss is not scaled. */
  async lossScale(): Promise<number | undefined> {
    return (await this.#scaler?.scale.read())?.[0]
  }

  /** The same, with every dispatch of the first batch timed, and those of the update where it has a plan of its own. */
  async profile(batches: readonly Batch[], micro: number, t: number, lr: number): Promise<StepResult> {
    const hyper = this.#optimizer.hyper(t, lr)
    if (this.#options.accumulate === 1) {
      const {
        result: { told, norm, left },
        kernels,
      } = await this.#whole.profile(tensorsOf(batches[0]), number(micro), hyper)
      return { parts: [told], norm, left, kernels }
    }
    const kernels: KernelTime[] = []
    const parts: Tensor[] = []
    for (const [i, args] of this.#partArguments(batches, micro).entries()) {
      if (i > 0) {
        parts.push((await this.#part(...args)).told)
        continue
      }
      const profiled = await this.#part.profile(...args)
      parts.push(profiled.result.told)
      kernels.push(...profiled.kernels)
    }
    const {
      result: { norm, left },
      kernels: update,
    } = await this.#finish.profile(hyper)
    const end = kernels.reduce((last, { start, nanoseconds }) => Math.max(last, start + nanoseconds), 0)
    return {
      parts,
      norm,
      left,
      kernels: [...kernels, ...update.map(kernel => ({ ...kernel, start: kernel.start + end }))],
    }
  }

  /** Plans a step over batches of this shape without running it. */
  async prepare(batch: Batch): Promise<PlanSummary> {
    const tensors = tensorsOf(batch)
    const hyper = this.#optimizer.hyper(1, 0)
    if (this.#options.accumulate === 1) return this.#whole.prepare(tensors, number(0), hyper)
    const [part, finish] = [
      await this.#part.prepare(tensors, number(0), tensor(1), number(1)),
      await this.#finish.prepare(hyper),
    ]
    return {
      ...part,
      dispatches: part.dispatches * this.#options.accumulate + finish.dispatches,
      unfused: part.unfused * this.#options.accumulate + finish.unfused,
      pipelines: part.pipelines + finish.pipelines,
      peakBytes: Math.max(part.peakBytes, finish.peakBytes),
    }
  }

  /** What a checkpoint keeps besides the optimizer's state. */
  state(): StateEntry[] {
    if (!this.#scaler) return []
    const { scale, good, taken } = this.#scaler
    return [scale, good, taken].map(variable => ({ name: variable.name, variable }))
  }
}

const number = (value: number): Tensor => tensor(Uint32Array.of(value), [])

/** What an evaluation reads of a batch: the loss and weight of each text or token, f32, the task's outputs and sums. */
export interface EvaluationResult {
  readonly losses: Tensor
  readonly weights: Tensor
  readonly outputs: Tensor
  readonly sums: Readonly<Record<string, Tensor>>
}

/** The forward pass of a task, without dropout. */
export class EvaluationStep {
  readonly #run

  constructor(model: Module, task: Task<never, Module>, mixed?: boolean) {
    this.#run = compile((batch: BatchTensors) => {
      const context = forwardContext({ training: false, seed: 0, step: scalar(0, 'u32'), mixed })
      const forward = (): Forward => task.forward(model, inputsOf(model, batch), context)
      const { losses, outputs, sums } = inContext(context, forward)
      return { ...losses, outputs, sums }
    }, MANY_SHAPES)
  }

  async run(batch: Batch): Promise<EvaluationResult> {
    return this.#run(tensorsOf(batch))
  }

  /** Where an evaluation of this batch stopped being finite. */
  async diagnose(batch: Batch): Promise<NonFiniteCause | undefined> {
    return this.#run.diagnose(tensorsOf(batch))
  }

  /** Plans it for batches of this shape without running it. */
  async prepare(batch: Batch): Promise<PlanSummary> {
    return this.#run.prepare(tensorsOf(batch))
  }
}
