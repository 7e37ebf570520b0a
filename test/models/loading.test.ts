// Weights from files into models and back: names old and new, heads that are missing, files that do not fit.
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { NonFinite, UserError } from '../../engine/errors.ts'
import { currentDevice, variable } from '../../engine/node/index.ts'
import { parseConfig } from '../../models/config.ts'
import { freshValues, initialise } from '../../models/initialise.ts'
import { createModel } from '../../models/index.ts'
import { loadWeights, matchWeights } from '../../models/loading.ts'
import { attachLora, mergeLora } from '../../models/lora.ts'
import type { SequenceClassifier } from '../../models/model.ts'
import { openWeights, readJson } from '../../models/node/files.ts'
import { saveModel } from '../../models/node/model.ts'
import { bytesSource, openTensors, serialize, type TensorFile, type TensorToWrite } from '../../models/safetensors.ts'
import { MINIATURE, golden } from '../support/models.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tilegrad-loading-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
  ;(await currentDevice()).close()
})

const tiny = (family: 'bert' | 'distilbert' = 'bert'): SequenceClassifier =>
  createModel(parseConfig(MINIATURE[family], 'test', 'tiny'))

/** A model's tensors with values that tell them apart, under names that `rename` gives (dropped where undefined). */
async function fileFor(
  model: SequenceClassifier,
  rename: (name: string) => string | undefined = name => name,
  more: TensorToWrite[] = [],
): Promise<TensorFile> {
  const tensors = model.parameters().flatMap(parameter => {
    const name = rename(parameter.name)
    return name === undefined
      ? []
      : [{ name, dtype: 'F32' as const, shape: parameter.shape, data: freshValues(parameter, 9) }]
  })
  return openTensors(bytesSource(serialize([...tensors, ...more])), 'some/model.safetensors')
}

const extra = (name: string): TensorToWrite => ({ name, dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) })

async function expectValues(model: SequenceClassifier, seedOf: (name: string) => number): Promise<void> {
  for (const parameter of model.parameters()) {
    expect(Array.from(await parameter.read()), parameter.name).toEqual(
      Array.from(freshValues(parameter, seedOf(parameter.name))),
    )
  }
}

describe('numbers that cannot be weights', () => {
  test.each([NaN, Infinity])('%d in a file is refused by tensor and element', async value => {
    const model = tiny()
    const bytes = serialize(
      model
        .parameters()
        .map(({ name, shape, size }) => ({ name, dtype: 'F32', shape, data: new Float32Array(size).fill(0.5) })),
    )
    // The header ends in the first 0.5's bytes; the last element of the file is the last of the last name.
    new DataView(bytes.buffer).setFloat32(bytes.length - 4, value, true)
    const file = await openTensors(bytesSource(bytes), 'model.safetensors')
    await expect(loadWeights(model, file, 1)).rejects.toThrow(
      new UserError(`model.safetensors: tensor "classifier.weight" has ${value} as element 15`),
    )
  })

  test('too large for f16 is refused where the weight is stored so, and only there', async () => {
    for (const [value, dtype, fails] of [
      [70_000, 'f16', true],
      [-65_520, 'f16', true],
      [65_519, 'f16', false],
      [70_000, 'f32', false],
    ] as const) {
      const model = tiny()
      for (const parameter of model.parameters()) parameter.trainable = false
      model.storeFrozenAs(dtype)
      const file = await openTensors(
        bytesSource(
          serialize(
            model.parameters().map(({ name, shape, size }) => {
              const data = new Float32Array(size)
              if (name === 'classifier.weight') data[3] = value
              return { name, dtype: 'F32', shape, data }
            }),
          ),
        ),
        'model.safetensors',
      )
      const loading = loadWeights(model, file, 1)
      if (!fails) await loading
      else {
        await expect(loading).rejects.toThrow(
          new UserError(
            `model.safetensors: tensor "classifier.weight" has ${value} as element 3, ` +
              'which f16 cannot hold: use --precision f32',
          ),
        )
      }
    }
  })

  test('are not saved: no file, no folder half full', async () => {
    const model = tiny()
    await loadWeights(model, await fileFor(model), 1)
    await model.parameters()[3].write(Float32Array.of(NaN), 2)
    const target = join(folder, 'not-saved')
    await expect(saveModel(target, model)).rejects.toThrow(
      new NonFinite(
        `tensor "${model.parameters()[3].name}" is not saved: its element 2 is NaN, which F32 has no finite number for`,
      ),
    )
    expect(await readdir(target)).toEqual([])
  })
})

