// Model folders on disk, in the Hub's layout: config.json and model.safetensors.
import { join } from 'node:path'
import { toHubConfig } from '../config.ts'
import { modelTensors } from '../loading.ts'
import type { Problem } from '../prediction.ts'
import type { Model } from '../model.ts'
import type { LazyTensor } from '../safetensors.ts'
import { WEIGHTS_FILE, writeAtomic, writeSafetensors } from './files.ts'

/**
 * Writes a model's folder as Transformers reads it, one tensor in memory at a time: those that the GPU holds, or
 * `tensors`. Transformers goes by `problem` when it computes a loss. Throws a UserError on the former while LoRA
 * adapters are not merged.
 */
export async function saveModel(
  folder: string,
  model: Model,
  tensors: readonly LazyTensor[] = modelTensors(model),
  problem?: Problem,
): Promise<void> {
  // Transformers has no such word for labels of tokens: the architecture says it.
  const named = problem === undefined || problem === 'token_classification' ? {} : { problem_type: problem }
  const config = { ...toHubConfig(model.config), architectures: [model.architecture], ...named }
  await writeSafetensors(join(folder, WEIGHTS_FILE), tensors, { format: 'pt' })
  await writeAtomic(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`)
}
