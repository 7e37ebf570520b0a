// Texts to labels with a trained model, and no trainer: what `predict` and a web page need. Texts of like length go
// into one batch, and results come in the order of the texts. A text in several windows gets the mean of their scores.
import { type Tensor, compile, scalar, tensor } from '../engine/index.ts'
import { NonFinite, UserError } from '../engine/errors.ts'
import { needAll, needArray, needObjects } from '../engine/options.ts'
import { Classifier, TokenClassifier } from './model.ts'
import { forwardContext } from './nn.ts'
import { padLength } from './padding.ts'
import {
  type Calibration,
  type LabelledWord,
  type Prediction,
  type Problem,
  type Scored,
  type TextInput,
  answerOf,
  largest,
  softmax,
  textOf,
} from './prediction.ts'
import type { Encoding, Tokenizer } from './tokenizer.ts'
import { type EncodedText, type Window, checkWindow, encodeText, windowsOf } from './windows.ts'
import { type Word, wordsOf } from './words.ts'

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
    needAll('TextClassifier', 'a classifier', argument => argument instanceof Classifier, { model })
    needObjects('TextClassifier', { tokenizer, options })
    needAll('TextClassifier', 'an array', Array.isArray, { labels: options.labels })
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
    // Lengths are padded to a few sizes, so that the number of traces is bounded.
    this.#run = compile(
      (ids: Tensor, mask: Tensor, types: Tensor) => {
        const context = forwardContext({ training: false, seed: 0, step: scalar(0, 'u32') })
        return { logits: model.logits(ids, mask, withTypes ? types : undefined, context) }
      },
      { traces: Infinity },
    )
  }

  /** An answer for each text, in their order. `onProgress` hears how many are done. */
  async classify(texts: readonly TextInput[], onProgress?: (done: number) => void): Promise<Prediction[]> {
    return (await this.score(texts, onProgress)).map(({ answer }) => answer)
  }

  /** The same with the logits that each answer follows from. Throws a NonFinite if they are not finite. */
  async score(texts: readonly TextInput[], onProgress?: (done: number) => void): Promise<Scored[]> {
    needArray('classify', texts, 'texts')
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
    if (typeof input !== 'string') needObjects('classify', { text: input })
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
    if (problem !== 'token_classification') return answerOf(scores, { problem, labels, temperature, thresholds })
    const scaled = Array.from(scores, score => score / temperature)
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
