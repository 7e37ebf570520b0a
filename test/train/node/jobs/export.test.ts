// What was trained opens again: a model, an adapter on its base, and the plain folder that an adapter is exported to,
// which all give the same answers.
import { mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { currentDevice } from '../../../../engine/node/index.ts'
import { ANSWERS_FILE, answersJson } from '../../../../models/answers.ts'
import { createModel, initialise, setTuning } from '../../../../models/index.ts'
import { freshValues } from '../../../../models/initialise.ts'
import { openWeights } from '../../../../models/node/files.ts'
import { SharedWeights, openClassifier, openTrained } from '../../../../models/node/open-classifier.ts'
import { saveAdapter } from '../../../../models/node/peft.ts'
import { exportMerged } from '../../../../train/node/jobs/export.ts'
import { trainedAt } from '../../../../train/node/jobs/predict.ts'
import { expectClose } from '../../../support/ops.ts'
import { tinyModelConfig, tinyReviews, writeTinyModel } from '../../../support/tiny.ts'

const texts = tinyReviews(9).map(({ text }) => text)
let place = ''
let base = ''
let adapter = ''

/** An adapter of three classes over the tiny base, in a folder of this name. */
async function makeAdapter(name: string, seed: number, rank: number): Promise<string> {
  const folder = join(place, name)
  const model = createModel({ ...tinyModelConfig(), labels: ['bad', 'fair', 'good'] })
  setTuning(model, 'lora', { rank, alpha: 8, dropout: 0, targets: ['query', 'value'], trainHead: true })
  await initialise(model.parameters(), seed)
  const weights = await openWeights(base)
  // The base's own head has two classes: this one's three are drawn.
  for (const parameter of model.parameters()) {
    if (parameter.role !== 'lora' && !parameter.name.startsWith('classifier'))
      await parameter.write(await weights.read(parameter.name))
  }
  await weights.close()
  for (const parameter of model.parameters().filter(({ name }) => name.includes('lora_B'))) {
    await parameter.write(Float32Array.from(freshValues(model.parameters()[0], seed + 6).slice(0, parameter.size)))
  }
  await saveAdapter(folder, model, base)
  await writeFile(
    join(folder, ANSWERS_FILE),
    JSON.stringify(
      answersJson({
        problem: 'single_label_classification',
        labels: ['bad', 'fair', 'good'],
        maxLength: 32,
        window: 8,
      }),
    ),
  )
  return folder
}

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'tilegrad-export-'))
  base = await writeTinyModel(join(place, 'base'))
  adapter = await makeAdapter('adapter', 3, 4)
})
afterAll(async () => {
  await rm(place, { recursive: true, force: true })
  ;(await currentDevice()).close()
})

async function probabilities(source: string, options = {}): Promise<number[]> {
  const answers = await (await openClassifier(source, options)).classify(texts)
  return answers.flatMap(answer => (answer.kind === 'label' ? Object.values(answer.probabilities) : [NaN]))
}

