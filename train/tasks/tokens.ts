// A label for each token, such as the parts of named entities. Only the first piece of a word has a label; special
// tokens, later pieces and padding are ignored.
import type { TokenClassifier } from '../../models/model.ts'
import { type CrossEntropyOptions, IGNORED, classificationLoss } from '../../models/losses.ts'
import type { ForwardContext } from '../../models/nn.ts'
import type { Forward, TaskInputs, Targets } from '../task.ts'
import { countCorrect, countOf } from './classes.ts'

/** i32 [batch, sequence] of class numbers; −100 where a token has none, and on padding. */
export function tokenTargets(
  targets: readonly ArrayLike<number>[], { batch, sequence }: { readonly batch: number, readonly sequence: number },
  { classWeights }: CrossEntropyOptions = {},
): Targets {
  const labels = new Int32Array(batch * sequence).fill(IGNORED)
  targets.forEach((row, at) => labels.set(row, at * sequence))
  return { arrays: { labels: { data: labels, shape: [batch, sequence] } }, ...countOf(labels, classWeights) }
}

/** Traced: the loss of every token's label. Outputs are logits f32 [batch, sequence · labels]. */
export function tokenForward(
  model: TokenClassifier, { ids, mask, types, targets: { labels } }: TaskInputs, context: ForwardContext,
  options: CrossEntropyOptions = {},
): Forward {
  const [batch, sequence] = ids.shape
  const logits = model.logits(ids, mask, types, context)
  const flat = labels.reshape([batch * sequence])
  return {
    losses: classificationLoss(logits, flat, options), outputs: logits.reshape([batch, -1]),
    sums: { accuracy: countCorrect(logits, flat) },
  }
}
