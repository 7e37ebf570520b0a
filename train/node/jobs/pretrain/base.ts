// The model of a pretraining run: one of the sizes asked for with fresh weights, or an existing one to continue from.
import { join, resolve } from 'node:path'
import { UserError } from '../../../../engine/index.ts'
import { BertForMaskedTexts } from '../../../../models/bert.ts'
import type { MaskedModel } from '../../../../models/masked.ts'
import { type ModelConfig, createMaskedModel, initialise, loadWeights, matchWeights } from '../../../../models/index.ts'
import { parseConfig } from '../../../../models/config.ts'
import { exists, readJson } from '../../../../models/node/files.ts'
import { resolveModel } from '../../../../models/node/hub.ts'
import { loadTokenizer } from '../../../../models/node/tokenizer.ts'
import { type Tokenizer, checkVocabulary } from '../../../../models/tokenizer.ts'
import type { PretrainOptions } from '../../cli/pretrain-options.ts'
import { type Progress, downloadsOn } from '../../cli/progress.ts'
import { modelHash } from '../fingerprint.ts'
import { withWeights } from '../model.ts'
import { pinnedName } from '../named.ts'

/** Dropout of a new model that is saved, for fine-tuning. */
const DROPOUT = 0.1

/** An existing model to continue from. */
export interface Base {
  readonly folder: string
  readonly config: ModelConfig
  readonly tokenizer: Tokenizer
  /** SHA-256 of config, tokenizer and weights. */
  readonly fingerprint: string
  /** `--model` as it repeats the run from any folder: a whole path, or the commit of the Hub. */
  readonly located: string
  /** Parameters of the masked-language head that its file lacks, drawn afresh. */
  readonly drawn: readonly string[]
}

/** Opens a model by its name, with its own tokenizer or that of `--tokenizer`. Throws a UserError if it does not fit. */
export async function openBase(
  name: string,
  { tokenizer: given, sequence, textLoss }: Pick<PretrainOptions, 'tokenizer' | 'sequence' | 'textLoss'>,
  progress: Progress,
): Promise<Base> {
  const { folder, commit } = await resolveModel(name, { progress: downloadsOn(progress) })
  progress.stop()
  const path = join(folder, 'config.json')
  const config = parseConfig(await readJson(path), path, name)
  const tokenizer = await loadTokenizer(given ?? folder)
  checkVocabulary(tokenizer, config, given ?? folder)
  if (sequence > config.maxPositions) {
    throw new UserError(`--sequence ${sequence}: ${name} takes at most ${config.maxPositions} tokens`)
  }
  if (textLoss > 0 && config.family !== 'bert') {
    throw new UserError(`--text-loss trains BERT's pooler, and ${name} is a ${config.family} model`)
  }
  const model = textLoss > 0 ? new BertForMaskedTexts(config) : createMaskedModel(config)
  const drawn = await withWeights({ folder }, async file => matchWeights(model, file).missing.map(({ name }) => name))
  const located = (await exists(name)) ? resolve(name) : pinnedName(name, commit)
  const fingerprint = await modelHash({ config, tokenizer, folder, commit, adapter: undefined })
  return { folder, config, tokenizer, fingerprint, located, drawn }
}

/** A model without values, as it is trained. */
export function buildMasked(options: PretrainOptions, tokenizer: Tokenizer, base: Base | undefined): MaskedModel {
  const { dropout, textLoss } = options
  const config: ModelConfig = {
    ...(base?.config ?? configOf(options, tokenizer)),
    dropout,
    attentionDropout: dropout,
    classifierDropout: dropout,
  }
  return textLoss > 0 ? new BertForMaskedTexts(config) : createMaskedModel(config)
}

function configOf({ hidden, layers, heads, sequence }: PretrainOptions, { vocabSize, padId }: Tokenizer): ModelConfig {
  return {
    family: 'bert',
    name: 'tilegrad-pretrained',
    vocabSize,
    hidden,
    layers,
    heads,
    intermediate: 4 * hidden,
    maxPositions: sequence,
    typeVocab: 2,
    layerNormEpsilon: 1e-12,
    activation: 'gelu',
    dropout: 0,
    attentionDropout: 0,
    classifierDropout: 0,
    padTokenId: padId,
    labels: ['LABEL_0', 'LABEL_1'],
    // BERT's own 0.02 at its width of 768: what a layer passes on depends on the range times √width.
    initializerRange: Number((0.02 * Math.sqrt(768 / hidden)).toFixed(3)),
  }
}

/**
 * The config that is saved: that of the model that was continued from, or the new one with dropout and a range for the
 * layers that a task adds, 1/√width. At BERT's own 0.02 a fresh pooler of 128 passes next to nothing on.
 */
export function savedConfig({ config }: MaskedModel, base: Base | undefined): ModelConfig {
  if (base) return base.config
  const rates = { dropout: DROPOUT, attentionDropout: DROPOUT, classifierDropout: DROPOUT }
  return { ...config, ...rates, initializerRange: Number((1 / Math.sqrt(config.hidden)).toFixed(2)) }
}

/** Gives the model the values that it begins with. */
export async function fillMasked(model: MaskedModel, seed: number, base: Base | undefined): Promise<void> {
  if (base) await withWeights({ folder: base.folder }, file => loadWeights(model, file, seed))
  else await initialise(model.parameters(), seed)
}
