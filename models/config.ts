// What a model is made of, in one vocabulary for BERT and DistilBERT, and its way from and to the Hub's config.json,
// where the two name the same things differently. Published architectures are known by name, with no download.
import { z } from 'zod'
import { UserError } from '../engine/errors.ts'
import { show } from './show.ts'

export type Activation = 'gelu' | 'gelu-tanh' | 'relu' | 'tanh'

/** An encoder with a classification head. BERT: Devlin et al. 2019; DistilBERT: Sanh et al. 2019. */
export interface ModelConfig {
  readonly family: 'bert' | 'distilbert'
  readonly name: string
  readonly vocabSize: number
  /** Width of the residual stream. */
  readonly hidden: number
  readonly layers: number
  readonly heads: number
  /** Width inside the MLP. */
  readonly intermediate: number
  /** Longest sequence, in tokens. */
  readonly maxPositions: number
  /** Count of segment embeddings; 0 if there are none (DistilBERT). */
  readonly typeVocab: number
  readonly layerNormEpsilon: number
  readonly activation: Activation
  /** Dropout of embeddings and of each sublayer's output. */
  readonly dropout: number
  readonly attentionDropout: number
  readonly classifierDropout: number
  readonly padTokenId: number
  /** Names of the classes by their number. */
  readonly labels: readonly string[]
  /** Standard deviation of fresh weights. */
  readonly initializerRange: number
}

/** Names in config.json on the left; the first name of ours on the right is what we write back. */
const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  gelu: 'gelu',
  gelu_new: 'gelu-tanh',
  gelu_pytorch_tanh: 'gelu-tanh',
  relu: 'relu',
  tanh: 'tanh',
}

/** A whole number from 1 to `most`: each bound is far above every published model, and keeps what it sizes in memory. */
const upTo = (most: number) => z.int().positive().max(most, `at most ${most.toLocaleString('en-US')} is supported`)
const counts = {
  vocabulary: upTo(10_000_000),
  width: upTo(65_536),
  intermediate: upTo(1_048_576),
  layers: upTo(1_000),
  heads: upTo(4_096),
  positions: upTo(1_048_576),
  types: upTo(65_536),
  labels: upTo(100_000),
}
/** Most numbers in one matrix: 8 GiB of f32. */
const LARGEST_MATRIX = 2 ** 31
const rate = z.number().min(0).lt(1)
const activation = z.string().refine(name => Object.hasOwn(ACTIVATIONS, name), {
  error: ({ input }) => `${show(input)} is not one of ${Object.keys(ACTIVATIONS).join(', ')}`,
})
const epsilon = z.number().positive()

/** What both families have. Defaults here and below are those of Transformers. */
const common = {
  _name_or_path: z.string().nullish(),
  vocab_size: counts.vocabulary.default(30522),
  max_position_embeddings: counts.positions.default(512),
  pad_token_id: z.int().min(0).nullish(),
  initializer_range: z.number().min(0).max(1e6).default(0.02),
  // `labelsOf` checks it: zod makes an issue of every wrong name, which takes more memory than the file.
  id2label: z.unknown().optional(),
  num_labels: counts.labels.nullish(),
}
const bertSchema = z.object({
  ...common,
  hidden_size: counts.width.default(768),
  num_hidden_layers: counts.layers.default(12),
  num_attention_heads: counts.heads.default(12),
  intermediate_size: counts.intermediate.default(3072),
  type_vocab_size: counts.vocabulary.default(2),
  layer_norm_eps: epsilon.default(1e-12),
  hidden_act: activation.default('gelu'),
  hidden_dropout_prob: rate.default(0.1),
  attention_probs_dropout_prob: rate.default(0.1),
  classifier_dropout: rate.nullish(),
  position_embedding_type: z.literal('absolute', { error: 'only "absolute" is supported' }).nullish(),
  is_decoder: z.literal(false, { error: 'decoders are not supported' }).nullish(),
})
const distilbertSchema = z.object({
  ...common,
  dim: counts.width.default(768),
  n_layers: counts.layers.default(6),
  n_heads: counts.heads.default(12),
  hidden_dim: counts.intermediate.default(3072),
  activation: activation.default('gelu'),
  dropout: rate.default(0.1),
  attention_dropout: rate.default(0.1),
  seq_classif_dropout: rate.default(0.2),
})

/**
 * Reads a Hub config.json. Fields that mean nothing here are ignored. `name` is kept for display; the file's own
 * `_name_or_path` stands in when it is left out. Throws a UserError naming `where` and the field.
 */
