// Several labels at once: each of a few properties that a text has or has not, judged apart.
import { scalar } from '../../engine/index.ts'
import type { SequenceClassifier } from '../../models/model.ts'
import { type BinaryOptions, multiLabelLoss } from '../../models/losses.ts'
import type { ForwardContext } from '../../models/nn.ts'
import type { Forward, TaskInputs, Targets } from '../task.ts'

/** f32 [batch, labels] of 0 and 1 (or what lies between), and f32 [batch] of the rows that count. */
export function labelTargets(
  targets: readonly ArrayLike<number>[], { batch }: { readonly batch: number }, labels: number,
): Targets {
  const wanted = new Float32Array(batch * labels)
  targets.forEach((row, at) => wanted.set(row, at * labels))
  const counts = new Float32Array(batch).fill(1, 0, targets.length)
  return {
    arrays: { wanted: { data: wanted, shape: [batch, labels] }, counts: { data: counts, shape: [batch] } },
    weight: targets.length, count: targets.length,
  }
}

/**
 * Traced: the loss of all labels of a text. Outputs are logits f32 [batch, labels]; `accuracy` is the share of labels that
 * a threshold of ½ decides rightly.
 */
export function labelForward(
  model: SequenceClassifier, { ids, mask, types, targets: { wanted, counts } }: TaskInputs, context: ForwardContext,
  options: BinaryOptions = {},
): Forward {
  const logits = model.logits(ids, mask, types, context)
  const right = logits.greater(0).where(1, 0).equal(wanted.greater(0.5).where(1, 0)).where(scalar(1), scalar(0))
  return {
    losses: multiLabelLoss(logits, wanted, counts, options), outputs: logits,
    sums: { accuracy: right.mean(1).mul(counts).sum() },
  }
}
