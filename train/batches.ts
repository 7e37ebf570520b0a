// From tokenised texts to the arrays of one step. Texts of like length go together, and lengths are rounded up to a few
// sizes, so that little is padded and few plans are compiled.
import { IGNORED } from '../models/index.ts'
export { padLength } from '../models/padding.ts'
import type { Random } from './random.ts'

/** One tokenised text, special tokens included, already cut to the longest length wanted. */
export interface Tokenised {
  readonly ids: ArrayLike<number>
  /** Segment of each token (BERT's token types); all 0 when left out. */
  readonly typeIds?: ArrayLike<number>
  readonly label: number
}

/** One batch, row-major `[batch, sequence]`; `labels` is `[batch]`. */
export interface Batch {
  readonly ids: Int32Array<ArrayBuffer>
  readonly typeIds: Int32Array<ArrayBuffer>
  /** 1 where a token stands, 0 on padding. */
  readonly mask: Int32Array<ArrayBuffer>
  readonly labels: Int32Array<ArrayBuffer>
  /** How many rows are examples; the rest only fill the batch up, masked and with IGNORED. */
  readonly rows: number
  readonly batch: number
  readonly sequence: number
  /** Tokens that are no padding. */
  readonly tokens: number
}

const chunks = <T>(array: readonly T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(array.length / size) }, (_, i) => array.slice(i * size, (i + 1) * size))

function requireBatchSize(batchSize: number): void {
  if (!Number.isInteger(batchSize) || batchSize < 1)
    throw new RangeError(`A batch has at least 1 row; got ${batchSize}`)
}

/**
 * One epoch's batches, as indices into `lengths`: every index once. All are shuffled, sorted by length within stretches
 * of up to 50 batches, cut into batches, and the batches shuffled; the one short batch, if any, comes last. The same
 * generator state gives the same batches. (The scheme of `group_by_length` in Hugging Face's Trainer.)
 */
export function makeBatches(lengths: readonly number[], batchSize: number, random: Random): number[][] {
  requireBatchSize(batchSize)
  const order = random.shuffle(lengths.map((_, index) => index))
  // A short set is still cut into about four stretches, or else each epoch would batch the same texts together.
  const stretch = batchSize * Math.max(1, Math.min(50, Math.floor(lengths.length / (batchSize * 4))))
  const batches = chunks(order, stretch).flatMap((part) =>
    chunks(
      part.sort((a, b) => lengths[b] - lengths[a]),
      batchSize,
    ),
  )
  const short = batches.length > 0 && batches[batches.length - 1].length < batchSize ? batches.splice(-1) : []
  return [...random.shuffle(batches), ...short]
}

/** Batches of an evaluation: every index once, longest first (a batch that does not fit fails at once). */
export function evaluationBatches(lengths: readonly number[], batchSize: number): number[][] {
  requireBatchSize(batchSize)
  const order = lengths.map((_, index) => index).sort((a, b) => lengths[b] - lengths[a] || a - b)
  return chunks(order, batchSize)
}

/**
 * The arrays of one batch: the texts at `indices`, padded with `padId` to `sequence` tokens, and with ignored rows to
 * `batchSize`, so that a short batch replays the plan of a full one. Throws a RangeError on a text or a batch too long.
 */
export function collate(
  tokenised: readonly Tokenised[],
  indices: readonly number[],
  { padId, sequence, batchSize }: { padId: number; sequence: number; batchSize: number },
): Batch {
  requireBatchSize(batchSize)
  if (indices.length > batchSize) throw new RangeError(`${indices.length} rows do not fit a batch of ${batchSize}`)
  const ids = new Int32Array(batchSize * sequence).fill(padId)
  const typeIds = new Int32Array(batchSize * sequence)
  const mask = new Int32Array(batchSize * sequence)
  const labels = new Int32Array(batchSize).fill(IGNORED)
  let tokens = 0
  indices.forEach((index, row) => {
    const text = tokenised[index]
    const length = text.ids.length
    if (length > sequence) throw new RangeError(`Text ${index} has ${length} tokens; the batch holds ${sequence}`)
    ids.set(text.ids, row * sequence)
    if (text.typeIds) typeIds.set(text.typeIds, row * sequence)
    mask.fill(1, row * sequence, row * sequence + length)
    labels[row] = text.label
    tokens += length
  })
  return { ids, typeIds, mask, labels, rows: indices.length, batch: batchSize, sequence, tokens }
}
