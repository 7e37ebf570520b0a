// Shares of words in a score: derivatives along the embeddings, as finite differences of the model find them, and each
// on its own word.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { currentDevice } from '../../engine/node/index.ts'
import { attribute } from '../../models/attribution.ts'
import { TextClassifier, type ClassifierOptions } from '../../models/classifier.ts'
import { createModel, createTokenModel, initialise } from '../../models/index.ts'
import type { Classifier } from '../../models/model.ts'
import type { TextInput } from '../../models/prediction.ts'
import { type Tokenizer, tokenizerFromVocabulary } from '../../models/tokenizer.ts'
import { TINY_WORDS, tinyModelConfig } from '../support/tiny.ts'

const LABELS = ['bad', 'fair', 'good']
let tokenizer: Tokenizer
let model: Classifier

beforeAll(async () => {
  const words = [...TINY_WORDS, 'un', '##seen', '.'].map(word => `${word}\n`).join('')
  tokenizer = tokenizerFromVocabulary(words, { lowercase: true }, 'tiny')
  model = createModel({ ...tinyModelConfig({ vocab_size: TINY_WORDS.length + 3 }), labels: LABELS })
  await initialise(model.parameters(), 5)
})
afterAll(async () => (await currentDevice()).close())

const classifier = (changes: Partial<ClassifierOptions> = {}): TextClassifier =>
  new TextClassifier(model, tokenizer, { problem: 'single_label_classification', labels: LABELS, ...changes })

const embeddings = () => {
  const found = model.parameters().find(({ name }) => name.endsWith('word_embeddings.weight'))
  if (!found) throw new Error('no word embeddings')
  return found
}

/** What the score of a label gains per unit by which the embeddings of these tokens are scaled up. */
async function byDifferences(input: TextInput, label: number, tokens: readonly string[]): Promise<number> {
  const table = embeddings()
  const values = Float32Array.from(await table.read())
  const width = table.shape[1]
  const step = 1e-2
  const scoreWith = async (factor: number): Promise<number> => {
    const changed = values.slice()
    for (const token of tokens) {
      const row = [...TINY_WORDS, 'un', '##seen', '.'].indexOf(token)
      for (let i = row * width; i < (row + 1) * width; i++) changed[i] *= factor
    }
    await table.write(changed)
    const [{ logits }] = await classifier().score([input])
    return logits[label]
  }
  const difference = ((await scoreWith(1 + step)) - (await scoreWith(1 - step))) / (2 * step)
  await table.write(values)
  return difference
}

test('the share of a word is the derivative of the score along its embeddings', async () => {
  const questions = [
    { input: 'the film was great', label: 2 },
    { input: 'a Bad story.', label: 0 },
    { input: 'an unseen plot', label: 1 },
    { input: { text: 'good music', pair: 'an awful role' }, label: 1 },
  ]
  const [first, second, third, pair] = await attribute(classifier(), questions)
  expect(first?.text.map(({ text }) => text)).toEqual(['the', 'film', 'was', 'great'])
  expect(second?.text.map(({ text, start, end }) => [text, start, end])).toEqual([
    ['a', 0, 1],
    ['Bad', 2, 5],
    ['story', 6, 11],
    ['.', 11, 12],
  ])
  // Of several pieces one word.
  expect(third?.text.map(({ text }) => text)).toEqual(['an', 'unseen', 'plot'])
  expect(pair?.pair?.map(({ text }) => text)).toEqual(['an', 'awful', 'role'])
  const checked: [number | undefined, number, readonly string[]][] = [
    [first?.text[3].share, 0, ['great']],
    [first?.text[1].share, 0, ['film']],
    [second?.text[1].share, 1, ['bad']],
    [third?.text[1].share, 2, ['un', '##seen']],
    [pair?.text[0].share, 3, ['good']],
    [pair?.pair?.[1].share, 3, ['awful']],
  ]
  for (const [share, question, tokens] of checked) {
    const { input, label } = questions[question]
    const wanted = await byDifferences(input, label, tokens)
    expect(Math.abs((share ?? NaN) - wanted), tokens.join()).toBeLessThan(2e-3 * Math.max(1, Math.abs(wanted)))
  }
})

test('words that were cut have no share, and texts in several windows none at all', async () => {
  const input = 'the film was great and the plot was bad'
  const [cut] = await attribute(classifier({ maxLength: 6 }), [{ input, label: 0 }])
  expect(cut?.text.map(({ text }) => text)).toEqual(['the', 'film', 'was', 'great'])
  expect(await attribute(classifier({ maxLength: 6, window: 1 }), [{ input, label: 0 }])).toEqual([undefined])
  expect(await attribute(classifier(), [])).toEqual([])
})

test('a model that labels words is refused', async () => {
  const tokens = createTokenModel({ ...tinyModelConfig({ vocab_size: TINY_WORDS.length + 3 }), labels: LABELS })
  const labeller = new TextClassifier(tokens, tokenizer, { problem: 'token_classification', labels: LABELS })
  await expect(attribute(labeller, [{ input: 'a', label: 0 }])).rejects.toThrow(RangeError)
})
