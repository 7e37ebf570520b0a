// BERT (Devlin et al. 2019): the encoder, a sequence classifier on its pooler, and a masked-language head to pretrain.
import type { Tensor } from '../engine/tensor.ts'
import type { ModelConfig } from './config.ts'
import { Embeddings, Encoder, EncoderLayer, activate, layerTargets, type Inputs, type LayerNames } from './encoder.ts'
import { classificationLoss, meanOf } from './losses.ts'
import { Model, SequenceClassifier, TokenClassifier, type TargetWord } from './model.ts'
import { Dropout, LayerNorm, Linear, Module, type ForwardContext, type Parameter } from './nn.ts'

const NAMES: LayerNames = {
  query: 'attention.self.query',
  key: 'attention.self.key',
  value: 'attention.self.value',
  projection: 'attention.output.dense',
  attentionNorm: 'attention.output.LayerNorm',
  up: 'intermediate.dense',
  down: 'output.dense',
  outputNorm: 'output.LayerNorm',
  projectionDropout: true,
}

/** Embeddings and layers. */
export class BertEncoder extends Encoder {
  readonly embeddings: Embeddings
  readonly layers: readonly EncoderLayer[]

  constructor(config: ModelConfig) {
    super('bert')
    this.embeddings = this.add(new Embeddings('bert.embeddings', config))
    this.layers = Array.from({ length: config.layers }, (_, i) =>
      this.add(new EncoderLayer(`bert.encoder.layer.${i}`, NAMES, config)))
  }
}

/** Pooler (dense and tanh on the first token), dropout, classifier. */
export class BertForSequenceClassification extends SequenceClassifier {
  readonly architecture = 'BertForSequenceClassification'
  readonly bert: BertEncoder
  readonly pooler: Linear
  readonly classifier: Linear
  readonly #dropout: Dropout

  constructor(config: ModelConfig) {
    super(config, 'bert.')
    this.bert = this.add(new BertEncoder(config))
    // Stands after the encoder in the state dict, under the encoder's name.
    this.pooler = this.add(new Linear('bert.pooler.dense', config.hidden, config.hidden, config.initializerRange))
    this.#dropout = new Dropout('dropout', config.classifierDropout)
    this.classifier = this.add(new Linear('classifier', config.hidden, config.labels.length, config.initializerRange))
  }

  logits(ids: Tensor, mask: Tensor, types: Tensor | undefined, context: ForwardContext): Tensor {
    const first = this.bert.firstHidden({ ids, mask, types }, context)
    const pooled = this.pooler.forward(first, context).tanh()
    return this.classifier.forward(this.#dropout.forward(pooled, context), context).cast('f32')
  }

  targets(word: TargetWord): Linear[] {
    return word === 'head' ? this.head() : layerTargets(this.bert.layers, word)
  }

  head(): Linear[] {
    return [this.pooler, this.classifier]
  }
}

/** Dropout and a classifier on every token; no pooler. */
export class BertForTokenClassification extends TokenClassifier {
  readonly architecture = 'BertForTokenClassification'
  readonly bert: BertEncoder
  readonly classifier: Linear
  readonly #dropout: Dropout

  constructor(config: ModelConfig) {
    super(config, 'bert.')
    this.bert = this.add(new BertEncoder(config))
    this.#dropout = new Dropout('dropout', config.classifierDropout)
    this.classifier = this.add(new Linear('classifier', config.hidden, config.labels.length, config.initializerRange))
  }

  logits(ids: Tensor, mask: Tensor, types: Tensor | undefined, context: ForwardContext): Tensor {
    const hidden = this.bert.hidden({ ids, mask, types }, context)
    return this.classifier.forward(this.#dropout.forward(hidden, context), context).cast('f32')
  }

  targets(word: TargetWord): Linear[] {
    return word === 'head' ? this.head() : layerTargets(this.bert.layers, word)
  }

  head(): Linear[] {
    return [this.classifier]
  }
}

/** Dense, activation, norm, and a decoder tied to the word embeddings. */
class MaskedHead extends Module {
  readonly bias: Parameter
  readonly dense: Linear
  readonly norm: LayerNorm

  constructor(config: ModelConfig) {
    super('cls.predictions')
    const { hidden, vocabSize, initializerRange, layerNormEpsilon } = config
    this.bias = this.own('bias', [vocabSize], 'bias', { kind: 'constant', value: 0 })
    this.dense = this.add(new Linear('cls.predictions.transform.dense', hidden, hidden, initializerRange))
    this.norm = this.add(new LayerNorm('cls.predictions.transform.LayerNorm', hidden, layerNormEpsilon))
  }
}

/** BERT with the head that guesses masked tokens, for pretraining. */
export class BertForMaskedLM extends Model {
  readonly architecture = 'BertForMaskedLM'
  readonly bert: BertEncoder
  readonly cls: MaskedHead

  constructor(config: ModelConfig) {
    super(config, 'bert.')
    this.bert = this.add(new BertEncoder(config))
    this.cls = this.add(new MaskedHead(config))
  }

  /**
   * Scores f32 [count, vocabulary] of the tokens at `positions` (i32 [count], each a row of batch · sequence), so that
   * the vocabulary's product is made only where a token was masked.
   */
  maskedLogits(inputs: Inputs, positions: Tensor, context: ForwardContext): Tensor {
    const rows = this.bert.hidden(inputs, context).gather(positions)
    const guess = this.cls.norm.forward(activate(this.cls.dense.forward(rows, context), this.config.activation))
    const scores = guess.matmul(this.bert.embeddings.words.weight.tensor.transpose())
    return scores.add(this.cls.bias.tensor.cast(scores.dtype)).cast('f32')
  }

  /** Mean cross-entropy, f32 [], of the original tokens, labels i32 [count]; −100 does not count. */
  loss(inputs: Inputs, positions: Tensor, labels: Tensor, context: ForwardContext): Tensor {
    return meanOf(classificationLoss(this.maskedLogits(inputs, positions, context), labels))
  }

  targets(word: TargetWord): Linear[] {
    return word === 'head' ? this.head() : layerTargets(this.bert.layers, word)
  }

  head(): Linear[] {
    return [this.cls.dense]
  }
}
