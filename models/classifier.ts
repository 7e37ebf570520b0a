// Texts to labels with a trained model, and no trainer: what `predict` and a web page need. Texts of like length go
// into one batch, and results come in the order of the texts. A text in several windows gets the mean of their scores.
import { type Tensor, compile, scalar, tensor } from '../engine/index.ts'
import { NonFinite, UserError } from '../engine/errors.ts'
import type { Classifier } from './model.ts'
import { TokenClassifier } from './model.ts'
import { forwardContext } from './nn.ts'
import { padLength } from './padding.ts'
import type { Encoding, Tokenizer } from './tokenizer.ts'
import { type EncodedText, type Window, checkWindow, encodeText, windowsOf } from './windows.ts'
import { type Word, wordsOf } from './words.ts'

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

export interface ClassifierOptions extends Calibration {
  readonly problem: Problem
  /** Names of the classes by their number. */
  readonly labels: readonly string[]
  /** Longest text, or window of one, in tokens; the model's positions when left out. */
  readonly maxLength?: number
  /** Tokens that neighbouring windows of a longer text share; longer texts are cut when left out. */
  readonly window?: number
  /** Whether it was trained on pairs of texts; undefined where that is not known. */
  readonly pairs?: boolean
  /** Most texts in one batch; 32 when left out. */
  readonly batchSize?: number
}

/** One word of a text and its label. */
export interface LabelledWord {
  readonly text: string
  readonly start: number
  readonly end: number
  readonly label: string
  readonly probability: number
}

/** What is said of a text: one label, several, a number, or a label for each word. */
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

const BATCH = 32

/** A model with its tokenizer and its labels. */
export class TextClassifier {
  readonly model: Classifier
  readonly tokenizer: Tokenizer
  readonly options: ClassifierOptions
  readonly maxLength: number
  /** Texts classified so far, and how many of them were cut. */
  readonly seen = { texts: 0, cut: 0 }
  readonly #run

