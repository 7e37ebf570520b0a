// One label for each text, of two or of thousands of classes.
import { range, type Tensor } from '../../engine/index.ts'
import type { SequenceClassifier } from '../../models/model.ts'
import { type CrossEntropyOptions, IGNORED, classificationLoss } from '../../models/losses.ts'
import type { ForwardContext } from '../../models/nn.ts'
import {
  type Batch,
  type BatchSize,
  type Encoded,
  type Forward,
  type Task,
  type TaskInputs,
  collateTexts,
  poolWindows,
} from '../task.ts'
import { measured, needTaskOptions } from './results.ts'

/** Texts, and `labels` i32 [batch] of class numbers; rows past the last example, and examples without a label, are ignored. */
export function collateClasses(
  examples: readonly Encoded<number>[],
  size: BatchSize,
  { classWeights }: CrossEntropyOptions = {},
): Batch {
  const labels = new Int32Array(size.batch).fill(IGNORED)
  const texts = collateTexts(examples, size)
  labels.set(examples.map(({ target, unlabelled }) => (unlabelled ? IGNORED : target)))
  return { ...texts, arrays: { labels: { data: labels, shape: [size.batch] } }, ...countOf(labels, classWeights) }
}

/** What labels weigh together, and how many of them count. */
export function countOf(
  labels: ArrayLike<number>,
  classWeights?: readonly number[],
): { weight: number; count: number } {
  let [weight, count] = [0, 0]
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] === IGNORED) continue
    weight += classWeights?.[labels[i]] ?? 1
    count++
  }
  return { weight, count }
}

/** Number of rows, f32 [], whose largest logit of f32 [rows, classes] is that of their label i32 [rows]. */
export function countCorrect(logits: Tensor, labels: Tensor): Tensor {
  const [rows, classes] = logits.shape
  const isLabel = labels.reshape([rows, 1]).equal(range(classes).reshape([1, classes]))
  const isLargest = logits.greaterEqual(logits.max(1, true))
  return isLabel.where(1, 0).mul(isLargest.where(1, 0)).sum()
}

/** Traced: the loss of a text's one label. Outputs are logits f32 [batch, classes]. */
export function forwardClasses(
  model: SequenceClassifier,
  { ids, mask, types, pooling, arrays: { labels } }: TaskInputs,
  context: ForwardContext,
  options: CrossEntropyOptions = {},
): Forward {
  const logits = poolWindows(model.logits(ids, mask, types, context), pooling)
  return {
    losses: classificationLoss(logits, labels, options),
    outputs: logits,
    sums: { accuracy: countCorrect(logits, labels) },
  }
}

/** Two classes without names. */
const TWO = ['0', '1'] as const

/** The task of one label per text, of two classes where no labels are given. */
export function classesTask(
  given: CrossEntropyOptions & { readonly labels?: readonly string[] } = {},
): Task<number, SequenceClassifier> {
  needTaskOptions('classesTask', given, false)
  const { labels = TWO, ...options } = given
  return {
    ...measured('classes', labels),
    sums: ['accuracy'],
    collate: (examples, size) => collateClasses(examples, size, options),
    forward: (model, inputs, context) => forwardClasses(model, inputs, context, options),
  }
}
