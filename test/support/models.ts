// Small models for tests: from the folders in test/golden, or fresh, with their values in float64 for the reference.
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { tensor } from '../../engine/index.ts'
import type { Feeds } from '../../engine/reference.ts'
import type { Tensor } from '../../engine/tensor.ts'
import { parseConfig, type ModelConfig } from '../../models/config.ts'
import { freshValues } from '../../models/initialise.ts'
import type { Model } from '../../models/model.ts'
import { forwardContext, type ForwardContext } from '../../models/nn.ts'
import { openSafetensors, readJson } from '../../models/node/files.ts'
import type { TensorFile } from '../../models/safetensors.ts'

/** config.json of a model of each family whose tensors have tens of numbers each. */
export const MINIATURE = {
  bert: {
    model_type: 'bert',
    vocab_size: 11,
    hidden_size: 8,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 12,
    max_position_embeddings: 6,
  },
  distilbert: {
    model_type: 'distilbert',
    vocab_size: 11,
    dim: 8,
    n_layers: 2,
    n_heads: 2,
    hidden_dim: 12,
    max_position_embeddings: 6,
  },
} as const

/** A path below test/golden/transformers. */
export const golden = (path: string): string =>
  fileURLToPath(new URL(`../golden/transformers/${path}`, import.meta.url))

export async function goldenConfig(folder: string): Promise<ModelConfig> {
  const path = golden(`${folder}/config.json`)
  return parseConfig(await readJson(path), path, folder)
}

export async function goldenJson<T>(path: string): Promise<T> {
  return JSON.parse(await readFile(golden(path), 'utf8')) as T
}

/** Every tensor of a file, in float64. */
export async function allTensors(path: string): Promise<Map<string, Float64Array>> {
  const file = await openSafetensors(path)
  const out = await floats(file)
  await file.close()
  return out
}

async function floats(file: TensorFile): Promise<Map<string, Float64Array>> {
  const out = new Map<string, Float64Array>()
  for (const name of file.names()) out.set(name, Float64Array.from(await file.read(name)))
  return out
}

/** Values for every parameter, for `reference`: those given by name, else fresh ones. */
export function feedsFor(
  model: Model,
  values: ReadonlyMap<string, Float64Array> = new Map(),
  seed = 1,
): Map<Tensor, Float64Array> {
  return new Map(
    model
      .parameters()
      .map(parameter => [
        parameter.tensor,
        values.get(parameter.name) ?? Float64Array.from(freshValues(parameter, seed)),
      ]),
  )
}

/** Step number as forward passes take it. */
export const stepTensor = (step = 0): Tensor => tensor(Uint32Array.of(step), [])

export function evaluation(): ForwardContext {
  return forwardContext({ training: false, seed: 0, step: stepTensor() })
}

export function training(seed = 3, step = 5): ForwardContext {
  return forwardContext({ training: true, seed, step: stepTensor(step) })
}

/** i32 [rows, columns]. */
export function integers(rows: readonly (readonly number[])[]): Tensor {
  return tensor(Int32Array.from(rows.flat()), [rows.length, rows[0].length])
}

export type { Feeds }
