// What a run is made of, as hashes: a resumed run notices reviews, a model or a tokenizer that have changed on disk.
import { type Hash, createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ADAPTER_CONFIG, WEIGHTS_FILE, openWeights, readJson } from '../../../models/node/files.ts'
import { withAdapterTensors } from '../../../models/node/peft.ts'
import type { TensorFile } from '../../../models/safetensors.ts'
import type { Data } from './job.ts'
import type { OpenedModel } from './model.ts'
import { BASELINE_FILE } from './named.ts'

/**
 * SHA-256 of texts and labels, and of config, tokenizer, weights and adapter; the Hub's weights are known by their
 * commit.
 */
export interface Fingerprints {
  readonly data: string
  readonly model: string
  /** Of the model whose answers are learned, too. */
  readonly teacher?: string
  /** Of the texts without labels. */
  readonly unlabelled?: string
}

export async function fingerprintsOf(data: Data, opened: OpenedModel): Promise<Fingerprints> {
  return { data: dataHash(data), model: await modelHash(opened) }
}

/** SHA-256 of the texts and labels of all sets. */
export function dataHash({ train, validation, test }: Data): string {
  const data = createHash('sha256')
  for (const set of [train, validation, test]) {
    data.update(`${set.length}\n`)
    for (const { text, pair, target } of set) {
      data.update(
        `${JSON.stringify([text, ...(pair === undefined ? [] : [pair]), typeof target === 'number' ? target : Array.from(target)])}\n`,
      )
    }
  }
  return data.digest('hex')
}

/** SHA-256 of config, tokenizer, weights and adapter. */
export async function modelHash({
  config,
  tokenizer,
  folder,
  commit,
  adapter,
}: Pick<OpenedModel, 'config' | 'tokenizer' | 'folder' | 'commit' | 'adapter'>): Promise<string> {
  const hash = createHash('sha256')
  // Without the name, which is a path that may be written in several ways.
  hash.update(JSON.stringify({ ...config, name: undefined }))
  hash.update(JSON.stringify(tokenizer.json))
  if (adapter) {
    hash.update(JSON.stringify(await readJson(join(adapter.folder, ADAPTER_CONFIG))))
    await withAdapterTensors(adapter.folder, file => hashTensors(hash, file))
  }
  if (folder === undefined || commit !== undefined) return hash.digest('hex')
  const weights = await openWeights(folder)
  try {
    await hashTensors(hash, weights)
  } finally {
    await weights.close()
  }
  return hash.digest('hex')
}

/** SHA-256 of how a baseline in a folder reads texts, and of its weights. */
export async function baselineHash(folder: string): Promise<string> {
  const hash = createHash('sha256')
  for (const file of [BASELINE_FILE, WEIGHTS_FILE]) hash.update(await readFile(join(folder, file)))
  return hash.digest('hex')
}

async function hashTensors(hash: Hash, file: TensorFile): Promise<void> {
  for (const name of file.names().sort()) {
    const { dtype, shape } = file.info(name)
    hash.update(JSON.stringify([name, dtype, shape]))
    for await (const bytes of file.bytes(name)) hash.update(bytes)
  }
}
