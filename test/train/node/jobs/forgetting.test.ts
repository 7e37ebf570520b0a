// Forgetting of real runs: what is measured, that it is kept until something changes, what is not measured and why, and
// how `tilegrad compare --forgetting` shows it.
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { UserError } from '../../../../engine/errors.ts'
import { closeDevices } from '../../../../engine/runtime/device.ts'
import { openNamed } from '../../../../train/node/device.ts'
import {
  attachLora,
  createMaskedModel,
  createModel,
  initialise,
  loadWeights,
  parseTargets,
} from '../../../../models/index.ts'
import { openWeights, readJson } from '../../../../models/node/files.ts'
import { saveAdapter } from '../../../../models/node/peft.ts'
import { loadTokenizer } from '../../../../models/node/tokenizer.ts'
import type { Forgetting } from '../../../../train/compare/forgetting.ts'
import { compare } from '../../../../train/node/cli/compare.ts'
import { SilentConsole } from '../../../../train/node/cli/console.ts'
import { parseOptions } from '../../../../train/node/cli/options.ts'
import { Progress } from '../../../../train/node/cli/progress.ts'
import { maskedOptionsOf } from '../../../../train/node/data/packed.ts'
import { openRuns } from '../../../../train/node/jobs/compare.ts'
import { startRun } from '../../../../train/node/jobs/fine-tune.ts'
import { measureForgetting } from '../../../../train/node/jobs/forgetting.ts'
import { batchingOf, rowsOf } from '../../../../train/node/jobs/forgetting/masking.ts'
import { namedTexts, testTexts } from '../../../../train/node/jobs/forgetting/texts.ts'
import { openData } from '../../../../train/node/jobs/job.ts'
import { dataHash } from '../../../../train/node/jobs/fingerprint.ts'
import { createRun } from '../../../../train/node/run/folder.ts'
import { maskedTask } from '../../../../train/tasks/masked-lm.ts'
import { Trainer } from '../../../../train/trainer.ts'
import { temporaryFolder } from '../../../support/folder.ts'
import { rightBut, writeRun } from '../../../support/run-folders.ts'
import { tilegrad, tinyModelConfig, tinyReviews, toCsv, writeTinyModel } from '../../../support/tiny.ts'
import { OPTIONS } from '../../../support/training.ts'

const root = await temporaryFolder('forgetting')
const at = (...parts: readonly string[]): string => join(root, ...parts)
const progress = new Progress({ stream: new PassThrough().resume() })
const ONE_LAYER = { num_hidden_layers: 1 }

async function fineTuned(name: string, base: string, ...args: readonly string[]): Promise<void> {
  const common = ['--data', at('reviews.csv'), '--max-length', '16', '--epochs', '1', '--lr', '5e-3', '--no-report']
  const own = ['--model', base, '--out', at(name), '--tune-kernels', 'off', ...args]
  const options = parseOptions([...common, ...own], 'tilegrad')
  const startup = { beforeStop: () => undefined, end: () => undefined }
  expect(await startRun(options, new SilentConsole(), '1', startup, { progress })).toBe(0)
}

const measure = async (names: readonly string[], { texts = 500, data }: { texts?: number; data?: string } = {}) => {
  const { runs } = await openRuns(names.map(name => at(name)))
  return measureForgetting(runs, { texts, data }, progress)
}
const kept = (name: string): Promise<unknown> => readJson(at(name, 'forgetting.json'))

