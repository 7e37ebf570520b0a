// What a run takes where the user left data or model open, by the machine: a table over adapters, networks and options.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import { resolveDataset, resolveModel } from '../../../../models/node/hub.ts'
import {
  BUNDLED,
  type Data,
  REAL,
  checkPaths,
  checkTraining,
  openData,
  settle,
  taskOf,
  weightsOf,
} from '../../../../train/node/jobs/job.ts'
import type { Example } from '../../../../train/node/data/labelled.ts'
import type { TaskName } from '../../../../train/tasks/infer.ts'
import { parseOptions } from '../../../../train/node/cli/options.ts'
import { type HubServer, startHub, stubHub } from '../../../support/hub-server.ts'

let hub: HubServer
let cacheDir = ''
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'tilegrad-job-'))
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
  for (const name of given.given) expect([...options.given]).toContain(name)
  for (const [name, value] of Object.entries(given)) {
    if (given.given.has(name)) expect(held[name]).toEqual(value)
  }
  expect(why ?? '').not.toContain('\n')
  return { ...options, why }
}

const OWN = { data: 'my.csv', model: 'my-model' }
/** Options of the bundled model; others have the defaults. */
const ITS = { tune: 'full', lr: 1e-3, epochs: 4, warmup: 0.1, maxLength: 64, name: 'bundled' }
const DEFAULTS = { tune: 'lora', lr: 5e-4, epochs: 3, warmup: 0.06, maxLength: 256, name: undefined }

describe('a software adapter', () => {
  test.each([
    [[], { ...BUNDLED, ...ITS }],
    [['--data', OWN.data], { data: OWN.data, model: BUNDLED.model, ...ITS }],
    [['--model', OWN.model], { data: BUNDLED.data, model: OWN.model, ...DEFAULTS }],
    [['--data', OWN.data, '--model', OWN.model], { ...OWN, ...DEFAULTS }],
    [
      ['--lr', '1e-4', '--max-length', '32', '--name', 'mine'],
      { ...BUNDLED, ...ITS, lr: 1e-4, maxLength: 32, name: 'mine' },
    ],
    [['--tune', 'head', '--data', OWN.data], { data: OWN.data, model: BUNDLED.model, ...ITS, tune: 'head' }],
    [['--lora-rank', '4'], { ...BUNDLED, ...ITS, tune: 'lora', loraRank: 4 }],
    [['--merge', '--data', OWN.data], { data: OWN.data, model: BUNDLED.model, ...ITS, tune: 'lora' }],
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
    else expect(why).toMatch(new RegExp(`^${reason}, with (--[a-z-]+ \\S+ ?)+\\.$`))
    if (argv.includes('--tune') || argv.includes('--merge')) expect(why).not.toContain('--tune full')
    expect(hub.requests).toEqual([])
  })
})

