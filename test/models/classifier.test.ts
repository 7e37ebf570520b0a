// Texts to labels without a trainer: answers are those of the model, whatever batches the texts went into.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { currentDevice } from '../../engine/node/index.ts'
import { TextClassifier, type ClassifierOptions } from '../../models/classifier.ts'
import type { Prediction } from '../../models/prediction.ts'
import { createModel, createTokenModel, initialise } from '../../models/index.ts'
import type { Classifier } from '../../models/model.ts'
import { type Tokenizer, tokenizerFromVocabulary } from '../../models/tokenizer.ts'
import { type Window, encodeText, windowsOf } from '../../models/windows.ts'
import { wordsOf } from '../../models/words.ts'
import { expectClose } from '../support/ops.ts'
import { evaluation, integers } from '../support/models.ts'
import { TINY_WORDS, tinyModelConfig, tinyReviews } from '../support/tiny.ts'

const LABELS = ['bad', 'fair', 'good']
const texts = tinyReviews(21, { longest: 40 }).map(({ text }) => text)
let tokenizer: Tokenizer
const models: { sequence: Classifier; number: Classifier; token: Classifier } = {} as never

beforeAll(async () => {
  tokenizer = tokenizerFromVocabulary(TINY_WORDS.map(word => `${word}\n`).join(''), { lowercase: true }, 'tiny')
  models.sequence = createModel({ ...tinyModelConfig(), labels: LABELS })
  models.number = createModel({ ...tinyModelConfig(), labels: ['LABEL_0'] })
  models.token = createTokenModel({ ...tinyModelConfig(), labels: LABELS })
  for (const model of Object.values(models)) await initialise(model.parameters(), 5)
})
afterAll(async () => (await currentDevice()).close())

const classifier = (changes: Partial<ClassifierOptions> = {}, model: Classifier = models.sequence): TextClassifier =>
  new TextClassifier(model, tokenizer, { problem: 'single_label_classification', labels: LABELS, ...changes })

/** Logits of one text, by the model itself. */
async function logitsOf(text: string, model: Classifier = models.sequence): Promise<number[]> {
  const { ids } = tokenizer.encode(text)
  return [...(await model.logits(integers([ids]), integers([ids.map(() => 1)]), undefined, evaluation()).data())]
}

const softmax = (logits: readonly number[]): number[] => {
  const powers = logits.map(Math.exp)
  return powers.map(power => power / powers.reduce((a, b) => a + b, 0))
}

/** The probabilities of an answer of this kind, in the order of the labels. */
function probabilitiesOf(answer: Prediction): number[] {
  if (answer.kind !== 'label' && answer.kind !== 'labels') throw new Error(`the answer is a ${answer.kind}`)
  return Object.values(answer.probabilities)
}

