// The shapes of the batches that a run will meet, so that what is worth measuring can be measured before its first
// step.
import { type BatchingOptions, batchSizeFor, evaluationBatches, lengthOf, makeBatches, rowsFor } from './batches.ts'
import { stream } from './random.ts'
import type { Encoded } from './task.ts'

/**
 * Batches of training, or of evaluation, padded to so many tokens, and to so many rows where texts have several
 * windows.
 */
export interface BatchShape {
  readonly training: boolean
  readonly sequence: number
  readonly windows?: number
}

/** The texts that a run trains on, evaluates on during training, and tests on in the end. */
export interface TextSets<Target = unknown> {
  readonly train: readonly Encoded<Target>[]
  readonly validation: readonly Encoded<Target>[]
  readonly test: readonly Encoded<Target>[]
}

interface RunOptions extends BatchingOptions {
  readonly epochs: number
  readonly seed: number
}

/** A training step's time in forward passes, about. */
const STEP_COST = 3

/** Each shape once, those that the run will spend most time on first. */
export function batchShapes({ train, validation, test }: TextSets, options: RunOptions): BatchShape[] {
  const { maxLength, epochs, seed } = options
  const rows = rowsFor(options)
  const costs = new Map<string, BatchShape & { readonly cost: number }>()
  const add = (
    texts: readonly Pick<Encoded<unknown>, 'ids' | 'further'>[],
    training: boolean,
    times: number,
    batchesOf: (lengths: number[]) => number[][],
  ): void => {
    const lengths = texts.map(text => lengthOf(text, maxLength))
    for (const indices of batchesOf(lengths)) {
      const { batch, sequence, windows } = batchSizeFor(
        indices.map(i => lengths[i]),
        options,
      )
      const key = `${training} ${sequence} ${windows}`
      const cost = (costs.get(key)?.cost ?? 0) + times * sequence * (windows ?? batch)
      costs.set(key, { training, sequence, ...(windows !== undefined && { windows }), cost })
    }
  }
  for (let epoch = 0; epoch < epochs; epoch++) {
    add(train, true, STEP_COST, lengths => makeBatches(lengths, rows, stream(seed, `epoch ${epoch}`)))
  }
  add(validation, false, epochs + 1, lengths => evaluationBatches(lengths, rows))
  add(test, false, 1, lengths => evaluationBatches(lengths, rows))
  return [...costs.values()]
    .sort((a, b) => b.cost - a.cost || b.sequence - a.sequence)
    .map(({ cost: _, ...shape }) => shape)
}

/** The most windows that a training batch is made for; undefined where each text has one. */
export function mostWindows(train: readonly Encoded<unknown>[], options: RunOptions): number | undefined {
  const windows = batchShapes({ train, validation: [], test: [] }, options).flatMap(shape => shape.windows ?? [])
  return windows.length === 0 ? undefined : Math.max(...windows)
}
