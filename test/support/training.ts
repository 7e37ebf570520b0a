// What the tests of training train: small models on small reviews.
import { createModel, initialise, setTuning } from '../../models/index.ts'
import type { SequenceClassifier } from '../../models/model.ts'
import type { Batch, Encoded } from '../../train/task.ts'
import { collateClasses } from '../../train/tasks/classes.ts'
import type { TrainerOptions } from '../../train/trainer.ts'
import { TINY_WORDS, tinyModelConfig, tinyReviews } from './tiny.ts'

const [CLS, SEP] = ['[CLS]', '[SEP]'].map(word => TINY_WORDS.indexOf(word))

/** Tiny reviews, split at spaces: half of each label, one word in each decides. */
export function reviews(
  count: number,
  seed: number,
  lengths: { shortest?: number; longest?: number } = {},
): Encoded<number>[] {
  return tinyReviews(count, { seed, ...lengths }).map(({ text, label }) => ({
    ids: [CLS, ...text.split(' ').map(word => TINY_WORDS.indexOf(word)), SEP],
    target: label,
  }))
}

export const OPTIONS: TrainerOptions = {
  lr: 2e-3,
  schedule: 'linear',
  warmup: 0.1,
  weightDecay: 0.01,
  epochs: 2,
  batchSize: 8,
  accumulate: 1,
  maxLength: 16,
  clip: 1,
  seed: 5,
  precision: 'f32',
  padId: 0,
  checkpointEvery: 1e6,
}

export type Tune = 'full' | 'lora'

export async function tinyModel(
  tune: Tune,
  changes: Readonly<Record<string, unknown>> = {},
  precision: 'f32' | 'f16' = 'f32',
  alpha = 8,
): Promise<SequenceClassifier> {
  const model = createModel(tinyModelConfig(changes))
  setTuning(
    model,
    tune,
    tune === 'lora' ? { rank: 4, alpha, dropout: 0.1, targets: ['query', 'value', 'mlp'], trainHead: true } : undefined,
  )
  if (precision === 'f16') model.storeFrozenAs('f16')
  await initialise(model.parameters(), 11)
  return model
}

/** Half the time a step, for the tests of many. */
export const ONE_LAYER = { num_hidden_layers: 1 }
export const NO_DROPOUT = { hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 }

/** A batch of the examples at `indices`. */
export function collate(
  examples: readonly Encoded<number>[],
  indices: readonly number[],
  { padId, sequence, batchSize }: { readonly padId: number; readonly sequence: number; readonly batchSize: number },
): Batch {
  return collateClasses(
    indices.map(index => examples[index]),
    { batch: batchSize, sequence, padId },
  )
}
