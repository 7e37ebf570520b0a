// Opens what was trained, to classify with: a model's folder, an adapter's folder with the base that it names, or
// either on the Hub. Several adapters of one base can share its weights in memory, too.
import { join, resolve } from 'node:path'
import { UserError, currentDevice } from '../../engine/index.ts'
import type { Answers } from '../answers.ts'
import { TextClassifier } from '../classifier.ts'
import { type ModelConfig, parseConfig } from '../config.ts'
import { createModel, createTokenModel } from '../families.ts'
import { initialise } from '../initialise.ts'
import { fillParameter } from '../filling.ts'
import { matchWeights } from '../loading.ts'
import type { Classifier } from '../model.ts'
import type { Parameter } from '../nn.ts'
import { loadAdapter, modelName } from '../peft.ts'
import { checkSizes } from '../sizes.ts'
import { exists, openWeights, readJson } from './files.ts'
import type { Progress } from './hub-cache.ts'
import { withAdapterTensors } from './peft.ts'
import { type ModelSource, answersAt, answersOf, openSource } from './source.ts'
import type { Tokenizer } from '../tokenizer.ts'
import { hasTokenizer, loadTokenizer } from './tokenizer.ts'

export interface OpenOptions {
  /** Another base than the one that an adapter names. */
  readonly base?: string
  /** Of the Hub's model or adapter; of the base of an adapter on disk. */
  readonly revision?: string
  /** Longest text in tokens; as it was trained when left out. */
  readonly maxLength?: number
  /** Tokens that neighbouring windows of a longer text share, or `off` to cut it; as it was trained when left out. */
  readonly window?: number | 'off'
  readonly batchSize?: number
  /** Leaves out the temperature and the thresholds that were fitted on validation data. */
  readonly uncalibrated?: boolean
  readonly progress?: Progress
  /** Models that are opened with the same one have each base's weights only once in memory. */
  readonly shared?: SharedWeights
}

/** Parameters that hold the weights of bases as their files have them, by the base's folder and their name. */
export class SharedWeights {
  readonly #bases = new Map<string, Map<string, Parameter>>()

  /** Those of a folder. */
  of(folder: string): Map<string, Parameter> {
    const key = resolve(folder)
    const found = this.#bases.get(key) ?? new Map<string, Parameter>()
    this.#bases.set(key, found)
    return found
  }
}

/** Drawn for parameters that no file has; a classifier that needs any is refused. */
const UNUSED_SEED = 0

/** A model that was trained, with all that belongs to it. */
export interface Trained {
  readonly model: Classifier
  readonly tokenizer: Tokenizer
  readonly answers: Answers
  /** The folder that the base's weights came from. */
  readonly folder: string
  /** Where all of it came from. */
  readonly source: ModelSource
}

/**
 * The model at `place`: a folder with `config.json` and weights, one with `adapter_config.json`, or a name on the Hub
 * of either. An adapter is attached to its base, not merged.
 * @throws UserError where something is missing, where an adapter's base can't be found, and where the model has no
 * trained
 *   classifier
 */
export async function openTrained(place: string, options: OpenOptions = {}): Promise<Trained> {
  const source = await openSource(place, options).catch(async (error: unknown) => {
    if (!(error instanceof UserError) || (await exists(place))) throw error
    throw new UserError(`There is no folder ${place.split('@')[0]}, and from the Hub: ${error.message}`)
  })
  const { folder, name, adapter } = source
  const path = join(folder, 'config.json')
  const json = await readJson(path)
  const config = parseConfig(json, path, name)
  const own = adapter?.folder ?? folder
  const answers = (await answersAt(own)) ?? (await answersOf(json, config, adapter?.folder))
  const model = modelFor({ ...config, labels: answers.labels }, answers)
  checkSizes(model, await currentDevice())
  const brought = new Set(adapter && (await withAdapterTensors(adapter.folder, file => file.names().map(modelName))))
  const missing = await fill(model, folder, brought, options.shared?.of(folder))
  if (adapter) await withAdapterTensors(adapter.folder, file => loadAdapter(model, adapter.config, file))
  const unfilled = missing.find(parameter => !brought.has(parameter))
  if (unfilled !== undefined) {
    throw new UserError(`${adapter?.name ?? name} has no trained classifier (no ${unfilled}): fine-tune it first`)
  }
  return { model, tokenizer: await loadTokenizer((await hasTokenizer(own)) ? own : folder), answers, folder, source }
}

/** The classifier at `place`, as `openTrained` finds it. Throws as it does. */
export async function openClassifier(place: string, options: OpenOptions = {}): Promise<TextClassifier> {
  return classifierOf(await openTrained(place, options), options)
}

/** The classifier of a trained model; it reads texts as the model was trained, unless the options say otherwise. */
export function classifierOf({ model, tokenizer, answers }: Trained, options: OpenOptions = {}): TextClassifier {
  const maxLength = options.maxLength ?? Math.min(answers.maxLength, model.config.maxPositions)
  const window = options.window === 'off' ? undefined : (options.window ?? answers.window)
  const plain = options.uncalibrated ? { temperature: undefined, thresholds: undefined } : {}
  return new TextClassifier(model, tokenizer, { ...answers, ...plain, maxLength, window, batchSize: options.batchSize })
}

function modelFor(config: ModelConfig, { problem }: Answers): Classifier {
  return problem === 'token_classification' ? createTokenModel(config) : createModel(config)
}

/**
 * Fills a model from its base's folder; parameters that an adapter brings along (`brought`) are its own, all others may
 * be those of a model that was opened before. Gives the names of those that the folder lacks.
 */
async function fill(
  model: Classifier,
  folder: string,
  brought: ReadonlySet<string>,
  shared?: Map<string, Parameter>,
): Promise<readonly string[]> {
  const file = await openWeights(folder)
  try {
    const { loaded, missing } = matchWeights(model, file)
    for (const { parameter, tensor } of loaded) {
      const mine = brought.has(parameter.name)
      const home = mine ? undefined : shared?.get(parameter.name)?.variable
      if (home) {
        parameter.bind(home)
        parameter.written = true
      } else {
        await fillParameter(parameter, file, tensor)
        if (!mine) shared?.set(parameter.name, parameter)
      }
      parameter.fresh = false
    }
    await initialise(missing, UNUSED_SEED)
    return missing.map(({ name }) => name)
  } finally {
    await file.close()
  }
}