beforeAll(async () => {
  await openNamed(undefined, false)
  await writeFile(at('reviews.csv'), toCsv(tinyReviews(80, { shortest: 4, longest: 12 })))
  await writeTinyModel(at('base'), { changes: ONE_LAYER, create: createMaskedModel })
  await writeTinyModel(at('headless'), { changes: ONE_LAYER })
  await fineTuned('lora', at('base'), '--lora-targets', 'query,value,mlp')
  await fineTuned('full', at('base'), '--tune', 'full')
  await fineTuned('head', at('base'), '--tune', 'head')
  const common = { right: rightBut(16, 4), labels: ['negative', 'positive'] }
  await writeRun(at('bayes'), { ...common, job: 'baseline' })
  await writeRun(at('evaluated'), { ...common, job: 'evaluate' })
  await writeRun(at('other'), { ...common, args: [`--model=${at('headless')}`] })
  await writeRun(at('lora-head'), { ...common, args: [`--model=${at('base')}`] })
  await rm(at('lora-head/adapter'), { recursive: true })
  const model = createModel(tinyModelConfig(ONE_LAYER))
  attachLora(model, { rank: 2, alpha: 4, dropout: 0, targets: parseTargets('head') })
  await initialise(model.parameters(), 3)
  await saveAdapter(at('lora-head/adapter'), model, at('base'))
  await writeRun(at('deleted'), { ...common, args: [`--model=${at('base')}`] })
  await rm(at('deleted/adapter'), { recursive: true })
  await writeRun(at('fresh'), { ...common, args: [`--model=${at('base')}`, '--init=random'] })
})
afterAll(closeDevices)

describe('of runs of one base', () => {
  let found: ReadonlyMap<string, Forgetting>

  beforeAll(async () => {
    const { forgotten, notes } = await measure([
      'bayes',
      'lora',
      'full',
      'head',
      'lora-head',
      'other',
      'fresh',
      'evaluated',
      'deleted',
    ])
    expect(notes).toEqual([
      `Forgetting is not measured of other: its base ${at('headless')} has no masked-language head.`,
      'Forgetting is not measured of fresh: it began with fresh weights.',
      'Forgetting is not measured of evaluated: it is an evaluation; compare the run itself.',
      'Forgetting is not measured of deleted: its adapter or model is no longer in its folder.',
    ])
    expect(forgotten?.texts).toMatchObject({ source: 'the test texts of lora', of: 16 })
    found = forgotten?.runs ?? new Map()
  })

  test('training the encoder changes the figures of the base, and training heads alone does not', () => {
    const { base } = found.get('lora') ?? {}
    expect([...found.keys()]).toEqual(['lora', 'full', 'head', 'lora-head'])
    for (const { base: own, tuned, interval } of found.values()) {
      expect(own).toEqual(base)
      expect(tuned.tokens).toBe(base?.tokens)
      const { low = NaN, high = NaN } = interval ?? {}
      expect(low <= tuned.loss - own.loss && tuned.loss - own.loss <= high).toBe(true)
    }
    for (const name of ['head', 'lora-head']) {
      expect(found.get(name)?.tuned).toEqual(base)
      expect(found.get(name)?.interval).toEqual({ low: 0, high: 0 })
    }
    for (const name of ['lora', 'full']) {
      expect(Math.abs((found.get(name)?.tuned.loss ?? NaN) - (base?.loss ?? NaN)), name).toBeGreaterThan(1e-3)
    }
  })

  test('of a run of an older version is measured on the test texts that it drew by its seed', async () => {
    const options = parseOptions(['--data', at('reviews.csv'), '--limit-test', '8', '--seed', '7'], 'tilegrad')
    const { test: drawn, ...data } = await openData({ ...options, testSeed: 7 }, () => undefined)
    const fingerprints = { data: dataHash({ ...data, test: drawn }) }
    const run = await createRun(at('older'), { arguments: [], options, fingerprints })
    const tuned = { name: 'older', run, options, config: tinyModelConfig(ONE_LAYER) }
    const { texts } = await testTexts(tuned, { texts: 500 }, () => undefined)
    expect(texts.toSorted()).toEqual([...new Set(drawn.map(({ text }) => text))].toSorted())
  })

  test('the figures of the base are those of an evaluation of pretraining on the same masks', async () => {
    const [config, tokenizer] = [tinyModelConfig(ONE_LAYER), await loadTokenizer(at('base'))]
    const base = { key: '', name: '', folder: at('base'), config, tokenizer }
    await writeFile(at('all.csv'), toCsv(tinyReviews(100, { seed: 2, shortest: 4, longest: 40 })))
    const { texts } = await namedTexts(at('all.csv'), { texts: 500 })
    const { forgotten } = await measure(['lora', 'head'], { data: at('all.csv') })
    const model = createMaskedModel({ ...config, dropout: 0 })
    const options = { ...OPTIONS, ...batchingOf(base) }
    const trainer = await Trainer.over(model, maskedTask(maskedOptionsOf(tokenizer)), options)
    const file = await openWeights(at('base'))
    await loadWeights(model, file, 0)
    await file.close()
    const { loss, figures } = await trainer.evaluate(await rowsOf(base, texts))
    const own = forgotten?.runs.get('lora')?.base
    expect(Math.abs((own?.loss ?? NaN) - loss)).toBeLessThan(1e-6)
    expect(own?.accuracy).toBe(figures.accuracy)
    // As far from chance as the tied embeddings of an untrained model are.
    expect(loss).toBeGreaterThan(1)
  })
})

