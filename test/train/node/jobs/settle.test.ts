// What a run takes where the user left data or model open, by the machine: a table over adapters, networks and options.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import { resolveDataset, resolveModel } from '../../../../models/node/hub.ts'
import { BUNDLED, REAL } from '../../../../train/node/jobs/job.ts'
import { recordedTime, settle } from '../../../../train/node/jobs/settle.ts'
import { parseOptions } from '../../../../train/node/cli/options.ts'
import { type HubServer, startHub, stubHub } from '../../../support/hub-server.ts'

let hub: HubServer
let cacheDir = ''
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'tilegrad-settle-'))
  hub = await startHub([
    {
      type: 'model',
      name: 'distilbert/distilbert-base-uncased',
      commit: '1'.repeat(40),
      files: {
        'config.json': '{}',
        'tokenizer.json': '{}',
        'model.safetensors': 'weights',
      },
    },
    {
      type: 'dataset',
      name: REAL.data,
      commit: '2'.repeat(40),
      files: {
        'plain_text/train-00000-of-00001.parquet': 'train',
        'plain_text/test-00000-of-00001.parquet': 'test',
      },
    },
  ])
  stubHub(hub.url, cacheDir)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await hub.close()
  await rm(cacheDir, { recursive: true, force: true })
})

/** What these arguments come to; what settling adds must leave those that were given as they are. */
async function settled(argv: readonly string[], software: boolean) {
  const given = parseOptions(argv)
  const { argv: whole, why } = await settle(given, argv, software)
  const options = parseOptions(whole)
  const held = options as unknown as Record<string, unknown>
  for (const name of given.given) if (name !== 'bundled') expect([...options.given]).toContain(name)
  for (const [name, value] of Object.entries(given)) {
    if (given.given.has(name) && name !== 'bundled') expect(held[name]).toEqual(value)
  }
  expect(why ?? '').not.toContain('\n')
  return { ...options, why }
}

const OWN = { data: 'my.csv', model: 'my-model' }
/** Options of the bundled model; others have the defaults. */
const ITS = {
  tune: 'lora',
  loraRank: 8,
  loraAlpha: 16,
  loraTargets: 'query,value,mlp',
  trainHead: true,
  lr: 2e-3,
  epochs: 5,
  warmup: 0.1,
  maxLength: 64,
  name: 'bundled',
}
/** Beside what a run is shown that has no options of its own, and one that has. */
const RECORDED = expect.stringMatching(/^nb,.*bundled.recorded.from-random-weights$/)
const DEFAULTS = {
  tune: 'lora',
  loraAlpha: 1,
  trainHead: false,
  lr: 5e-4,
  epochs: 3,
  warmup: 0.06,
  maxLength: 256,
  name: undefined,
  compareWith: undefined,
}

describe('a software adapter', () => {
  test.each<[string[], object]>([
    [[], { ...BUNDLED, ...ITS, compareWith: RECORDED }],
    [['--data', OWN.data], { data: OWN.data, model: BUNDLED.model, ...ITS, compareWith: undefined }],
    [['--model', OWN.model], { data: BUNDLED.data, model: OWN.model, ...DEFAULTS }],
    [['--data', OWN.data, '--model', OWN.model], { ...OWN, ...DEFAULTS }],
    [
      ['--lr', '1e-4', '--max-length', '32', '--name', 'mine'],
      { ...BUNDLED, ...ITS, lr: 1e-4, maxLength: 32, name: 'mine', compareWith: 'nb' },
    ],
    [['--tune', 'full'], { ...BUNDLED, tune: 'full', lr: 1e-3, epochs: 5, trainHead: false, compareWith: 'nb' }],
    [['--tune', 'head', '--data', OWN.data], { model: BUNDLED.model, tune: 'head', lr: 2e-3, trainHead: false }],
    [['--freeze-head'], { ...BUNDLED, ...ITS, trainHead: false }],
    [['--lora-targets', 'query,head'], { ...BUNDLED, ...ITS, loraTargets: 'query,head', trainHead: false }],
    [['--lora-rank', '4'], { ...BUNDLED, ...ITS, loraRank: 4, loraAlpha: 8 }],
    [['--lora-rank', '4', '--lora-alpha', '3'], { ...BUNDLED, ...ITS, loraRank: 4, loraAlpha: 3 }],
    [['--init', 'random'], { ...BUNDLED, ...ITS, init: 'random', compareWith: 'nb' }],
    [['--compare-with', 'lr'], { ...BUNDLED, ...ITS, compareWith: 'lr' }],
    [['--precision', 'f16'], { ...BUNDLED, ...ITS, precision: 'f16' }],
    [['--epochs', '1', '--'], { ...BUNDLED, ...ITS, epochs: 1 }],
  ])('with %j takes what is bundled for what is open, and asks nobody', async (argv, expected) => {
    const { why, ...options } = await settled(argv, true)
    expect(options).toMatchObject(expected)
    const open = (['model', 'data'] as const).filter(part => !argv.includes(`--${part}`))
    const taken = open.map(part => (part === 'model' ? 'the bundled small model' : 'the bundled reviews')).join(' and ')
    const reason = `No GPU: taking ${taken}`
    if (open.length === 0) expect(why).toBeUndefined()
    // What differs from the defaults for the bundled model's sake is said, and only that.
    else if (!open.includes('model')) expect(why).toBe(`${reason}.`)
    else expect(why).toMatch(new RegExp(`^${reason}, with (--train-head ?|--[a-z-]+ \\S+ ?)+\\.$`))
    expect(hub.requests).toEqual([])
  })
})

