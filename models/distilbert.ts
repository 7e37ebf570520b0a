// DistilBERT (Sanh et al. 2019): BERT's encoder at half the depth, without segment types and pooler.
import type { Tensor } from '../engine/tensor.ts'
import type { ModelConfig } from './config.ts'
import { Embeddings, Encoder, EncoderLayer, layerTargets, type LayerNames } from './encoder.ts'
import { SequenceClassifier, TokenClassifier, type TargetWord } from './model.ts'
import { Dropout, Linear, type ForwardContext } from './nn.ts'

const NAMES: LayerNames = {
  query: 'attention.q_lin',
  key: 'attention.k_lin',
  value: 'attention.v_lin',
  projection: 'attention.out_lin',
  attentionNorm: 'sa_layer_norm',
  up: 'ffn.lin1',
  down: 'ffn.lin2',
  outputNorm: 'output_layer_norm',
  projectionDropout: false,
}

/** Embeddings and layers. */
export class DistilBertEncoder extends Encoder {
  readonly embeddings: Embeddings
  readonly layers: readonly EncoderLayer[]

  constructor(config: ModelConfig) {
    super('distilbert')
    this.embeddings = this.add(new Embeddings('distilbert.embeddings', config))
    this.layers = Array.from({ length: config.layers }, (_, i) =>
      this.add(new EncoderLayer(`distilbert.transformer.layer.${i}`, NAMES, config)))
  }
}

/** Dense and ReLU on the first token, dropout, classifier. */
export class DistilBertForSequenceClassification extends SequenceClassifier {
  readonly architecture = 'DistilBertForSequenceClassification'
  readonly distilbert: DistilBertEncoder
  readonly preClassifier: Linear
  readonly classifier: Linear
  readonly #dropout: Dropout

  constructor(config: ModelConfig) {
    super(config, 'distilbert.')
    const { hidden, labels, initializerRange } = config
    this.distilbert = this.add(new DistilBertEncoder(config))
    this.preClassifier = this.add(new Linear('pre_classifier', hidden, hidden, initializerRange))
    this.#dropout = new Dropout('dropout', config.classifierDropout)
    this.classifier = this.add(new Linear('classifier', hidden, labels.length, initializerRange))
  }

  /** `types` is not used: DistilBERT has no segments. */
  logits(ids: Tensor, mask: Tensor, _types: Tensor | undefined, context: ForwardContext): Tensor {
    const first = this.distilbert.firstHidden({ ids, mask }, context)
    const dense = this.preClassifier.forward(first, context).relu()
    return this.classifier.forward(this.#dropout.forward(dense, context), context).cast('f32')
  }

  targets(word: TargetWord): Linear[] {
    return word === 'head' ? this.head() : layerTargets(this.distilbert.layers, word)
  }

  head(): Linear[] {
    return [this.preClassifier, this.classifier]
  }
}

/** Dropout and a classifier on every token. */
export class DistilBertForTokenClassification extends TokenClassifier {
  readonly architecture = 'DistilBertForTokenClassification'
  readonly distilbert: DistilBertEncoder
  readonly classifier: Linear
  readonly #dropout: Dropout

  constructor(config: ModelConfig) {
    super(config, 'distilbert.')
    this.distilbert = this.add(new DistilBertEncoder(config))
    // Not the classifier's: Transformers takes the encoder's rate here.
    this.#dropout = new Dropout('dropout', config.dropout)
    this.classifier = this.add(new Linear('classifier', config.hidden, config.labels.length, config.initializerRange))
  }

  /** `types` is not used: DistilBERT has no segments. */
  logits(ids: Tensor, mask: Tensor, _types: Tensor | undefined, context: ForwardContext): Tensor {
    const hidden = this.distilbert.hidden({ ids, mask }, context)
    return this.classifier.forward(this.#dropout.forward(hidden, context), context).cast('f32')
  }

  targets(word: TargetWord): Linear[] {
    return word === 'head' ? this.head() : layerTargets(this.distilbert.layers, word)
  }

  head(): Linear[] {
    return [this.classifier]
  }
}
