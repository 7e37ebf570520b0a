// BERT (Devlin et al. 2019): the encoder, a sequence classifier on its pooler, and a masked-language head to pretrain.
import { z } from 'zod'
import type { Tensor } from '../engine/tensor.ts'
import {
  ACTIVATIONS,
  activation,
  activationName,
  commonFields,
  counts,
  epsilon,
  rate,
  readCommon,
} from './config-fields.ts'
import type { ModelConfig } from './config.ts'
import { Embeddings, Encoder, EncoderLayer, layerTargets, type LayerNames, type Inputs } from './encoder.ts'
import { type Family, type Published, VOCABULARY, publishedBy } from './family.ts'
import { MaskedModel, TiedDecoder } from './masked.ts'
import { SequenceClassifier, TokenClassifier, type TargetWord } from './model.ts'
import { Dropout, LayerNorm, Linear, type ForwardContext } from './nn.ts'
import { checkFields } from './plain-issue.ts'

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

const POOLER = 'bert.pooler.dense'

/** Embeddings and layers. */
export class BertEncoder extends Encoder {
  readonly embeddings: Embeddings
  readonly layers: readonly EncoderLayer[]

  constructor(config: ModelConfig) {
    super()
    this.embeddings = new Embeddings(config)
    this.layers = Array.from({ length: config.layers }, (_, i) =>
      this.add(`encoder.layer.${i}`, new EncoderLayer(NAMES, config)),
    )
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
    this.bert = new BertEncoder(config)
    // Stands after the encoder in the state dict, under the encoder's name.
    this.pooler = this.add(POOLER, new Linear(config.hidden, config.hidden, { deviation: config.initializerRange }))
    this.#dropout = new Dropout(config.classifierDropout)
    this.classifier = new Linear(config.hidden, config.labels.length, { deviation: config.initializerRange })
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
    this.bert = new BertEncoder(config)
    this.#dropout = new Dropout(config.classifierDropout)
    this.classifier = new Linear(config.hidden, config.labels.length, { deviation: config.initializerRange })
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

/** BERT with the head that predicts masked tokens, for pretraining. */
export class BertForMaskedLM extends MaskedModel {
  readonly architecture = 'BertForMaskedLM'
  readonly encoder: BertEncoder
  readonly decoder: TiedDecoder
  readonly dense: Linear
  readonly norm: LayerNorm

  constructor(config: ModelConfig) {
    super(config, 'bert.')
    const { hidden, vocabSize, initializerRange, layerNormEpsilon } = config
    this.encoder = this.add('bert', new BertEncoder(config))
    this.decoder = this.add('cls.predictions', new TiedDecoder(vocabSize))
    const dense = new Linear(hidden, hidden, { deviation: initializerRange })
    this.dense = this.add('cls.predictions.transform.dense', dense)
    const norm = new LayerNorm(hidden, { epsilon: layerNormEpsilon })
    this.norm = this.add('cls.predictions.transform.LayerNorm', norm)
  }
}

/**
 * The same with the pooler of BERT's classifiers, under the same head: the pooled output of a text predicts tokens of
 * it, wherever they stand, and so learns what the text is about.
 */
export class BertForMaskedTexts extends BertForMaskedLM {
  readonly pooler: Linear

  constructor(config: ModelConfig) {
    super(config)
    this.pooler = this.add(POOLER, new Linear(config.hidden, config.hidden, { deviation: config.initializerRange }))
  }

  /**
   * Scores f32 [count, vocabulary] of the tokens at `positions`, as `maskedLogits` gives them, and f32
   * [batch, vocabulary] of the tokens of each text as a whole.
   */
  scores(
    inputs: Inputs,
    positions: Tensor,
    context: ForwardContext,
  ): { readonly tokens: Tensor; readonly texts: Tensor } {
    const [batch, sequence] = inputs.ids.shape
    const { hidden: width } = this.config
    const hidden = this.encoder.hidden(inputs, context)
    const first = hidden.reshape([batch, sequence * width]).slice([0, 0], [batch, width])
    const pooled = this.pooler.forward(first, context).tanh()
    return { tokens: this.scoresOf(hidden.gather(positions), context), texts: this.scoresOf(pooled, context) }
  }
}

/** The fields of BERT's config.json, with Transformers' defaults. */
const schema = z.object({
  ...commonFields,
  hidden_size: counts.width.default(768),
  num_hidden_layers: counts.layers.default(12),
  num_attention_heads: counts.heads.default(12),
  intermediate_size: counts.intermediate.default(3072),
  type_vocab_size: counts.types.default(2),
  layer_norm_eps: epsilon.default(1e-12),
  hidden_act: activation.default('gelu'),
  hidden_dropout_prob: rate.default(0.1),
  attention_probs_dropout_prob: rate.default(0.1),
  classifier_dropout: rate.nullish(),
  position_embedding_type: z.literal('absolute', { error: 'only "absolute" is supported' }).nullish(),
  is_decoder: z.literal(false, { error: 'decoders are not supported' }).nullish(),
})

function read(json: object, where: string): ModelConfig {
  const fields = checkFields(schema, json, where)
  return {
    ...readCommon(fields, where),
    family: 'bert',
    name: fields._name_or_path || 'bert',
    hidden: fields.hidden_size,
    layers: fields.num_hidden_layers,
    heads: fields.num_attention_heads,
    intermediate: fields.intermediate_size,
    typeVocab: fields.type_vocab_size,
    layerNormEpsilon: fields.layer_norm_eps,
    activation: ACTIVATIONS[fields.hidden_act],
    dropout: fields.hidden_dropout_prob,
    attentionDropout: fields.attention_probs_dropout_prob,
    classifierDropout: fields.classifier_dropout ?? fields.hidden_dropout_prob,
  }
}

function write(config: ModelConfig): Record<string, unknown> {
  return {
    hidden_size: config.hidden,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    intermediate_size: config.intermediate,
    type_vocab_size: config.typeVocab,
    layer_norm_eps: config.layerNormEpsilon,
    hidden_act: activationName(config.activation),
    hidden_dropout_prob: config.dropout,
    attention_probs_dropout_prob: config.attentionDropout,
    classifier_dropout: config.classifierDropout,
    position_embedding_type: 'absolute',
  }
}

const LARGE = { hidden_size: 1024, num_hidden_layers: 24, num_attention_heads: 16, intermediate_size: 4096 }

const ofGoogle = publishedBy('google-bert', {
  'bert-base-uncased': { vocab_size: VOCABULARY.uncased },
  'bert-base-cased': { vocab_size: VOCABULARY.cased },
  'bert-large-uncased': { ...LARGE, vocab_size: VOCABULARY.uncased },
  'bert-large-cased': { ...LARGE, vocab_size: VOCABULARY.cased },
})

/** BERT miniatures (Turc et al. 2019): heads of 64, an MLP of 4 × width. */
function miniature(name: string): Published | undefined {
  const match = /^(?:google\/)?(bert_uncased_L-(2|4|6|8|10|12)_H-(128|256|512|768)_A-(2|4|8|12))$/.exec(name)
  if (!match) return undefined
  const [layers, width, heads] = match.slice(2).map(Number)
  if (width !== heads * 64) return undefined
  const sizes = {
    hidden_size: width,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    intermediate_size: 4 * width,
  }
  return { hubName: `google/${match[1]}`, fields: { ...sizes, vocab_size: VOCABULARY.uncased } }
}

export const bert: Family = {
  name: 'bert',
  prefix: 'Bert',
  hasBertTokenizer: true,
  mark: 'num_hidden_layers',
  read,
  write,
  published: name => ofGoogle(name) ?? miniature(name),
  sequence: BertForSequenceClassification,
  token: BertForTokenClassification,
  masked: BertForMaskedLM,
}
