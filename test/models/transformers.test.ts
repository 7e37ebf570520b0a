// Models against PyTorch, Transformers and PEFT: logits, losses and every gradient of tiny BERT and DistilBERT, plain
// and with an adapter that PEFT wrote, in float64 and on the adapter of this machine.
import { afterAll, describe, expect, test, type TestContext } from 'vitest'
import { type Tensor, compile, currentDevice, grad, tensor } from '../../engine/node/index.ts'
import { reference } from '../../engine/reference.ts'
import { classificationLoss, createMaskedModel, createModel, meanOf } from '../../models/index.ts'
import { initialise } from '../../models/initialise.ts'
import { loadWeights } from '../../models/loading.ts'
import { mergeLora, unmergeLora } from '../../models/lora.ts'
import type { SequenceClassifier } from '../../models/model.ts'
import type { Parameter } from '../../models/nn.ts'
import { openWeights } from '../../models/node/files.ts'
import { openAdapter } from '../../models/node/peft.ts'
import { expectWithin, largestDifference } from '../support/differences.ts'
import { allTensors, evaluation, feedsFor, golden, goldenConfig, goldenJson, integers } from '../support/models.ts'
import { expectClose } from '../support/ops.ts'

interface Expected {
  readonly ids: number[][]
  readonly mask: number[][]
  readonly types: number[][]
  readonly labels: number[]
  readonly logits: number[]
  readonly loss: number
  readonly adapter: { readonly logits: number[]; readonly loss: number }
  readonly masked?: { positions: number[]; labels: number[]; logits: number[]; loss: number; wordGradient: number[] }
}

/** float64 against float64, but gradients were stored as f32. */
const EXACT = 1e-9
const STORED = 2e-7
/** f32 through two layers, relative; and the largest absolute difference that the table may show. */
const DEVICE = 5e-5
const BAR = 1e-4

/** Within both tolerances on the device; noted for the table. */
function expectNear(
  context: TestContext,
  what: string,
  found: ArrayLike<number>,
  wanted: ArrayLike<number>,
  at: string,
): void {
  expectWithin(context, { what: `tiny models in full: ${what}`, at, worst: largestDifference(found, wanted), bar: BAR })
  expectClose(found, wanted, DEVICE, at)
}

afterAll(async () => (await currentDevice()).close())

const PEFT = 'base_model.model.'

async function modelFrom(family: string): Promise<SequenceClassifier> {
  const model = createModel(await goldenConfig(family))
  const file = await openWeights(golden(family))
  await loadWeights(model, file, 0)
  await file.close()
  return model
}

interface Inputs {
  readonly [name: string]: Tensor
  readonly ids: Tensor
  readonly mask: Tensor
  readonly types: Tensor
  readonly labels: Tensor
}

function inputsOf({ ids, mask, types, labels }: Expected): Inputs {
  return {
    ids: integers(ids),
    mask: integers(mask),
    types: integers(types),
    labels: tensor(Int32Array.from(labels), [labels.length]),
  }
}

function passes(model: SequenceClassifier, { ids, mask, types, labels }: Inputs, wrt: readonly Parameter[]): Tensor[] {
  const logits = model.logits(ids, mask, types, evaluation())
  const loss = meanOf(classificationLoss(logits, labels))
  return [
    logits,
    loss,
    ...grad(
      loss,
      wrt.map(parameter => parameter.tensor),
    ),
  ]
}

/** Logits, loss and gradients on the device. */
async function onDevice(
  model: SequenceClassifier,
  inputs: Inputs,
  wrt: readonly Parameter[],
): Promise<ArrayLike<number>[]> {
  const results = await compile((given: Inputs) => passes(model, given, wrt))(inputs)
  return Promise.all(results.map(result => result.data()))
}

/**
 * Compares gradients by name. A key's bias shifts all scores of a query alike, which softmax does not see: its gradient
 * is 0 but for rounding, and rounding is judged by the size of the gradient of the key's weight.
 */
function expectGradients(
  wrt: readonly Parameter[],
  found: readonly ArrayLike<number>[],
  stored: ReadonlyMap<string, Float64Array>,
  tolerance: number,
): void {
  wrt.forEach(({ name }, i) => {
    const wanted = stored.get(name) ?? []
    if (!/(key|k_lin)\.bias$/.test(name)) return expectClose(found[i], wanted, tolerance, name)
    const weight = stored.get(name.replace('bias', 'weight')) ?? []
    const size = Math.sqrt(Array.from(weight).reduce((sum, v) => sum + v * v, 0) / weight.length)
    expect(Math.max(...Array.from(found[i], Math.abs)) / size, name).toBeLessThan(tolerance)
  })
}

