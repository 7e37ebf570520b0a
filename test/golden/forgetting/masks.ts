// The texts of golden/forgetting and the masks that every model of it sees: those of an evaluation of pretraining, batch
// by batch.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseConfig } from '../../../models/config.ts'
import { tokenizerFromVocabulary } from '../../../models/tokenizer.ts'
import { batchSizeFor, evaluationBatches, rowsFor } from '../../../train/batches.ts'
import { maskedOptionsOf } from '../../../train/node/data/packed.ts'
import { batchingOf, rowsOf } from '../../../train/node/jobs/forgetting/masking.ts'
import type { Base } from '../../../train/node/jobs/forgetting/open.ts'
import { namedTexts } from '../../../train/node/jobs/forgetting/texts.ts'
import { stream } from '../../../train/random.ts'
import { collateMasked } from '../../../train/tasks/masked-lm.ts'
import { TINY_WORDS, tinyReviews, toCsv } from '../../support/tiny.ts'

export type Family = 'bert' | 'distilbert'

interface Cases {
  readonly models: Readonly<Record<Family, { readonly seed: number; readonly [field: string]: unknown }>>
}

export interface Masks {
  /** Tokens of each row after masking. */
  readonly rows: readonly (readonly number[])[]
  /** Row, place in it, and the token that stood there. */
  readonly places: readonly (readonly [row: number, column: number, token: number])[]
}

/** A path below golden/forgetting. */
export const pathOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
export const readGolden = async <T>(name: string): Promise<T> => JSON.parse(await readFile(pathOf(name), 'utf8')) as T

export const cases = await readGolden<Cases>('cases.json')
export const VOCABULARY = TINY_WORDS.map(word => `${word}\n`).join('')

/** Texts of 10 to 40 words: the longest become two rows. */
export const TEXTS = toCsv(tinyReviews(40, { seed: 3, shortest: 10, longest: 40 }))

export async function masks(): Promise<Masks> {
  const folder = await mkdtemp(join(tmpdir(), 'tilegrad-masks-'))
  try {
    const path = join(folder, 'texts.csv')
    await writeFile(path, TEXTS)
    return await masksOf((await namedTexts(path, { texts: 500 })).texts)
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function masksOf(texts: readonly string[]): Promise<Masks> {
  const base: Base = {
    key: '',
    name: '',
    folder: '',
    config: parseConfig(cases.models.bert, 'cases.json'),
    tokenizer: tokenizerFromVocabulary(VOCABULARY, { lowercase: true }, 'the vocabulary'),
  }
  const batching = batchingOf(base)
  const examples = await rowsOf(base, texts)
  const lengths = examples.map(({ ids }) => ids.length)
  const random = stream(batching.seed, 'evaluation')
  const rows: number[][] = []
  const places: [number, number, number][] = []
  for (const indices of evaluationBatches(lengths, rowsFor(batching))) {
    const own = indices.map(i => lengths[i])
    const size = { ...batchSizeFor(own, batching), padId: batching.padId }
    const { ids, arrays, count } = collateMasked(
      indices.map(i => examples[i]),
      size,
      random,
      maskedOptionsOf(base.tokenizer),
    )
    for (let k = 0; k < count; k++) {
      const at = arrays.positions.data[k]
      places.push([rows.length + Math.floor(at / size.sequence), at % size.sequence, arrays.labels.data[k]])
    }
    own.forEach((length, row) => rows.push([...ids.subarray(row * size.sequence, row * size.sequence + length)]))
  }
  return { rows, places }
}