export function parseConfig(json: unknown, where: string, name?: string): ModelConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new UserError(`${where}: no JSON object`)
  const config = familyOf(json, where) === 'bert' ? fromBert(json, where) : fromDistilbert(json, where)
  if (config.hidden % config.heads !== 0) {
    throw new UserError(`${where}: width ${config.hidden} does not divide into ${config.heads} heads`)
  }
  const { hidden, vocabSize, maxPositions, typeVocab, intermediate, labels } = config
  const rows = Math.max(vocabSize, maxPositions, typeVocab, intermediate, hidden, labels.length)
  if (rows * hidden > LARGEST_MATRIX) {
    throw new UserError(
      `${where}: a matrix of ${rows} × ${hidden} numbers; at most ${LARGEST_MATRIX.toLocaleString('en-US')} are supported`)
  }
  if (config.padTokenId >= config.vocabSize) {
    throw new UserError(`${where}: pad_token_id ${config.padTokenId} is outside the vocabulary of ${config.vocabSize}`)
  }
  return name === undefined ? config : { ...config, name }
}

/** By `model_type`; files from before that field existed, by `architectures` or by the family's own field names. */
function familyOf(json: object, where: string): 'bert' | 'distilbert' {
  const { model_type: type, architectures } = json as { model_type?: unknown; architectures?: unknown }
  if (type === 'bert' || type === 'distilbert') return type
  if (type !== undefined && type !== null) {
    throw new UserError(`${where}: model_type ${show(type)} is not supported; bert and distilbert are`)
  }
  const first: unknown = Array.isArray(architectures) ? architectures[0] : undefined
  const architecture = typeof first === 'string' ? first : ''
  if (architecture.startsWith('DistilBert') || 'n_layers' in json) return 'distilbert'
  if (architecture.startsWith('Bert') || 'num_hidden_layers' in json) return 'bert'
  throw new UserError(`${where}: no model_type; bert or distilbert is expected`)
}

function fromBert(json: object, where: string): ModelConfig {
  const fields = check(bertSchema, json, where)
  return {
    family: 'bert',
    name: fields._name_or_path || 'bert',
    vocabSize: fields.vocab_size,
    hidden: fields.hidden_size,
    layers: fields.num_hidden_layers,
    heads: fields.num_attention_heads,
    intermediate: fields.intermediate_size,
    maxPositions: fields.max_position_embeddings,
    typeVocab: fields.type_vocab_size,
    layerNormEpsilon: fields.layer_norm_eps,
    activation: ACTIVATIONS[fields.hidden_act],
    dropout: fields.hidden_dropout_prob,
    attentionDropout: fields.attention_probs_dropout_prob,
    classifierDropout: fields.classifier_dropout ?? fields.hidden_dropout_prob,
    padTokenId: fields.pad_token_id ?? 0,
    labels: labelsOf(fields, where),
    initializerRange: fields.initializer_range,
  }
}

function fromDistilbert(json: object, where: string): ModelConfig {
  const fields = check(distilbertSchema, json, where)
  return {
    family: 'distilbert',
    name: fields._name_or_path || 'distilbert',
    vocabSize: fields.vocab_size,
    hidden: fields.dim,
    layers: fields.n_layers,
    heads: fields.n_heads,
    intermediate: fields.hidden_dim,
    maxPositions: fields.max_position_embeddings,
    typeVocab: 0,
    // No field of the file: every DistilBERT has it.
    layerNormEpsilon: 1e-12,
    activation: ACTIVATIONS[fields.activation],
    dropout: fields.dropout,
    attentionDropout: fields.attention_dropout,
    classifierDropout: fields.seq_classif_dropout,
    padTokenId: fields.pad_token_id ?? 0,
    labels: labelsOf(fields, where),
    initializerRange: fields.initializer_range,
  }
}

function check<T extends z.ZodType>(schema: T, json: object, where: string): z.output<T> {
  const result = schema.safeParse(json)
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw new UserError(`${where}: ${issue.path.join('.')}: ${issue.message}`)
}

/** `id2label` if there is one, else as many generic names as `num_labels` says, else two. */
function labelsOf(fields: { id2label?: unknown, num_labels?: number | null }, where: string): string[] {
  const { id2label = null } = fields
  if (id2label === null) return genericLabels(fields.num_labels ?? 2)
  if (typeof id2label !== 'object' || Array.isArray(id2label)) {
    throw new UserError(`${where}: id2label: ${show(id2label)} is not an object of names by number`)
  }
  const names = new Map<string, unknown>(Object.entries(id2label))
  if (names.size === 0) return genericLabels(fields.num_labels ?? 2)
  const count = counts.labels.safeParse(names.size)
  if (!count.success) throw new UserError(`${where}: id2label: ${names.size} names: ${count.error.issues[0].message}`)
  return Array.from({ length: names.size }, (_, id) => {
    const label = names.get(String(id))
    if (label === undefined) throw new UserError(`${where}: id2label has ${names.size} entries, but none for ${id}`)
    // Names may be numbers, as they are where a data set's own labels were taken for names.
    if (typeof label !== 'string' && typeof label !== 'number' && typeof label !== 'boolean') {
      throw new UserError(`${where}: id2label.${id}: ${show(label)} is not a name`)
    }
    return String(label)
  })
}

