// Masked-language pretraining with a second loss: all tokens of a text are also predicted from its pooled output alone,
// wherever they stand (a bag of words, as in Xiao et al. 2023, DupMAE). So the pooler that classifiers start from is
// trained, too, and learns what a text is about.
import type { Tensor } from '../../engine/tensor.ts'
import type { BertForMaskedTexts } from '../../models/bert.ts'
import { classificationLoss } from '../../models/losses.ts'
import type { ForwardContext } from '../../models/nn.ts'
import type { Batch, BatchSize, Encoded, Forward, Task, TaskInputs } from '../task.ts'
import { countCorrect } from './classes.ts'
import { type MaskedOptions, maskedTask } from './masked-lm.ts'

/**
 * What the loss of texts takes: `texts` i32 [places], the row of the batch that a masked place is in; `tokens` i32
 * [batch · sequence], each token's place among the scores [batch · vocabulary] of its text; and `shares` f32
 * [batch, sequence], 1 ÷ the tokens of the text, 0 for special tokens and padding.
 */
function arraysOf(
  examples: readonly Encoded<undefined>[],
  { batch, sequence }: BatchSize,
  positions: Batch['arrays'][string],
  { special, vocabSize }: MaskedOptions,
): Batch['arrays'] {
  const tokens = new Int32Array(batch * sequence)
  const shares = new Float32Array(batch * sequence)
  examples.forEach((example, row) => {
    const ids = Array.from(example.ids)
    const counted = ids.reduce((sum, id) => sum + (special.has(id) ? 0 : 1), 0)
    ids.forEach((id, column) => {
      const at = row * sequence + column
      tokens[at] = row * vocabSize + id
      shares[at] = special.has(id) ? 0 : 1 / counted
    })
  })
  const texts = Int32Array.from(positions.data, at => Math.floor(at / sequence))
  return {
    texts: { data: texts, shape: positions.shape },
    tokens: { data: tokens, shape: [batch * sequence] },
    shares: { data: shares, shape: [batch, sequence] },
  }
}

/** Traced: f32 [places], the mean of −log p over the tokens of the text that each masked place is in. */
function textLosses(scores: Tensor, { texts, tokens, shares }: TaskInputs['arrays']): Tensor {
  const all = scores.logSoftmax().reshape([scores.size, 1]).gather(tokens).reshape(shares.shape)
  return all.mul(shares).sum(1).neg().reshape([scores.shape[0], 1]).gather(texts).reshape(texts.shape)
}

/**
 * Traced: the loss at the masked places, in training with that of the texts, times `weight`. A text counts once for
 * each of its masked tokens, so that both losses weigh texts alike.
 */
function forward(
  model: BertForMaskedTexts,
  { ids, mask, types, arrays }: TaskInputs,
  context: ForwardContext,
  weight: number,
): Forward {
  const { positions, labels } = arrays
  const scores = model.scores({ ids, mask, types }, positions, context)
  const { losses, weights } = classificationLoss(scores.tokens, labels)
  const ofTexts = textLosses(scores.texts, arrays).mul(weights)
  return {
    losses: { losses: context.training ? losses.add(ofTexts.mul(weight)) : losses, weights },
    outputs: mask.cast('f32').slice([0, 0], [mask.shape[0], 1]),
    sums: { accuracy: countCorrect(scores.tokens, labels), text_loss: ofTexts.sum() },
  }
}

/** The task of a masked-language model with a pooler; `weight` is that of the texts' loss. */
export function maskedTextsTask(options: MaskedOptions, weight: number): Task<undefined, BertForMaskedTexts> {
  const { collate, ...task } = maskedTask(options)
  return {
    ...task,
    sums: ['accuracy', 'text_loss'],
    collate: (examples, size, random) => {
      const batch = collate(examples, size, random)
      const { arrays } = batch
      return { ...batch, arrays: { ...arrays, ...arraysOf(examples, size, arrays.positions, options) } }
    },
    forward: (model, inputs, context) => forward(model, inputs, context, weight),
  }
}