describe('a result is kept in the folder of its run', () => {
  const planted = { loss: 9.5, accuracy: 0.5, tokens: 7 }
  const plant = async (name: string): Promise<void> => {
    const path = at(name, 'forgetting.json')
    const json = z.looseObject({}).parse(await kept(name))
    await writeFile(path, JSON.stringify({ ...json, tuned: planted }))
  }
  const tunedOf = async (names: readonly string[], options = {}) =>
    (await measure(names, options)).forgotten?.runs.get(names[0])?.tuned

  test('and read again until the texts, the weights or the version change, or the file is damaged', async () => {
    const fresh = await tunedOf(['lora', 'head'])
    expect(await kept('lora')).toMatchObject({
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
      texts: { source: 'the test texts of lora', count: 16, of: 16 },
      base_model: at('base'),
      tuned: fresh,
      loss_interval: { low: expect.any(Number), high: expect.any(Number) },
    })
    await plant('lora')
    expect(await tunedOf(['lora', 'head'])).toEqual(planted)
    const fewer = await tunedOf(['lora', 'head'], { texts: 9 })
    expect(fewer?.tokens).toBeLessThan(fresh?.tokens ?? NaN)

    await tunedOf(['lora', 'head'])
    await plant('lora')
    const weights = at('lora/adapter/adapter_config.json')
    const config = await readFile(weights, 'utf8')
    await writeFile(weights, config.replace(/"lora_alpha": \d+/, '"lora_alpha": 1'))
    const weaker = await tunedOf(['lora', 'head'])
    expect(weaker).not.toEqual(planted)
    expect(weaker).not.toEqual(fresh)
    await writeFile(weights, config)
    await writeFile(at('lora/forgetting.json'), '{"fingerprint"')
    expect(await tunedOf(['lora', 'head'])).toEqual(fresh)
  })

  test('or else a note says that it could not be', async () => {
    await rm(at('full/forgetting.json'))
    await mkdir(at('full/forgetting.json/taken'), { recursive: true })
    const { forgotten, notes } = await measure(['full', 'head'])
    expect(forgotten?.runs.has('full')).toBe(true)
    expect(notes).toEqual([
      expect.stringMatching(
        /full\/forgetting\.json could not be written \(\w+\), so it is measured again next time\.$/,
      ),
    ])
    await rm(at('full/forgetting.json'), { recursive: true })
  })
})

