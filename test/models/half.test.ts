// Half precision: frozen weights and activations in f16, everything that is trained in f32.
import { afterAll, describe, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, grad, tensor } from '../../engine/node/index.ts'
import { createMaskedModel, createModel } from '../../models/index.ts'
import { loadWeights } from '../../models/loading.ts'
import { attachLora, mergeLora, setTuning } from '../../models/lora.ts'
import type { SequenceClassifier } from '../../models/model.ts'
import { openWeights } from '../../models/node/files.ts'
import { evaluation, golden, goldenConfig, goldenJson, integers, training } from '../support/models.ts'

afterAll(async () => (await currentDevice()).close())

const {
  ids,
  mask,
  types,
  labels,
  logits: wanted,
} = await goldenJson<{ ids: number[][]; mask: number[][]; types: number[][]; labels: number[]; logits: number[] }>(
  'bert/expected.json',
)

async function halfModel(
  tune: (model: SequenceClassifier) => void,
  dtype: 'f16' | 'f32' = 'f16',
): Promise<SequenceClassifier> {
  const model = createModel(await goldenConfig('bert'))
  tune(model)
  model.storeFrozenAs(dtype)
  const file = await openWeights(golden('bert'))
  await loadWeights(model, file, 3)
  await file.close()
  for (const parameter of model.parameters().filter(({ name }) => name.includes('lora_B'))) {
    await parameter.write(Float32Array.from({ length: parameter.size }, (_, i) => 0.3 * Math.sin(i * 1.9)))
  }
  return model
}

const lora =
  (dropout: number, trainHead = false) =>
  (model: SequenceClassifier): void => {
    attachLora(model, { rank: 2, alpha: 2, dropout, targets: ['query', 'value', 'projection', 'mlp'], trainHead })
  }

const logitsOf = async (model: SequenceClassifier): Promise<number[]> =>
  Array.from(await model.logits(integers(ids), integers(mask), integers(types), evaluation()).data())

function expectNear(found: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string): void {
  const size = Math.sqrt(Array.from(expected).reduce((sum, v) => sum + v * v, 0) / expected.length)
  expect(Math.max(...Array.from(found, (v, i) => Math.abs(v - expected[i]))) / size, what).toBeLessThan(tolerance)
}

const largest = (values: ArrayLike<number>): number => Math.max(...Array.from(values, Math.abs))

describe('a model with frozen weights in f16', () => {
  test('gives logits in f32, near those of Transformers', async ({ skip }) => {
    if (!(await currentDevice()).traits.f16) skip('the adapter has no shader-f16')
    const model = await halfModel(each => setTuning(each, 'head'))
    const found = model.logits(integers(ids), integers(mask), integers(types), evaluation())
    expect(found.dtype).toBe('f32')
    const values = await found.data()
    expectNear(values, wanted, 1e-2, 'logits')
    // f16 it was, not f32 by accident.
    expect(Math.max(...Array.from(values, (v, i) => Math.abs(v - wanted[i])))).toBeGreaterThan(1e-5)
  })

  for (const [name, tune] of [
    ['fused', lora(0)],
    ['with dropout and a trained head', lora(0.3, true)],
  ] as const) {
    test(`has gradients of its adapters in f32, near those of the f32 model: ${name}`, async ({ skip }) => {
      if (!(await currentDevice()).traits.f16) skip('the adapter has no shader-f16')
      const gradients = async (dtype: 'f16' | 'f32'): Promise<Map<string, ArrayLike<number>>> => {
        const model = await halfModel(tune, dtype)
        const wrt = model.trainable()
        const batch = [integers(ids), integers(mask), integers(types), tensor(Int32Array.from(labels), [3])]
        const results = await compile(([a, b, c, d]: readonly Tensor[]) =>
          grad(
            model.loss(a, b, c, d, training()),
            wrt.map(parameter => parameter.tensor),
          ),
        )(batch)
        expect(results.every(result => result.dtype === 'f32')).toBe(true)
        const data = await Promise.all(results.map(result => result.data()))
        return new Map(wrt.map((parameter, i) => [parameter.name, data[i]]))
      }
      const full = await gradients('f32')
      for (const [parameter, found] of await gradients('f16'))
        expectNear(found, full.get(parameter) ?? [], 5e-2, parameter)
    })
  }

  test('merges its adapters into the f16 weights', async ({ skip }) => {
    if (!(await currentDevice()).traits.f16) skip('the adapter has no shader-f16')
    const model = await halfModel(lora(0))
    const before = await logitsOf(model)
    await mergeLora(model)
    expectNear(await logitsOf(model), before, 2e-2, 'logits')
  })
})

describe('mixed precision of a model that is trained whole', () => {
  test('has activations in f16, and logits and gradients in f32, near those of f32', async ({ skip }) => {
    if (!(await currentDevice()).traits.f16) skip('the adapter has no shader-f16')
    const { masked } = await goldenJson<{ masked: { positions: number[]; labels: number[]; logits: number[] } }>(
      'bert/expected.json',
    )
    const model = createMaskedModel(await goldenConfig('bert-masked'))
    const file = await openWeights(golden('bert-masked'))
    await loadWeights(model, file, 3)
    await file.close()
    const parameters = model.parameters()
    const [positions, labels] = [masked.positions, masked.labels].map(list =>
      tensor(Int32Array.from(list), [list.length]),
    )
    const inputs = { ids: integers(ids), mask: integers(mask), types: integers(types) }
    const outcomeOf = async (mixed: boolean) => {
      const dtypes = new Set<string>()
      const found = await compile(() => {
        const context = { ...evaluation(), mixed, onLayer: (hidden: Tensor) => dtypes.add(hidden.dtype) }
        const logits = model.maskedLogits(inputs, positions, context)
        const gradients = grad(
          model.loss(inputs, positions, labels, context),
          parameters.map(parameter => parameter.tensor),
        )
        return { logits, ...Object.fromEntries(gradients.map((gradient, i) => [parameters[i].name, gradient])) }
      })()
      expect(Object.values(found).every(({ dtype }) => dtype === 'f32')).toBe(true)
      const values = await Promise.all(
        Object.entries(found).map(async ([name, each]) => [name, await each.data()] as const),
      )
      return { dtypes: [...dtypes], values: new Map(values) }
    }
    const [exact, mixed] = [await outcomeOf(false), await outcomeOf(true)]
    expect([exact.dtypes, mixed.dtypes]).toEqual([['f32'], ['f16']])
    for (const [name, values] of exact.values) {
      const found = mixed.values.get(name) ?? []
      // Softmax takes no notice of the key's bias: its gradient is 0 but for rounding.
      if (name.endsWith('key.bias'))
        expect(largest(found)).toBeLessThan(3e-2 * largest(exact.values.get(name.replace('key', 'query')) ?? []))
      else expectNear(found, values, 3e-2, name)
    }
    expect(mixed.values.get('logits')).not.toEqual(exact.values.get('logits'))
    expect(masked.logits).toHaveLength(mixed.values.get('logits')?.length ?? 0)
    expectNear(mixed.values.get('logits') ?? [], masked.logits, 1e-2, 'logits')
  })
})
