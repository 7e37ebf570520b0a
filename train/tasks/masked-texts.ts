// Masked-language pretraining with a second loss: the masked tokens of a text are also predicted from its pooled output
// alone, wherever they stand (a bag of words, as in Xiao et al. 2023, DupMAE). So the pooler that classifiers start
// from is trained, too, and learns what a text is about.
import type { BertForMaskedTexts } from '../../models/bert.ts'
import { classificationLoss } from '../../models/losses.ts'
import type { ForwardContext } from '../../models/nn.ts'
import type { Forward, Task, TaskInputs } from '../task.ts'
import { countCorrect } from './classes.ts'
import { type MaskedOptions, maskedTask } from './masked-lm.ts'

/**
 * Traced: the loss at the masked places, in training with that of the texts, times `weight`. `texts` i32 [places] are
 * the rows of the batch that the places are in.
 */
function forward(
  model: BertForMaskedTexts,
  { ids, mask, types, arrays }: TaskInputs,
  context: ForwardContext,
  weight: number,
): Forward {
  const { positions, labels, texts } = arrays
  const scores = model.scores({ ids, mask, types }, positions, context)
  const { losses, weights } = classificationLoss(scores.tokens, labels)
  const ofTexts = classificationLoss(scores.texts.gather(texts), labels).losses
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
      const { data, shape } = batch.arrays.positions
      const texts = Int32Array.from(data, at => Math.floor(at / size.sequence))
      return { ...batch, arrays: { ...batch.arrays, texts: { data: texts, shape } } }
    },
    forward: (model, inputs, context) => forward(model, inputs, context, weight),
  }
}
