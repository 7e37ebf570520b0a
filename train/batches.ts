// Which texts go into which batch. Texts of like length go together, so that little is padded.
import { UserError, bucketSize } from '../engine/index.ts'
import { isNumber, needAll, needEach, needObjects } from '../engine/options.ts'
import { padLength } from '../models/padding.ts'
import { mean } from './metrics/means.ts'
import { Random } from './random.ts'
import type { BatchSize, Encoded } from './task.ts'

export { padLength }

/** How many texts a batch takes: a fixed number, or one that depends on the length of its longest text. */
export type RowsFor = number | ((longest: number) => number)

export interface BatchingOptions {
  /** Texts per batch. */
  readonly batchSize: number
  /**
   * Tokens per batch, padding included, in place of `batchSize`: short texts make larger batches, long ones smaller.
   */
  readonly batchTokens?: number
  /** Longest text, or window of one, in tokens. */
  readonly maxLength: number
}

/** Tokens that a text takes up in a batch: its own, or for each of several windows `maxLength`. */
export function lengthOf({ ids, further = [] }: Pick<Encoded<unknown>, 'ids' | 'further'>, maxLength: number): number {
  return further.length === 0 ? ids.length : (1 + further.length) * maxLength
}

/** The number of windows of a text with this `lengthOf`. */
const windowsIn = (length: number, maxLength: number): number => Math.ceil(length / maxLength)

/** Rows of a batch that is padded to `sequence` tokens: at least one. */
export function rowsOf(sequence: number, { batchSize, batchTokens }: BatchingOptions): number {
  return batchTokens === undefined ? batchSize : Math.max(1, Math.floor(batchTokens / sequence))
}

/** How many texts a batch takes by the longest of them. With `batchTokens` all their windows are counted. */
export function rowsFor(options: BatchingOptions): RowsFor {
  needObjects('rowsFor', { options })
  const { batchSize, batchTokens, maxLength } = options
  return longest => {
    if (longest <= maxLength) return rowsOf(padLength(longest, maxLength), options)
    return batchTokens === undefined
      ? batchSize
      : Math.max(1, Math.floor(rowsOf(maxLength, options) / windowsIn(longest, maxLength)))
  }
}

/** The size of a batch of texts of these lengths, as `lengthOf` gives them. */
export function batchSizeFor(lengths: readonly number[], options: BatchingOptions): Omit<BatchSize, 'padId'> {
  const { maxLength } = options
  const longest = Math.max(...lengths)
  const sequence = padLength(Math.min(longest, maxLength), maxLength)
  const batch = rowsOf(sequence, options)
  if (longest <= maxLength) return { batch, sequence }
  return {
    batch,
    sequence,
    windows: bucketSize(
      lengths.reduce((sum, length) => sum + windowsIn(length, maxLength), 0),
      batch,
    ),
  }
}

function rowsAt(rows: RowsFor, longest: number): number {
  const size = typeof rows === 'number' ? rows : rows(longest)
  if (!Number.isInteger(size) || size < 1) throw new UserError(`A batch has at least 1 row; got ${size}`)
  return size
}

/** Cuts an order of texts, the longest first within reach, into batches. */
function cut(order: readonly number[], lengths: readonly number[], rows: RowsFor): number[][] {
  const batches: number[][] = []
  for (let at = 0; at < order.length;) {
    const size = rowsAt(rows, lengths[order[at]])
    batches.push(order.slice(at, at + size))
    at += size
  }
  return batches
}

/**
 * One epoch's batches, as indices into `lengths`: every index once. All are shuffled, sorted by length within stretches
 * of up to 50 batches, cut into batches, and the batches shuffled; the one short batch, if any, comes last. The same
 * generator state gives the same batches. (The scheme of `group_by_length` in Hugging Face's Trainer.)
 */
export function makeBatches(lengths: readonly number[], rows: RowsFor, random: Random): number[][] {
  needEach('makeBatches', 'numbers', 'a number', isNumber, lengths)
  needAll('makeBatches', 'a generator, as of stream(…)', given => given instanceof Random, { random })
  const order = random.shuffle(lengths.map((_, index) => index))
  const usual = lengths.length === 0 ? 1 : rowsAt(rows, Math.ceil(mean(lengths)))
  // A short set is still cut into about four stretches, or else each epoch would batch the same texts together.
  const stretch = usual * Math.max(1, Math.min(50, Math.floor(lengths.length / (usual * 4))))
  const batches: number[][] = []
  for (let at = 0; at < order.length; at += stretch) {
    batches.push(
      ...cut(
        order.slice(at, at + stretch).sort((a, b) => lengths[b] - lengths[a]),
        lengths,
        rows,
      ),
    )
  }
  const last = batches.at(-1)
  const short = last && last.length < rowsAt(rows, lengths[last[0]]) ? batches.splice(-1) : []
  return [...random.shuffle(batches), ...short]
}

/** Batches of an evaluation: every index once, longest first (a batch that does not fit fails at once). */
export function evaluationBatches(lengths: readonly number[], rows: RowsFor): number[][] {
  needEach('evaluationBatches', 'numbers', 'a number', isNumber, lengths)
  return cut(
    lengths.map((_, index) => index).sort((a, b) => lengths[b] - lengths[a] || a - b),
    lengths,
    rows,
  )
}
