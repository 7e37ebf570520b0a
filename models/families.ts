// The model families, a row each: what is built for which kind of task. Adding a family is a file of its own and a row.
import { UserError } from '../engine/errors.ts'
import { BertForMaskedLM, BertForSequenceClassification, BertForTokenClassification } from './bert.ts'
import type { ModelConfig } from './config.ts'
import { DistilBertForSequenceClassification, DistilBertForTokenClassification } from './distilbert.ts'
import type { SequenceClassifier, TokenClassifier } from './model.ts'

/** What a family can be built as. */
interface Family {
  readonly sequence: new (config: ModelConfig) => SequenceClassifier
  readonly token: new (config: ModelConfig) => TokenClassifier
  /** Undefined for a family that is distilled rather than pretrained. */
  readonly masked: (new (config: ModelConfig) => BertForMaskedLM) | undefined
}

const FAMILIES: Readonly<Record<ModelConfig['family'], Family>> = {
  bert: { sequence: BertForSequenceClassification, token: BertForTokenClassification, masked: BertForMaskedLM },
  distilbert: { sequence: DistilBertForSequenceClassification, token: DistilBertForTokenClassification, masked: undefined },
}

/** A sequence classifier of the config's family. It takes no GPU memory until its parameters are asked for. */
export function createModel(config: ModelConfig): SequenceClassifier {
  return new FAMILIES[config.family].sequence(config)
}

/** A token classifier of the config's family. */
export function createTokenModel(config: ModelConfig): TokenClassifier {
  return new FAMILIES[config.family].token(config)
}

/** A model for masked-language pretraining. Throws a UserError for DistilBERT, which is distilled, not pretrained. */
export function createMaskedModel(config: ModelConfig): BertForMaskedLM {
  const { masked } = FAMILIES[config.family]
  if (!masked) throw new UserError(`${config.name}: masked-language pretraining is for BERT`)
  return new masked(config)
}
