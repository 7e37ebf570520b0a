// Which words pushed a model to an answer: gradient × input (Shrikumar et al., "Not just a black box", 2016). A word's
// share is the gradient of the answer's score with respect to the embeddings of its pieces, times these embeddings: to
// first order, what the score would lose if the embeddings were scaled down to nothing.
import { type Tensor, compile, grad, scalar, tensor } from '../engine/index.ts'
import { NonFinite } from '../engine/errors.ts'
import type { TextClassifier } from './classifier.ts'
import { SequenceClassifier } from './model.ts'
import { forwardContext } from './nn.ts'
import { padLength } from './padding.ts'
import { type TextInput, textOf } from './prediction.ts'
import type { Tokenizer } from './tokenizer.ts'
import { type EncodedText, encodeText } from './windows.ts'
import { type Word, wordsOf } from './words.ts'

/** A word of a text, and its share in the score. */
export interface WordShare extends Word {
  readonly share: number
}

/** The words that the model saw, in order; of a pair those of each text. */
export interface Attribution {
  readonly text: readonly WordShare[]
  readonly pair?: readonly WordShare[]
}

/** A text, and the label whose score is explained. */
export interface Question {
  readonly input: TextInput
  readonly label: number
}

/**
 * The shares of words in a score of each text, all in one batch: for a handful of texts. Undefined for a text that is
 * read in several windows, and for one whose tokens are not those of its words. Throws a NonFinite if a share is not
 * finite, and a RangeError for a model that labels words.
 */
export async function attribute(
  { model, tokenizer, maxLength, options }: TextClassifier,
  questions: readonly Question[],
): Promise<(Attribution | undefined)[]> {
  if (!(model instanceof SequenceClassifier)) throw new RangeError(`${model.architecture} has no score of a whole text`)
  if (questions.length === 0) return []
  const encoded = questions.map(({ input }) => {
    const text = typeof input !== 'string' && 'pair' in input ? input : { text: textOf(input) }
    return encodeText(tokenizer, text, { maxLength, window: options.window })
  })
  const shares = await sharesOf(model, tokenizer, maxLength, questions, encoded)
  return questions.map(({ input }, i) =>
    encoded[i].further ? undefined : attributionOf(tokenizer, input, encoded[i], shares[i]),
  )
}

/** At most this many words of an explanation are named, and none with less than this share of the largest. */
const MOST_NAMED = 8
const LEAST_SHARE = 0.1

/** The words with the largest shares, each text's in its own order. */
export function strongestWords({ text, pair = [] }: Attribution, most = MOST_NAMED): Required<Attribution> {
  const size = ({ share }: WordShare): number => Math.abs(share)
  const all = [...text, ...pair]
  const least = LEAST_SHARE * all.reduce((largest, word) => Math.max(largest, size(word)), 0)
  const taken = new Set(
    all
      .filter(word => size(word) > 0 && size(word) >= least)
      .sort((a, b) => size(b) - size(a))
      .slice(0, most),
  )
  return { text: text.filter(word => taken.has(word)), pair: pair.filter(word => taken.has(word)) }
}

/** A share for each token of each text's first window. */
async function sharesOf(
  model: SequenceClassifier,
  { padId }: Tokenizer,
  maxLength: number,
  questions: readonly Question[],
  encoded: readonly EncodedText[],
): Promise<Float32Array[]> {
  const sequence = padLength(Math.max(...encoded.map(({ ids }) => ids.length)), maxLength)
  const [batch, labels] = [encoded.length, model.config.labels.length]
  const ids = new Int32Array(batch * sequence).fill(padId)
  const [mask, types] = [new Int32Array(batch * sequence), new Int32Array(batch * sequence)]
  const chosen = new Float32Array(batch * labels)
  encoded.forEach((text, row) => {
    ids.set(text.ids, row * sequence)
    types.set(text.typeIds, row * sequence)
    mask.fill(1, row * sequence, row * sequence + text.ids.length)
    chosen[row * labels + questions[row].label] = 1
  })
  const run = compile((ids: Tensor, mask: Tensor, types: Tensor, chosen: Tensor) => {
    const embedded: Tensor[] = []
    const context = forwardContext({
      training: false,
      seed: 0,
      step: scalar(0, 'u32'),
      onWords: words => embedded.push(words),
    })
    const logits = model.logits(ids, mask, model.config.typeVocab > 0 ? types : undefined, context)
    const [words] = embedded
    const [gradient] = grad(logits.mul(chosen).sum(), [words])
    return { shares: gradient.cast('f32').mul(words.cast('f32')).sum(-1) }
  })
  const shape = [batch, sequence]
  const { shares } = await run(
    tensor(ids, shape),
    tensor(mask, shape),
    tensor(types, shape),
    tensor(chosen, [batch, labels]),
  )
  const values = await shares.data()
  if (!values.every(Number.isFinite)) throw new NonFinite(`${model.config.name}: the share of a word is not finite`)
  return encoded.map((text, row) =>
    Float32Array.from(values.subarray(row * sequence, row * sequence + text.ids.length)),
  )
}

/** Shares of tokens, summed over the pieces of each word; a word that was cut has those of the pieces that are left. */
function attributionOf(
  tokenizer: Tokenizer,
  input: TextInput,
  { ids }: EncodedText,
  shares: Float32Array,
): Attribution | undefined {
  const pair = typeof input !== 'string' && 'pair' in input ? input.pair : undefined
  const end = ids.indexOf(tokenizer.sepId)
  const last = ids.length - 1
  const text = wordShares(tokenizer, textOf(input), ids, shares, [1, end])
  if (pair === undefined) return end === last ? text && { text } : undefined
  const second = wordShares(tokenizer, pair, ids, shares, [end + 1, last])
  return text && second && { text, pair: second }
}

/** Of the words whose tokens are those from one place up to, not including, another. */
function wordShares(
  tokenizer: Tokenizer,
  text: string,
  ids: readonly number[],
  shares: Float32Array,
  [from, to]: readonly [number, number],
): WordShare[] | undefined {
  const found: WordShare[] = []
  let at = from
  for (const word of wordsOf(text)) {
    if (at === to) break
    const pieces = tokenizer.encode(word.text).ids.slice(1, -1)
    let share = 0
    for (const piece of pieces.slice(0, to - at)) {
      if (ids[at] !== piece) return undefined
      share += shares[at++]
    }
    if (pieces.length > 0) found.push({ ...word, share })
  }
  return at === to ? found : undefined
}