describe('what was trained', () => {
  test('opens as an adapter on its base, whose head had other classes', async () => {
    const classifier = await openClassifier(adapter)
    expect(classifier.options).toMatchObject({
      labels: ['bad', 'fair', 'good'],
      problem: 'single_label_classification',
    })
    expect([classifier.maxLength, classifier.options.window]).toEqual([32, 8])
    const [other, cut] = [
      await openClassifier(adapter, { window: 4 }),
      await openClassifier(adapter, { window: 'off' }),
    ]
    expect([other.options.window, cut.options.window]).toEqual([4, undefined])
    expect(new Set(await probabilities(adapter)).size).toBeGreaterThan(texts.length)
  })

  test('opens several times over one base, whose weights are in memory once, with the answers of each alone', async () => {
    const other = await makeAdapter('other', 5, 2)
    const alone = [await probabilities(adapter), await probabilities(other)]
    const shared = new SharedWeights()
    const models = [
      await openTrained(adapter, { shared }),
      await openTrained(other, { shared }),
      await openTrained(base, { shared }),
    ].map(({ model }) => model)
    expect([await probabilities(adapter, { shared }), await probabilities(other, { shared })]).toEqual(alone)
    expect(alone[0]).not.toEqual(alone[1])
    const homes = models.map(model => new Map(model.parameters().map(({ name, variable }) => [name, variable])))
    for (const [name, variable] of homes[0]) {
      // These adapters were never on the base's own pooler, so they bring one along.
      const isOwn = /lora_|classifier|pooler/.test(name)
      expect(homes[1].get(name) === variable, name).toBe(!isOwn)
      if (!isOwn) expect(homes[2].get(name) === variable, name).toBe(true)
    }
  })

  test('opens as the plain folder that it is exported to, with the same answers', async () => {
    const out = join(place, 'merged')
    await exportMerged(adapter, out)
    expect((await readdir(out)).sort()).toEqual([
      'config.json',
      'model.safetensors',
      'tilegrad.json',
      'tokenizer.json',
      'tokenizer_config.json',
    ])
    expectClose(await probabilities(out), await probabilities(adapter), 1e-4, 'merged')
    expect((await openClassifier(out)).options.window).toBe(8)
    const config = JSON.parse(await readFile(join(out, 'config.json'), 'utf8'))
    expect(config).toMatchObject({
      architectures: ['BertForSequenceClassification'],
      id2label: { 0: 'bad', 1: 'fair', 2: 'good' },
    })
    await expect(exportMerged(adapter, out)).rejects.toThrow(`${out} exists already`)
    expect((await readdir(place)).filter(name => name.includes('tmp'))).toEqual([])
  })

  test('opens without its tilegrad.json, by the rows of its classifier', async () => {
    await rename(join(adapter, ANSWERS_FILE), join(place, 'aside'))
    const { options } = await openClassifier(adapter)
    await rename(join(place, 'aside'), join(adapter, ANSWERS_FILE))
    expect(options.labels).toEqual(['LABEL_0', 'LABEL_1', 'LABEL_2'])
  })

  test('opens on another base, and says what is missing where there is none', async () => {
    const moved = join(place, 'moved')
    await rename(base, moved)
    await expect(openClassifier(adapter)).rejects.toThrow('which is not there: give its base with --base')
    expect(await probabilities(adapter, { base: moved })).toHaveLength(3 * texts.length)
    await rename(moved, base)
  })

  test('is refused where it has no trained classifier', async () => {
    const headless = join(place, 'headless')
    await writeTinyModel(headless)
    const { writeSafetensors, openSafetensors } = await import('../../../../models/node/files.ts')
    const file = await openSafetensors(join(headless, 'model.safetensors'))
    const kept = await Promise.all(
      file
        .names()
        .filter(name => !name.startsWith('classifier'))
        .map(async name => ({
          name,
          dtype: 'F32' as const,
          shape: file.info(name).shape,
          values: await file.read(name),
        })),
    )
    await file.close()
    await writeSafetensors(
      join(headless, 'model.safetensors'),
      kept.map(({ values, ...entry }) => ({ ...entry, read: async () => values })),
      {},
    )
    await expect(openClassifier(headless)).rejects.toThrow(
      /headless has no trained classifier \(no classifier\.weight\): fine-tune it first/,
    )
  })

  test('is what a run has saved, and a run that has saved nothing says so', async () => {
    const run = join(place, 'run')
    await writeTinyModel(run)
    await writeFile(join(run, 'config.json'), JSON.stringify({ tilegrad: '0', arguments: [] }))
    await expect(trainedAt(run)).rejects.toThrow('has not finished')
    await writeTinyModel(join(run, 'model'))
    expect(await trainedAt(run)).toBe(join(run, 'model'))
    expect(await trainedAt(adapter)).toBe(adapter)
    expect(await trainedAt('distilbert-base-uncased')).toBe('distilbert-base-uncased')
  })
})
