// Whole models, dropout on, all of their weights trained or LoRA alone: the gradient of every parameter on the device
// against float64, and the device's gradients against its own differences. (Float64 against differences:
// test/models/gradients.test.ts.)
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Device, type Tensor, compile, currentDevice, grad, readAll, tensor } from '../../engine/node/index.ts'
import { reference } from '../../engine/reference.ts'
import { parseConfig } from '../../models/config.ts'
import { createModel } from '../../models/index.ts'
import { freshValues } from '../../models/initialise.ts'
import { attachLora, setTuning } from '../../models/lora.ts'
import type { Model } from '../../models/model.ts'
import { feedsFor, integers, training } from '../support/models.ts'

let device: Device
beforeAll(async () => {
  device = await currentDevice()
})
afterAll(() => device.close())

const FIELDS = {
  BERT: {
    model_type: 'bert',
    hidden_size: 12,
    num_hidden_layers: 2,
    num_attention_heads: 3,
    intermediate_size: 20,
    hidden_dropout_prob: 0.2,
    attention_probs_dropout_prob: 0.2,
  },
  DistilBERT: {
    model_type: 'distilbert',
    dim: 12,
    n_layers: 2,
    n_heads: 3,
    hidden_dim: 20,
    dropout: 0.2,
    attention_dropout: 0.2,
  },
}

const ids = integers([
  [2, 9, 7, 5, 3, 4, 3],
  [2, 6, 3, 0, 0, 0, 0],
  [2, 3, 0, 0, 0, 0, 0],
  [2, 8, 8, 8, 3, 0, 0],
])
const mask = integers([
  [1, 1, 1, 1, 1, 1, 1],
  [1, 1, 1, 0, 0, 0, 0],
  [1, 1, 0, 0, 0, 0, 0],
  [1, 1, 1, 1, 1, 0, 0],
])
const types = integers([
  [0, 0, 0, 1, 1, 1, 1],
  [0, 0, 1, 0, 0, 0, 0],
  [0, 1, 0, 0, 0, 0, 0],
  [0, 0, 1, 1, 1, 0, 0],
])
const labels = tensor(Int32Array.of(1, 0, -100, 0), [4])

interface Checked {
  readonly model: Model
  readonly values: ReadonlyMap<string, Float64Array>
  readonly loss: (step?: number) => Tensor
}

function make(family: keyof typeof FIELDS, tune: (model: Model) => unknown): Checked {
  const model = createModel(
    parseConfig(
      { ...FIELDS[family], vocab_size: 11, max_position_embeddings: 8, initializer_range: 0.3 },
      'test',
      'tiny',
    ),
  )
  tune(model)
  // None stays at 0, as biases and LoRA's B begin: their gradients, or those of their neighbours, would be 0, too. The
  // bias before DistilBERT's ReLU keeps away from its corner, where differences measure no slope.
  const values = new Map(
    model.parameters().map((parameter, k) => {
      const away = parameter.name === 'pre_classifier.bias' ? 4 : 0
      return [
        parameter.name,
        Float64Array.from(freshValues(parameter, 1), (v, i) =>
          Math.fround(v + 0.15 * Math.sin(1 + i * 2.3 + k) + (i % 3 === 0 ? -away : away)),
        ),
      ]
    }),
  )
  return { model, values, loss: (step = 5) => model.loss(ids, mask, types, labels, training(3, step)) }
}

const lora = (model: Model): unknown =>
  attachLora(model, {
    rank: 2,
    alpha: 3,
    dropout: 0.3,
    targets: ['query', 'key', 'value', 'projection', 'mlp'],
    trainHead: true,
  })
const all = (model: Model): unknown => setTuning(model, 'full')

const cases: readonly [string, () => Checked][] = [
  ['BERT, all of it', () => make('BERT', all)],
  ['BERT with LoRA', () => make('BERT', lora)],
  ['DistilBERT, all of it', () => make('DistilBERT', all)],
  ['DistilBERT with LoRA', () => make('DistilBERT', lora)],
]

const valueOf = ({ values }: Checked, name: string): Float64Array => {
  const found = values.get(name)
  if (!found) throw new Error(`${name} has no values`)
  return found
}

