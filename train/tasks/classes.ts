// One label for each text, of two or of thousands of classes.
import { range, type Tensor } from '../../engine/index.ts'
import type { SequenceClassifier } from '../../models/model.ts'
import { type CrossEntropyOptions, IGNORED, classificationLoss } from '../../models/losses.ts'
import type { Forward, TaskInputs, Targets } from '../task.ts'
import type { ForwardContext } from '../../models/nn.ts'

/** i32 [batch] of class numbers; rows past the last target are ignored. */
export function classTargets(
  targets: readonly number[], { batch }: { readonly batch: number }, { classWeights }: CrossEntropyOptions = {},
): Targets {
  const labels = new Int32Array(batch).fill(IGNORED)
  labels.set(targets)
  return { arrays: { labels: { data: labels, shape: [batch] } }, ...countOf(targets, classWeights) }
}

/** What labels weigh together, and how many of them count. */
export function countOf(labels: ArrayLike<number>, classWeights?: readonly number[]): { weight: number, count: number } {
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
export function classForward(
  model: SequenceClassifier, { ids, mask, types, targets: { labels } }: TaskInputs, context: ForwardContext,
  options: CrossEntropyOptions = {},
): Forward {
  const logits = model.logits(ids, mask, types, context)
  return { losses: classificationLoss(logits, labels, options), outputs: logits, sums: { accuracy: countCorrect(logits, labels) } }
}
