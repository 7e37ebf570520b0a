// What a model that lies on disk makes of reviews, in float64.
import { join } from 'node:path'
import { reference } from '../../engine/reference.ts'
import { classificationLoss, createModel, loadWeights, meanOf, parseConfig } from '../../models/index.ts'
import { openWeights, readJson } from '../../models/node/files.ts'
import { openAdapter } from '../../models/node/peft.ts'
import { loadTokenizer } from '../../models/node/tokenizer.ts'
import { evaluation, feedsFor, integers } from './models.ts'
import { loadReviews } from './reviews.ts'

export interface Judged {
  /** Mean over the reviews. */
  readonly loss: number
  /** [reviews · 2] */
  readonly logits: Float64Array
  readonly labels: readonly number[]
}

/** The test set of `reviews`, cut at 8 tokens, judged by the model in `folder` with or without an adapter. */
export async function judged(folder: string, reviews: string, adapter?: string): Promise<Judged> {
  const config = parseConfig(await readJson(join(folder, 'config.json')), 'config.json', 'tiny')
  const model = createModel({ ...config, labels: ['negative', 'positive'] })
  const weights = await openWeights(folder)
  await loadWeights(model, weights, 0)
  await weights.close()
  if (adapter !== undefined) await openAdapter(adapter, model)
  const values = new Map<string, Float64Array>()
  for (const parameter of model.parameters()) values.set(parameter.name, Float64Array.from(await parameter.read()))

  const tokenizer = await loadTokenizer(folder)
  const { test } = await loadReviews(reviews)
  const texts = test.map(({ text }) => tokenizer.encode(text, { maxLength: 8 }).ids)
  const padded = (of: (ids: readonly number[], i: number) => number) =>
    integers(texts.map(ids => Array.from({ length: 8 }, (_, i) => of([...ids], i))))
  const labels = test.map(({ label }) => label)
  const scores = model.logits(
    padded((ids, i) => ids[i] ?? tokenizer.padId),
    padded((ids, i) => (i < ids.length ? 1 : 0)),
    undefined,
    evaluation(),
  )
  const mean = meanOf(classificationLoss(scores, integers([labels]).reshape([labels.length])))
  const [[loss], logits] = reference([mean, scores], feedsFor(model, values))
  return { loss, logits, labels }
}
