// The model families, a row each. Adding one is a file of its own and a row here.
import { UserError } from '../engine/errors.ts'
import { needObjects } from '../engine/options.ts'
import { bert } from './bert.ts'
import type { ModelConfig } from './config.ts'
import { distilbert } from './distilbert.ts'
import type { Family } from './family.ts'
import type { MaskedModel } from './masked.ts'
import type { SequenceClassifier, TokenClassifier } from './model.ts'

export const FAMILIES: readonly Family[] = [bert, distilbert]

/** The family of a config. Throws a UserError if there is none of its name. */
export function familyOf({ family, name }: ModelConfig): Family {
  const found = FAMILIES.find(row => row.name === family)
  if (!found) throw new UserError(`${name}: there is no family ${family}`)
  return found
}

/** A sequence classifier of the config's family. It takes no GPU memory until its parameters are asked for. */
export function createModel(config: ModelConfig): SequenceClassifier {
  needObjects('createModel', { config })
  const { sequence: Model } = familyOf(config)
  return new Model(config)
}

/** A token classifier of the config's family. */
export function createTokenModel(config: ModelConfig): TokenClassifier {
  needObjects('createTokenModel', { config })
  const { token: Model } = familyOf(config)
  return new Model(config)
}

/** A model of the config's family that predicts masked tokens. */
export function createMaskedModel(config: ModelConfig): MaskedModel {
  needObjects('createMaskedModel', { config })
  const { masked: Model } = familyOf(config)
  return new Model(config)
}
