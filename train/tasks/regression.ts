// A number for each text, such as a rating or how alike two sentences are.
import type { SequenceClassifier } from '../../models/model.ts'
import { regressionLoss } from '../../models/losses.ts'
import type { ForwardContext } from '../../models/nn.ts'
import type { Forward, TaskInputs, Targets } from '../task.ts'

/** f32 [batch] of numbers, and f32 [batch] of the rows that count. */
export function numberTargets(targets: readonly number[], { batch }: { readonly batch: number }): Targets {
  const wanted = new Float32Array(batch)
  wanted.set(targets)
  const counts = new Float32Array(batch).fill(1, 0, targets.length)
  return {
    arrays: { wanted: { data: wanted, shape: [batch] }, counts: { data: counts, shape: [batch] } },
    weight: targets.length, count: targets.length,
  }
}

/** Traced: the squared error. Outputs are predictions f32 [batch, 1]. */
export function regressionForward(
  model: SequenceClassifier, { ids, mask, types, targets: { wanted, counts } }: TaskInputs, context: ForwardContext,
): Forward {
  const predictions = model.logits(ids, mask, types, context)
  return { losses: regressionLoss(predictions, wanted, counts), outputs: predictions, sums: {} }
}