describe('loading', () => {
  for (const family of ['bert', 'distilbert'] as const) {
    test(`takes ${family} names with and without the prefix`, async () => {
      for (const rename of [(name: string) => name, (name: string) => name.replace(/^(distil)?bert\./, '')]) {
        const model = tiny(family)
        const report = await loadWeights(model, await fileFor(model, rename), 1)
        expect(report).toMatchObject({ initialised: [], ignored: [] })
        expect(report.loaded).toHaveLength(model.parameters().length)
        await expectValues(model, () => 9)
        expect(model.parameters().every(({ fresh, written }) => !fresh && written)).toBe(true)
      }
    })
  }

  test('takes the old names of norms, and ignores what belongs to other heads', async () => {
    const model = tiny()
    const old = (name: string): string =>
      name.replace(/(LayerNorm)\.weight$/, '$1.gamma').replace(/(LayerNorm)\.bias$/, '$1.beta')
    const strangers = ['bert.embeddings.position_ids', 'cls.predictions.bias', 'cls.seq_relationship.weight']
    const { ignored } = await loadWeights(model, await fileFor(model, old, strangers.map(extra)), 1)
    expect([...ignored].sort()).toEqual(strangers)
    await expectValues(model, () => 9)
  })

  test('draws a missing head afresh from the seed, and says so', async () => {
    const heads = { bert: ['bert.pooler.dense', 'classifier'], distilbert: ['pre_classifier', 'classifier'] }
    for (const family of ['bert', 'distilbert'] as const) {
      const model = tiny(family)
      const isHead = (name: string): boolean => heads[family].some(path => name.startsWith(path))
      const report = await loadWeights(model, await fileFor(model, name => (isHead(name) ? undefined : name)), 4)
      expect(report.initialised).toEqual(heads[family].flatMap(path => [`${path}.weight`, `${path}.bias`]))
      await expectValues(model, name => (isHead(name) ? 4 : 9))
      expect(
        model
          .parameters()
          .filter(({ fresh }) => fresh)
          .map(({ name }) => name),
      ).toEqual(report.initialised)
    }
  })

  test('gives LoRA parameters their first values', async () => {
    const model = tiny()
    attachLora(model, { rank: 2, alpha: 2, dropout: 0, targets: ['query', 'head'] })
    const report = await loadWeights(model, await fileFor(tiny()), 4)
    expect(report.initialised).toHaveLength(4 * 2)
    expect(report.initialised.every(name => name.includes('.lora_'))).toBe(true)
    await expectValues(model, name => (name.includes('lora_') ? 4 : 9))
  })

  test('of a masked-language model by Transformers leaves pooler and classifier to be drawn', async () => {
    const path = golden('bert-masked/config.json')
    const model = createModel(parseConfig(await readJson(path), path))
    const file = await openWeights(golden('bert-masked'))
    const match = matchWeights(model, file)
    expect(match.missing.map(({ name }) => name)).toEqual([
      'bert.pooler.dense.weight',
      'bert.pooler.dense.bias',
      'classifier.weight',
      'classifier.bias',
    ])
    expect(match.ignored.every(name => name.startsWith('cls.predictions.'))).toBe(true)
    expect(match.ignored).toHaveLength(5)
    await file.close()
  })

  test('of a classifier of other classes leaves the classifier to be drawn', async () => {
    const file = await fileFor(createModel(parseConfig({ ...MINIATURE.bert, num_labels: 5 }, 'test')))
    const match = matchWeights(tiny(), file)
    expect(match.missing.map(({ name }) => name)).toEqual(['classifier.weight', 'classifier.bias'])
    expect(match.ignored).toEqual(['classifier.bias', 'classifier.weight'])
  })

  test('writes into a stretch of a larger variable where a parameter is bound to one', async () => {
    const model = tiny()
    const last = model.parameters().at(-2)
    if (!last) throw new Error('no parameters')
    const arena = variable({ shape: [64], dtype: 'f32' }, 'arena')
    last.bind(arena, 32)
    expect(last.variable).toBeUndefined()
    await loadWeights(model, await fileFor(tiny()), 1)
    const whole = Array.from(await arena.read())
    expect(whole.slice(32, 32 + 16)).toEqual(Array.from(freshValues(last, 9)))
    expect([...whole.slice(0, 32), ...whole.slice(48)].every(v => v === 0)).toBe(true)
    await expectValues(model, () => 9)
  })
})

