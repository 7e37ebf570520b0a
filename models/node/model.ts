// Model folders on disk, in the Hub's layout: config.json and model.safetensors.
import { join } from 'node:path'
import { toHubConfig } from '../config.ts'
import { modelTensors } from '../loading.ts'
import type { Model } from '../model.ts'
import { WEIGHTS_FILE, writeAtomic, writeSafetensors } from './files.ts'

/**
 * Writes a model's folder as Transformers reads it, one tensor in memory at a time. Throws a UserError while LoRA
 * adapters are not merged.
 */
export async function saveModel(folder: string, model: Model): Promise<void> {
  const config = { ...toHubConfig(model.config), architectures: [model.architecture] }
  await writeSafetensors(join(folder, WEIGHTS_FILE), modelTensors(model), { format: 'pt' })
  await writeAtomic(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`)
}
