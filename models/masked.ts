// Models that predict masked tokens: an encoder under a dense layer, an activation, a norm, and a decoder that is tied
// to the word embeddings.
import type { Tensor } from '../engine/tensor.ts'
import { type Encoder, type Inputs, activate, layerTargets } from './encoder.ts'
import { classificationLoss, meanOf } from './losses.ts'
import { Model, type TargetWord } from './model.ts'
import { type ForwardContext, type LayerNorm, type Linear, Module, Parameter } from './nn.ts'

/** The decoder's own part, a bias for each token: its weights are those of the word embeddings. */
export class TiedDecoder extends Module {
  readonly bias: Parameter

  constructor(vocabSize: number) {
    super()
    this.bias = new Parameter([vocabSize], { role: 'bias' })
  }
}

/** An encoder with the head that it was pretrained with. */
export abstract class MaskedModel extends Model {
  abstract readonly encoder: Encoder
  abstract readonly dense: Linear
  abstract readonly norm: LayerNorm
  abstract readonly decoder: TiedDecoder

  /**
   * Scores f32 [count, vocabulary] of the tokens at `positions` (i32 [count], each a row of batch · sequence), so that
   * the vocabulary's product is made only where a token was masked.
   */
  maskedLogits(inputs: Inputs, positions: Tensor, context: ForwardContext): Tensor {
    return this.scoresOf(this.encoder.hidden(inputs, context).gather(positions), context)
  }

  /** Scores f32 [rows, vocabulary] of hidden states [rows, hidden]. */
  protected scoresOf(rows: Tensor, context: ForwardContext): Tensor {
    const guess = this.norm.forward(activate(this.dense.forward(rows, context), this.config.activation))
    const { tensor: table } = this.encoder.embeddings.words.weight
    const scores = guess.matmul((context.mixed ? table.cast(guess.dtype) : table).transpose())
    return scores.add(this.decoder.bias.tensor.cast(scores.dtype)).cast('f32')
  }

  /** Mean cross-entropy, f32 [], of the original tokens, labels i32 [count]; −100 does not count. */
  loss(inputs: Inputs, positions: Tensor, labels: Tensor, context: ForwardContext): Tensor {
    return meanOf(classificationLoss(this.maskedLogits(inputs, positions, context), labels))
  }

  targets(word: TargetWord): Linear[] {
    return word === 'head' ? this.head() : layerTargets(this.encoder.layers, word)
  }

  head(): Linear[] {
    return [this.dense]
  }
}
