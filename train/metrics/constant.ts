// The constant answer: what a model would score that gives every example the same answer, chosen from training labels
// alone. A trained model is compared with it.
import { type MetricInfo, type Results, isBetter, measure } from './summary.ts'
import type { Figure } from './values.ts'

/** Labels that the constant answer is chosen from, in the layout of `Results`. */
export type Basis =
  /** Class numbers. */
  | { readonly kind: 'classes'; readonly truth: ArrayLike<number> }
  /** `[rows, labels]`, positive above 0.5. */
  | { readonly kind: 'labels'; readonly truth: ArrayLike<number> }
  | { readonly kind: 'regression'; readonly truth: ArrayLike<number> }
  /** Tags of all tokens. */
  | { readonly kind: 'tokens'; readonly tags: Iterable<string> }

export interface ConstantAnswer {
  /** The answer: names of labels (none, for a multi-label task, is an answer too), or a number. */
  readonly answer: readonly string[] | number
  /** The metric of this answer on the examples evaluated; undefined where the metric is not defined for a constant. */
  readonly value: Figure
}

/** The most labels that a constant set of labels has. */
const MOST_LABELS = 20

/**
 * The constant answer and its score on the examples of `results`: the most frequent class, with class frequencies as
 * probabilities; the set of the most frequent labels, possibly none, that scores best on `basis`; the mean number; the
 * tag `O`, or the most frequent tag if there is no `O`. Undefined if `basis` has no labels, or is of another kind.
 */
export function constantAnswer(results: Results, basis: Basis, metric: MetricInfo): ConstantAnswer | undefined {
  if (results.kind === 'classes' && basis.kind === 'classes') {
    const { names } = results
    if (basis.truth.length === 0) return undefined
    const counts = new Array<number>(names.length).fill(0)
    for (let row = 0; row < basis.truth.length; row++) counts[basis.truth[row]]++
    const shares = counts.map(count => count / basis.truth.length)
    const probabilities = repeat(shares, results.truth.length)
    return {
      answer: [names[counts.indexOf(Math.max(...counts))]],
      value: valueOf({ kind: 'classes', names, truth: results.truth, probabilities }, metric),
    }
  }
  if (results.kind === 'labels' && basis.kind === 'labels')
    return constantLabels(results.names, basis.truth, results.truth, metric)
  if (results.kind === 'regression' && basis.kind === 'regression') {
    if (basis.truth.length === 0) return undefined
    let sum = 0
    for (let i = 0; i < basis.truth.length; i++) sum += basis.truth[i]
    const mean = sum / basis.truth.length
    const predicted = new Float64Array(results.truth.length).fill(mean)
    return { answer: mean, value: valueOf({ kind: 'regression', truth: results.truth, predicted }, metric) }
  }
  if (results.kind === 'tokens' && basis.kind === 'tokens') {
    const counts = new Map<string, number>()
    for (const tag of basis.tags) counts.set(tag, (counts.get(tag) ?? 0) + 1)
    const [first] = [...counts].sort(([, a], [, b]) => b - a)
    const tag = counts.has('O') ? 'O' : first?.[0]
    if (tag === undefined) return undefined
    const { truth, scheme } = results
    return {
      answer: [tag],
      value: valueOf({ kind: 'tokens', truth, predicted: truth.map(tags => tags.map(() => tag)), scheme }, metric),
    }
  }
  return undefined
}

const valueOf = (results: Results, { name }: MetricInfo): Figure => measure(results, [name])[name]

function constantLabels(
  names: readonly string[],
  basis: ArrayLike<number>,
  truth: ArrayLike<number>,
  metric: MetricInfo,
): ConstantAnswer | undefined {
  const width = names.length
  if (basis.length === 0) return undefined
  const shares = new Array<number>(width).fill(0)
  for (let i = 0; i < basis.length; i++) if (basis[i] > 0.5) shares[i % width] += width / basis.length
  const order = names.map((_, label) => label).sort((a, b) => shares[b] - shares[a])
  const resultsOn = (labels: ArrayLike<number>, chosen: ReadonlySet<number>): Results => ({
    kind: 'labels',
    names,
    truth: labels,
    probabilities: repeat(shares, labels.length / width),
    // A label is predicted if its probability is above its threshold.
    thresholds: shares.map((_, label) => (chosen.has(label) ? -1 : 1)),
  })
  let best: { readonly chosen: ReadonlySet<number>; readonly value: Figure } | undefined
  for (let size = 0; size <= Math.min(width, MOST_LABELS); size++) {
    const chosen = new Set(order.slice(0, size))
    const value = valueOf(resultsOn(basis, chosen), metric)
    if (!best || isBetter(metric, value, best.value)) best = { chosen, value }
  }
  const chosen = best?.chosen ?? new Set<number>()
  return {
    answer: names.filter((_, label) => chosen.has(label)),
    value: valueOf(resultsOn(truth, chosen), metric),
  }
}

/** A row, `rows` times. */
function repeat(row: readonly number[], rows: number): Float64Array {
  return Float64Array.from({ length: rows * row.length }, (_, i) => row[i % row.length])
}
