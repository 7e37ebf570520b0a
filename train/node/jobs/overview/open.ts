// What an overview is of: the data as a run would read it, and the tokenizer of the model that it is for. No device is
// opened, and no weights are fetched.
import { UserError } from '../../../../engine/errors.ts'
import { publishedConfig } from '../../../../models/index.ts'
import { cachedModel } from '../../../../models/node/hub.ts'
import { loadTokenizer } from '../../../../models/node/tokenizer.ts'
import type { Tokenizer } from '../../../../models/tokenizer.ts'
import type { EncoderWidths } from '../../../overview/cuts.ts'
import type { Options } from '../../cli/options.ts'
import { readDescribed } from '../../data/described.ts'
import {
  BUNDLED,
  type Data,
  type Progress,
  REAL,
  TEST_SEED,
  checkPaths,
  locateData,
  openData,
  readingOf,
  sourceText,
} from '../job.ts'
import { namesOf, openModel } from '../model.ts'

/** A tokenizer, and the shape of the model that it is for. */
export interface TokenizerFor {
  readonly tokenizer: Tokenizer
  /** Whose tokenizer it is, in words. */
  readonly name: string
  /** Why it is this one, where it was not asked for. */
  readonly why: string | undefined
  readonly model: EncoderWidths & { readonly name: string; readonly positions: number }
  /** The model's own names of classes. */
  readonly labels: readonly string[] | undefined
}

export interface Opened {
  readonly data: Data
  /** Why no run would train on it; undefined if one would. */
  readonly refused: string | undefined
  readonly tokenizer: TokenizerFor
}

/**
 * Opens data and tokenizer. Rows that cannot be used are left out and counted. Data that a run refuses is described as it
 * is, with the reason, unless options ask for what it does not have. Throws a UserError.
 */
export async function openOverview(options: Options, progress: Progress): Promise<Opened> {
  await checkPaths(options)
  const tokenizer = await openTokenizer(options, progress)
  if (options.data === undefined) throw new UserError('--data is missing')
  const { folder } = await locateData(options.data, progress)
  const choices = { ...options, data: folder, skipBadRows: true, valSplit: 0 }
  try {
    return { tokenizer, data: await openData(choices, progress, tokenizer.labels), refused: undefined }
  } catch (error) {
    const isAsked = (['task', 'labels', 'limit-train', 'limit-test'] as const).some(name => options.given.has(name))
    if (!(error instanceof UserError) || isAsked) throw error
    const read = await readDescribed(folder, readingOf(choices, tokenizer.labels)).catch(() => undefined)
    if (!read) throw error
    const { train, validation = [], ...rest } = read
    const data = { ...rest, train, all: train, validation, source: sourceText(read), testSeed: TEST_SEED }
    return { tokenizer, data: { ...data, commit: undefined }, refused: error.message }
  }
}

/** The shape that is assumed where no model is named: fine-tuning's default. */
function standIn(): TokenizerFor['model'] {
  const config = publishedConfig(REAL.model)
  if (!config) throw new Error(`${REAL.model} is not among the published architectures`)
  return { name: REAL.model, hidden: config.hidden, intermediate: config.intermediate, positions: config.maxPositions }
}

/**
 * The tokenizer that the options name. Otherwise that of fine-tuning's default model if the Hub's cache has it, else the
 * bundled model's: the network is asked only for what the user names.
 */
async function openTokenizer(options: Options, progress: Progress): Promise<TokenizerFor> {
  if (options.model !== undefined) {
    const { tokenizer, config, name, hasOtherTokenizer } = await openModel(options, progress)
    const { hidden, intermediate, maxPositions: positions } = config
    return {
      tokenizer,
      name: hasOtherTokenizer && options.tokenizer !== undefined ? options.tokenizer : name,
      why: undefined,
      model: { name, hidden, intermediate, positions },
      labels: namesOf(config),
    }
  }
  const model = standIn()
  const common = { model, labels: undefined }
  if (options.tokenizer !== undefined) {
    return { ...common, tokenizer: await loadTokenizer(options.tokenizer), name: options.tokenizer, why: undefined }
  }
  const cached = await cachedModel(model.name, { weights: false })
  if (cached !== undefined) {
    const why = "fine-tuning's default"
    return { ...common, tokenizer: await loadTokenizer(cached), name: model.name, why }
  }
  const why = `${model.name} is not in the Hub's cache; --model or --tokenizer takes another`
  return { ...common, tokenizer: await loadTokenizer(BUNDLED.model), name: 'the bundled small model', why }
}