describe('a classifier of texts', () => {
  test('gives the softmax of the logits, and the likeliest label, in the order of the texts', async () => {
    const answers = await classifier({ batchSize: 8 }).classify(texts)
    for (const [i, text] of texts.entries()) {
      const wanted = softmax(await logitsOf(text))
      const answer = answers[i]
      expectClose(probabilitiesOf(answer), wanted, 1e-4, text)
      if (answer.kind !== 'label') throw new Error('not a label')
      expect(answer.probability).toBe(Math.max(...probabilitiesOf(answer)))
      expect(answer.probabilities[answer.label]).toBe(answer.probability)
    }
  })

  test('gives the same answers in batches of any size', async () => {
    const whole = (await classifier({ batchSize: 32 }).classify(texts)).flatMap(probabilitiesOf)
    for (const batchSize of [1, 5]) {
      expectClose(
        (await classifier({ batchSize }).classify(texts)).flatMap(probabilitiesOf),
        whole,
        1e-4,
        `${batchSize} a batch`,
      )
    }
  })

  test('has an answer for no texts, for an empty one, and for one that is too long', async () => {
    expect(await classifier().classify([])).toEqual([])
    const [empty, long] = await classifier({ maxLength: 16 }).classify(['', texts.join(' ')])
    expectClose(probabilitiesOf(empty), softmax(await logitsOf('')), 1e-4, 'empty')
    expect(long.kind).toBe('label')
  })

  test('takes pairs', async () => {
    const [pair, other] = await classifier().classify([
      { text: texts[0], pair: texts[1] },
      { text: texts[1], pair: texts[0] },
    ])
    const { ids, typeIds } = tokenizer.encodePair(texts[0], texts[1])
    const logits = await models.sequence
      .logits(integers([ids]), integers([ids.map(() => 1)]), integers([typeIds]), evaluation())
      .data()
    expectClose(probabilitiesOf(pair), softmax([...logits]), 1e-4, 'the pair')
    expect(probabilitiesOf(other)).not.toEqual(probabilitiesOf(pair))
  })

  test('divides logits by the temperature', async () => {
    const [answer] = await classifier({ temperature: 2.5 }).classify(texts.slice(0, 1))
    expectClose(probabilitiesOf(answer), softmax((await logitsOf(texts[0])).map(x => x / 2.5)), 1e-4, 'tempered')
  })

  test('gives every label above its threshold where there may be several', async () => {
    const each = await classifier({ problem: 'multi_label_classification' }).classify(texts)
    const wanted = (await logitsOf(texts[0])).map(x => 1 / (1 + Math.exp(-x)))
    expectClose(probabilitiesOf(each[0]), wanted, 1e-4, 'sigmoid')
    const [all, none] = [
      [0, 0, 0],
      [1, 1, 1],
    ].map(thresholds => classifier({ problem: 'multi_label_classification', thresholds }))
    expect(await all.classify(texts.slice(0, 1))).toMatchObject([{ labels: LABELS }])
    expect(await none.classify(texts.slice(0, 1))).toMatchObject([{ labels: [] }])
  })

  test('gives the number of a regression', async () => {
    const [answer] = await classifier({ problem: 'regression', labels: ['LABEL_0'] }, models.number).classify(
      texts.slice(0, 1),
    )
    if (answer.kind !== 'number') throw new Error('not a number')
    expectClose([answer.value], await logitsOf(texts[0], models.number), 1e-4, 'the number')
  })

  test('labels each word of a text where it stands', async () => {
    const text = 'A great film, BAD  plot.'
    const [answer] = await classifier({ problem: 'token_classification' }, models.token).classify([text])
    if (answer.kind !== 'words') throw new Error('not words')
    expect(answer.words.map(({ text, start, end }) => [text, start, end])).toEqual(
      wordsOf(text).map(({ text, start, end }) => [text, start, end]),
    )
    expect(answer.words.map(word => text.slice(word.start, word.end))).toEqual([
      'A',
      'great',
      'film',
      ',',
      'BAD',
      'plot',
      '.',
    ])
    const logits = await logitsOf(text, models.token)
    // Each word is one token here, after [CLS].
    answer.words.forEach(({ label, probability }, i) => {
      const wanted = softmax(logits.slice((i + 1) * 3, (i + 2) * 3))
      expect(label).toBe(LABELS[wanted.indexOf(Math.max(...wanted))])
      expect(probability).toBeCloseTo(Math.max(...wanted), 4)
    })
  })

  describe('of texts in windows', () => {
    const long = texts.slice(0, 12).join(' ')
    const WINDOWS = { maxLength: 16, window: 4, batchSize: 8 }
    /** The logits of each window, by the model itself. */
    const each = (windows: readonly Window[], model: Classifier): Promise<number[][]> =>
      Promise.all(
        windows.map(async ({ ids, typeIds }) => [
          ...(await model
            .logits(integers([ids]), integers([ids.map(() => 1)]), integers([typeIds]), evaluation())
            .data()),
        ]),
      )

    test('gives the mean of the logits of all windows, of pairs too', async () => {
      const inputs = [{ text: long }, { text: texts[0].slice(0, 20), pair: long }, { text: texts[3] }]
      const scored = await classifier(WINDOWS).score(
        inputs.map(({ text, pair }) => (pair === undefined ? text : { text, pair })),
      )
      for (const [i, input] of inputs.entries()) {
        const windows = windowsOf<Window>(encodeText(tokenizer, input, WINDOWS))
        const logits = await each(windows, models.sequence)
        expectClose(
          [...scored[i].logits],
          LABELS.map((_, k) => logits.reduce((sum, row) => sum + row[k], 0) / logits.length),
          1e-4,
          `input ${i}`,
        )
      }
      expect(windowsOf(encodeText(tokenizer, inputs[1], WINDOWS)).length).toBeGreaterThan(8)
    })

    test('labels each word by the window that names it', async () => {
      const words = long.split(' ').slice(0, 40)
      const [{ answer, logits, firstOf }] = await classifier(
        { ...WINDOWS, problem: 'token_classification' },
        models.token,
      ).score([{ words }])
      if (answer.kind !== 'words') throw new Error('not words')
      expect(answer.words.map(({ text }) => text)).toEqual(words)
      const windows = windowsOf<Window>(encodeText(tokenizer, { words }, WINDOWS))
      expect(firstOf).toEqual(windows.flatMap(window => window.firstOf ?? []))
      expectClose([...logits], (await each(windows, models.token)).flat(), 1e-4, 'logits')
      const [cut] = await classifier({ maxLength: 16, problem: 'token_classification' }, models.token).classify([
        { words },
      ])
      expect(cut.kind === 'words' && cut.words.length).toBe(14)
    })

    test.each(['sequence', 'token'] as const)(
      'gives texts that fit the same bits as without windows, whatever lies beside them (%s)',
      async kind => {
        const problem = kind === 'token' ? 'token_classification' : 'single_label_classification'
        const inputs = [...texts, long]
        const [cut, whole] = [
          classifier({ ...WINDOWS, window: undefined, problem }, models[kind]),
          classifier({ ...WINDOWS, problem }, models[kind]),
        ]
        const [before, after] = [await cut.score(inputs), await whole.score(inputs)]
        const fits = inputs.map(text => tokenizer.encode(text).ids.length <= 16)
        expect([fits.filter(Boolean).length > 3, fits.filter(fit => !fit).length > 3]).toEqual([true, true])
        inputs.forEach((text, i) => {
          if (fits[i]) expect(after[i], text).toEqual(before[i])
          else expect([...after[i].logits], text).not.toEqual([...before[i].logits])
        })
        expect([cut.seen, whole.seen]).toEqual([
          { texts: inputs.length, cut: fits.filter(fit => !fit).length },
          { texts: inputs.length, cut: 0 },
        ])
      },
    )

    test('hears how many texts are done, all of them in the end', async () => {
      const heard: number[] = []
      await classifier(WINDOWS).classify([long, texts[0]], done => heard.push(done))
      expect(heard.length).toBeGreaterThan(2)
      expect([heard.at(-1), heard]).toEqual([2, heard.toSorted((a, b) => a - b)])
    })
  })

  test('counts a text as cut only if it had more tokens than the longest', async () => {
    const one = classifier({ maxLength: 8 })
    await one.classify([texts[0].split(' ').slice(0, 3).join(' '), 'a the it was is and', 'a the it was is and of'])
    expect(one.seen).toEqual({ texts: 3, cut: 1 })
  })

  test('refuses labels, lengths and kinds that do not fit the model', () => {
    expect(() => classifier({ labels: ['a', 'b'] })).toThrow('tiny scores 3 labels, but 2 names were given')
    expect(() => classifier({ maxLength: 65 })).toThrow('texts of 65 tokens are longer than the 64 positions of tiny')
    expect(() => classifier({ maxLength: 16, window: 14 })).toThrow('--window 14 must be at most 13: ')
    expect(() => classifier({ thresholds: [0.5] })).toThrow('1 thresholds for 3 labels')
    expect(() => classifier({ problem: 'token_classification' })).toThrow(
      'BertForSequenceClassification is not a model for token_classification',
    )
    expect(() => classifier({}, models.token)).toThrow(
      'BertForTokenClassification is not a model for single_label_classification',
    )
  })
})
