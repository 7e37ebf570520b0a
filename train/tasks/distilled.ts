// A task with a teacher: beside the labels, the student learns what a trained model answers to the same texts (Hinton et
// al. 2015). The teacher's answers are part of the examples, so it takes no part in training itself.
import { needObjects } from '../../engine/options.ts'
import type { Tensor } from '../../engine/tensor.ts'
import { classDivergence, labelDivergence, outputDistance } from '../../models/distillation.ts'
import type { Classifier } from '../../models/model.ts'
import type { ForwardContext } from '../../models/nn.ts'
import { windowsOf } from '../../models/windows.ts'
import type { Batch, Encoded, EncodedWindow, Forward, Task, TaskInputs } from '../task.ts'
import type { Target, TaskName } from './infer.ts'

export interface Distillation {
  /** Share of the teacher's answers in the loss, 0 to 1; the rest is the labels'. */
  readonly weight: number
  /** Both sides' logits are divided by it before they are compared. */
  readonly temperature: number
}

/** What a step of a distilled task reports besides the task's own sums. */
const PARTS = ['task_loss', 'distill_loss'] as const

/** How far outputs f32 [rows, labels] are from a teacher's, f32 [rows]; a row is a text or a token. */
function distanceOf(name: TaskName, outputs: Tensor, teacher: Tensor, temperature: number): Tensor {
  switch (name) {
    case 'classes':
    case 'tokens':
      return classDivergence(outputs, teacher, temperature)
    case 'labels':
      return labelDivergence(outputs, teacher, temperature)
    case 'regression':
      return outputDistance(outputs, teacher)
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
  distillation: Distillation,
): Task<Target, Classifier> {
  needObjects('distilledTask', { task, distillation })
  const { weight, temperature } = distillation
  return {
    ...task,
    sums: [...task.sums, ...PARTS],
    collate(examples, size, random) {
      const batch = task.collate(examples, size, random)
      const answers = answersOf(examples, batch, labels, task.scoresTokens)
      return {
        ...batch,
        weight: batch.weight + examples.filter(({ unlabelled }) => unlabelled).length,
        counts: { distill_loss: answers.taught.data.reduce((sum, one) => sum + one, 0) },
        arrays: { ...batch.arrays, ...answers },
      }
    },
    forward(model: Classifier, inputs: TaskInputs, context: ForwardContext): Forward {
      const { losses: own, outputs, sums } = task.forward(model, inputs, context)
      const { teacher, taught, added } = inputs.arrays
      const weights = own.weights.add(added)
      const scores = outputs.reshape(teacher.shape)
      const distances = distanceOf(name, scores, teacher, temperature).mul(taught)
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
 * Of each row, which is a text or for labels of tokens a token: `teacher` f32 [rows, labels]; `taught` f32 [rows], 1
 * where the teacher has answered; `added` f32 [rows], 1 for texts that have no label.
 */
function answersOf(
  examples: readonly Encoded<Target>[],
  { batch, windows, sequence, starts }: Batch,
  labels: number,
  scoresTokens = false,
) {
  const rows = scoresTokens ? windows * sequence : batch
  const teacher = new Float32Array(rows * labels)
  const taught = new Float32Array(rows)
  const added = new Float32Array(rows)
  examples.forEach((example, text) => {
    if (!scoresTokens && example.unlabelled) added[text] = 1
    const { taught: answer } = example
    if (!answer) return
    const own = scoresTokens ? tokenRows(example, starts[text], sequence) : [text]
    if (answer.length !== own.length * labels) {
      const wanted = own.length * labels
      throw new RangeError(
        `Text ${text} of the batch has a teacher's answer of ${answer.length} numbers, not ${wanted}`,
      )
    }
    own.forEach((row, at) => {
      if (Number.isNaN(answer[at * labels])) return
      taught[row] = 1
      for (let label = 0; label < labels; label++) teacher[row * labels + label] = answer[at * labels + label]
    })
  })
  return {
    teacher: { data: teacher, shape: [rows, labels] },
    taught: { data: taught, shape: [rows] },
    added: { data: added, shape: [rows] },
  }
}

/** The rows of a text's tokens, whose windows begin with this one of the batch. */
const tokenRows = (example: Encoded<Target>, start: number, sequence: number): number[] =>
  windowsOf<EncodedWindow>(example).flatMap(({ ids }, i) =>
    Array.from({ length: ids.length }, (_, at) => (start + i) * sequence + at),
  )
