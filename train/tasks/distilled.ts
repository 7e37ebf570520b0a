// A task with a teacher: beside the labels, the student learns what a trained model answers to the same texts (Hinton et
// al. 2015). The teacher's answers are part of the examples, so it takes no part in training itself.
import type { Tensor } from '../../engine/tensor.ts'
import { classDivergence, labelDivergence, outputDistance } from '../../models/distillation.ts'
import type { Classifier } from '../../models/model.ts'
import type { ForwardContext } from '../../models/nn.ts'
import type { Batch, BatchSize, Encoded, Forward, Task, TaskInputs } from '../task.ts'
import type { Target, TaskName } from './infer.ts'

export interface Distillation {
  /** Share of the teacher's answers in the loss, 0 to 1; the rest is the labels'. */
  readonly weight: number
  /** Both sides' logits are divided by it before they are compared. */
  readonly temperature: number
}

/** What a step of a distilled task reports besides the task's own sums. */
const PARTS = ['task_loss', 'distill_loss'] as const

/** How far outputs f32 [batch, labels] are from a teacher's, f32 [batch]. */
function distanceOf(name: TaskName, outputs: Tensor, teacher: Tensor, temperature: number): Tensor {
  switch (name) {
    case 'classes':
      return classDivergence(outputs, teacher, temperature)
    case 'labels':
      return labelDivergence(outputs, teacher, temperature)
    case 'regression':
      return outputDistance(outputs, teacher)
    case 'tokens':
      throw new Error('labels of words cannot be distilled')
  }
}

/**
 * The task, whose loss in training is (1 − weight)·loss + weight·distance from the teacher's answer, row by row, with
 * the weight that the row has in the task. Examples without an answer, and evaluations, have the task's own loss;
 * examples without a label have weight·distance.
 */
export function distilledTask(
  task: Task<Target, Classifier>,
  name: TaskName,
  labels: number,
  { weight, temperature }: Distillation,
): Task<Target, Classifier> {
  return {
    ...task,
    sums: [...task.sums, ...PARTS],
    collate(examples, size, random) {
      const batch = task.collate(examples, size, random)
      const added = examples.filter(({ unlabelled }) => unlabelled).length
      return {
        ...batch,
        weight: batch.weight + added,
        counts: { distill_loss: examples.filter(({ taught }) => taught).length },
        arrays: { ...batch.arrays, ...answersOf(examples, size, labels) },
      }
    },
    forward(model: Classifier, inputs: TaskInputs, context: ForwardContext): Forward {
      const { losses: own, outputs, sums } = task.forward(model, inputs, context)
      const { teacher, taught, added } = inputs.arrays
      const weights = own.weights.add(added)
      const distances = distanceOf(name, outputs, teacher, temperature).mul(taught)
      const mixed = own.losses.mul(taught.mul(-weight).add(1)).add(distances.mul(weights).mul(weight))
      return {
        losses: context.training ? { losses: mixed, weights } : own,
        outputs,
        sums: { ...sums, task_loss: own.losses.sum(), distill_loss: distances.sum() },
      }
    },
  }
}

/**
 * `teacher` f32 [batch, labels]; `taught` f32 [batch], 1 for examples that the teacher has answered; `added` f32 [batch],
 * 1 for those that have no label.
 */
function answersOf(examples: readonly Encoded<Target>[], { batch }: BatchSize, labels: number): Batch['arrays'] {
  const teacher = new Float32Array(batch * labels)
  const taught = new Float32Array(batch)
  examples.forEach(({ taught: answer }, row) => {
    if (!answer) return
    if (answer.length !== labels) {
      throw new RangeError(`Text ${row} of the batch has a teacher's answer of ${answer.length} numbers, not ${labels}`)
    }
    teacher.set(answer, row * labels)
    taught[row] = 1
  })
  const added = Float32Array.from({ length: batch }, (_, row) => (examples[row]?.unlabelled ? 1 : 0))
  return {
    teacher: { data: teacher, shape: [batch, labels] },
    taught: { data: taught, shape: [batch] },
    added: { data: added, shape: [batch] },
  }
}
