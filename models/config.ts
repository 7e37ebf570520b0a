// What a model is made of, in one vocabulary for all families, and its way from and to the Hub's config.json, where
// families name the same things differently. Published architectures are known by name, with no download.
import { UserError } from '../engine/errors.ts'
import { needObjects, needStrings } from '../engine/options.ts'
import { writeCommon } from './config-fields.ts'
import { FAMILIES, familyOf } from './families.ts'
import type { Family } from './family.ts'
import { show } from './show.ts'

export type Activation = 'gelu' | 'gelu-tanh' | 'relu' | 'tanh'

/** An encoder with a classification head. */
export interface ModelConfig {
  /** The name of a row of `FAMILIES`. */
  readonly family: string
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

/** Most numbers in one matrix: 8 GiB of f32. */
const LARGEST_MATRIX = 2 ** 31

/**
 * Reads a Hub config.json. Fields that mean nothing here are ignored. `name` is kept for display; the file's own
 * `_name_or_path` stands in when it is left out. Throws a UserError naming `where` and the field.
 */
export function parseConfig(json: unknown, where: string, name?: string): ModelConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new UserError(`${where}: no JSON object`)
  const config = familyAt(json, where).read(json, where)
  if (config.hidden % config.heads !== 0) {
    throw new UserError(`${where}: width ${config.hidden} does not divide into ${config.heads} heads`)
  }
  const { hidden, vocabSize, maxPositions, typeVocab, intermediate, labels } = config
  const rows = Math.max(vocabSize, maxPositions, typeVocab, intermediate, hidden, labels.length)
  if (rows * hidden > LARGEST_MATRIX) {
    throw new UserError(
      `${where}: a matrix of ${rows} × ${hidden} numbers; at most ${LARGEST_MATRIX.toLocaleString('en-US')} are supported`,
    )
  }
  if (config.padTokenId >= config.vocabSize) {
    throw new UserError(`${where}: pad_token_id ${config.padTokenId} is outside the vocabulary of ${config.vocabSize}`)
  }
  return name === undefined ? config : { ...config, name }
}

/** By `model_type`; files from before that field existed, by `architectures` or by a field that only the family has. */
function familyAt(json: object, where: string): Family {
  const { model_type: type, architectures } = json as { model_type?: unknown; architectures?: unknown }
  const names = FAMILIES.map(({ name }) => name)
  if (type !== undefined && type !== null) {
    const family = FAMILIES.find(({ name }) => name === type)
    if (family) return family
    throw new UserError(`${where}: model_type ${show(type)} is not supported; ${names.join(' and ')} are`)
  }
  const first: unknown = Array.isArray(architectures) ? architectures[0] : undefined
  const family =
    FAMILIES.find(({ prefix }) => typeof first === 'string' && first.startsWith(prefix)) ??
    FAMILIES.find(({ mark }) => mark in json)
  if (!family) throw new UserError(`${where}: no model_type; ${names.join(' or ')} is expected`)
  return family
}

/** The config.json that Transformers reads, in its own field names. `parseConfig` of it gives an equal config. */
export function toHubConfig(config: ModelConfig): Record<string, unknown> {
  needObjects('toHubConfig', { config })
  const { name, prefix, write } = familyOf(config)
  return {
    architectures: [`${prefix}ForSequenceClassification`],
    model_type: name,
    ...writeCommon(config),
    ...write(config),
  }
}

/** The architecture of a published model, with or without its organization's prefix; undefined for other names. */
export function publishedConfig(name: string): ModelConfig | undefined {
  needStrings('publishedConfig', { name })
  for (const family of FAMILIES) {
    const found = family.published(name)
    if (found) return { ...family.read(found.fields, name), name }
  }
  return undefined
}

/** The name that the Hub has for a model today. */
export const hubName = (name: string): string =>
  FAMILIES.map(({ published }) => published(name)?.hubName).find(found => found !== undefined) ?? name
