// What classifiers are asked and what they answer, and how scores become an answer. Nothing here computes on a device.

/** What a model's scores mean; the names are those of `problem_type` in Transformers, and one for labels of tokens. */
export type Problem =
  | 'single_label_classification'
  | 'multi_label_classification'
  | 'regression'
  | 'token_classification'

/** A text, two that belong together, or a text as its words, which labels of words go by. */
export type TextInput =
  | string
  | { readonly text: string; readonly pair: string }
  | { readonly words: readonly string[] }

/** The text of an input; words with spaces between. */
export const textOf = (input: TextInput): string =>
  typeof input === 'string' ? input : 'words' in input ? input.words.join(' ') : input.text

/** How scores become answers, as found on validation data. */
export interface Calibration {
  /** Logits are divided by it before they become probabilities; 1 when left out. */
  readonly temperature?: number
  /** The probability above which the second of two classes, or a label, is given; ½ for all when left out. */
  readonly thresholds?: readonly number[]
}

/** One word of a text and its label. */
export interface LabelledWord {
  readonly text: string
  readonly start: number
  readonly end: number
  readonly label: string
  readonly probability: number
}

/** The answer for a text: one label, several, a number, or a label for each word. */
export type Prediction =
  | {
      readonly kind: 'label'
      readonly label: string
      readonly probability: number
      readonly probabilities: Readonly<Record<string, number>>
    }
  | {
      readonly kind: 'labels'
      readonly labels: readonly string[]
      readonly probabilities: Readonly<Record<string, number>>
    }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'words'; readonly words: readonly LabelledWord[] }

/** What the model computed for a text, and the answer that follows. */
export interface Scored {
  readonly answer: Prediction
  /** Before the temperature: [labels], or [tokens, labels] for labels of tokens, one window after another. */
  readonly logits: Float32Array
  /** For labels of tokens: the index of the word that each token begins, or −1. */
  readonly firstOf?: readonly number[]
}

/** What decides the answer to a text's scores. */
export interface Decision extends Calibration {
  readonly problem: Exclude<Problem, 'token_classification'>
  readonly labels: readonly string[]
}

/** The answer that follows from a text's scores, [labels]. */
export function answerOf(scores: Float32Array, { problem, labels, temperature = 1, thresholds }: Decision): Prediction {
  if (problem === 'regression') return { kind: 'number', value: scores[0] }
  const scaled = Array.from(scores, score => score / temperature)
  if (problem === 'multi_label_classification') {
    const probabilities = scaled.map(sigmoid)
    return {
      kind: 'labels',
      labels: labels.filter((_, i) => probabilities[i] > (thresholds?.[i] ?? 0.5)),
      probabilities: named(labels, probabilities),
    }
  }
  const probabilities = softmax(scaled)
  const best = thresholds && labels.length === 2 ? Number(probabilities[1] > thresholds[1]) : largest(probabilities)
  return {
    kind: 'label',
    label: labels[best],
    probability: probabilities[best],
    probabilities: named(labels, probabilities),
  }
}

const named = (labels: readonly string[], values: readonly number[]): Record<string, number> =>
  Object.fromEntries(labels.map((label, i) => [label, values[i]]))

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** The number of the largest value; the first of equals. */
export const largest = (values: readonly number[]): number =>
  values.reduce((best, value, i) => (value > values[best] ? i : best), 0)

/** Probabilities of logits. */
export function softmax(logits: readonly number[]): number[] {
  const most = Math.max(...logits)
  const powers = logits.map(x => Math.exp(x - most))
  const sum = powers.reduce((a, b) => a + b, 0)
  return powers.map(power => power / sum)
}
