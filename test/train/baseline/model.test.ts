// A baseline as a whole: what is fitted for each kind of labels, saved and opened to the same answers.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { BaselineClassifier } from '../../../train/baseline/classifier.ts'
import {
  type FitOptions,
  type Labels,
  MODELS,
  featuresThatDecide,
  fitModel,
  scoresOf,
} from '../../../train/baseline/model.ts'
import type { BaselineSettings } from '../../../train/baseline/settings.ts'
import { createPreprocessor } from '../../../train/baseline/steps.ts'
import { CorpusBuilder } from '../../../train/baseline/vocabulary.ts'
import { openBaseline, saveBaseline } from '../../../train/node/jobs/baseline/saved.ts'

const folder = await mkdtemp(join(tmpdir(), 'tilegrad-baseline-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

const OPTIONS: FitOptions = {
  model: 'nb-svm',
  ngrams: 2,
  minDocuments: 1,
  weighting: 'presence',
  sublinear: false,
  smoothing: 1,
  c: 1,
  beta: 0.25,
  loss: 'logistic',
}
const TEXTS = ['good plot', 'not good', 'good fun', 'bad plot', 'not bad', 'bad fun', 'odd plot', 'odd fun']
/** Whether it praises, read with its negation. */
const PRAISES = [1, 0, 1, 0, 1, 0, 0, 0]
const THREE = [0, 1, 0, 1, 0, 1, 2, 2]

function corpusOf(texts: readonly string[]) {
  const builder = new CorpusBuilder()
  for (const text of texts) builder.add(text.split(' '))
  return builder.build()
}

const STEPS: BaselineSettings['steps'] = {
  html: true,
  urls: true,
  emojis: true,
  punctuation: false,
  chatWords: false,
  spelling: false,
  lowerCase: true,
  stopWords: 'off',
  lemmatise: false,
  stem: false,
}

const settingsFor = (labels: string[], more: Partial<BaselineSettings['answers']> = {}): BaselineSettings => ({
  model: 'nb-svm',
  steps: STEPS,
  features: { weighting: 'presence', sublinear: false },
  answers: { problem: 'single_label_classification', labels, pairs: false, ...more },
})

describe.each(MODELS)('%s', model => {
  const kinds: readonly (readonly [string, Labels, number])[] = [
    ['two classes', { kind: 'classes', classes: 2, truth: PRAISES }, 1],
    ['three classes', { kind: 'classes', classes: 3, truth: THREE }, 3],
    ['two labels at once', { kind: 'labels', labels: 2, truth: PRAISES.flatMap((one, i) => [one, i % 2]) }, 2],
  ]
  test.each(kinds)('fits %s, and most texts of training come back right', async (_, labels, outputs) => {
    const corpus = corpusOf(TEXTS)
    const fitted = await fitModel(corpus, labels, { ...OPTIONS, model })
    expect(fitted.outputs).toBe(outputs)
    const scores = scoresOf(fitted, corpus)
    const rows = Array.from({ length: TEXTS.length }, (_, row) => [
      ...scores.subarray(row * outputs, (row + 1) * outputs),
    ])
    const right = rows.filter((row, i) => {
      if (labels.kind === 'labels') return row.every((score, k) => score > 0 === (labels.truth[i * outputs + k] === 1))
      return outputs === 1 ? row[0] > 0 === (labels.truth[i] === 1) : row.indexOf(Math.max(...row)) === labels.truth[i]
    })
    expect(right.length).toBeGreaterThanOrEqual(6)
    expect(await fitModel(corpus, labels, { ...OPTIONS, model }), 'the same bits again').toEqual(fitted)
  })
})

test('beta 0 is naive Bayes up to a factor, bias included', async () => {
  const labels: Labels = { kind: 'classes', classes: 2, truth: PRAISES }
  const corpus = corpusOf(TEXTS)
  const bayes = await fitModel(corpus, labels, { ...OPTIONS, model: 'nb' })
  const mixed = await fitModel(corpus, labels, { ...OPTIONS, beta: 0 })
  const factors = Array.from({ length: bayes.vocabulary.size }, (_, j) => mixed.weights[j] / bayes.weights[j])
  for (const factor of factors) expect(factor).toBeCloseTo(factors[0], 5)
  const [first, second] = [3, 5].map(count => Math.log((count + 1) / (8 - count + 1)))
  expect(first).not.toBe(second)
  expect(mixed.weights[bayes.vocabulary.size]).toBeCloseTo(factors[0] * Math.log((3 + 1) / (5 + 1)), 5)
})

test('a class without examples is never the answer, and its numbers can be saved', async () => {
  const labels: Labels = { kind: 'classes', classes: 3, truth: PRAISES }
  for (const model of MODELS) {
    const fitted = await fitModel(corpusOf(TEXTS), labels, { ...OPTIONS, model })
    expect(fitted.weights.every(Number.isFinite)).toBe(true)
    const scores = scoresOf(fitted, corpusOf(['good plot']))
    expect(scores[2], model).toBeLessThan(Math.max(scores[0], scores[1]))
  }
})

test('the features that decide are named with their weights', async () => {
  const fitted = await fitModel(corpusOf(TEXTS), { kind: 'classes', classes: 2, truth: PRAISES }, OPTIONS)
  const [no, yes] = featuresThatDecide(fitted, ['no', 'yes'], 3)
  expect(no.label).toBe('no')
  expect(yes.features.map(({ name }) => name)).toContain('not bad')
  for (const { features } of [no, yes]) {
    expect(features).toHaveLength(3)
    expect(features.map(({ weight }) => weight)).toEqual(features.map(({ weight }) => weight).sort((a, b) => b - a))
    expect(features[0].weight).toBeGreaterThan(0)
  }
})

describe('saved', () => {
  const texts = ['Good plot!', 'not   bad', '', 'unknown words', 'good fun, bad plot']

  test.each(['presence', 'tfidf'] as const)('and opened, a model of %s gives the same bits', async weighting => {
    const fitted = await fitModel(
      corpusOf(TEXTS),
      { kind: 'classes', classes: 3, truth: THREE },
      { ...OPTIONS, weighting },
    )
    const settings = { ...settingsFor(['a', 'b', 'c'], { temperature: 2 }), features: { weighting, sublinear: false } }
    const place = join(folder, weighting)
    await saveBaseline(place, fitted, settings)
    const before = new BaselineClassifier(fitted, await createPreprocessor(STEPS), settings.answers)
    const opened = await openBaseline(place)
    expect(opened.options).toEqual(settings.answers)
    expect(await opened.score(texts)).toEqual(await before.score(texts))
    const plain = await openBaseline(place, { uncalibrated: true })
    expect((await plain.score(texts))[0].logits).toEqual((await before.score(texts))[0].logits)
    expect((await plain.score(texts))[0].answer).not.toEqual((await before.score(texts))[0].answer)
  })

  test('a pair counts the words of its second text apart, and nothing goes across', async () => {
    const builder = new CorpusBuilder()
    const pairs = ['yes no', 'no yes', 'yes yes', 'no no'].map(pair => pair.split(' '))
    for (const [a, b] of pairs) builder.add([a, '', `2:${b}`])
    const fitted = await fitModel(builder.build(), { kind: 'classes', classes: 2, truth: [1, 0, 1, 0] }, OPTIONS)
    const names = Array.from({ length: fitted.vocabulary.size }, (_, i) => fitted.vocabulary.nameOf(i))
    expect(names.sort()).toEqual(['2:no', '2:yes', 'no', 'yes'])
    const classifier = new BaselineClassifier(fitted, await createPreprocessor(STEPS), settingsFor(['a', 'b']).answers)
    const [answer] = await classifier.classify([{ text: 'Yes', pair: 'no' }])
    expect(answer).toMatchObject({ kind: 'label', label: 'b' })
  })

  test('files that were tampered with are refused in one line that names the place', async () => {
    const fitted = await fitModel(corpusOf(TEXTS), { kind: 'classes', classes: 2, truth: PRAISES }, OPTIONS)
    const place = join(folder, 'damaged')
    const settings = settingsFor(['no', 'yes'])
    const json = join(place, 'baseline.json')
    const refusal = async (): Promise<string> => {
      const error = await openBaseline(place).then(
        () => 'opened',
        (error: unknown) => String(error),
      )
      expect(error).toMatch(/^UserError: /)
      return error
    }
    await saveBaseline(place, fitted, settings)
    await writeFile(json, '{"format": 2}')
    expect(await refusal()).toContain(`${json}: format`)
    await saveBaseline(place, fitted, { ...settings, answers: { ...settings.answers, labels: ['a', 'b', 'c'] } })
    expect(await refusal()).toContain('tensor weights is')
    const { words, prefixes, lasts } = fitted.vocabulary.parts
    const damage = async (parts: object) => {
      const vocabulary = Object.create(fitted.vocabulary, {
        parts: { value: { words, prefixes, lasts, ...parts } },
        size: { value: fitted.vocabulary.size },
      })
      await saveBaseline(place, { ...fitted, vocabulary }, settings)
      return refusal()
    }
    expect(await damage({ prefixes: prefixes.map(() => 4e9) })).toContain('tensor prefixes names')
    expect(await damage({ lasts: lasts.map(() => words.length) })).toContain('tensor lasts names')
    expect(await damage({ words: words.map(() => 'same') })).toContain('tensor words')
    await saveBaseline(place, fitted, settings)
    const file = join(place, 'model.safetensors')
    await writeFile(file, (await readFile(file)).subarray(0, -8))
    expect(await refusal()).toContain(file)
  })
})
