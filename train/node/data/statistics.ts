// What a set of examples is, and how long its texts are, told as pandas tells it: `series.str.len().describe()`.
import type { TaskPlan } from '../../tasks/infer.ts'
import type { Example } from './labelled.ts'

/** The figures of pandas' `describe()`, under its names. Lengths of texts are in characters (Unicode code points). */
export interface TextStatistics {
  count: number
  mean: number
  /** Of the sample (divided by count − 1); NaN for fewer than two texts, as the other figures are for none. */
  std: number
  min: number
  '25%': number
  '50%': number
  '75%': number
  max: number
}

/** The figures that tables have columns for, in their order. */
export const STATISTICS = ['mean', 'std', 'min', '25%', '50%', '75%', 'max'] as const satisfies (keyof TextStatistics)[]

/** Length in code points, which is what Python's `len` counts; a lone surrogate counts as one. */
export function codePoints(text: string): number {
  let count = text.length
  for (let i = 1; i < text.length; i++) {
    if ((text.charCodeAt(i) & 0xfc00) === 0xdc00 && (text.charCodeAt(i - 1) & 0xfc00) === 0xd800) count--
  }
  return count
}

/** The `fraction`-quantile of ascending numbers by linear interpolation, pandas' and NumPy's default. */
export function quantile(sorted: ArrayLike<number>, fraction: number): number {
  if (sorted.length === 0) return NaN
  const position = (sorted.length - 1) * fraction
  const below = Math.floor(position)
  const above = Math.min(below + 1, sorted.length - 1)
  return sorted[below] + (sorted[above] - sorted[below]) * (position - below)
}

/** Count, mean, deviation, quartiles and extremes of the texts' lengths in characters. */
export const textStatistics = (texts: Iterable<string>): TextStatistics => statisticsOf(Array.from(texts, codePoints))

/** The same of any numbers. */
export function statisticsOf(numbers: readonly number[]): TextStatistics {
  const lengths = Float64Array.from(numbers).sort()
  const count = lengths.length
  const mean = lengths.reduce((sum, length) => sum + length, 0) / count
  const squares = lengths.reduce((sum, length) => sum + (length - mean) ** 2, 0)
  return {
    count,
    mean,
    std: count > 1 ? Math.sqrt(squares / (count - 1)) : NaN,
    min: quantile(lengths, 0),
    '25%': quantile(lengths, 0.25),
    '50%': quantile(lengths, 0.5),
    '75%': quantile(lengths, 0.75),
    max: quantile(lengths, 1),
  }
}

/** What a set of examples is. */
export interface SetFacts {
  readonly rows: number
  /** Rows of class 1, of two classes. */
  readonly positive?: number
  /** How often each class is given, by its name; of labels of words, to how many words. Not for numbers. */
  readonly classes?: Readonly<Record<string, number>>
  /** In characters. */
  readonly text_length: TextStatistics
}

export function factsOf(examples: readonly Example[], plan: TaskPlan): SetFacts {
  const counts = countsOf(examples, plan)
  return {
    rows: examples.length,
    ...(plan.task === 'classes' && counts?.length === 2 && { positive: counts[1] }),
    ...(counts && { classes: Object.fromEntries(plan.labels.map((name, i) => [name, counts[i]])) }),
    text_length: textStatistics(examples.map(({ text }) => text)),
  }
}

/** How often each class is given; undefined for numbers. */
export function countsOf(examples: readonly Example[], { task, labels }: TaskPlan): number[] | undefined {
  if (task === 'regression') return undefined
  const counts = new Array<number>(labels.length).fill(0)
  for (const { target } of examples) {
    if (typeof target === 'number') {
      // Less than 0 where there is no label.
      if (target >= 0) counts[target]++
    } else if (task === 'labels') for (let i = 0; i < labels.length; i++) counts[i] += target[i]
    else for (let i = 0; i < target.length; i++) if (target[i] >= 0) counts[target[i]]++
  }
  return counts
}

/** The middle one of those that are finite: steady where a first step that compiles pipelines is not. */
export function median(values: readonly (number | null)[]): number | undefined {
  const sorted = values
    .filter(value => value !== null)
    .filter(Number.isFinite)
    .sort((a, b) => a - b)
  return sorted.at(Math.floor(sorted.length / 2))
}

/** `counts[i]` numbers are at least `edges[i]` and less than `edges[i + 1]`. */
export interface Histogram {
  readonly edges: readonly number[]
  readonly counts: readonly number[]
}

const BINS = 24

/** Equal bins over the range of the lengths. */
export function histogram(lengths: readonly number[]): Histogram {
  // Not Math.min(...lengths): an engine takes some hundred thousand arguments and no more.
  const least = lengths.reduce((a, b) => Math.min(a, b))
  const most = lengths.reduce((a, b) => Math.max(a, b))
  const width = Math.max(1, Math.ceil((most + 1 - least) / BINS))
  const bins = Math.ceil((most + 1 - least) / width)
  const counts = new Array<number>(bins).fill(0)
  for (const length of lengths) counts[Math.floor((length - least) / width)]++
  return { edges: Array.from({ length: bins + 1 }, (_, i) => least + i * width), counts }
}