describe('a GPU', () => {
  test.each<[string[], object]>([
    [[], { ...REAL, ...DEFAULTS }],
    [['--data', OWN.data], { data: OWN.data, model: REAL.model, ...DEFAULTS }],
    [['--model', OWN.model], { data: REAL.data, model: OWN.model, ...DEFAULTS }],
    [['--data', OWN.data, '--model', OWN.model], { ...OWN, ...DEFAULTS }],
    [['--lr', '1e-4', '--'], { ...REAL, ...DEFAULTS, lr: 1e-4 }],
  ])('with %j takes the real thing for what is open', async (argv, expected) => {
    const { why, ...options } = await settled(argv, false)
    expect(options).toMatchObject(expected)
    const open = [
      argv.includes('--model') ? [] : REAL.model,
      argv.includes('--data') ? [] : `IMDb (${REAL.data})`,
    ].flat()
    expect(why).toBe(
      open.length === 0 ? undefined : `There is a GPU: taking ${open.join(' and ')}, from the Hub or its cache.`,
    )
  })

  test.each<[string[], object]>([
    [[], { ...BUNDLED, ...ITS, compareWith: RECORDED }],
    [['--data', OWN.data, '--lr', '1e-4'], { data: OWN.data, model: BUNDLED.model, ...ITS, lr: 1e-4 }],
    [['--model', OWN.model], { data: BUNDLED.data, model: OWN.model, ...DEFAULTS }],
  ])('with %j and no way to the Hub takes what is bundled, and says why', async (argv, expected) => {
    await hub.close()
    const what = argv.includes('--model') ? `dataset ${REAL.data}` : 'model distilbert/distilbert-base-uncased'
    const lost = await settled(argv, false)
    expect(lost).toMatchObject(expected)
    const lostWhy = `${hub.url} can't be reached (ECONNREFUSED), and ${what} is not in the cache ${cacheDir}`
    expect(lost.why).toContain(`There is a GPU, but ${lostWhy}: taking the bundled `)
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    const off = await settled(argv, false)
    expect(off).toMatchObject(expected)
    const offWhy = `${what} is neither a folder nor whole in the cache ${cacheDir}, and downloads are off`
    expect(off.why).toContain(`There is a GPU, but ${offWhy}: taking the bundled `)
    hub = await startHub([])
  })

  test('takes what is bundled where that is asked for, and asks nobody', async () => {
    expect(await settled(['--bundled'], false)).toMatchObject({
      ...BUNDLED,
      ...ITS,
      compareWith: RECORDED,
      bundled: false,
    })
    const { why, ...options } = await settled(['--model', OWN.model, '--bundled', '--epochs', '2'], false)
    expect(options).toMatchObject({ data: BUNDLED.data, model: OWN.model, epochs: 2, bundled: false })
    expect(why).toBe('As asked: taking the bundled reviews.')
    expect(hub.requests).toEqual([])
  })

  test('that needs nothing from the Hub asks it nothing', async () => {
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    const { why, ...options } = await settled(['--init', 'random', '--tokenizer', OWN.model, '--data', OWN.data], false)
    expect(options).toMatchObject({ data: OWN.data, model: REAL.model, ...DEFAULTS, init: 'random' })
    expect(why).toContain('There is a GPU')
    expect(hub.requests).toEqual([])
  })

  test('whose cache has only one of both takes what is bundled for both, and the real thing once it has both', async () => {
    await resolveModel(REAL.model)
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    expect(await settled([], false)).toMatchObject({
      ...BUNDLED,
      why: expect.stringContaining(`dataset ${REAL.data} is neither`),
    })
    vi.stubEnv('HF_HUB_OFFLINE', undefined)
    await resolveDataset(REAL.data)
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    hub.requests.length = 0
    expect(await settled([], false)).toMatchObject(REAL)
    expect(hub.requests).toEqual([])
  })

  test('and a Hub that refuses is told, not hidden', async () => {
    vi.stubEnv('HF_TOKEN', 'hf_other')
    vi.stubEnv('HF_ENDPOINT', `${hub.url}/elsewhere`)
    await expect(settled([], false)).rejects.toBeInstanceOf(UserError)
  })
})

test('the time of a run that nobody has measured here is the one that was recorded', async () => {
  const { seconds, where } = await recordedTime()
  expect(seconds).toBeGreaterThan(0)
  expect(where).toContain('SwiftShader')
})

describe('a run as recorded', () => {
  const asRecorded = async (...argv: string[]): Promise<boolean> =>
    (await settle(parseOptions(argv), argv, true)).isAsRecorded

  test('is one of the bundled model on the bundled reviews, whatever its seed, folder and adapter', async () => {
    expect(await asRecorded()).toBe(true)
    expect(await asRecorded('--seed', '3', '--out', 'run', '--adapter', 'llvmpipe', '--try', 'a', '--json')).toBe(true)
  })

  test('is none with options of another run', async () => {
    for (const argv of [
      ['--data', 'a'],
      ['--model', 'a'],
      ['--epochs', '4'],
      ['--compare-with', 'nb'],
    ])
      expect(await asRecorded(...argv), argv.join(' ')).toBe(false)
  })
})

test('a trial of a sweep is compared with nothing unless the sweep asks for that', async () => {
  const compared = async (...argv: string[]): Promise<string | undefined> => {
    const settled = await settle(parseOptions(argv, 'tilegrad'), argv, true, { compares: false })
    return parseOptions(settled.argv, 'tilegrad').compareWith
  }
  expect(await compared()).toBeUndefined()
  expect(await compared('--compare-with', 'nb')).toBe('nb')
})
