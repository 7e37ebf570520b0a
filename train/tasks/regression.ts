// A number for each text, such as a rating or how alike two sentences are.
import type { SequenceClassifier } from '../../models/model.ts'
import { regressionLoss } from '../../models/losses.ts'
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
import { countsOf, rowCounts } from './labels.ts'
import { measured } from './results.ts'

/** Texts, `wanted` f32 [batch] of numbers, and `counts` f32 [batch]: 1 for an example with a label. */
export function collateNumbers(examples: readonly Encoded<number>[], size: BatchSize): Batch {
  const texts = collateTexts(examples, size)
  const wanted = new Float32Array(size.batch)
  wanted.set(examples.map(({ target }) => target))
  return {
    ...texts,
    ...rowCounts(examples),
    arrays: { wanted: { data: wanted, shape: [size.batch] }, counts: countsOf(examples, size.batch) },
  }
}

/** Traced: the squared error. Outputs are predictions f32 [batch, 1]. */
export function forwardNumbers(
  model: SequenceClassifier,
  { ids, mask, types, pooling, arrays: { wanted, counts } }: TaskInputs,
  context: ForwardContext,
): Forward {
  const predictions = poolWindows(model.logits(ids, mask, types, context), pooling)
  return { losses: regressionLoss(predictions, wanted, counts), outputs: predictions, sums: {} }
}

/** The task of one number per text. */
export function regressionTask(): Task<number, SequenceClassifier> {
  return { ...measured('regression', ['LABEL_0']), sums: [], collate: collateNumbers, forward: forwardNumbers }
}
