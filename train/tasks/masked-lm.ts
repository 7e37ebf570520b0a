// Masked-language pretraining (Devlin et al. 2019): a share of the tokens is masked, drawn anew each time a text is
// seen, and the model predicts the original ones. Only masked places are scored, so that the product with the
// vocabulary stays small.
import type { Tensor } from '../../engine/tensor.ts'
import { IGNORED, classificationLoss } from '../../models/losses.ts'
import type { MaskedModel } from '../../models/masked.ts'
import type { ForwardContext } from '../../models/nn.ts'
import type { Random } from '../random.ts'
import {
  type Batch,
  type BatchSize,
  type Encoded,
  type ExampleOutput,
  type Figures,
  type Forward,
  type Task,
  type TaskInputs,
  collateTexts,
} from '../task.ts'
import { countCorrect } from './classes.ts'

export interface MaskedOptions {
  readonly maskId: number
  /** Ids that are never masked and never replace another: [CLS], [SEP], [PAD] and the like. */
  readonly special: ReadonlySet<number>
  readonly vocabSize: number
  /**
   * Whether a token continues the word of the one before it; such words are masked whole. Without it, every token is a
   * word.
   */
  readonly continues?: (id: number) => boolean
  /** Share of the tokens that is masked; `MASKED_SHARE` when left out. */
  readonly share?: number
}

export const MASKED_SHARE = 0.15

/** The shares of masked tokens that [MASK] replaces, and that a random token does; the others stay as they are. */
const BY_MASK = 0.8
const BY_RANDOM = 0.1

/** Places that a batch has for masked tokens: the same for every batch of a size, so that one plan serves. */
const placesOf = ({ batch, sequence }: BatchSize, share: number): number =>
  batch * Math.max(1, Math.round(share * (sequence - 2)))

/** The places of each word. */
function wordsIn(ids: ArrayLike<number>, { special, continues }: MaskedOptions): number[][] {
  const words: number[][] = []
  let open = false
  for (let at = 0; at < ids.length; at++) {
    if (special.has(ids[at])) {
      open = false
      continue
    }
    if (open && continues?.(ids[at])) words[words.length - 1].push(at)
    else words.push([at])
    open = true
  }
  return words
}

/** A random token that is not a special one. */
function randomToken({ vocabSize, special }: MaskedOptions, random: Random): number {
  for (;;) {
    const id = random.below(vocabSize)
    if (!special.has(id)) return id
  }
}

/**
 * Texts with tokens masked, `positions` i32 [places] (rows of batch · sequence) and `labels` i32 [places], the original
 * tokens, −100 for places that are not used.
 */
export function collateMasked(
  examples: readonly Encoded<undefined>[],
  size: BatchSize,
  random: Random,
  options: MaskedOptions,
): Batch {
  const { share = MASKED_SHARE, maskId } = options
  const texts = collateTexts(examples, size)
  const places = placesOf(size, share)
  const positions = new Int32Array(places)
  const labels = new Int32Array(places).fill(IGNORED)
  let count = 0
  examples.forEach(({ ids }, row) => {
    const words = random.shuffle(wordsIn(ids, options))
    const tokens = words.reduce((sum, word) => sum + word.length, 0)
    let wanted = Math.min(Math.max(1, Math.round(share * tokens)), places - count)
    for (const word of words) {
      if (word.length > wanted) continue
      wanted -= word.length
      for (const column of word) {
        const at = row * size.sequence + column
        positions[count] = at
        labels[count++] = ids[column]
        const draw = random.next()
        if (draw < BY_MASK) texts.ids[at] = maskId
        else if (draw < BY_MASK + BY_RANDOM) texts.ids[at] = randomToken(options, random)
      }
      if (wanted === 0) break
    }
  })
  return {
    ...texts,
    weight: count,
    count,
    arrays: { positions: { data: positions, shape: [places] }, labels: { data: labels, shape: [places] } },
  }
}

/**
 * Traced: the loss at the masked places, and the `logits` f32 [places, vocabulary] there. There is no output: an
 * evaluation reads losses and sums alone.
 */
export function forwardMasked(
  model: MaskedModel,
  { ids, mask, types, arrays }: TaskInputs,
  context: ForwardContext,
): Forward & { readonly logits: Tensor } {
  const { positions, labels } = arrays
  const logits = model.maskedLogits({ ids, mask, types }, positions, context)
  return {
    logits,
    losses: classificationLoss(logits, labels),
    outputs: mask.cast('f32').slice([0, 0], [mask.shape[0], 1]),
    sums: { accuracy: countCorrect(logits, labels) },
  }
}

/** The task of a masked-language model. */
export function maskedTask(options: MaskedOptions): Task<undefined, MaskedModel> {
  return {
    name: 'masked-lm',
    sums: ['accuracy'],
    collate: (examples, size, random) => collateMasked(examples, size, random, options),
    forward: forwardMasked,
    bestMetric: 'loss',
    summarise: (_examples: readonly ExampleOutput<undefined>[], means: Figures): Figures => means,
  }
}
