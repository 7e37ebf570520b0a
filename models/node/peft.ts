// Adapter folders on disk: adapter_config.json and adapter_model.safetensors, as PEFT writes and reads them.
import { join } from 'node:path'
import { UserError } from '../../engine/errors.ts'
import type { Origin } from '../loading.ts'
import type { Model } from '../model.ts'
import { adapterConfig, adapterTensors, loadAdapter, parseAdapterConfig, type AdapterConfig } from '../peft.ts'
import {
  ADAPTER_CONFIG,
  exists,
  missingWeights,
  openSafetensors,
  readJson,
  writeAtomic,
  writeSafetensors,
} from './files.ts'
import type { TensorFile } from '../safetensors.ts'

export const ADAPTER_WEIGHTS = 'adapter_model.safetensors'

/**
 * Writes a model's adapters. `baseModel` is the path of the model that they stand on, or its Hub name, with its
 * revision; `origin` as `adapterTensors` takes it.
 */
export async function saveAdapter(
  folder: string,
  model: Model,
  baseModel: string,
  revision?: string,
  origin?: Origin,
): Promise<void> {
  const config = adapterConfig(model, baseModel, revision)
  // Weights first: a folder with a config is a whole one.
  await writeSafetensors(join(folder, ADAPTER_WEIGHTS), adapterTensors(model, origin), { format: 'pt' })
  await writeAtomic(join(folder, ADAPTER_CONFIG), `${JSON.stringify(config, null, 2)}\n`)
}

/** Reads the config of an adapter's folder. Throws a UserError if there is none, or one that is not supported. */
export async function readAdapterConfig(folder: string): Promise<AdapterConfig> {
  const path = join(folder, ADAPTER_CONFIG)
  if (!(await exists(path))) throw new UserError(`${folder} is not an adapter folder: it has no ${ADAPTER_CONFIG}`)
  return parseAdapterConfig(await readJson(path), path)
}

/**
 * Attaches the adapters of a folder to a model that has none, and freezes the rest. Bind parameters that an optimizer
 * is to own after this, and load again into them. Throws a UserError, with the model unchanged, where they don't fit.
 */
export async function openAdapter(folder: string, model: Model): Promise<AdapterConfig> {
  const config = await readAdapterConfig(folder)
  await withAdapterTensors(folder, file => loadAdapter(model, config, file))
  return config
}

/**
 * Opens the tensors of an adapter's folder for as long as `use` takes. Throws a UserError if they are missing or
 * unreadable.
 */
export async function withAdapterTensors<T>(folder: string, use: (file: TensorFile) => T | Promise<T>): Promise<T> {
  const path = join(folder, ADAPTER_WEIGHTS)
  if (!(await exists(path))) throw new UserError(await missingWeights(folder, ADAPTER_WEIGHTS))
  const file = await openSafetensors(path)
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}
