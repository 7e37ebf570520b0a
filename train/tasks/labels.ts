// Several labels at once: each of a few properties that a text has or has not, judged apart.
import type { SequenceClassifier } from '../../models/model.ts'
import { type BinaryOptions, multiLabelLoss } from '../../models/losses.ts'
import type { ForwardContext } from '../../models/nn.ts'
import {
  type Batch,
  type BatchSize,
  type Encoded,
  type Forward,
  type Task,
  type TaskInputs,
  collateTexts,
  poolWindows,
} from '../task.ts'
import { measured, needTaskOptions } from './results.ts'

/**
 * Texts, `wanted` f32 [batch, labels] of 0 and 1 (or what lies between), and `counts` f32 [batch]: 1 for an example with a label.
 * @throws RangeError as `Task.collate` does, and on a target of more or fewer numbers than `labels`
 */
export function collateLabels(examples: readonly Encoded<ArrayLike<number>>[], size: BatchSize, labels: number): Batch {
  const texts = collateTexts(examples, size)
  const wanted = new Float32Array(size.batch * labels)
  examples.forEach(({ target }, row) => {
    if (target.length !== labels) {
      throw new RangeError(`Text ${row} of the batch has ${target.length} labels of ${labels}`)
    }
    wanted.set(target, row * labels)
  })
  return {
    ...texts,
    ...rowCounts(examples),
    arrays: { wanted: { data: wanted, shape: [size.batch, labels] }, counts: countsOf(examples, size.batch) },
  }
}

type Labelled = readonly Pick<Encoded<unknown>, 'unlabelled'>[]

/** f32 [batch]: 1 for the rows that are examples with a label. */
export const countsOf = (examples: Labelled, batch: number): Batch['arrays'][string] => ({
  data: Float32Array.from({ length: batch }, (_, row) => (row < examples.length && !examples[row].unlabelled ? 1 : 0)),
  shape: [batch],
})

export function rowCounts(examples: Labelled): Pick<Batch, 'weight' | 'count'> {
  const rows = examples.filter(({ unlabelled }) => !unlabelled).length
  return { weight: rows, count: rows }
}

/**
 * Traced: the loss of all labels of a text. Outputs are logits f32 [batch, labels]; `accuracy` is the share of labels
 * that a threshold of ½ decides rightly.
 */
export function forwardLabels(
  model: SequenceClassifier,
  { ids, mask, types, pooling, arrays: { wanted, counts } }: TaskInputs,
  context: ForwardContext,
  options: BinaryOptions = {},
): Forward {
  const logits = poolWindows(model.logits(ids, mask, types, context), pooling)
  const right = logits.greater(0).where(1, 0).equal(wanted.greater(0.5).where(1, 0)).cast('f32')
  return {
    losses: multiLabelLoss(logits, wanted, counts, options),
    outputs: logits,
    sums: { accuracy: right.mean(1).mul(counts).sum() },
  }
}

/** The task of several labels at once; `classWeights` are factors for the positive part of each. */
export function labelsTask(options: {
  readonly labels: readonly string[]
  readonly classWeights?: readonly number[]
  readonly labelSmoothing?: number
}): Task<ArrayLike<number>, SequenceClassifier> {
  needTaskOptions('labelsTask', options)
  const { labels, classWeights: positiveWeights, labelSmoothing } = options
  return {
    ...measured('labels', labels),
    sums: ['accuracy'],
    collate: (examples, size) => collateLabels(examples, size, labels.length),
    forward: (model, inputs, context) => forwardLabels(model, inputs, context, { positiveWeights, labelSmoothing }),
  }
}