describe('a GPU', () => {
  test.each([
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

  test.each([
    [[], { ...BUNDLED, ...ITS }],
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

describe('a path that leads nowhere', () => {
  test.each([
    'aclImdb.tgz',
    'aclImdb_v1.tar.gz',
    'reviews.tar',
    'reviews.CSV',
    'reviews.tsv',
    'data/reviews.JSONL',
    'train.Parquet',
    './reviews',
    '../missing-reviews',
    '/no/where',
    'a/b/c',
    'reviews.zip',
    'model.safetensors',
  ])('%s is a missing file, and no name on the Hub', async path => {
    const where = path === 'model.safetensors' ? { model: path } : { data: path }
    await expect(checkPaths({ ...parseOptions([]), ...where })).rejects.toThrow(
      new UserError(`No file or folder at ${path}`),
    )
  })

  test.each(['imdb', 'stanfordnlp/imdb', 'some-body/data.set_v1.5', 'some/data@refs/pr/1'])(
    '%s is a name',
    async name => {
      await expect(checkPaths({ ...parseOptions([]), data: name })).resolves.toBeUndefined()
    },
  )
})

describe('rows without a label', () => {
  test.each([
    [0, ''],
    [1, '; 1 row without'],
    [1200, '; 1,200 rows without'],
  ])('%i of them are counted, and the source says so', async (count, said) => {
    const path = join(cacheDir, 'reviews.csv')
    const labelled = Array.from({ length: 20 }, (_, i) => `review ${i},${i % 2}\n`)
    await writeFile(path, `text,label\n${labelled.join('')}${'nobody knows,-1\n'.repeat(count)}`)
    const data = await openData(parseOptions(['--data', path]), () => undefined)
    expect([data.unlabelled, data.all.length + data.test.length]).toEqual([count, 20])
    const columns = 'texts from column "text", labels from "label"'
    const left = said === '' ? '' : `${said} a label (-1) left out (--minus-one label takes -1 for a class)`
    expect(data.source).toBe(`${path} (split 80/20); ${columns}${left}`)
  })
})

describe('rows that are drawn', () => {
  const open = async (seed: number, testSeed?: number) => {
    const options = ['--limit-train', '30', '--limit-test', '8', '--val-split', '6', '--seed', String(seed)]
    const path = join(cacheDir, 'reviews.csv')
    const rows = Array.from({ length: 100 }, (_, i) => `review ${i},${i % 2}\n`)
    await writeFile(path, `text,label\n${rows.join('')}`)
    const data = await openData({ ...parseOptions(['--data', path, ...options]), testSeed }, () => undefined)
    return { ...data, texts: (set: 'train' | 'validation' | 'test') => data[set].map(({ text }) => text).toSorted() }
  }

  test('for training and validation depend on the seed, those for the test never do', async () => {
    const [one, two] = [await open(1), await open(2)]
    expect(one.texts('test')).toHaveLength(8)
    expect(two.texts('test')).toEqual(one.texts('test'))
    expect(two.texts('train')).not.toEqual(one.texts('train'))
    expect(two.texts('validation')).not.toEqual(one.texts('validation'))
  })

  test('for the test are those of an older run where they were drawn by its seed', async () => {
    const [old, same] = [await open(1, 1), await open(2, 1)]
    expect(old.texts('test')).not.toEqual((await open(1)).texts('test'))
    expect(same.texts('test')).toEqual(old.texts('test'))
    expect(old.testSeed).toBe(1)
  })
})

describe('a sample that leaves nothing to train on, or one class,', () => {
  test.each([
    ['--limit-train 1', '--limit-train 1, --val-split 0.1: Cannot set 1 of 1 examples aside'],
    ['--limit-train 1 --val-split 0', 'data/reviews with --limit-train 1 has only the label "positive" to train on'],
    ['--limit-train 1000000', '--limit-train 1000000: Cannot draw'],
    ['--val-split 1000000', '--val-split 1000000: Cannot set 1000000 of'],
  ])('%s is named', async (options, message) => {
    const data = openData(parseOptions(['--data', BUNDLED.data, ...options.split(' ')]), () => undefined)
    await expect(data).rejects.toThrow(message.replace('data/reviews', BUNDLED.data))
  })
})

describe('options for training', () => {
  const example = (target: Example['target']): Example => ({ text: 'a film', target })
  /** Data of a task with three classes, or a number. */
  const dataOf = (
    task: TaskName,
    train: readonly Example[] = [],
    validation: readonly Example[] = [example(0)],
  ): Pick<Data, 'plan' | 'train' | 'validation'> => ({
    plan: { task, labels: task === 'regression' ? ['stars'] : ['a', 'b', 'c'], namedBy: 'data', why: 'of a test' },
    train,
    validation,
  })

  test.for<[TaskName, string[], RegExp]>([
    ['classes', ['--best-metric', 'spearman'], /^--best-metric spearman: this task has loss, accuracy, .*f1_macro/],
    ['labels', ['--best-metric', 'matthews'], /^--best-metric matthews: this task has loss, f1_micro, /],
    ['regression', ['--best-metric', 'accuracy'], /^--best-metric accuracy: this task has loss, mse, .*spearman/],
    ['tokens', ['--best-metric', 'mse'], /^--best-metric mse: this task has loss, f1, /],
    ['regression', ['--class-weights', 'balanced'], /^--class-weights is for tasks with classes, not for regression$/],
    ['regression', ['--label-smoothing', '0.1'], /^--label-smoothing is for tasks with classes, not for regression$/],
  ])('of %s refuse %j', ([task, args, refused]) => {
    expect(() => checkTraining(parseOptions(args), dataOf(task))).toThrow(refused)
    expect(() => checkTraining(parseOptions(args), dataOf(task))).toThrow(UserError)
  })

  test.for(['--patience', '--evaluate-every', '--keep-best'])('%s needs a validation set', option => {
    expect(() => checkTraining(parseOptions([option, '2']), dataOf('classes', [], []))).toThrow(
      `${option} needs a validation set: give --val-split`,
    )
    checkTraining(parseOptions([option, '2']), dataOf('classes'))
  })

  test('that only a validation set gives a meaning to are not asked for by their defaults', () => {
    expect(() => checkTraining(parseOptions(['--best-metric', 'loss']), dataOf('classes', [], []))).toThrow(
      '--best-metric needs a validation set',
    )
    checkTraining(parseOptions([]), dataOf('classes', [], []))
  })

  test.for<[TaskName, string, string]>([
    ['classes', '1,2', '--class-weights 1,2: 2 weights for 3 classes (a, b, c)'],
    ['labels', '1', '--class-weights 1: 1 weight for 3 classes (a, b, c)'],
    ['tokens', '1,2,3,4', '--class-weights 1,2,3,4: 4 weights for 3 classes (a, b, c)'],
    ['classes', '0,0,0', 'all of them are 0'],
  ])('of %s refuse the weights %s', ([task, weights, refused]) => {
    expect(() => taskOf(parseOptions(['--class-weights', weights]), dataOf(task))).toThrow(refused)
  })

  test('weigh each of several labels against its own absence, and one that all texts have, or none, not at all', () => {
    const targets = [
      [1, 1, 0],
      [0, 1, 0],
      [0, 1, 0],
      [0, 1, 0],
    ]
    const { plan, train } = dataOf(
      'labels',
      targets.map(target => example(target)),
    )
    expect(weightsOf('balanced', plan, train)).toEqual([3, 1, 1])
    expect(weightsOf('1,2,0.5', plan, train)).toEqual([1, 2, 0.5])
  })
})
