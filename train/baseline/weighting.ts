// From counts to features: counts as they are, presence, or TF-IDF as scikit-learn's TfidfTransformer computes it.
import type { SparseMatrix } from './sparse.ts'

export const WEIGHTINGS = ['counts', 'presence', 'tfidf'] as const
export type Weighting = (typeof WEIGHTINGS)[number]

/** How counts become features; `idf` is for TF-IDF alone, [features]. */
export interface Weighter {
  readonly weighting: Weighting
  /** 1 + ln count in place of the count. */
  readonly sublinear: boolean
  readonly idf?: Float32Array
}

/** ln ((1 + documents) / (1 + documents with the feature)) + 1. */
export function inverseDocumentFrequency({ rows, columns, indices }: SparseMatrix): Float32Array {
  const documents = new Float64Array(columns)
  for (const index of indices) documents[index]++
  return Float32Array.from(documents, count => Math.log((1 + rows) / (1 + count)) + 1)
}

/** Learns the weights that depend on a training set. */
export const learnWeighter = (counts: SparseMatrix, weighting: Weighting, sublinear: boolean): Weighter => ({
  weighting,
  sublinear,
  ...(weighting === 'tfidf' && { idf: inverseDocumentFrequency(counts) }),
})

/** The features of counted documents. TF-IDF rows have length 1. */
export function weigh(counts: SparseMatrix, { weighting, sublinear, idf }: Weighter): SparseMatrix {
  if (weighting === 'presence') return { ...counts, values: new Float32Array(counts.values.length).fill(1) }
  const values = sublinear ? counts.values.map(count => 1 + Math.log(count)) : counts.values
  if (idf === undefined) return { ...counts, values }
  const { rows, starts, indices } = counts
  const weighted = new Float32Array(values.length)
  for (let row = 0; row < rows; row++) {
    let squares = 0
    for (let i = starts[row]; i < starts[row + 1]; i++) squares += (values[i] * idf[indices[i]]) ** 2
    const scale = squares > 0 ? 1 / Math.sqrt(squares) : 0
    for (let i = starts[row]; i < starts[row + 1]; i++) weighted[i] = values[i] * idf[indices[i]] * scale
  }
  return { ...counts, values: weighted }
}
