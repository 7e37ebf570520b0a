// What a model family brings: how its config.json is read and written, its published names, and what it is built as.
import type { ModelConfig } from './config.ts'
import type { MaskedModel } from './masked.ts'
import type { SequenceClassifier, TokenClassifier } from './model.ts'

export interface Family {
  /** `model_type` in config.json, and `ModelConfig.family`. */
  readonly name: string
  /** How the names of its classes begin in Transformers: `Bert` of `BertForSequenceClassification`, `BertTokenizer`. */
  readonly prefix: string
  /**
   * Whether its tokenizer is BERT's: WordPiece by the flags of tokenizer_config.json (`do_lower_case` …), which win
   * over tokenizer.json.
   */
  readonly hasBertTokenizer: boolean
  /** A field of config.json that no other family has, for files without `model_type`. */
  readonly mark: string
  /** Reads a config.json. Throws a UserError naming `where` and the field. */
  readonly read: (json: object, where: string) => ModelConfig
  /** The fields of config.json that are the family's own, as Transformers names them. */
  readonly write: (config: ModelConfig) => Record<string, unknown>
  /** The published model of a name with or without its organization; undefined for other names. */
  readonly published: (name: string) => Published | undefined
  readonly sequence: new (config: ModelConfig) => SequenceClassifier
  readonly token: new (config: ModelConfig) => TokenClassifier
  readonly masked: new (config: ModelConfig) => MaskedModel
}

/** A published architecture. */
export interface Published {
  /** Its name on the Hub today: old short names belong to organizations now. */
  readonly hubName: string
  /** What its config.json says, as far as it differs from the family's defaults. */
  readonly fields: object
}

/** Rows of the vocabularies of published BERTs. */
export const VOCABULARY = { uncased: 30522, cased: 28996 } as const

/** Published models of one organization, by their short names. */
export const publishedBy =
  (organization: string, models: Readonly<Record<string, object>>) =>
  (name: string): Published | undefined => {
    const short = name.startsWith(`${organization}/`) ? name.slice(organization.length + 1) : name
    return Object.hasOwn(models, short) ? { hubName: `${organization}/${short}`, fields: models[short] } : undefined
  }
