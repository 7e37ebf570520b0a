// Where a model comes from: a model's folder, or an adapter's with the base that it names, on disk or on the Hub.
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { UserError } from '../../engine/errors.ts'
import { ANSWERS_FILE, type Answers, parseAnswers, problemOf } from '../answers.ts'
import type { ModelConfig } from '../config.ts'
import { type AdapterConfig, modelName } from '../peft.ts'
import { ADAPTER_CONFIG, exists, isFolder, readJson } from './files.ts'
import type { Progress } from './hub-cache.ts'
import { resolveModel } from './hub.ts'
import { readAdapterConfig, withAdapterTensors } from './peft.ts'

export interface SourceOptions {
  /** Another base than the one that an adapter names. */
  readonly base?: string
  /** Of the model or adapter if it is on the Hub; of the base of an adapter that is on disk. */
  readonly revision?: string
  /** Of an adapter's base on the Hub, where that is known already. */
  readonly baseRevision?: string
  /**
   * Whether the weights of the model are wanted now. `on disk`: only where they need no download. True when left out.
   */
  readonly weights?: boolean | 'on disk'
  /** What helps where an adapter's base can't be found. */
  readonly baseHint?: string
  readonly progress?: Progress
}

/** An adapter's folder. */
export interface AdapterSource {
  /** As the user calls it: a path, or a name on the Hub. */
  readonly name: string
  readonly folder: string
  readonly config: AdapterConfig
  /** The Hub's; undefined for folders. */
  readonly commit: string | undefined
}

/** A model, or an adapter with its base. */
export interface ModelSource {
  /** The model's or the base's name: a path, or a name on the Hub. */
  readonly name: string
  /** The model's or the base's folder. */
  readonly folder: string
  /** The revision that was asked for of the Hub's model or base, and its commit; undefined for folders. */
  readonly revision: string | undefined
  readonly commit: string | undefined
  readonly adapter: AdapterSource | undefined
}

/**
 * Finds what `source` names: a folder with `config.json`, one with `adapter_config.json`, or a model or adapter on the
 * Hub, which is downloaded if need be.
 * @throws UserError where something is missing, and where an adapter's base can't be found
 */
export async function openSource(source: string, options: SourceOptions = {}): Promise<ModelSource> {
  if (await exists(join(source, ADAPTER_CONFIG))) {
    const adapter = { name: source, folder: source, config: await readAdapterConfig(source), commit: undefined }
    return withBase(adapter, options, options.revision)
  }
  const model = await modelAt(source, options.revision, options, true)
  if (model.commit === undefined || !(await exists(join(model.folder, ADAPTER_CONFIG)))) return model
  const { name, folder, commit } = model
  return withBase({ name, folder, commit, config: await readAdapterConfig(folder) }, options, undefined)
}

/** An adapter with its base, which is named by a path or by the Hub's name. */
async function withBase(
  adapter: AdapterSource,
  options: SourceOptions,
  asked: string | undefined,
): Promise<ModelSource> {
  const { name, folder, config } = adapter
  const { base = config.baseModel, baseHint = 'give its base with --base' } = options
  if (base === undefined) throw new UserError(`${join(folder, ADAPTER_CONFIG)} names no base model: ${baseHint}`)
  // A folder that was moved as a whole, run and base together, is found beside the adapter.
  const beside = join(dirname(resolve(folder)), 'base')
  for (const place of [
    base,
    resolve(folder, base),
    ...(options.base === undefined && base.endsWith('/base') ? [beside] : []),
  ]) {
    if (await isFolder(place)) return { ...(await modelAt(place, undefined, options, false)), adapter }
  }
  if (isAbsolute(base) || base.startsWith('.')) {
    throw new UserError(`the adapter ${name} was trained on ${base}, which is not there: ${baseHint}`)
  }
  const revision = options.baseRevision ?? asked ?? (options.base === undefined ? config.revision : undefined)
  return { ...(await modelAt(base, revision, options, false)), adapter }
}

/** A model's folder, or the Hub's. */
async function modelAt(
  source: string,
  asked: string | undefined,
  options: SourceOptions,
  adapters: boolean,
): Promise<ModelSource> {
  const onDisk = await exists(source)
  const [name, at] = onDisk ? [source] : source.split('@')
  const { weights = true, progress } = options
  const revision = asked ?? at
  const { folder, commit } = await resolveModel(name, {
    revision,
    progress,
    adapters,
    weights: weights === 'on disk' ? onDisk : weights,
  })
  return { name, folder, revision, commit, adapter: undefined }
}

/** The tilegrad.json of a folder; undefined where it has none. */
export async function answersAt(folder: string): Promise<Answers | undefined> {
  const path = join(folder, ANSWERS_FILE)
  return (await exists(path)) ? parseAnswers(await readJson(path), path) : undefined
}

/**
 * What can be told without a tilegrad.json, from the model's config: an adapter that was made elsewhere brings its
 * number of classes.
 */
export async function answersOf(json: unknown, config: ModelConfig, adapter: string | undefined): Promise<Answers> {
  const rows = adapter === undefined ? undefined : await classesOf(adapter)
  const labels =
    rows === undefined || rows === config.labels.length
      ? config.labels
      : Array.from({ length: rows }, (_, i) => `LABEL_${i}`)
  return { problem: problemOf(json, labels.length), labels, maxLength: config.maxPositions }
}

/** Rows of the classifier that an adapter's file brings along. */
function classesOf(adapter: string): Promise<number | undefined> {
  return withAdapterTensors(adapter, file => {
    const name = file.names().find(tensor => modelName(tensor) === 'classifier.weight')
    return name === undefined ? undefined : file.info(name).shape[0]
  })
}
