// The loss of whole texts in pretraining: what it is of the model's scores, and that it trains the pooler.
import { afterAll, expect, test } from 'vitest'
import { compile, tensor } from '../../../engine/index.ts'
import { currentDevice } from '../../../engine/node/index.ts'
import { BertForMaskedTexts } from '../../../models/bert.ts'
import { initialise } from '../../../models/index.ts'
import { forwardContext } from '../../../models/nn.ts'
import { scalar } from '../../../engine/tensor.ts'
import { stream } from '../../../train/random.ts'
import type { MaskedOptions } from '../../../train/tasks/masked-lm.ts'
import { maskedTextsTask } from '../../../train/tasks/masked-texts.ts'
import { Trainer } from '../../../train/trainer.ts'
import { tinyModelConfig } from '../../support/tiny.ts'

const [CLS, SEP, VOCABULARY, SEQUENCE] = [2, 3, 50, 16]
const options: MaskedOptions = { maskId: 4, special: new Set([0, 1, CLS, SEP, 4]), vocabSize: VOCABULARY }
/** A text of one topic: tokens of the same tens. */
const text = (topic: number, seed: number) => ({
  ids: Int32Array.of(CLS, ...Array.from({ length: SEQUENCE - 2 }, (_, i) => 10 * topic + ((7 * i + seed) % 10)), SEP),
  target: undefined,
})
const model = new BertForMaskedTexts({
  ...tinyModelConfig({ vocab_size: VOCABULARY, num_hidden_layers: 1 }),
  dropout: 0,
  attentionDropout: 0,
})
afterAll(async () => (await currentDevice()).close())

test('a masked token counts with the mean loss of all tokens of its text', async () => {
  await initialise(model.parameters(), 1)
  const task = maskedTextsTask(options, 0.5)
  const examples = [text(1, 0), text(2, 3), text(3, 5)]
  const size = { batch: 4, sequence: SEQUENCE, padId: 0 }
  const { ids, mask, arrays, count } = task.collate(examples, size, stream(1, 'masks'))
  const [positions, labels, texts] = ['positions', 'labels', 'texts'].map(name => arrays[name].data)
  for (let at = 0; at < count; at++) expect(examples[texts[at]].ids[positions[at] % SEQUENCE]).toBe(labels[at])

  const inputs = {
    ids: tensor(ids, [4, SEQUENCE]),
    mask: tensor(mask, [4, SEQUENCE]),
    types: undefined,
    arrays: Object.fromEntries(Object.entries(arrays).map(([name, { data, shape }]) => [name, tensor(data, shape)])),
  }
  const passed = (training: boolean) =>
    compile(() => {
      const context = () => forwardContext({ training, seed: 0, step: scalar(0, 'u32') })
      const { losses, sums } = task.forward(model, inputs, context())
      return {
        losses: losses.losses,
        sum: sums.text_loss,
        scores: model.scores(inputs, inputs.arrays.positions, context()).texts,
      }
    })()
  const [learned, evaluated] = [await passed(true), await passed(false)]
  const [added, plain, sum, scores] = (
    await Promise.all([learned.losses, evaluated.losses, evaluated.sum, evaluated.scores].map(one => one.data()))
  ).map(values => Array.from(values))
  const lossOf = (text: number): number => {
    const row = scores.slice(text * VOCABULARY, (text + 1) * VOCABULARY)
    const whole = Math.log(row.reduce((total, score) => total + Math.exp(score), 0))
    const tokens = Array.from(examples[text].ids).filter(id => !options.special.has(id))
    return tokens.reduce((total, id) => total + whole - row[id], 0) / tokens.length
  }
  const expected = Array.from(texts.slice(0, count), lossOf)
  expected.forEach((loss, at) => expect(added[at] - plain[at]).toBeCloseTo(0.5 * loss, 4))
  expect(sum[0]).toBeCloseTo(
    expected.reduce((total, loss) => total + loss, 0),
    3,
  )
})

test('its pooled output learns what a text is about', async () => {
  const trainer = await Trainer.over(model, maskedTextsTask(options, 1), {
    lr: 1e-2,
    schedule: 'constant',
    warmup: 0,
    weightDecay: 0,
    epochs: 12,
    accumulate: 1,
    clip: 1,
    seed: 5,
    precision: 'f32',
    padId: 0,
    batchSize: 8,
    maxLength: SEQUENCE,
  })
  await initialise(model.parameters(), 1)
  const losses: number[] = []
  const texts = Array.from({ length: 32 }, (_, i) => text(1 + (i % 4), i))
  await trainer.train(texts, [], undefined, { onStep: ({ text_loss }) => losses.push(text_loss) })
  // 50 tokens at first, and then the 10 of the text's topic.
  expect(losses[0]).toBeGreaterThan(3.5)
  expect(losses.at(-1)).toBeLessThan(2.8)
})
