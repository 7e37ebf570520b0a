// Whole models, end to end: gradients against finite differences, in float64 and on the device, with dropout and LoRA
// on. One random direction over all trained parameters at once: two evaluations, whatever the size.
import { afterAll, describe, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, grad, tensor } from '../../engine/node/index.ts'
import { reference } from '../../engine/reference.ts'
import { parseConfig } from '../../models/config.ts'
import type { Inputs } from '../../models/encoder.ts'
import { freshValues, initialise } from '../../models/initialise.ts'
import { createMaskedModel, createModel } from '../../models/index.ts'
import { attachLora, setTuning } from '../../models/lora.ts'
import type { Model } from '../../models/model.ts'
import { MINIATURE, evaluation, feedsFor, integers, training } from '../support/models.ts'

afterAll(async () => (await currentDevice()).close())

const ids = integers([
  [2, 9, 7, 5, 3],
  [2, 6, 3, 0, 0],
  [2, 3, 0, 0, 0],
])
const mask = integers([
  [1, 1, 1, 1, 1],
  [1, 1, 1, 0, 0],
  [1, 1, 0, 0, 0],
])
const types = integers([
  [0, 0, 1, 1, 1],
  [0, 0, 0, 0, 0],
  [0, 1, 0, 0, 0],
])
const labels = tensor(Int32Array.of(1, -100, 0), [3])
const positions = tensor(Int32Array.of(1, 3, 6), [3])
const words = tensor(Int32Array.of(4, 8, -100), [3])

const DROPOUTS = {
  bert: { hidden_dropout_prob: 0.2, attention_probs_dropout_prob: 0.2 },
  distilbert: { dropout: 0.2, attention_dropout: 0.2 },
}

function configOf(family: keyof typeof MINIATURE) {
  return parseConfig({ ...MINIATURE[family], ...DROPOUTS[family], initializer_range: 0.4 }, 'test', 'tiny')
}

interface Case {
  readonly name: string
  /** A model and its loss, dropout on. */
  make(): { model: Model; loss: () => Tensor }
}

function classifier(
  family: keyof typeof MINIATURE,
  tune: (model: Model) => unknown,
): () => { model: Model; loss: () => Tensor } {
  return () => {
    const model = createModel(configOf(family))
    tune(model)
    return { model, loss: () => model.loss(ids, mask, types, labels, training()) }
  }
}

const lora = (dropout: number) => (model: Model) =>
  attachLora(model, { rank: 2, alpha: 3, dropout, targets: ['query', 'value', 'projection', 'mlp'], trainHead: true })

/** A model that predicts masked tokens, all of it trained. */
function masked(family: keyof typeof MINIATURE, inputs: Inputs): Case['make'] {
  return () => {
    const model = createMaskedModel(configOf(family))
    return { model, loss: () => model.loss(inputs, positions, words, training()) }
  }
}

const cases: readonly Case[] = [
  { name: 'BERT, all of it', make: classifier('bert', model => setTuning(model, 'full')) },
  { name: 'DistilBERT, all of it', make: classifier('distilbert', model => setTuning(model, 'full')) },
  { name: 'BERT with LoRA', make: classifier('bert', lora(0)) },
  { name: 'DistilBERT with LoRA and its dropout', make: classifier('distilbert', lora(0.3)) },
  { name: 'BERT guessing masked tokens', make: masked('bert', { ids, mask, types }) },
  { name: 'DistilBERT guessing masked tokens', make: masked('distilbert', { ids, mask }) },
]

/**
 * Values that no parameter is left out by: B of LoRA and biases away from zero. The bias before DistilBERT's ReLU is
 * large, since a finite difference across the ReLU's corner measures no slope.
 */
function valuesFor(model: Model): Map<string, Float64Array> {
  return new Map(
    model.parameters().map((parameter, k) => {
      const away = parameter.name === 'pre_classifier.bias' ? 4 : 0
      const values = Float64Array.from(freshValues(parameter, 1), (v, i) =>
        Math.fround(v + 0.2 * Math.sin(1 + i * 2.3 + k) + (i % 3 === 0 ? -away : away)),
      )
      return [parameter.name, values]
    }),
  )
}

/**
 * A direction with a part along the gradient, so that the derivative is well away from 0, and a part that is anywhere.
 */
function directionFrom(gradients: readonly ArrayLike<number>[]): Float64Array[] {
  const norm = (parts: readonly ArrayLike<number>[]): number =>
    Math.sqrt(parts.reduce((sum, part) => sum + Array.from(part).reduce((s, v) => s + v * v, 0), 0))
  const anywhere = gradients.map((part, k) => Float64Array.from(part, (_, i) => Math.sin(3 + i * 5.1 + k * 1.9)))
  const [along, across] = [norm(gradients), norm(anywhere)]
  return gradients.map((part, k) => Float64Array.from(part, (v, i) => v / along + anywhere[k][i] / across))
}

