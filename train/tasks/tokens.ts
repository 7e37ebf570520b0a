// A label for each token, such as the parts of named entities. Only the first piece of a word has a label; special
// tokens, later pieces and padding are ignored.
import type { TokenClassifier } from '../../models/model.ts'
import { type CrossEntropyOptions, IGNORED, classificationLoss } from '../../models/losses.ts'
import type { ForwardContext } from '../../models/nn.ts'
import { windowsOf } from '../../models/windows.ts'
import {
  type Batch,
  type BatchSize,
  type Encoded,
  type Forward,
  type Task,
  type TaskInputs,
  collateTexts,
} from '../task.ts'
import { countCorrect, countOf } from './classes.ts'
import { measured, needTaskOptions } from './results.ts'

/**
 * Texts, and `labels` i32 [windows, sequence] of class numbers; −100 where a token has none, and on padding.
 * @throws RangeError as `Task.collate` does, and on a text with more or fewer labels than tokens
 */
export function collateTokens(
  examples: readonly Encoded<ArrayLike<number>>[],
  size: BatchSize,
  { classWeights }: CrossEntropyOptions = {},
): Batch {
  const texts = collateTexts(examples, size)
  const { windows, sequence } = texts
  const labels = new Int32Array(windows * sequence).fill(IGNORED)
  examples.forEach((example, text) => {
    const target = Array.from(example.target)
    const lengths = windowsOf(example).map(({ ids }) => ids.length)
    const tokens = lengths.reduce((sum, length) => sum + length, 0)
    if (target.length !== tokens) {
      throw new RangeError(`Text ${text} of the batch has ${tokens} tokens and labels for ${target.length}`)
    }
    lengths.forEach((length, i) => labels.set(target.splice(0, length), (texts.starts[text] + i) * sequence))
  })
  return {
    ...texts,
    arrays: { labels: { data: labels, shape: [windows, sequence] } },
    ...countOf(labels, classWeights),
  }
}

/** Traced: the loss of every token's label. Outputs are logits f32 [windows, sequence · labels]. */
export function forwardTokens(
  model: TokenClassifier,
  { ids, mask, types, arrays: { labels } }: TaskInputs,
  context: ForwardContext,
  options: CrossEntropyOptions = {},
): Forward {
  const [windows, sequence] = ids.shape
  const logits = model.logits(ids, mask, types, context)
  const flat = labels.reshape([windows * sequence])
  return {
    losses: classificationLoss(logits, flat, options),
    outputs: logits.reshape([windows, -1]),
    sums: { accuracy: countCorrect(logits, flat) },
  }
}

/** The task of one label per token. */
export function tokensTask(
  given: CrossEntropyOptions & { readonly labels: readonly string[] },
): Task<ArrayLike<number>, TokenClassifier> {
  needTaskOptions('tokensTask', given)
  const { labels, ...options } = given
  return {
    ...measured('tokens', labels),
    sums: ['accuracy'],
    scoresTokens: true,
    collate: (examples, size) => collateTokens(examples, size, options),
    forward: (model, inputs, context) => forwardTokens(model, inputs, context, options),
  }
}
