// Tasks for modules of one's own: examples of any kind, a loss, and figures.
import { Tensor, UserError, full, ones } from '../../engine/index.ts'
import { needArray, needFunction, needObjects, needStrings } from '../../engine/options.ts'
import type { ForwardContext, Module } from '../../models/nn.ts'
import type { Encoded, ExampleOutput, Figures, Forward, Task } from '../task.ts'
import type { Random } from '../random.ts'

/** What a task of one's own computes of a batch. */
export interface OwnForward {
  /** The loss of each example, f32 [batch], or their mean, f32 []. */
  readonly loss: Tensor
  /** What an evaluation reads of each example, f32 [batch, …]; the losses when left out. */
  readonly outputs?: Tensor
  /** Sums over the batch, f32 [], by the names of the task's `sums`: as means they are reported with each step. */
  readonly sums?: Readonly<Record<string, Tensor>>
}

/** Tensors of a batch by name. */
type Named = Readonly<Record<string, Tensor>>

/** If the types are left to be inferred, `batch` has to come before `forward`, whose inputs then have the names of its tensors. */
export interface OwnTask<Example, M extends Module, Inputs extends Named = Named> {
  readonly name: string
  /** What `forward` gets of a batch, by name; `random` is for augmentation. */
  batch(examples: readonly Example[], random: Random): Inputs
  /** Traced. Layers know whether it trains; `context` is for what else depends on it. */
  forward(model: M, inputs: Inputs, context: ForwardContext): OwnForward
  /** The names of `OwnForward.sums`. */
  readonly sums?: readonly string[]
  /** Figures of an evaluation, from the outputs of all examples, beside the means of `sums`. */
  summarise?(examples: readonly ExampleOutput<Example>[]): Figures
  /** The figure that decides the best evaluation; the loss when left out. */
  readonly bestMetric?: string
  /** Figures of which less is better, besides the loss. */
  readonly lessIsBetter?: readonly string[]
}

/** A trainer's task from one of one's own. Its examples are those of `plainExamples`. */
export function defineTask<Example, M extends Module, Inputs extends Named = Named>(
  task: OwnTask<Example, M, Inputs>,
): Task<Example, M> {
  needObjects('defineTask', { task })
  const { sums = [], bestMetric = 'loss', ...own } = task
  needStrings('defineTask', { name: own.name })
  needFunction('defineTask', { batch: own.batch, forward: own.forward })
  return {
    name: own.name,
    sums,
    needsExamples: true,
    bestMetric,
    lessIsBetter: own.lessIsBetter,
    collate(examples, _size, random) {
      const rows = examples.length
      if (rows === 0) throw new UserError(`the task ${own.name} cannot make a batch without examples`)
      const tensors = own.batch(
        examples.map(({ target }) => target),
        random,
      )
      const other = Object.entries(tensors).find(([, column]) => !(column instanceof Tensor))
      if (other) throw new UserError(`the task ${own.name} makes a batch in which ${other[0]} is not a tensor`)
      // There are no texts: a token for each example, which nothing reads.
      const tokens = { ids: new Int32Array(rows), typeIds: new Int32Array(rows), mask: new Int32Array(rows).fill(1) }
      const counts = { rows, batch: rows, windows: rows, sequence: 1, tokens: rows, weight: rows, count: rows }
      return { ...tokens, ...counts, starts: examples.map((_, i) => i), arrays: {}, tensors }
    },
    forward(model, { ids, arrays }, context): Forward {
      const { loss, outputs = loss, sums: found = {} } = own.forward(model, arrays as Inputs, context)
      if (!(loss instanceof Tensor)) throw new UserError(`the task ${own.name} gives no loss: forward returns { loss }`)
      const [rows] = ids.shape
      const missing = sums.find(name => !(name in found))
      if (missing !== undefined)
        throw new UserError(`the task ${own.name} lists the sum ${missing}, which its forward does not return`)
      return { losses: weighted(loss, rows, own.name), outputs, sums: found }
    },
    summarise: (examples, means) => ({ ...means, ...own.summarise?.(examples) }),
  }
}

/** Losses and weights of a batch, from each example's loss or from their mean. */
function weighted(loss: Tensor, rows: number, name: string): Forward['losses'] {
  if (loss.rank === 1 && loss.shape[0] === rows) return { losses: loss, weights: ones([rows]) }
  if (loss.size === 1) {
    return { losses: loss.reshape([1]).mul(rows), weights: full([1], rows) }
  }
  const shape = `[${loss.shape.join(', ')}]`
  throw new UserError(
    `the task ${name} gives a loss ${shape}: one for each of ${rows} examples, or their mean, is needed`,
  )
}

/** Examples of any kind for a trainer whose task was made by `defineTask`. */
export function plainExamples<Example>(examples: readonly Example[]): Encoded<Example>[] {
  needArray('plainExamples', examples, 'examples')
  return examples.map(target => ({ ids: [0], target }))
}
