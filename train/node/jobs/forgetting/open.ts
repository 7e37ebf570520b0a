// What forgetting is measured of: a finished run with what it saved, and its base with the masked-language head.
import { join } from 'node:path'
import { type ModelConfig, createMaskedModel, matchWeights } from '../../../../models/index.ts'
import { ADAPTER_CONFIG, WEIGHTS_FILE, isFolder, readJson } from '../../../../models/node/files.ts'
import { ADAPTER_WEIGHTS } from '../../../../models/node/peft.ts'
import { hasTokenizer, loadTokenizer } from '../../../../models/node/tokenizer.ts'
import { type Tokenizer, checkVocabulary } from '../../../../models/tokenizer.ts'
import type { TaskName } from '../../../tasks/infer.ts'
import type { Options } from '../../cli/options.ts'
import { modelHash } from '../fingerprint.ts'
import { type Run, openRun } from '../../run/folder.ts'
import { isRecord } from '../../run/json.ts'
import { digestOf } from '../../run/state-file.ts'
import type { OpenedRun } from '../compare.ts'
import { modelCommitsOf, recordedOptions } from '../fine-tune/recorded.ts'
import type { Progress } from '../job.ts'
import { type OpenedModel, fetchWeights, modelKey, openModel, withWeights } from '../model.ts'
import type { Memo } from '../shared.ts'

/** Folders in which runs save what they trained, and the files that it is in. */
const SAVED = { adapter: [ADAPTER_CONFIG, ADAPTER_WEIGHTS], model: [WEIGHTS_FILE] }

/** What is known of a run that is compared. */
export type FinishedRun = Pick<OpenedRun, 'folder' | 'name' | 'job' | 'task' | 'labels'>

/** A base with its masked-language head. */
export interface Base {
  /** Equal for runs of the same base and the same tokens. */
  readonly key: string
  readonly name: string
  readonly folder: string
  readonly config: ModelConfig
  /** The base's own, whatever the run was given. */
  readonly tokenizer: Tokenizer
}

/** A run that can be measured. */
export interface Tuned {
  readonly name: string
  readonly run: Run
  readonly options: Options
  readonly task: TaskName
  readonly base: Base
  /** The names that the base has for its classes, by which the run's data were read. */
  readonly config: ModelConfig
  /** The adapter or model that the run saved, and the SHA-256 of each file with what was trained. */
  readonly saved: { readonly folder: string; readonly isAdapter: boolean; readonly hashes: readonly string[] }
  /** SHA-256 of config, tokenizer and weights that the run began with. */
  readonly model: string
}

/**
 * Opens a finished run of fine-tuning, downloading the weights of its base if need be. Gives the reason if it can't be
 * measured. `hashes` remembers models. Throws a UserError if the base is out of reach.
 */
export async function openTuned(
  { folder, name, task, labels }: FinishedRun,
  hashes: Memo<string>,
  progress: Progress,
): Promise<Tuned | string> {
  const run = await openRun(folder)
  const options = recordedOptions(run, [])
  if (options.init === 'random') return 'it began with fresh weights'
  const opened = await fetchWeights(await openModel(options, progress, modelCommitsOf(run, options.model)), progress)
  const base = await baseOf(opened, options)
  if (typeof base === 'string') return base
  const labelled = { ...opened, config: { ...opened.config, labels } }
  const key = JSON.stringify([modelKey(options, opened), labels])
  const model = await hashes.get(key, () => modelHash(labelled))
  const before = run.config.fingerprints?.model
  if (before !== undefined && before !== model) return `the model ${opened.name} changed since the run began`
  const saved = await savedBy(run)
  if (!saved) return 'its adapter or model is no longer in its folder'
  return { name, run, options, task, base, config: opened.config, saved, model }
}

/** The base of a run, or why it can't predict masked tokens. */
async function baseOf(opened: OpenedModel, options: Options): Promise<Base | string> {
  const { name, folder, commit, config } = opened
  if (folder === undefined) return 'it began with fresh weights'
  const json = await readJson(join(folder, 'config.json'))
  if (isRecord(json) && json.tie_word_embeddings === false)
    return `the masked-language head of its base ${name} is not tied to its word embeddings, which is not supported`
  const model = createMaskedModel(config)
  const missing = await withWeights({ folder }, async file => matchWeights(model, file).missing)
  if (missing.length > 0) return `its base ${name} has no masked-language head`
  const place = (await hasTokenizer(folder)) ? folder : (options.tokenizer ?? folder)
  const tokenizer = await loadTokenizer(place)
  checkVocabulary(tokenizer, config, place)
  if (tokenizer.maskId === undefined) return `the vocabulary of its base ${name} has no [MASK]`
  return { key: JSON.stringify([folder, commit, place]), name, folder, config, tokenizer }
}

/** What a finished run saved; undefined if that was deleted. Throws a UserError on a folder without its files. */
async function savedBy(run: Run): Promise<Tuned['saved'] | undefined> {
  for (const [part, files] of Object.entries(SAVED)) {
    const folder = run.path(part)
    if (!(await isFolder(folder))) continue
    const hashes: string[] = []
    for (const file of files) hashes.push(await digestOf(join(folder, file)))
    return { folder, isAdapter: part === 'adapter', hashes }
  }
  return undefined
}
