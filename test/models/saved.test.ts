// What a run leaves of a model: in f32, whatever the GPU stores, and a base that was drawn afresh along with its
// adapter.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { currentDevice } from '../../engine/node/index.ts'
import {
  type SequenceClassifier,
  attachLora,
  baseTensors,
  createModel,
  initialise,
  loadWeights,
  mergeLora,
  mergedTensors,
  modelTensors,
  originOf,
  setTuning,
} from '../../models/index.ts'
import { openWeights } from '../../models/node/files.ts'
import { saveModel } from '../../models/node/model.ts'
import { golden, goldenConfig } from '../support/models.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tilegrad-saved-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
  ;(await currentDevice()).close()
})

/**
 * The model of the golden folder, or a fresh one, with adapters that change something, or else a head that is tuned.
 */
async function tuned(tune: 'lora' | 'head', dtype: 'f16' | 'f32', fresh = false): Promise<SequenceClassifier> {
  const model = createModel(await goldenConfig('bert'))
  if (tune === 'lora') attachLora(model, { rank: 2, alpha: 3, dropout: 0, targets: ['query', 'value', 'mlp'] })
  else setTuning(model, 'head')
  model.storeFrozenAs(dtype)
  if (fresh) await initialise(model.parameters(), 3)
  else {
    const file = await openWeights(golden('bert'))
    await loadWeights(model, file, 3)
    await file.close()
  }
  for (const parameter of model.trainable()) {
    await parameter.write(Float32Array.from({ length: parameter.size }, (_, i) => 0.3 * Math.sin(i * 1.9)))
  }
  return model
}

/** Every tensor of a model's folder. */
async function tensorsIn(path: string): Promise<Map<string, Float32Array>> {
  const file = await openWeights(path)
  const tensors = new Map<string, Float32Array>()
  for (const name of file.names()) tensors.set(name, await file.read(name))
  await file.close()
  return tensors
}

function expectSame(
  found: ReadonlyMap<string, Float32Array>,
  wanted: ReadonlyMap<string, Float32Array>,
  tolerance: number,
): void {
  expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort())
  for (const [name, values] of wanted) {
    const difference = (found.get(name) ?? new Float32Array()).reduce(
      (most, value, i) => Math.max(most, Math.abs(value - values[i])),
      0,
    )
    expect(difference, name).toBeLessThanOrEqual(tolerance)
  }
}

describe.each(['f32', 'f16'] as const)('of a model with frozen weights in %s', dtype => {
  test.for(['lora', 'head'] as const)(
    'what was tuned by %s is saved in f32, to rounding of f32',
    async (tune, { skip }) => {
      const { traits, info } = await currentDevice()
      skip(dtype === 'f16' && !traits.f16, `${info.name} has no shader-f16`)
      // As one that knows nothing of half precision has it.
      const wanted = await tuned(tune, 'f32')
      if (tune === 'lora') await mergeLora(wanted)
      await saveModel(join(folder, 'wanted'), wanted, modelTensors(wanted))
      const model = await tuned(tune, dtype)
      const file = await openWeights(golden('bert'))
      await saveModel(join(folder, 'found'), model, mergedTensors(model, originOf(model, file, 3)))
      await file.close()
      expectSame(await tensorsIn(join(folder, 'found')), await tensorsIn(join(folder, 'wanted')), 1e-6)
      expect(
        model.linears().every(({ lora }) => !lora?.merged),
        'the model stays as it is',
      ).toBe(true)
    },
  )

  test('a base that was drawn is saved as it was drawn', async ({ skip }) => {
    const { traits, info } = await currentDevice()
    skip(dtype === 'f16' && !traits.f16, `${info.name} has no shader-f16`)
    const model = await tuned('lora', dtype, true)
    await saveModel(join(folder, 'base'), model, baseTensors(model, originOf(model, undefined, 3)))
    const plain = createModel(await goldenConfig('bert'))
    await initialise(plain.parameters(), 3)
    await saveModel(join(folder, 'plain'), plain)
    expectSame(await tensorsIn(join(folder, 'base')), await tensorsIn(join(folder, 'plain')), 0)
  })
})