const dot = (a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[]): number =>
  a.reduce((sum, part, k) => sum + Array.from(part).reduce((s, v, i) => s + v * b[k][i], 0), 0)

describe('the gradient is the slope of the loss', () => {
  for (const { name, make } of cases) {
    test(`in float64: ${name}`, () => {
      const { model, loss } = make()
      const values = valuesFor(model)
      const wrt = model.trainable()
      const built = loss()
      const feeds = feedsFor(model, values)
      const gradients = reference(
        grad(
          built,
          wrt.map(p => p.tensor),
        ),
        feeds,
      )
      const direction = directionFrom(gradients)
      const at = (step: number): number => {
        const moved = new Map(feeds)
        wrt.forEach((p, k) => {
          const value = values.get(p.name) ?? new Float64Array()
          moved.set(
            p.tensor,
            value.map((v, i) => v + step * direction[k][i]),
          )
        })
        return reference([built], moved)[0][0]
      }
      // Fourth order, so that the step can be large beside rounding.
      const h = 1e-4
      const slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
      const expected = dot(gradients, direction)
      expect(Math.abs(expected)).toBeGreaterThan(0.01)
      expect(Math.abs(slope / expected - 1)).toBeLessThan(1e-6)
    })
  }

  for (const { name, make } of cases.filter(({ name }) => !name.includes('all of it'))) {
    test(`on the device: ${name}`, async () => {
      const { model, loss } = make()
      const values = valuesFor(model)
      const wrt = model.trainable()
      const write = async (step: number, direction?: readonly Float64Array[]): Promise<void> => {
        for (const p of model.parameters()) {
          const k = wrt.indexOf(p)
          const value = values.get(p.name) ?? new Float64Array()
          await p.write(Float32Array.from(value, (v, i) => v + (k >= 0 && direction ? step * direction[k][i] : 0)))
        }
      }
      await write(0)
      const results = await compile(() =>
        grad(
          loss(),
          wrt.map(p => p.tensor),
        ),
      )()
      const gradients = await Promise.all(results.map(result => result.data()))
      const direction = directionFrom(gradients)
      const measure = compile(loss)
      const at = async (step: number): Promise<number> => {
        await write(step, direction)
        return (await measure()).item()
      }
      // In float64 these slopes are off by less than 1e-4 with this step; f32 rounds less than a tenth of the bar away.
      const h = 2e-3
      const [near, far] = [(await at(h)) - (await at(-h)), (await at(2 * h)) - (await at(-2 * h))]
      const slope = (8 * near - far) / (12 * h)
      expect(Math.abs(slope / dot(gradients, direction) - 1)).toBeLessThan(2e-3)
    })
  }
})

test('LoRA starts at the base model: with B at zero the logits are the same', async () => {
  const model = createModel(configOf('bert'))
  await initialise(model.parameters(), 1)
  const before = await model.logits(ids, mask, types, evaluation()).data()
  const added = attachLora(model, { rank: 2, alpha: 3, dropout: 0.5, targets: ['query', 'mlp'] })
  await initialise(added, 1)
  const after = await model.logits(ids, mask, types, evaluation()).data()
  after.forEach((v, i) => expect(v).toBeCloseTo(before[i], 5))
  const b = added.filter(({ name }) => name.includes('lora_B'))
  for (const parameter of b) await parameter.write(new Float32Array(parameter.size).fill(0.1))
  const moved = await model.logits(ids, mask, types, evaluation()).data()
  expect(Math.max(...Array.from(moved, (v, i) => Math.abs(v - before[i])))).toBeGreaterThan(1e-3)
})

test('padding changes nothing: a longer batch gives the same logits', async () => {
  for (const family of ['bert', 'distilbert'] as const) {
    const model = createModel(configOf(family))
    await initialise(model.parameters(), 1)
    const short = await model.logits(integers([[2, 6, 3]]), integers([[1, 1, 1]]), undefined, evaluation()).data()
    const long = await model
      .logits(integers([[2, 6, 3, 9, 9]]), integers([[1, 1, 1, 0, 0]]), undefined, evaluation())
      .data()
    long.forEach((v, i) => expect(v).toBeCloseTo(short[i], 5))
  }
})

test('a sequence longer than the position table is refused', () => {
  const model = createModel(configOf('bert'))
  const seven = integers([[2, 1, 1, 1, 1, 1, 3]])
  expect(() => model.logits(seven, seven, undefined, evaluation())).toThrow(
    "sequences of 7 tokens are longer than the model's 6 positions",
  )
})
