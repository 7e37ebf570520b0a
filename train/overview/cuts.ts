// What a longest text costs: how many texts it cuts, how many tokens that loses, and how long an epoch takes beside
// other lengths, estimated from the batches that the trainer makes.
import { type BatchingOptions, batchSizeFor, makeBatches, rowsFor } from '../batches.ts'
import { stream } from '../random.ts'

/** Widths of an encoder, which say how its time grows with the length of texts. */
export interface EncoderWidths {
  readonly hidden: number
  readonly intermediate: number
}

export interface CutOptions extends Omit<BatchingOptions, 'maxLength'> {
  readonly seed: number
  readonly widths: EncoderWidths
}

/** Texts of one set that are longer than a longest text. */
export interface Lost {
  /** Texts that are cut. */
  readonly texts: number
  /** Tokens that are cut off, and all tokens of the set. */
  readonly tokens: number
  readonly of: number
}

/** An epoch over the training texts, cut to `maxLength`. */
export interface EpochCost {
  readonly maxLength: number
  readonly batches: number
  /** Tokens of the cut texts. */
  readonly tokens: number
  /** Tokens that are computed: batches padded to their longest text. */
  readonly padded: number
  /** Floating-point operations of one layer's forward pass. A whole epoch takes a constant times as many. */
  readonly work: number
}

export function lostAt(maxLength: number, lengths: readonly number[]): Lost {
  const lost = { texts: 0, tokens: 0, of: 0 }
  for (const length of lengths) {
    lost.of += length
    if (length <= maxLength) continue
    lost.texts++
    lost.tokens += length - maxLength
  }
  return lost
}

/**
 * The cost of the first epoch of training on texts of these lengths in tokens. Products with weights take
 * 8·hidden² + 4·hidden·intermediate operations per token, and attention 4·hidden per token and position of its text.
 */
export function epochCost(
  maxLength: number,
  lengths: readonly number[],
  { seed, widths: { hidden, intermediate }, ...batching }: CutOptions,
): EpochCost {
  const options = { ...batching, maxLength }
  const cut = lengths.map(length => Math.min(length, maxLength))
  const cost = { batches: 0, padded: 0, work: 0 }
  for (const indices of makeBatches(cut, rowsFor(options), stream(seed, 'epoch 0'))) {
    const { batch, sequence } = batchSizeFor(
      indices.map(i => cut[i]),
      options,
    )
    const tokens = batch * sequence
    cost.batches++
    cost.padded += tokens
    cost.work += tokens * (8 * hidden * hidden + 4 * hidden * intermediate + 4 * hidden * sequence)
  }
  return { maxLength, ...cost, tokens: cut.reduce((sum, length) => sum + length, 0) }
}
