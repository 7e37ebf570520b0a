// The compiled functions of training and evaluation: one replayed plan a batch shape.
import { type KernelTime, type PlanSummary, Variable, compile, concat, grad, scalar, tensor, variable } from '../engine/index.ts'
import type { Tensor } from '../engine/tensor.ts'
import type { SequenceClassifier } from '../models/model.ts'
import { type Parameter, forwardContext } from '../models/nn.ts'
import type { AdamW, StateEntry } from './adamw.ts'
import type { Batch } from './batches.ts'

/** A batch as tensors: ids, mask, types [batch, sequence] and labels [batch], i32. */
type BatchTensors = { readonly ids: Tensor, readonly mask: Tensor, readonly types: Tensor | undefined, readonly labels: Tensor }

function tensorsOf(batch: Batch, withTypes: boolean): BatchTensors {
  const shape = [batch.batch, batch.sequence]
  return {
    ids: tensor(batch.ids, shape), mask: tensor(batch.mask, shape),
    types: withTypes ? tensor(batch.typeIds, shape) : undefined, labels: tensor(batch.labels),
  }
}

/** Dynamic loss scaling (Micikevicius et al. 2018): halved on an overflow, doubled after so many good steps in a row. */
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

  /** After a step whose gradient had this norm. */
  update(norm: Tensor): void {
    const { most, least, growthInterval } = LOSS_SCALE
    const finite = norm.isFinite()
    const good = this.good.tensor.add(1)
    const grown = good.greaterEqual(growthInterval)
    this.scale.assign(finite.where(
      grown.where(this.scale.tensor.mul(2).minimum(most), this.scale.tensor),
      this.scale.tensor.mul(0.5).maximum(least),
    ))
    this.good.assign(finite.where(grown.where(0, good), 0))
    this.taken.assign(this.taken.tensor.add(finite.where(1, 0)))
  }
}

/** What a step tells, read late: Σ over its batches of loss · weight, right answers, and the gradient's norm. */
export interface StepResult {
  readonly parts: readonly Tensor[]
  readonly norm: Tensor
  /** Every dispatch, where the step was profiled. */
  readonly kernels?: readonly KernelTime[]
}

export interface StepOptions {
  readonly seed: number
  /** Batches an optimizer step. */
  readonly accumulate: number
  /** Scales the loss dynamically: for f16 activations. */
  readonly scaleLoss: boolean
  /** Makes each layer's activations again in the backward pass instead of keeping them. */
  readonly recompute?: boolean
}

/** Number of rows whose largest logit is the label's, f32 []: rows with a negative label don't count. */
function correct(logits: Tensor, labels: Tensor): Tensor {
  const columns = concat(Array.from({ length: logits.shape[1] }, (_, k) => {
    const column = logits.slice([0, k], [logits.shape[0], k + 1])
    return column.greaterEqual(logits.max(1, true)).where(1, 0)
      .mul(labels.equal(scalar(k, 'i32')).reshape([-1, 1]).where(1, 0))
  }), 1)
  return columns.sum()
}

/** One optimizer step at a time. Everything that changes from step to step is an input. */
export class TrainingSteps {
  readonly #options: StepOptions
  readonly #optimizer: AdamW
  readonly #scaler: LossScaler | undefined
  readonly #withTypes: boolean
  readonly #sums: readonly Variable[]
  readonly #whole
  readonly #part
  readonly #finish