for (const family of ['bert', 'distilbert']) {
  describe(`${family} of Transformers`, () => {
    test('has these logits, this loss and these gradients in float64', async () => {
      const expected = await goldenJson<Expected>(`${family}/expected.json`)
      const model = createModel(await goldenConfig(family))
      const feeds = feedsFor(model, await allTensors(golden(`${family}/model.safetensors`)))
      const [logits, loss, ...gradients] = reference(passes(model, inputsOf(expected), model.parameters()), feeds)
      expectClose(logits, expected.logits, EXACT, 'logits')
      expectClose(loss, [expected.loss], EXACT, 'loss')
      const stored = await allTensors(golden(`${family}/gradients.safetensors`))
      expect(stored.size).toBe(model.parameters().length)
      expectGradients(model.parameters(), gradients, stored, STORED)
    })

    test('has the same on the device, and the rows that count are the labelled ones', async context => {
      const expected = await goldenJson<Expected>(`${family}/expected.json`)
      const model = await modelFrom(family)
      const [logits, loss, ...gradients] = await onDevice(model, inputsOf(expected), model.parameters())
      expectNear(context, 'logits', logits, expected.logits, family)
      expectNear(context, 'loss', loss, [expected.loss], family)
      const stored = await allTensors(golden(`${family}/gradients.safetensors`))
      expectGradients(model.parameters(), gradients, stored, DEVICE)
      for (const [i, { name }] of model.parameters().entries()) {
        expectWithin(context, {
          what: 'tiny models in full: gradients',
          at: name,
          worst: largestDifference(gradients[i], stored.get(name) ?? []),
          bar: BAR,
        })
      }
    })

    test('takes an adapter from PEFT, with its logits and gradients, merged and unmerged alike', async context => {
      const expected = await goldenJson<Expected>(`${family}/expected.json`)
      const model = await modelFrom(family)
      const config = await openAdapter(golden(`${family}/adapter`), model)
      expect(config).toMatchObject({ rank: 3, alpha: 5, dropout: 0 })
      const wrt = model.trainable()
      const stored = await allTensors(golden(`${family}/adapter-gradients.safetensors`))
      expect(wrt.map(({ name }) => PEFT + name).sort()).toEqual([...stored.keys()].sort())

      const inputs = inputsOf(expected)
      const [logits, loss, ...gradients] = await onDevice(model, inputs, wrt)
      expectNear(context, 'logits with an adapter', logits, expected.adapter.logits, family)
      expectNear(context, 'loss with an adapter', loss, [expected.adapter.loss], family)
      wrt.forEach(({ name }, i) =>
        expectNear(context, 'gradients with an adapter', gradients[i], stored.get(PEFT + name) ?? [], name),
      )

      await mergeLora(model)
      await expect(mergeLora(model)).rejects.toThrow(/can't merge the LoRA adapter of .*: it is merged already/)
      const merged = await compile((given: Inputs) => passes(model, given, []))(inputs)
      expectNear(context, 'logits with an adapter, merged', await merged[0].data(), expected.adapter.logits, family)
      await unmergeLora(model)
      await expect(unmergeLora(model)).rejects.toThrow(/it is not merged/)
      const [unmerged] = await onDevice(model, inputs, [])
      expectNear(context, 'logits with an adapter, unmerged', unmerged, expected.adapter.logits, family)
    })
  })
}

test('the masked-language head of Transformers has these logits, this loss and this gradient of the tied table', async context => {
  const { ids, mask, types, masked } = await goldenJson<Expected>('bert/expected.json')
  if (!masked) throw new Error('the fixture has no masked part')
  const model = createMaskedModel(await goldenConfig('bert-masked'))
  const inputs = { ids: integers(ids), mask: integers(mask), types: integers(types) }
  const positions = tensor(Int32Array.from(masked.positions), [masked.positions.length])
  const labels = tensor(Int32Array.from(masked.labels), [masked.labels.length])
  const words = model.parameters()[0]
  const outputs = (): Tensor[] => {
    const loss = model.loss(inputs, positions, labels, evaluation())
    return [model.maskedLogits(inputs, positions, evaluation()), loss, ...grad(loss, [words.tensor])]
  }
  const wanted = [masked.logits, [masked.loss], masked.wordGradient]
  const feeds = feedsFor(model, await allTensors(golden('bert-masked/model.safetensors')))
  reference(outputs(), feeds).forEach((found, i) => expectClose(found, wanted[i], EXACT, `output ${i}`))

  await initialise(model.parameters(), 1)
  const file = await openWeights(golden('bert-masked'))
  const report = await loadWeights(model, file, 0)
  await file.close()
  expect([report.initialised, report.ignored]).toEqual([[], []])
  for (const [i, result] of (await compile(outputs)()).entries()) {
    expectNear(
      context,
      'masked-language head',
      await result.data(),
      wanted[i],
      ['logits', 'loss', 'gradient of the tied table'][i],
    )
  }
})
