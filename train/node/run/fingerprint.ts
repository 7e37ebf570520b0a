// What a run is made of, as hashes: a run that goes on notices reviews, a model or a tokenizer that have changed on disk.
import { createHash } from 'node:crypto'
import { openWeights } from '../../../models/node/files.ts'
import type { Data, OpenedModel } from '../jobs/job.ts'

/** SHA-256 of texts and labels, and of config, tokenizer and weights; the Hub's weights are known by their commit. */
export interface Fingerprints {
  readonly data: string
  readonly model: string
}

export async function fingerprintsOf({ train, validation, test }: Data, opened: OpenedModel): Promise<Fingerprints> {
  const data = createHash('sha256')
  for (const set of [train, validation, test]) {
    data.update(`${set.length}\n`)
    for (const { text, pair, target } of set) {
      data.update(`${JSON.stringify([text, ...pair === undefined ? [] : [pair], typeof target === 'number' ? target : Array.from(target)])}\n`)
    }
  }
  return { data: data.digest('hex'), model: await modelHash(opened) }
}

async function modelHash({ config, tokenizer, folder, commit }: OpenedModel): Promise<string> {
  const hash = createHash('sha256')
  // Without the name, which is a path that may be written in several ways.
  hash.update(JSON.stringify({ ...config, name: undefined }))
  hash.update(JSON.stringify(tokenizer.json))
  if (folder === undefined || commit !== undefined) return hash.digest('hex')
  const weights = await openWeights(folder)
  try {
    for (const name of weights.names().sort()) {
      const { dtype, shape } = weights.info(name)
      hash.update(JSON.stringify([name, dtype, shape]))
      for await (const bytes of weights.bytes(name)) hash.update(bytes)
    }
  } finally {
    await weights.close()
  }
  return hash.digest('hex')
}