test('a base or texts that have changed since a run are not used', async () => {
  const { runs } = await openRuns([at('lora'), at('head')])
  const path = at('base/config.json')
  const config = await readFile(path, 'utf8')
  await writeFile(
    path,
    config.replace('"max_position_embeddings":64', '"max_position_embeddings":64,"layer_norm_eps":1e-5'),
  )
  const { forgotten, notes } = await measureForgetting(runs, { texts: 500 }, progress)
  await writeFile(path, config)
  expect(forgotten).toBeUndefined()
  expect(notes).toEqual([
    `Forgetting is not measured of lora, head: the model ${at('base')} changed since the run began.`,
  ])

  const reviews = await readFile(at('reviews.csv'), 'utf8')
  await writeFile(at('reviews.csv'), reviews.replace('good', 'great'))
  const measuring = measureForgetting(runs, { texts: 500 }, progress)
  await expect(measuring).rejects.toThrow(
    new UserError(
      `the test texts of lora cannot be masked (--data names others): the data in ${at('reviews.csv')} changed since the run began`,
    ),
  )
  await writeFile(at('reviews.csv'), reviews)
})

describe('compare --forgetting', () => {
  const printed = z.object({
    notes: z.array(z.string()),
    forgetting: z.object({
      source: z.string(),
      texts: z.number(),
      of: z.number(),
      settings: z.array(
        z.object({
          number: z.number(),
          loss: z.number().nullable(),
          base_loss: z.number().nullable(),
          loss_change: z.number().nullable(),
          accuracy_change: z.number().nullable(),
          masked_tokens: z.number().nullable(),
        }),
      ),
    }),
    settings: z.array(z.object({ number: z.number(), runs: z.array(z.object({ name: z.string() })) })),
  })

  test('shows it in the terminal, in JSON and on the page', async () => {
    const args = [
      'compare',
      'head',
      'full',
      'other',
      'bayes',
      '--forgetting',
      '--texts',
      '10',
      '--json',
      '--out',
      'page.html',
    ]
    const { status, stdout, stderr } = await tilegrad(args, { cwd: root })
    expect(status, stderr).toBe(0)
    const { forgetting, settings, notes } = printed.parse(JSON.parse(stdout))
    expect(forgetting).toMatchObject({ source: 'the test texts of head', texts: 10, of: 16 })
    const of = (name: string) => {
      const number = settings.find(({ runs }) => runs[0].name === name)?.number
      return forgetting.settings.find(one => one.number === number)
    }
    expect(of('head')).toMatchObject({ loss_change: 0, accuracy_change: 0 })
    expect(of('full')?.loss_change).not.toBe(0)
    expect(of('bayes')).toMatchObject({ loss: null, base_loss: null, masked_tokens: null })
    expect(notes.at(-1)).toMatch(/^Forgetting is not measured of other: its base .* has no masked-language head\.$/)
    expect(stderr).toMatch(/^Masked tokens +loss +of the base +change +95 % interval +accuracy +of the base$/m)
    expect(stderr).toMatch(/^\d {2}head +\d\.\d{4} +\d\.\d{4} + 0\.0000 +0\.0000 to 0\.0000 /m)
    expect(stderr).toMatch(/^\d {2}bayes +– +– +– +– +– +–$/m)
    expect(stderr).toContain('Loss in nats, on 10 of 16 texts (the test texts of head).')
    const page = await readFile(at('page.html'), 'utf8')
    expect(page).toContain('<h2 id="forgetting-heading">What they forgot</h2>')
    expect(page).toContain('change of the loss, nats')
    expect(page).toContain(of('full')?.loss?.toFixed(4) ?? 'no loss')
  })

  test.for<[args: readonly string[], message: string]>([
    [['--texts', '9'], '--texts is for --forgetting'],
    [['--data', 'reviews.csv'], '--data is for --forgetting'],
    [['--forgetting', '--split', 'test'], '--split is for --data'],
    [['--forgetting', '--texts', '0'], '--texts takes a whole number of at least 1; got "0"'],
  ])('refuses %s', async ([args, message]) => {
    await expect(compare([at('lora'), at('head'), ...args])).rejects.toThrow(new UserError(message))
  })

  test('says so where no run was fine-tuned', async () => {
    const { forgotten, notes } = await measure(['bayes', 'bayes'])
    expect({ forgotten, notes }).toEqual({
      forgotten: undefined,
      notes: ['Forgetting is not measured: none of the runs was fine-tuned.'],
    })
  })
})