describe('a file that does not fit is refused with nothing written', () => {
  const QUERY = 'bert.encoder.layer.1.attention.self.query.weight'
  const cases: [string, () => Promise<TensorFile>, string][] = [
    [
      'a missing tensor',
      () => fileFor(tiny(), name => (name === QUERY ? undefined : name)),
      `some/model.safetensors has no tensor ${QUERY} [8, 8], which tiny needs`,
    ],
    [
      'a misshapen tensor',
      () => fileFor(tiny(), name => (name === QUERY ? undefined : name), [extra(QUERY)]),
      `some/model.safetensors: tensor ${QUERY} is [2], expected [8, 8]`,
    ],
    [
      'another family',
      () => fileFor(tiny('distilbert')),
      'some/model.safetensors has no tensor bert.embeddings.word_embeddings.weight [11, 8], which tiny needs',
    ],
    [
      'too few layers',
      () => fileFor(createModel(parseConfig({ ...MINIATURE.bert, num_hidden_layers: 1 }, 'test'))),
      'some/model.safetensors has no tensor bert.encoder.layer.1.attention.self.query.weight [8, 8], which tiny needs',
    ],
  ]
  for (const [what, file, message] of cases) {
    test(what, async () => {
      const model = tiny()
      await expect(loadWeights(model, await file(), 1)).rejects.toThrow(new UserError(message))
      expect(model.parameters().some(({ written }) => written)).toBe(false)
    })
  }

  test('integers where weights should be', async () => {
    const bytes = serialize(
      [...tiny().parameters()].map(p => ({ name: p.name, dtype: 'F32', shape: p.shape, data: freshValues(p, 9) })),
    )
    const text = Buffer.from(bytes)
      .toString('latin1')
      .replace(/("classifier\.bias":\{"dtype":")F32/, '$1I32')
    const file = await openTensors(bytesSource(new Uint8Array(Buffer.from(text, 'latin1'))), 'm')
    expect(() => matchWeights(tiny(), file)).toThrow('m: tensor classifier.bias is I32, expected one of F32, F16, BF16')
  })
})

describe('saving', () => {
  test('writes what loads again, to the bit, under the same names', async () => {
    const model = tiny('distilbert')
    await initialise(model.parameters(), 6)
    await saveModel(join(folder, 'saved'), model)
    const config = JSON.parse(await readFile(join(folder, 'saved/config.json'), 'utf8'))
    expect(config).toMatchObject({ model_type: 'distilbert', architectures: ['DistilBertForSequenceClassification'] })
    const file = await openWeights(join(folder, 'saved'))
    expect(file.names().sort()).toEqual(
      model
        .parameters()
        .map(({ name }) => name)
        .sort(),
    )
    const again = createModel(parseConfig(config, 'config.json'))
    await loadWeights(again, file, 0)
    await file.close()
    await expectValues(again, () => 6)
  })

  test('of a model with adapters waits for the merge, and then needs no adapter', async () => {
    const model = tiny()
    attachLora(model, { rank: 2, alpha: 4, dropout: 0, targets: ['value'] })
    await initialise(model.parameters(), 6)
    await expect(saveModel(join(folder, 'open'), model)).rejects.toThrow(
      /adapter of .*value is not merged: merge it, or save/,
    )
    const b = model.parameters().find(({ name }) => name.endsWith('0.attention.self.value.lora_B.weight'))
    await b?.write(Float32Array.from({ length: 16 }, (_, i) => i / 8))
    await mergeLora(model)
    await saveModel(join(folder, 'merged'), model)
    const file = await openWeights(join(folder, 'merged'))
    expect(file.names().some(name => name.includes('lora'))).toBe(false)
    const before = tiny()
      .parameters()
      .find(({ name }) => name.endsWith('0.attention.self.value.weight'))
    if (!before) throw new Error('no value')
    const change = (await file.read(before.name)).map((v, i) => v - freshValues(before, 6)[i])
    await file.close()
    // Row o of B · A · (alpha / rank) with B[o] = [o / 4, o / 4 + 1 / 8].
    const a = model.parameters().find(({ name }) => name.endsWith('0.attention.self.value.lora_A.weight'))
    const values = (await a?.read()) ?? new Float32Array()
    change.forEach((v, i) => {
      const [o, k] = [Math.floor(i / 8), i % 8]
      expect(v).toBeCloseTo(2 * ((o / 4) * values[k] + (o / 4 + 1 / 8) * values[8 + k]), 5)
    })
  })
})