  /** The model's weights must be in place. Throws a UserError if labels or lengths do not fit the model. */
  constructor(model: Classifier, tokenizer: Tokenizer, options: ClassifierOptions) {
    const { labels, thresholds, maxLength = model.config.maxPositions } = options
    if (labels.length !== model.config.labels.length) {
      throw new UserError(
        `${model.config.name} scores ${model.config.labels.length} labels, but ${labels.length} names were given`,
      )
    }
    if ((options.problem === 'token_classification') !== model instanceof TokenClassifier) {
      throw new UserError(`${model.architecture} is not a model for ${options.problem}`)
    }
    if (maxLength > model.config.maxPositions) {
      throw new UserError(
        `texts of ${maxLength} tokens are longer than the ${model.config.maxPositions} positions of ${model.config.name}`,
      )
    }
    checkWindow({ maxLength, window: options.window })
    if (thresholds && thresholds.length !== labels.length) {
      throw new UserError(`${thresholds.length} thresholds for ${labels.length} labels`)
    }
    this.model = model
    this.tokenizer = tokenizer
    this.options = options
    this.maxLength = maxLength
    const withTypes = model.config.typeVocab > 0
    this.#run = compile((ids: Tensor, mask: Tensor, types: Tensor) => {
      const context = forwardContext({ training: false, seed: 0, step: scalar(0, 'u32') })
      return { logits: model.logits(ids, mask, withTypes ? types : undefined, context) }
    })
  }

  /** An answer for each text, in their order. `onProgress` hears how many are done. */
  async classify(texts: readonly TextInput[], onProgress?: (done: number) => void): Promise<Prediction[]> {
    return (await this.score(texts, onProgress)).map(({ answer }) => answer)
  }

  /** The same with the logits that each answer follows from. Throws a NonFinite if they are not finite. */
  async score(texts: readonly TextInput[], onProgress?: (done: number) => void): Promise<Scored[]> {
    const encoded = texts.map(text => this.#encode(text))
    // First windows alone, in the batches that they have where texts are cut: one that fits gets the same bits.
    const firsts = longestFirst(encoded.map((window, text) => ({ window, text, part: 0 })))
    const others = longestFirst(
      encoded.flatMap(({ further = [] }, text) => further.map((window, i) => ({ window, text, part: i + 1 }))),
    )
    const { batchSize = BATCH } = this.options
    const scores: Float32Array[][] = texts.map(() => [])
    let done = 0
    for (const rows of [firsts, others]) {
      for (let at = 0; at < rows.length; at += batchSize) {
        const batch = rows.slice(at, at + batchSize)
        const logits = await this.#scores(batch.map(({ window }) => window))
        batch.forEach(({ text, part }, row) => {
          scores[text][part] = logits[row]
        })
        done += batch.length
        // The share of windows that are done, in texts.
        onProgress?.(Math.floor((texts.length * done) / (firsts.length + others.length)))
      }
    }
    const all = texts.map((text, i) => this.#scored(text, encoded[i], scores[i]))
    this.seen.texts += texts.length
    if (this.options.window === undefined)
      this.seen.cut += encoded.filter(({ tokens }) => tokens > this.maxLength).length
    return all
  }

  #encode(input: TextInput): EncodedText {
    const {
      maxLength,
      options: { problem, window },
    } = this
    const isPair = typeof input !== 'string' && 'pair' in input
    const text = isPair
      ? input
      : problem === 'token_classification'
        ? { words: placedWords(input).map(word => word.text) }
        : { text: textOf(input) }
    return encodeText(this.tokenizer, text, { maxLength, window })
  }

  /** What the scores of a text's windows come to: their mean, or for labels of tokens all of them in a row. */
  #scored(input: TextInput, encoded: EncodedText, scores: readonly Float32Array[]): Scored {
    if (encoded.firstOf === undefined) {
      const logits = meanOf(scores)
      return { answer: this.#answer(input, logits), logits }
    }
    const width = this.options.labels.length
    const windows = windowsOf<Window>(encoded)
    const firstOf = windows.flatMap(window => window.firstOf ?? [])
    const logits = new Float32Array(firstOf.length * width)
    let at = 0
    for (const [part, { ids }] of windows.entries()) {
      logits.set(scores[part].subarray(0, ids.length * width), at)
      at += ids.length * width
    }
    return { answer: this.#answer(input, logits, firstOf), logits, firstOf }
  }

  /** Logits of each row: [labels], or of labels of tokens [sequence · labels]. */
  async #scores(rows: readonly Encoding[]): Promise<Float32Array[]> {
    const sequence = padLength(Math.max(...rows.map(({ ids }) => ids.length)), this.maxLength)
    // Few sizes of batches, so that few plans are made: whole ones, and powers of two for what is left.
    const { batchSize = BATCH } = this.options
    const batch = rows.length > batchSize / 2 ? batchSize : 2 ** Math.ceil(Math.log2(rows.length))
    const ids = new Int32Array(batch * sequence).fill(this.tokenizer.padId)
    const mask = new Int32Array(batch * sequence)
    const types = new Int32Array(batch * sequence)
    rows.forEach((row, r) => {
      ids.set(row.ids, r * sequence)
      types.set(row.typeIds, r * sequence)
      mask.fill(1, r * sequence, r * sequence + row.ids.length)
    })
    const shape = [batch, sequence]
    const { logits } = await this.#run(tensor(ids, shape), tensor(mask, shape), tensor(types, shape))
    const scores = await logits.data()
    if (!scores.every(Number.isFinite))
      throw new NonFinite(`${this.model.config.name}: the scores of a text are not finite`)
    const each = scores.length / batch
    return rows.map((_, r) => Float32Array.from(scores.subarray(r * each, (r + 1) * each)))
  }

  #answer(input: TextInput, scores: Float32Array, firstOf: readonly number[] = []): Prediction {
    const { problem, labels, temperature = 1, thresholds } = this.options
    const scaled = Array.from(scores, score => score / temperature)
    if (problem === 'regression') return { kind: 'number', value: scores[0] }
    if (problem === 'multi_label_classification') {
      const probabilities = scaled.map(sigmoid)
      return {
        kind: 'labels',
        labels: labels.filter((_, i) => probabilities[i] > (thresholds?.[i] ?? 0.5)),
        probabilities: named(labels, probabilities),
      }
    }
    if (problem === 'single_label_classification') {
      const probabilities = softmax(scaled)
      const best = thresholds && labels.length === 2 ? Number(probabilities[1] > thresholds[1]) : largest(probabilities)
      return {
        kind: 'label',
        label: labels[best],
        probability: probabilities[best],
        probabilities: named(labels, probabilities),
      }
    }
    const words = placedWords(input)
    const answers: LabelledWord[] = []
    firstOf.forEach((word, at) => {
      if (word < 0) return
      const probabilities = softmax(scaled.slice(at * labels.length, (at + 1) * labels.length))
      const best = largest(probabilities)
      answers.push({ ...words[word], label: labels[best], probability: probabilities[best] })
    })
    return { kind: 'words', words: answers }
  }
}

/** Rows in the order in which they go into batches: longest first, equal ones as they came. */
const longestFirst = <Row extends { readonly window: Window }>(rows: readonly Row[]): Row[] =>
  rows.toSorted((a, b) => b.window.ids.length - a.window.ids.length)

/** The mean of rows of scores; of one row the row itself. */
function meanOf(rows: readonly Float32Array[]): Float32Array {
  const [first] = rows
  return rows.length === 1 ? first : first.map((_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length)
}

/** The words of an input, with their places in its `textOf`. */
function placedWords(input: TextInput): Word[] {
  if (typeof input === 'string' || !('words' in input)) return wordsOf(textOf(input))
  let end = -1
  return input.words.map(text => {
    const start = end + 1
    end = start + text.length
    return { text, start, end }
  })
}

const named = (labels: readonly string[], values: readonly number[]): Record<string, number> =>
  Object.fromEntries(labels.map((label, i) => [label, values[i]]))

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** The number of the largest value; the first of equals. */
const largest = (values: readonly number[]): number =>
  values.reduce((best, value, i) => (value > values[best] ? i : best), 0)

function softmax(logits: readonly number[]): number[] {
  const most = Math.max(...logits)
  const powers = logits.map(x => Math.exp(x - most))
  const sum = powers.reduce((a, b) => a + b, 0)
  return powers.map(power => power / sum)
}
