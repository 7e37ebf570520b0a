// Masked-language pretraining with a teacher (Sanh et al. 2019; Jiao et al. 2020): at the masked places the student learns
// the teacher's distribution over the vocabulary, too, and in every layer the teacher's hidden states. Both read the same
// tokens. The teacher runs in each step, without dropout and without gradients.
import type { Tensor } from '../../engine/tensor.ts'
import { classDivergence, cosineDistance, outputDistance } from '../../models/distillation.ts'
import type { MaskedModel } from '../../models/masked.ts'
import { Model, type TargetWord } from '../../models/model.ts'
import { type ForwardContext, Linear, forwardContext } from '../../models/nn.ts'
import type { Forward, Task, TaskInputs } from '../task.ts'
import type { Distillation } from './distilled.ts'
import { type MaskedOptions, forwardMasked, maskedTask } from './masked-lm.ts'

export interface MaskedDistillation extends Distillation {
  /** Factor of the distance between hidden states, which is added to the loss; 0 for none. */
  readonly hidden: number
}

/** A student with its teacher. Its parameters are the student's, and those of a projection where widths differ. */
export class DistilledMaskedLM extends Model {
  readonly architecture: string
  readonly student: MaskedModel
  /** Private, and so not among the modules: it is neither trained nor saved. */
  readonly #teacher: MaskedModel
  /** From the student's hidden states to the teacher's, the same for all layers (Jiao et al. 2020). */
  readonly projection: Linear | undefined

  /** The projection is made only where `hidden`, the factor of hidden states, is not 0. Freezes the teacher. */
  constructor(student: MaskedModel, teacher: MaskedModel, { hidden }: Pick<MaskedDistillation, 'hidden'>) {
    super(student.config, student.prefix)
    const [width, wanted] = [student.config.hidden, teacher.config.hidden]
    this.architecture = student.architecture
    this.student = this.add('', student)
    this.#teacher = teacher
    for (const parameter of teacher.parameters()) parameter.trainable = false
    if (hidden > 0 && width !== wanted) {
      const projection = new Linear(width, wanted, { deviation: 1 / Math.sqrt(width) })
      this.projection = this.add('distillation.projection', projection)
    }
  }

  get teacher(): MaskedModel {
    return this.#teacher
  }

  targets(word: TargetWord): Linear[] {
    return this.student.targets(word)
  }

  head(): Linear[] {
    return this.student.head()
  }
}

/** The task of a masked-language model that has a teacher. Evaluations have the loss of the masked tokens alone. */
export function distilledMaskedTask(
  options: MaskedOptions,
  distillation: MaskedDistillation,
): Task<undefined, DistilledMaskedLM> {
  const task = maskedTask(options)
  const parts = ['task_loss', 'distill_loss', ...(distillation.hidden > 0 ? ['hidden_loss'] : [])]
  return {
    ...task,
    sums: [...task.sums, ...parts],
    forward: (model, inputs, context) => forwardDistilled(model, inputs, context, distillation),
    summarise: (examples, means) =>
      task.summarise(examples, Object.fromEntries(task.sums.map(name => [name, means[name]]))),
  }
}

/** Traced: (1 − weight)·loss + weight·T²·KL + hidden·distance, with what each part is. */
function forwardDistilled(
  { student, teacher, projection }: DistilledMaskedLM,
  inputs: TaskInputs,
  context: ForwardContext,
  { weight, temperature, hidden }: MaskedDistillation,
): Forward {
  const [states, wanted]: [Tensor[], Tensor[]] = [[], []]
  const own = forwardMasked(student, inputs, alsoTelling(context, states))
  const { losses, weights } = own.losses
  // An evaluation measures the student alone.
  const none = { task_loss: losses.sum(), distill_loss: losses.sum().mul(0), hidden_loss: losses.sum().mul(0) }
  if (!context.training) return { ...own, sums: { ...own.sums, ...none } }

  const { ids, mask, types, arrays } = inputs
  const frozen = forwardContext({ training: false, seed: context.seed, step: context.step })
  const read = { ids, mask, types: teacher.config.typeVocab > 0 ? types : undefined }
  const answers = teacher.maskedLogits(read, arrays.positions, alsoTelling(frozen, wanted))
  const distances = classDivergence(own.logits, answers, temperature).mul(weights)
  const apart = hidden > 0 ? hiddenDistance(states, wanted, mask, projection, context) : undefined
  const mixed = losses.mul(1 - weight).add(distances.mul(weight))
  return {
    ...own,
    losses: { losses: apart ? mixed.add(weights.mul(apart.mul(hidden))) : mixed, weights },
    sums: {
      ...own.sums,
      task_loss: losses.sum(),
      distill_loss: distances.sum(),
      ...(apart && { hidden_loss: apart.mul(weights.sum()) }),
    },
  }
}

/** The same context; the hidden states before the first layer and after each go to `states`, too. */
const alsoTelling = (context: ForwardContext, states: Tensor[]): ForwardContext => ({
  ...context,
  onLayer: hidden => {
    context.onLayer?.(hidden)
    states.push(hidden)
  },
})

/** The teacher's hidden state that one of the student's learns: layers are spread evenly, and the last is the last. */
export const layerOf = (state: number, studentLayers: number, teacherLayers: number): number =>
  Math.round((state * teacherLayers) / studentLayers)

/** The mean distance of hidden states [batch · sequence, width], over all tokens and over the student's states, f32 []. */
function hiddenDistance(
  states: readonly Tensor[],
  wanted: readonly Tensor[],
  mask: Tensor,
  projection: Linear | undefined,
  context: ForwardContext,
): Tensor {
  const counts = mask.cast('f32').reshape([mask.size])
  const each = states.map((state, i) => {
    const theirs = wanted[layerOf(i, states.length - 1, wanted.length - 1)]
    return projection ? outputDistance(projection.forward(state, context), theirs) : cosineDistance(state, theirs)
  })
  const sum = each.reduce((total, distances) => total.add(distances))
  return sum.mul(counts).sum().div(counts.sum().maximum(1).mul(each.length))
}
