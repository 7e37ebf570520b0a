// A label for each token, such as the parts of named entities. Only the first piece of a word has a label; special
// tokens, later pieces and padding are ignored.
import type { TokenClassifier } from '../../models/model.ts'
import { type CrossEntropyOptions, IGNORED, classificationLoss } from '../../models/losses.ts'
import type { ForwardContext } from '../../models/nn.ts'
import { type Batch, type BatchSize, type Encoded, type Forward, type Task, type TaskInputs, collateTexts } from '../task.ts'
import { countCorrect, countOf } from './classes.ts'
import { measured } from './results.ts'

/**
 * Texts, and `labels` i32 [batch, sequence] of class numbers; −100 where a token has none, and on padding.
 * @throws RangeError as `Task.collate` does, and on a text with more or fewer labels than tokens
 */
export function collateTokens(
  examples: readonly Encoded<ArrayLike<number>>[], size: BatchSize, { classWeights }: CrossEntropyOptions = {},
): Batch {
  const texts = collateTexts(examples, size)
  const { batch, sequence } = size
  const labels = new Int32Array(batch * sequence).fill(IGNORED)
  examples.forEach(({ ids, target }, row) => {
    if (target.length !== ids.length) {
      throw new RangeError(`Text ${row} of the batch has ${ids.length} tokens and labels for ${target.length}`)
    }
    labels.set(target, row * sequence)
  })
  return { ...texts, arrays: { labels: { data: labels, shape: [batch, sequence] } }, ...countOf(labels, classWeights) }
}

/** Traced: the loss of every token's label. Outputs are logits f32 [batch, sequence · labels]. */
export function forwardTokens(
  model: TokenClassifier, { ids, mask, types, arrays: { labels } }: TaskInputs, context: ForwardContext,
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

/** The task of a label a token. */
export function tokensTask({ labels, ...options }: CrossEntropyOptions & { readonly labels: readonly string[] }): Task<ArrayLike<number>, TokenClassifier> {
  return {
    ...measured('tokens', labels),
    sums: ['accuracy'],
    collate: (examples, size) => collateTokens(examples, size, options),
    forward: (model, inputs, context) => forwardTokens(model, inputs, context, options),
  }
}
