// DistilBERT (Sanh et al. 2019): BERT's encoder at half the depth, without segment types and pooler; a sequence
// classifier, a token classifier, and the masked-language head that it was distilled with.
import { z } from 'zod'
import type { Tensor } from '../engine/tensor.ts'
import { ACTIVATIONS, activation, activationName, commonFields, counts, rate, readCommon } from './config-fields.ts'
import type { ModelConfig } from './config.ts'
import { Embeddings, Encoder, EncoderLayer, layerTargets, type LayerNames } from './encoder.ts'
import { type Family, VOCABULARY, publishedBy } from './family.ts'
import { MaskedModel, TiedDecoder } from './masked.ts'
import { SequenceClassifier, TokenClassifier, type TargetWord } from './model.ts'
import { Dropout, LayerNorm, Linear, type ForwardContext } from './nn.ts'
import { checkFields } from './plain-issue.ts'

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
    super()
    this.embeddings = new Embeddings(config)
    this.layers = Array.from({ length: config.layers }, (_, i) =>
      this.add(`transformer.layer.${i}`, new EncoderLayer(NAMES, config)),
    )
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
    this.distilbert = new DistilBertEncoder(config)
    this.preClassifier = this.add('pre_classifier', new Linear(hidden, hidden, { deviation: initializerRange }))
    this.#dropout = new Dropout(config.classifierDropout)
    this.classifier = new Linear(hidden, labels.length, { deviation: initializerRange })
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
    this.distilbert = new DistilBertEncoder(config)
    // Not the classifier's: Transformers takes the encoder's rate here.
    this.#dropout = new Dropout(config.dropout)
    this.classifier = new Linear(config.hidden, config.labels.length, { deviation: config.initializerRange })
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

/** DistilBERT with the head that predicts masked tokens. */
export class DistilBertForMaskedLM extends MaskedModel {
  readonly architecture = 'DistilBertForMaskedLM'
  readonly encoder: DistilBertEncoder
  readonly dense: Linear
  readonly norm: LayerNorm
  readonly decoder: TiedDecoder

  constructor(config: ModelConfig) {
    super(config, 'distilbert.')
    const { hidden, vocabSize, initializerRange, layerNormEpsilon } = config
    this.encoder = this.add('distilbert', new DistilBertEncoder(config))
    this.dense = this.add('vocab_transform', new Linear(hidden, hidden, { deviation: initializerRange }))
    this.norm = this.add('vocab_layer_norm', new LayerNorm(hidden, { epsilon: layerNormEpsilon }))
    this.decoder = this.add('vocab_projector', new TiedDecoder(vocabSize))
  }
}

/** The fields of DistilBERT's config.json, with Transformers' defaults. */
const schema = z.object({
  ...commonFields,
  dim: counts.width.default(768),
  n_layers: counts.layers.default(6),
  n_heads: counts.heads.default(12),
  hidden_dim: counts.intermediate.default(3072),
  activation: activation.default('gelu'),
  dropout: rate.default(0.1),
  attention_dropout: rate.default(0.1),
  seq_classif_dropout: rate.default(0.2),
})

function read(json: object, where: string): ModelConfig {
  const fields = checkFields(schema, json, where)
  return {
    ...readCommon(fields, where),
    family: 'distilbert',
    name: fields._name_or_path || 'distilbert',
    hidden: fields.dim,
    layers: fields.n_layers,
    heads: fields.n_heads,
    intermediate: fields.hidden_dim,
    typeVocab: 0,
    // No field of the file: every DistilBERT has it.
    layerNormEpsilon: 1e-12,
    activation: ACTIVATIONS[fields.activation],
    dropout: fields.dropout,
    attentionDropout: fields.attention_dropout,
    classifierDropout: fields.seq_classif_dropout,
  }
}

function write(config: ModelConfig): Record<string, unknown> {
  return {
    dim: config.hidden,
    n_layers: config.layers,
    n_heads: config.heads,
    hidden_dim: config.intermediate,
    activation: activationName(config.activation),
    dropout: config.dropout,
    attention_dropout: config.attentionDropout,
    seq_classif_dropout: config.classifierDropout,
    sinusoidal_pos_embds: false,
  }
}

export const distilbert: Family = {
  name: 'distilbert',
  prefix: 'DistilBert',
  hasBertTokenizer: true,
  mark: 'n_layers',
  read,
  write,
  published: publishedBy('distilbert', {
    'distilbert-base-uncased': { vocab_size: VOCABULARY.uncased },
    'distilbert-base-cased': { vocab_size: VOCABULARY.cased },
  }),
  sequence: DistilBertForSequenceClassification,
  token: DistilBertForTokenClassification,
  masked: DistilBertForMaskedLM,
}