/** Writes every parameter; the trained ones `by` along a direction. */
async function write(checked: Checked, by = 0, direction: readonly Float64Array[] = []): Promise<void> {
  const wrt = checked.model.trainable()
  for (const p of checked.model.parameters()) {
    const along = direction.at(wrt.indexOf(p))
    await p.write(
      Float32Array.from(
        valueOf(checked, p.name),
        (v, i) => v + (by !== 0 && wrt.includes(p) ? by * (along?.[i] ?? 0) : 0),
      ),
    )
  }
}

const norm = (parts: readonly ArrayLike<number>[]): number =>
  Math.sqrt(parts.reduce((sum, part) => sum + Array.from(part).reduce((s, v) => s + v * v, 0), 0))

describe.each(cases)('%s', (_name, build) => {
  test('loss and gradients are those of float64, parameter by parameter', async () => {
    const checked = build()
    await write(checked)
    const wrt = checked.model.trainable()
    const loss = checked.loss()
    const read = [
      loss,
      ...grad(
        loss,
        wrt.map(p => p.tensor),
      ),
    ]
    const expected = reference(read, feedsFor(checked.model, checked.values))
    // No parameter is out of the loss's reach, but for what softmax does not see: a constant added to all scores of a
    // query.
    wrt.forEach((p, k) => {
      if (!/(key|k_lin)\.bias$/.test(p.name)) expect(norm([expected[1 + k]]), p.name).toBeGreaterThan(1e-5)
    })
    const whole = norm(expected.slice(1)) / Math.sqrt(wrt.length)
    const [found, ...gradients] = await readAll(read)
    expect(Math.abs(found[0] / expected[0][0] - 1)).toBeLessThan(2e-6)
    wrt.forEach((p, k) => {
      const difference = norm([Float64Array.from(gradients[k], (v, i) => v - expected[1 + k][i])])
      expect(difference / (norm([expected[1 + k]]) + 0.1 * whole), p.name).toBeLessThan(1e-5)
    })
  })

  test("the device's gradient is the slope of its loss", async () => {
    const checked = build()
    await write(checked)
    const wrt = checked.model.trainable()
    const gradients = await readAll(
      grad(
        checked.loss(),
        wrt.map(p => p.tensor),
      ),
    )
    // A part along the gradient, so that the slope is well away from 0, and a part that goes anywhere.
    const anywhere = gradients.map((part, k) => Float64Array.from(part, (_, i) => Math.sin(3 + i * 5.1 + k * 1.9)))
    const direction = gradients.map((part, k) =>
      Float64Array.from(part, (v, i) => v / norm(gradients) + anywhere[k][i] / norm(anywhere)),
    )
    const expected = gradients.reduce(
      (sum, part, k) => sum + Array.from(part).reduce((s, v, i) => s + v * direction[k][i], 0),
      0,
    )
    const measure = compile(() => checked.loss())
    const at = async (by: number): Promise<number> => {
      await write(checked, by, direction)
      return (await measure()).item()
    }
    const h = 8e-3
    const slope = (8 * ((await at(h)) - (await at(-h))) - ((await at(2 * h)) - (await at(-2 * h)))) / (12 * h)
    expect(Math.abs(expected)).toBeGreaterThan(0.01)
    expect(Math.abs(slope / expected - 1)).toBeLessThan(2e-3)
  })
})

test('another step drops other elements, and its gradients are those of float64 too', async () => {
  const checked = make('BERT', lora)
  await write(checked)
  const wrt = checked.model.trainable().slice(0, 2)
  const at = (step: number): Tensor[] =>
    grad(
      checked.loss(step),
      wrt.map(p => p.tensor),
    )
  const feeds = feedsFor(checked.model, checked.values)
  const [first, second] = [reference(at(5), feeds), reference(at(6), feeds)]
  expect(norm([first[0].map((v, i) => v - second[0][i])]) / norm([first[0]])).toBeGreaterThan(1e-2)
  const found = await readAll([...at(5), ...at(6)])
  ;[...first, ...second].forEach((expected, k) => {
    expect(norm([expected.map((v, i) => v - found[k][i])]) / norm([expected])).toBeLessThan(2e-5)
  })
})
