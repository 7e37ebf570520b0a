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
import type { Attribution, WordShare } from './word-shares.ts'
import { wordsOf } from './words.ts'

/** A text, and the label whose score is explained. */
export interface Question {
  readonly input: TextInput
  readonly label: number
}

/** Answers questions, in their order; undefined where the shares of words cannot be told. */
export type Attributor = (questions: readonly Question[]) => Promise<(Attribution | undefined)[]>

/** Texts whose shares are computed together. */
const BATCH = 32

/**
 * What tells the shares of words in a score of each text, for any number of texts: what it compiles serves later ones.
 * Undefined for a text that is read in several windows, and for one whose tokens are not those of its words. Throws a
 * RangeError for a model that labels words, and later a NonFinite if a share is not finite.
 */
export function attributor({ model, tokenizer, maxLength, options }: TextClassifier): Attributor {
  if (!(model instanceof SequenceClassifier)) throw new RangeError(`${model.architecture} has no score of a whole text`)
  const run = tokenShares(model)
  return async questions => {
    const answers: (Attribution | undefined)[] = []
    for (let at = 0; at < questions.length; at += BATCH) {
      const batch = questions.slice(at, at + BATCH)
      const encoded = batch.map(({ input }) => {
        const text = typeof input !== 'string' && 'pair' in input ? input : { text: textOf(input) }
        return encodeText(tokenizer, text, { maxLength, window: options.window })
      })
      const shares = await sharesOf(model, run, tokenizer, maxLength, batch, encoded)
      const told = batch.map(({ input }, i) =>
        encoded[i].further ? undefined : attributionOf(tokenizer, input, encoded[i], shares[i]),
      )
      answers.push(...told)
    }
    return answers
  }
}

/** The same, once. */
export const attribute = async (
  classifier: TextClassifier,
  questions: readonly Question[],
): Promise<(Attribution | undefined)[]> => attributor(classifier)(questions)

/**
 * The share of each token, `f32[batch, sequence]`, from ids, mask and types of that shape in i32, and from 1 for the
 * label of each text, f32[batch, labels]. Lengths are padded to a few sizes, so that the number of traces is bounded.
 */
const tokenShares = (model: SequenceClassifier) =>
  compile(
    (ids: Tensor, mask: Tensor, types: Tensor, chosen: Tensor) => {
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
    },
    { traces: Infinity },
  )

/** A share for each token of each text's first window. */
async function sharesOf(
  { config }: SequenceClassifier,
  run: ReturnType<typeof tokenShares>,
  { padId }: Tokenizer,
  maxLength: number,
  questions: readonly Question[],
  encoded: readonly EncodedText[],
): Promise<Float32Array[]> {
  const sequence = padLength(Math.max(...encoded.map(({ ids }) => ids.length)), maxLength)
  const [batch, labels] = [encoded.length, config.labels.length]
  const ids = new Int32Array(batch * sequence).fill(padId)
  const [mask, types] = [new Int32Array(batch * sequence), new Int32Array(batch * sequence)]
  const chosen = new Float32Array(batch * labels)
  encoded.forEach((text, row) => {
    ids.set(text.ids, row * sequence)
    types.set(text.typeIds, row * sequence)
    mask.fill(1, row * sequence, row * sequence + text.ids.length)
    chosen[row * labels + questions[row].label] = 1
  })
  const shape = [batch, sequence]
  const { shares } = await run(
    tensor(ids, shape),
    tensor(mask, shape),
    tensor(types, shape),
    tensor(chosen, [batch, labels]),
  )
  const values = await shares.data()
  if (!values.every(Number.isFinite)) throw new NonFinite(`${config.name}: the share of a word is not finite`)
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
