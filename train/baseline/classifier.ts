// Texts to labels with a fitted baseline: the same answers, in the same form, as a transformer's classifier gives, with
// no device.
import { type Prediction, type Scored, type TextInput, answerOf, textOf } from '../../models/prediction.ts'
import { type LinearModel, scoresOf } from './model.ts'
import type { BaselineSettings } from './settings.ts'
import type { Preprocessor } from './steps.ts'
import { BOUNDARY, CorpusBuilder } from './vocabulary.ts'

/** Texts whose scores are computed together. */
const CHUNK = 256

/** Prefix of the words of a pair's second text, which makes them different features from those of the first. */
const SECOND = '2:'

/** The words of a text or a pair, as a baseline counts them. */
export function wordsOf(input: TextInput, preprocessor: Preprocessor): string[] {
  const words = preprocessor.words(textOf(input))
  if (typeof input === 'string' || !('pair' in input)) return words
  return [...words, BOUNDARY, ...preprocessor.words(input.pair).map(word => `${SECOND}${word}`)]
}

export class BaselineClassifier {
  readonly model: LinearModel
  readonly options: BaselineSettings['answers']
  readonly #preprocessor: Preprocessor

  constructor(model: LinearModel, preprocessor: Preprocessor, options: BaselineSettings['answers']) {
    this.model = model
    this.options = options
    this.#preprocessor = preprocessor
  }

  /** Weights and biases. */
  get parameters(): number {
    return this.model.weights.length
  }

  /** An answer for each text, in their order. `onProgress` is called with the number of texts that are done. */
  async classify(texts: readonly TextInput[], onProgress?: (done: number) => void): Promise<Prediction[]> {
    return (await this.score(texts, onProgress)).map(({ answer }) => answer)
  }

  /** The same with the logits that each answer follows from. */
  async score(texts: readonly TextInput[], onProgress?: (done: number) => void): Promise<Scored[]> {
    const scored: Scored[] = []
    for (let at = 0; at < texts.length; at += CHUNK) {
      const corpus = new CorpusBuilder()
      for (const text of texts.slice(at, at + CHUNK)) corpus.add(wordsOf(text, this.#preprocessor))
      for (const logits of logitsOf(this.model, scoresOf(this.model, corpus.build()), this.options))
        scored.push({ logits, answer: answerOf(logits, this.options) })
      onProgress?.(scored.length)
    }
    return scored
  }
}

/** The logits of each document from the model's scores, [labels]: of two classes 0 and the score of the second. */
export function logitsOf(
  { outputs }: Pick<LinearModel, 'outputs'>,
  scores: Float64Array,
  { labels }: { readonly labels: readonly string[] },
): Float32Array[] {
  return Array.from({ length: scores.length / outputs }, (_, row) =>
    outputs === labels.length
      ? Float32Array.from(scores.subarray(row * outputs, (row + 1) * outputs))
      : Float32Array.of(0, scores[row]),
  )
}
