// The adapters of golden/peft: those that PEFT made, and those that are made here for PEFT to load, each from its seed.
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parseConfig } from '../../../models/config.ts'
import { createModel } from '../../../models/index.ts'
import { type LoraOptions, attachLora } from '../../../models/lora.ts'
import type { SequenceClassifier } from '../../../models/model.ts'
import { openAdapter } from '../../../models/node/peft.ts'
import { evaluation } from '../../support/models.ts'
import { type BatchPattern, batchInputs, fillByPattern, patternBatch } from '../../support/pattern.ts'
import { ownParameters } from '../../../models/nn.ts'

export type Family = 'bert' | 'distilbert'

interface Cases {
  readonly models: Readonly<Record<Family, { readonly seed: number; readonly [field: string]: unknown }>>
  readonly batch: BatchPattern
  readonly adapters: readonly { readonly name: string; readonly model: Family }[]
}

export const readPeft = async <T>(name: string): Promise<T> =>
  JSON.parse(await readFile(new URL(name, import.meta.url), 'utf8')) as T

/** A path below golden/peft. */
export const peftPath = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** Which models there are, which inputs they get, and which adapters PEFT made: cases.json. */
export const peftCases: Cases = await readPeft<Cases>('cases.json')

/** A base model with its weights by formula. */
export async function baseModel(family: Family): Promise<SequenceClassifier> {
  const { seed, ...fields } = peftCases.models[family]
  const model = createModel(parseConfig(fields, family, family))
  await fillByPattern(model.parameters(), seed)
  return model
}

/** Logits f32 [4 · 3] of the batch that every adapter is tried on. */
export async function logitsOf(model: SequenceClassifier): Promise<number[]> {
  const {
    vocabSize: vocabulary,
    typeVocab: types,
    labels: { length: classes },
  } = model.config
  const { ids, mask, types: segments } = batchInputs(patternBatch(peftCases.batch, { vocabulary, types, classes }))
  return Array.from(await model.logits(ids, mask, segments, evaluation()).data())
}

/** An adapter made here. */
export interface Exported {
  readonly name: string
  readonly family: Family
  /** The head came from no file, so that it travels with the adapter. */
  readonly freshHead: boolean
  /** Attaches the adapter and gives its parameters their values. */
  attach(model: SequenceClassifier): Promise<void>
}

function made(name: string, family: Family, options: LoraOptions, freshHead = false): Exported {
  return {
    name,
    family,
    freshHead,
    async attach(model) {
      const parameters = attachLora(model, options)
      await fillByPattern(parameters, 51)
      if (freshHead) for (const parameter of model.head().flatMap(ownParameters)) parameter.fresh = true
    },
  }
}

/** Adapters attached here; exported/ keeps their files as PEFT was seen to load them. */
export const madeHere: readonly Exported[] = [
  made('bert-query-value', 'bert', { rank: 4, alpha: 8, dropout: 0.1, targets: ['query', 'value'] }),
  made('bert-projection-mlp-and-head', 'bert', {
    rank: 2,
    alpha: 3,
    dropout: 0,
    targets: ['projection', 'mlp'],
    trainHead: true,
  }),
  made('bert-mlp-fresh-head', 'bert', { rank: 3, alpha: 3, dropout: 0, targets: ['mlp'] }, true),
  made('bert-pattern-rank-stabilised', 'bert', {
    rank: 5,
    alpha: 4,
    dropout: 0.05,
    targets: [/layer\.1\..*(key|value)/],
    rankStabilised: true,
  }),
  made('bert-adapted-head', 'bert', { rank: 2, alpha: 4, dropout: 0, targets: ['key', 'head'] }),
  made(
    'distilbert-query-value-mlp-fresh-head',
    'distilbert',
    { rank: 8, alpha: 1, dropout: 0, targets: ['query', 'value', 'mlp'] },
    true,
  ),
  made('distilbert-everything-and-head', 'distilbert', {
    rank: 1,
    alpha: 2,
    dropout: 0.1,
    targets: ['query', 'key', 'value', 'projection', 'mlp'],
    trainHead: true,
    rankStabilised: true,
  }),
  made('distilbert-adapted-head', 'distilbert', { rank: 2, alpha: 4, dropout: 0, targets: ['value', 'head'] }),
  made('distilbert-adapted-fresh-head', 'distilbert', { rank: 2, alpha: 4, dropout: 0, targets: ['head'] }, true),
  made(
    'distilbert-half-adapted-fresh-head',
    'distilbert',
    { rank: 2, alpha: 4, dropout: 0, targets: [/pre_classifier/] },
    true,
  ),
]

/** PEFT's own, loaded and saved again. */
export const savedAgain: readonly Exported[] = peftCases.adapters.map(({ name, model: family }) => ({
  name: `${name}-again`,
  family,
  freshHead: false,
  attach: async model => {
    await openAdapter(peftPath(`adapters/${name}`), model)
  },
}))

export async function exportedModel({ family, attach }: Exported): Promise<SequenceClassifier> {
  const model = await baseModel(family)
  await attach(model)
  return model
}
