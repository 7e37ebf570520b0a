// The words of a test's worst mistakes, asked of a model: each mistake has its own text and label.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { currentDevice } from '../../../../engine/node/index.ts'
import { attribute } from '../../../../models/attribution.ts'
import { TextClassifier } from '../../../../models/classifier.ts'
import { createModel, initialise } from '../../../../models/index.ts'
import { tokenizerFromVocabulary } from '../../../../models/tokenizer.ts'
import { explained } from '../../../../train/node/report/explained.ts'
import { tested } from '../../../support/report-pages.ts'
import { TINY_WORDS, tinyModelConfig, tinyReviews } from '../../../support/tiny.ts'

const labels = ['bad', 'fair', 'good']
let classifier: TextClassifier

beforeAll(async () => {
  const model = createModel({ ...tinyModelConfig(), labels })
  await initialise(model.parameters(), 5)
  const tokenizer = tokenizerFromVocabulary(TINY_WORDS.map(word => `${word}\n`).join(''), { lowercase: true }, 'tiny')
  classifier = new TextClassifier(model, tokenizer, { problem: 'single_label_classification', labels })
})
afterAll(async () => (await currentDevice()).close())

test('each mistake that is shown is explained by the words of its text, and the label that was given', async () => {
  const texts = tinyReviews(14, { longest: 12 }).map(({ text }) => text)
  const scored = await classifier.score(texts)
  const given = scored.map(({ logits }) => logits.indexOf(Math.max(...logits)))
  // The first two are right, all others wrong.
  const rows = texts.map((text, i) => [i < 2 ? given[i] : (given[i] + 1) % 3, [...scored[i].logits], text] as const)
  const { explanations } = await explained(tested('classes', labels, rows), classifier)
  expect(explanations?.size).toBe(10)
  for (const [row, { label, words }] of explanations ?? []) {
    expect(row).toBeGreaterThanOrEqual(2)
    expect(label).toBe(labels[given[row]])
    expect(words.text.map(({ text }) => text).join(' ')).toBe(texts[row])
  }
  const [[row, { words }]] = explanations ?? []
  const [alone] = await attribute(classifier, [{ input: texts[row], label: given[row] }])
  words.text.forEach(({ share }, i) => expect(share).toBeCloseTo(alone?.text[i].share ?? NaN, 4))
})

test('a test without mistakes asks the model nothing', async () => {
  const perfect = tested('classes', labels, [[0, [2, 0, 0], 'the film was great']])
  expect((await explained(perfect, classifier)).explanations).toBeUndefined()
})