function genericLabels(size: number): string[] {
  return Array.from({ length: size }, (_, id) => `LABEL_${id}`)
}

/** The config.json that Transformers reads, in its own field names. `parseConfig` of it gives an equal config. */
export function toHubConfig(config: ModelConfig): Record<string, unknown> {
  const act = Object.keys(ACTIVATIONS).find(name => ACTIVATIONS[name] === config.activation)
  const shared = {
    _name_or_path: config.name,
    vocab_size: config.vocabSize,
    max_position_embeddings: config.maxPositions,
    pad_token_id: config.padTokenId,
    initializer_range: config.initializerRange,
    id2label: Object.fromEntries(config.labels.map((label, id) => [String(id), label])),
    label2id: Object.fromEntries(config.labels.map((label, id) => [label, id])),
    torch_dtype: 'float32',
  }
  if (config.family === 'distilbert') {
    return {
      architectures: ['DistilBertForSequenceClassification'],
      model_type: 'distilbert',
      ...shared,
      dim: config.hidden,
      n_layers: config.layers,
      n_heads: config.heads,
      hidden_dim: config.intermediate,
      activation: act,
      dropout: config.dropout,
      attention_dropout: config.attentionDropout,
      seq_classif_dropout: config.classifierDropout,
      sinusoidal_pos_embds: false,
    }
  }
  return {
    architectures: ['BertForSequenceClassification'],
    model_type: 'bert',
    ...shared,
    hidden_size: config.hidden,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    intermediate_size: config.intermediate,
    type_vocab_size: config.typeVocab,
    layer_norm_eps: config.layerNormEpsilon,
    hidden_act: act,
    hidden_dropout_prob: config.dropout,
    attention_probs_dropout_prob: config.attentionDropout,
    classifier_dropout: config.classifierDropout,
    position_embedding_type: 'absolute',
  }
}

const UNCASED = 30522
const CASED = 28996

const PUBLISHED: Readonly<Record<string, { readonly org: string; readonly fields: object }>> = {
  'distilbert-base-uncased': { org: 'distilbert', fields: { model_type: 'distilbert', vocab_size: UNCASED } },
  'distilbert-base-cased': { org: 'distilbert', fields: { model_type: 'distilbert', vocab_size: CASED } },
  'bert-base-uncased': { org: 'google-bert', fields: { model_type: 'bert', vocab_size: UNCASED } },
  'bert-base-cased': { org: 'google-bert', fields: { model_type: 'bert', vocab_size: CASED } },
  'bert-large-uncased': { org: 'google-bert', fields: { ...large(), vocab_size: UNCASED } },
  'bert-large-cased': { org: 'google-bert', fields: { ...large(), vocab_size: CASED } },
}

function large(): object {
  const sizes = { hidden_size: 1024, num_hidden_layers: 24, num_attention_heads: 16, intermediate_size: 4096 }
  return { model_type: 'bert', ...sizes }
}

/** BERT miniatures (Turc et al. 2019): heads of 64, an MLP of 4 × width. */
const MINIATURE = /^(?:google\/)?bert_uncased_L-(2|4|6|8|10|12)_H-(128|256|512|768)_A-(2|4|8|12)$/

/** The architecture of a published model, with or without its organisation's prefix; undefined for other names. */
export function publishedConfig(name: string): ModelConfig | undefined {
  const slash = name.indexOf('/')
  const bare = name.slice(slash + 1)
  const found = Object.hasOwn(PUBLISHED, bare) ? PUBLISHED[bare] : undefined
  if (found && (slash < 0 || name.slice(0, slash) === found.org)) return parseConfig(found.fields, name, name)
  const [, layers, width, heads] = (MINIATURE.exec(name) ?? []).map(Number)
  if (layers === undefined || width !== heads * 64) return undefined
  const fields = {
    model_type: 'bert',
    vocab_size: UNCASED,
    hidden_size: width,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    intermediate_size: width * 4,
  }
  return parseConfig(fields, name, name)
}

/** The name that the Hub has for a model today: old short names belong to organisations now. */
export function hubName(name: string): string {
  if (Object.hasOwn(PUBLISHED, name)) return `${PUBLISHED[name].org}/${name}`
  return MINIATURE.test(name) && !name.includes('/') ? `google/${name}` : name
}