  private constructor(model: SequenceClassifier, parameters: readonly Parameter[], optimizer: AdamW, options: StepOptions) {
    this.#options = options
    this.#optimizer = optimizer
    this.#withTypes = model.config.typeVocab > 0
    const scaler = options.scaleLoss ? new LossScaler() : undefined
    this.#scaler = scaler
    this.#sums = options.accumulate > 1 ? optimizer.accumulators() : []
    const lossScale = (): Tensor => scaler?.scale.tensor ?? scalar(1)

    const gradients = (batch: BatchTensors, step: Tensor, weight: Tensor): { flat: Tensor[], told: Tensor } => {
      const layers: Tensor[] = []
      const context = forwardContext({ training: true, seed: options.seed, step, onLayer: hidden => { layers.push(hidden) } })
      const { logits, loss } = model.lossAndLogits(batch.ids, batch.mask, batch.types, batch.labels, context)
      const weighted = loss.mul(weight)
      const scaled = scaler ? weighted.mul(lossScale()) : weighted
      // The last layer's are needed as soon as they are made.
      const boundaries = options.recompute ? layers.slice(0, -1) : []
      const flat = optimizer.flatten(parameters, grad(scaled, parameters.map(p => p.tensor), undefined, boundaries))
      return { flat, told: concat([weighted.reshape([1]), correct(logits, batch.labels).reshape([1])]) }
    }
    const apply = (flat: readonly Tensor[], hyper: Tensor): Tensor => {
      const norm = optimizer.update(flat, hyper, lossScale(), scaler?.taken.tensor.add(1))
      scaler?.update(norm)
      return norm
    }
    this.#whole = compile((batch: BatchTensors, step: Tensor, hyper: Tensor) => {
      const { flat, told } = gradients(batch, step, scalar(1))
      return { told, norm: apply(flat, hyper) }
    })
    this.#part = compile((batch: BatchTensors, step: Tensor, weight: Tensor, first: Tensor) => {
      const { flat, told } = gradients(batch, step, weight)
      this.#sums.forEach((sum, i) => sum.assign(first.notEqual(scalar(0, 'u32')).where(0, sum.tensor).add(flat[i])))
      return { told }
    })
    this.#finish = compile((hyper: Tensor) => ({ norm: apply(this.#sums.map(sum => sum.tensor), hyper) }))
  }

  static async over(model: SequenceClassifier, parameters: readonly Parameter[], optimizer: AdamW, options: StepOptions): Promise<TrainingSteps> {
    const steps = new TrainingSteps(model, parameters, optimizer, options)
    await steps.#scaler?.initialise()
    return steps
  }

  /** Runs optimizer step `t` = 1, 2, … at rate `lr` over up to `accumulate` batches, numbered from `micro` for dropout. */
  async run(batches: readonly Batch[], micro: number, t: number, lr: number): Promise<StepResult> {
    const hyper = this.#optimizer.hyper(t, lr)
    if (this.#options.accumulate === 1) {
      const { told, norm } = await this.#whole(tensorsOf(batches[0], this.#withTypes), number(micro), hyper)
      return { parts: [told], norm }
    }
    const parts: Tensor[] = []
    const rows = batches.reduce((sum, batch) => sum + batch.rows, 0)
    for (const [i, batch] of batches.entries()) {
      // Every example of the step counts the same, those of a short last batch too.
      const weight = tensor(batch.rows / rows)
      const { told } = await this.#part(tensorsOf(batch, this.#withTypes), number(micro + i), weight, number(i === 0 ? 1 : 0))
      parts.push(told)
    }
    const { norm } = await this.#finish(hyper)
    return { parts, norm }
  }

  /** The same, with every dispatch of the first batch timed, and those of the update where it has a plan of its own. */
  async profile(batches: readonly Batch[], micro: number, t: number, lr: number): Promise<StepResult> {
    const hyper = this.#optimizer.hyper(t, lr)
    if (this.#options.accumulate === 1) {
      const { result: { told, norm }, kernels } = await this.#whole.profile(tensorsOf(batches[0], this.#withTypes), number(micro), hyper)
      return { parts: [told], norm, kernels }
    }
    const kernels: KernelTime[] = []
    const parts: Tensor[] = []
    const rows = batches.reduce((sum, batch) => sum + batch.rows, 0)
    for (const [i, batch] of batches.entries()) {
      const args = [tensorsOf(batch, this.#withTypes), number(micro + i), tensor(batch.rows / rows), number(i === 0 ? 1 : 0)] as const
      if (i > 0) {
        parts.push((await this.#part(...args)).told)
        continue
      }
      const profiled = await this.#part.profile(...args)
      parts.push(profiled.result.told)
      kernels.push(...profiled.kernels)
    }
    const { result: { norm }, kernels: update } = await this.#finish.profile(hyper)
    const end = kernels.reduce((last, { start, nanoseconds }) => Math.max(last, start + nanoseconds), 0)
    return { parts, norm, kernels: [...kernels, ...update.map(kernel => ({ ...kernel, start: kernel.start + end }))] }
  }

  /** Plans a step over batches of this shape without running it. */
  async prepare(batch: Batch): Promise<PlanSummary> {
    const tensors = tensorsOf(batch, this.#withTypes)
    const hyper = this.#optimizer.hyper(1, 0)
    if (this.#options.accumulate === 1) return this.#whole.prepare(tensors, number(0), hyper)
    const [part, finish] = [await this.#part.prepare(tensors, number(0), tensor(1), number(1)), await this.#finish.prepare(hyper)]
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

/** Losses f32 [batch] and logits f32 [batch, labels] of a batch, without dropout. */
export class EvaluationStep {
  readonly #withTypes: boolean
  readonly #run

  constructor(model: SequenceClassifier) {
    this.#withTypes = model.config.typeVocab > 0
    this.#run = compile((batch: BatchTensors) => {
      const context = forwardContext({ training: false, seed: 0, step: scalar(0, 'u32') })
      const { losses, logits } = model.lossAndLogits(batch.ids, batch.mask, batch.types, batch.labels, context)
      return { losses, logits }
    })
  }

  async run(batch: Batch): Promise<{ losses: Tensor, logits: Tensor }> {
    return this.#run(tensorsOf(batch, this.#withTypes))
  }

  /** Plans it for batches of this shape without running it. */
  async prepare(batch: Batch): Promise<PlanSummary> {
    return this.#run.prepare(tensorsOf(batch, this.#withTypes))
  }
}
