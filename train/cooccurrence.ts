// Word embeddings from counts, as a start for pretraining: the leading eigenvectors of the matrix of positive pointwise
// mutual information of tokens that occur together, scaled by the square roots of their eigenvalues, which is about what
// word2vec learns (Levy & Goldberg 2014; Levy, Goldberg & Dagan 2015 for the smoothing and the root). Tokens near each
// other tell how a word is used, tokens of the same text what it is about (as in latent semantic analysis, Deerwester
// et al. 1990). `factorise` of eigenvectors.ts gives the embeddings; here are the counts and the matrix.
import type { SparseRows } from './eigenvectors.ts'

interface Row {
  readonly ids: ArrayLike<number>
}

export interface NearOptions {
  /** Tokens on either side of one that count as near; the nearest count most, as 1 ÷ distance. */
  readonly window: number
  /** Ids that are left out: [CLS], [PAD] and the like. */
  readonly special: ReadonlySet<number>
}

/** Exponent of the counts of context tokens, which makes rare ones matter less. */
const SMOOTHING = 0.75

/** Adds the weighted counts of pairs of tokens that are near each other in a row to `counts` [vocabulary, vocabulary]. */
export function countNear(counts: Float32Array, rows: readonly Row[], { window, special }: NearOptions): void {
  const vocabulary = Math.sqrt(counts.length)
  for (const { ids } of rows) {
    for (let at = 0; at < ids.length; at++) {
      if (special.has(ids[at])) continue
      const first = Math.max(0, at - window)
      for (let near = first; near < at; near++) {
        if (special.has(ids[near])) continue
        const share = 1 / (at - near)
        counts[ids[at] * vocabulary + ids[near]] += share
        counts[ids[near] * vocabulary + ids[at]] += share
      }
    }
  }
}

/**
 * Adds the pairs of different tokens that occur in the same row to `counts` [vocabulary, vocabulary], however often
 * they do, each as 1 ÷ the row's different tokens: so a row weighs as much as it has of them.
 */
export function countTogether(
  counts: Float32Array,
  rows: readonly Row[],
  { special }: Pick<NearOptions, 'special'>,
): void {
  const vocabulary = Math.sqrt(counts.length)
  for (const { ids } of rows) {
    const tokens = [...new Set(Array.from(ids))].filter(id => !special.has(id))
    const share = 1 / tokens.length
    for (const one of tokens) {
      const from = one * vocabulary
      for (const other of tokens) if (other !== one) counts[from + other] += share
    }
  }
}

/** How often each token occurs in the rows; special ones never do. Integers [vocabulary]. */
export function countTokens(rows: readonly Row[], vocabulary: number, special: ReadonlySet<number>): Float64Array {
  const counts = new Float64Array(vocabulary)
  for (const { ids } of rows) for (let at = 0; at < ids.length; at++) if (!special.has(ids[at])) counts[ids[at]]++
  return counts
}

/** log of each token's share of the texts, f32 [vocabulary]; one that never occurs counts as occurring half a time. */
export function logShares(counts: Float64Array): Float32Array<ArrayBuffer> {
  const total = counts.reduce((sum, n) => sum + Math.max(n, 0.5), 0)
  return Float32Array.from(counts, n => Math.log(Math.max(n, 0.5) / total))
}

/**
 * max(0, log(p(i, j) ÷ (p(i) p(j)))) of symmetric counts [vocabulary, vocabulary], with p(j) smoothed; symmetric again
 * as the mean of both directions.
 */
export function positiveInformation(counts: Float32Array, vocabulary: number): SparseRows {
  const sums = Float64Array.from({ length: vocabulary }, (_, i) =>
    counts.subarray(i * vocabulary, (i + 1) * vocabulary).reduce((total, count) => total + count, 0),
  )
  const logs = sums.map(Math.log)
  const shift = Math.log(sums.reduce((total, sum) => total + sum ** SMOOTHING, 0))
  const informationOf = (i: number, j: number): number => {
    const count = counts[i * vocabulary + j]
    if (count === 0) return 0
    const joint = Math.log(count) + shift
    return (Math.max(0, joint - logs[i] - SMOOTHING * logs[j]) + Math.max(0, joint - logs[j] - SMOOTHING * logs[i])) / 2
  }
  const starts = new Int32Array(vocabulary + 1)
  for (let i = 0; i < vocabulary; i++) {
    let found = 0
    for (let j = 0; j < vocabulary; j++) if (informationOf(i, j) > 0) found++
    starts[i + 1] = starts[i] + found
  }
  const columns = new Int32Array(starts[vocabulary])
  const values = new Float32Array(starts[vocabulary])
  let at = 0
  for (let i = 0; i < vocabulary; i++) {
    for (let j = 0; j < vocabulary; j++) {
      const value = informationOf(i, j)
      if (value === 0) continue
      columns[at] = j
      values[at++] = value
    }
  }
  return { starts, columns, values }
}

/** Scales values to a mean of 0 and this standard deviation, over all rows but those that are all 0, in place. */
export function scaleTo(embeddings: Float32Array, deviation: number): void {
  const used = embeddings.reduce((n, value) => n + (value === 0 ? 0 : 1), 0)
  const squares = embeddings.reduce((sum, value) => sum + value * value, 0)
  if (squares === 0) return
  const factor = deviation / Math.sqrt(squares / used)
  for (let i = 0; i < embeddings.length; i++) embeddings[i] *= factor
}
