// Every form that reviews and models may come in, given to `node train/imdb.ts` as a process: the same reviews give the
// same figures, from wherever they are read; and by name they come from a Hub on the loopback interface, then the
// cache.
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { create } from 'tar'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Workplace, makeWorkplace, resultOf } from '../../support/command.ts'
import { startHub } from '../../support/hub-server.ts'
import { type Review, loadReviews } from '../../support/reviews.ts'
import { imdb, tilegrad } from '../../support/tiny.ts'

const parquet = join(import.meta.dirname, 'data/fixtures')
/** Of the two sets that lie there, 5 reviews for training and 2 for the test. */
let sets: Record<'train' | 'test', readonly Review[]>
let place: Workplace
beforeAll(async () => {
  place = await makeWorkplace('data')
  sets = await loadReviews(parquet)
})
afterAll(() => place.remove())

interface Facts {
  readonly data: Record<
    'train' | 'test',
    { readonly rows: number; readonly positive: number; readonly text_length: { readonly mean: number } }
  >
}

async function put(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(join(place.root, path)), { recursive: true })
  await writeFile(join(place.root, path), content)
}

/** Writes both sets, each by `write`, and gives the folder. */
async function putSets(
  folder: string,
  write: (set: 'train' | 'test', reviews: readonly Review[]) => Promise<unknown>,
): Promise<string> {
  for (const set of ['train', 'test'] as const) await write(set, sets[set])
  return join(place.root, folder)
}

const asAclImdb = (folder: string): Promise<string> =>
  putSets(folder, (set, reviews) =>
    Promise.all(
      reviews.map(({ text, label }, i) =>
        put(`${folder}/${set}/${label === 1 ? 'pos' : 'neg'}/${i}_${label === 1 ? 9 : 2}.txt`, text),
      ),
    ),
  )

const forms: Readonly<Record<string, () => Promise<string>>> = {
  'a folder of Parquet files': async () => parquet,
  'a pair of CSV files': () =>
    putSets('csv', (set, reviews) =>
      put(
        `csv/${set}.csv`,
        `review,sentiment\n${reviews.map(({ text, label }) => `"${text}",${label === 1 ? 'positive' : 'negative'}\n`).join('')}`,
      ),
    ),
  'a pair of JSON Lines files': () =>
    putSets('jsonl', (set, reviews) =>
      put(`jsonl/${set}.jsonl`, reviews.map(review => `${JSON.stringify(review)}\n`).join('')),
    ),
  'an aclImdb folder': () => asAclImdb('aclImdb'),
  "aclImdb's archive": async () => {
    await asAclImdb('packed/aclImdb')
    const file = join(place.root, 'aclImdb_v1.tar.gz')
    await create({ gzip: true, file, cwd: join(place.root, 'packed') }, ['aclImdb'])
    return file
  },
}

/** The cheapest model to plan: nothing of it is trained but its head. */
const dry = (...args: string[]): string[] => [
  '--tune',
  'head',
  '--batch-size',
  '2',
  '--max-length',
  '8',
  '--val-split',
  '0',
  '--dry-run',
  '--json',
  ...args,
]

describe.concurrent('reviews', () => {
  test.each(Object.keys(forms))('are read from %s', async form => {
    const data = await forms[form]()
    const cwd = await place.folder()
    const {
      data: { train, test },
    } = resultOf<Facts>(await imdb(dry('--model', place.model, '--data', data), { cwd, env: place.env }))
    const lengths = sets.train.map(({ text }) => [...text].length)
    expect(train).toMatchObject({ rows: 5, positive: 2, text_length: { mean: lengths.reduce((a, b) => a + b, 0) / 5 } })
    expect(test).toMatchObject({ rows: 2, positive: 1 })
    expect(await readdir(cwd)).toEqual([])
  })
})

describe('from the Hub, by name', () => {
  test('data and model are downloaded, trained on, and found in the cache the next time', async () => {
    const read = async (folder: string, path: string) => [path, await readFile(join(folder, path))] as const
    const hub = await startHub([
      {
        type: 'model',
        name: 'somebody/tiny-bert',
        commit: '1'.repeat(40),
        files: Object.fromEntries(
          await Promise.all(['config.json', 'model.safetensors', 'vocab.txt'].map(path => read(place.model, path))),
        ),
      },
      {
        type: 'dataset',
        name: 'stanfordnlp/imdb',
        commit: '2'.repeat(40),
        files: Object.fromEntries(
          await Promise.all(
            (await readdir(join(parquet, 'plain_text'))).map(name => read(parquet, `plain_text/${name}`)),
          ),
        ),
      },
    ])
    try {
      const cwd = await place.folder()
      const named = ['--model', 'somebody/tiny-bert', '--data', 'stanfordnlp/imdb', '--max-length', '8', '--json']
      const online = { ...place.env, HF_ENDPOINT: hub.url, HF_HUB_OFFLINE: '' }
      const options = [
        '--lora-targets',
        'query',
        '--batch-size',
        '4',
        '--epochs',
        '1',
        '--val-split',
        '0',
        '--out',
        'run',
      ]
      const run = resultOf<Facts & { steps: number }>(
        await imdb([...named, ...options], { cwd, env: online, report: true }),
      )
      expect(run).toMatchObject({
        steps: 2,
        data: { train: { rows: 5 }, test: { rows: 2 } },
        model: { name: 'somebody/tiny-bert' },
      })
      const adapter = JSON.parse(await readFile(join(cwd, 'run/adapter/adapter_config.json'), 'utf8')) as Record<
        string,
        unknown
      >
      expect(adapter.base_model_name_or_path).toBe('somebody/tiny-bert')
      expect(adapter.revision, 'the base that it was trained on, whatever main becomes').toBe('1'.repeat(40))
      const report = await readFile(join(cwd, 'run/report.html'), 'utf8')
      expect(report).toContain(`--model=somebody/tiny-bert@${'1'.repeat(40)} --data=stanfordnlp/imdb@${'2'.repeat(40)}`)
      expect(hub.requests.some(request => request.includes('model.safetensors'))).toBe(true)
      // Only the labelled sets of the dataset are asked for.
      expect(hub.requests.filter(request => request.includes('unsupervised'))).toEqual([])

      const before = hub.requests.length
      const args = ['--dry-run', '--tune', 'head', '--batch-size', '2', '--val-split', '0']
      const again = resultOf<Facts>(await imdb([...named, ...args], { cwd, env: { ...online, HF_HUB_OFFLINE: '1' } }))
      expect(again.data).toEqual(run.data)
      expect(hub.requests.length).toBe(before)

      // A run that goes on does so with what it began with, though the cache's main is another commit by now.
      const config = JSON.parse(await readFile(join(cwd, 'run/config.json'), 'utf8')) as Record<string, unknown>
      expect(config.commits).toEqual({ model: '1'.repeat(40), data: '2'.repeat(40) })
      await rm(join(cwd, 'run/result.json'))
      for (const repository of ['models--somebody--tiny-bert', 'datasets--stanfordnlp--imdb']) {
        await writeFile(join(place.root, 'hub-cache/hub', repository, 'refs/main'), '3'.repeat(40))
      }
      const planned = await imdb(['--resume', 'run', '--dry-run'], { cwd, env: { ...online, HF_HUB_OFFLINE: '1' } })
      expect(planned.status, planned.stderr).toBe(0)
      expect(await readdir(join(cwd, 'run'))).not.toContain('result.json')
      const gone = await imdb(['--resume', 'run'], { cwd, env: { ...online, HF_HUB_OFFLINE: '1' } })
      expect(gone.status, gone.stderr).toBe(0)
      expect(hub.requests.length).toBe(before)

      const { status, stderr } = await imdb(['--model', 'somebody/else', '--data', 'imdb', '--max-length', '8'], {
        cwd,
        env: online,
      })
      expect({ status, stderr }).toEqual({
        status: 2,
        stderr: 'tilegrad: the Hub has no public model somebody/else; if it is private, set HF_TOKEN\n',
      })
      expect(await readdir(cwd)).toEqual(['run'])
    } finally {
      await hub.close()
    }
  })

  test('are learned by an adapter that came from the Hub too, and it answers by its name', async () => {
    const sha = (digit: string) => digit.repeat(40)
    const cwd = await place.folder()
    const offline = { cwd, env: place.env }
    const short = [
      '--max-length',
      '8',
      '--batch-size',
      '4',
      '--epochs',
      '1',
      '--val-split',
      '0',
      '--tune-kernels',
      'off',
      '--json',
    ]
    resultOf(
      await tilegrad(
        [
          'fine-tune',
          '--model',
          place.model,
          '--data',
          join(parquet, 'plain_text'),
          '--lora-targets',
          'query',
          '--lora-rank',
          '2',
          '--out',
          'first',
          ...short,
        ],
        offline,
      ),
    )
    const filesIn = async (folder: string): Promise<Record<string, Uint8Array>> =>
      Object.fromEntries(
        await Promise.all(
          (await readdir(folder)).map(async name => [name, await readFile(join(folder, name))] as const),
        ),
      )
    const adapter = await filesIn(join(cwd, 'first/adapter'))
    const config = JSON.parse(String(adapter['adapter_config.json'])) as object
    const hub = await startHub([
      { type: 'model', name: 'somebody/base', commit: sha('4'), files: await filesIn(place.model) },
      {
        type: 'model',
        name: 'somebody/adapter',
        commit: sha('5'),
        files: {
          ...adapter,
          'adapter_config.json': JSON.stringify({
            ...config,
            base_model_name_or_path: 'somebody/base',
            revision: null,
          }),
        },
      },
      {
        type: 'dataset',
        name: 'somebody/reviews',
        commit: sha('6'),
        files: Object.fromEntries(
          Object.entries(await filesIn(join(parquet, 'plain_text'))).filter(
            ([name]) => !name.startsWith('unsupervised'),
          ),
        ),
      },
    ])
    try {
      const env = { ...place.env, HF_ENDPOINT: hub.url, HF_HUB_OFFLINE: '' }
      const input = 'a good film\na bad film\n'
      const ask = async (source: string, env: Workplace['env']): Promise<string> => {
        const { status, stdout, stderr } = await tilegrad(['predict', source, '--json'], { cwd, env, input })
        expect(status, stderr).toBe(0)
        return stdout
      }
      const answers = await ask('somebody/adapter', env)
      expect(answers.split('\n').length).toBe(3)
      expect(answers, 'as it does on disk').toBe(await ask('first', place.env))

      const run = resultOf<Facts>(
        await tilegrad(
          ['fine-tune', '--model', 'somebody/adapter', '--data', 'somebody/reviews', '--out', 'second', ...short],
          { cwd, env },
        ),
      )
      expect(run).toMatchObject({
        data: { train: { rows: 5 }, test: { rows: 2 } },
        model: { name: 'somebody/base', adapter: 'somebody/adapter' },
      })
      const { commits } = JSON.parse(await readFile(join(cwd, 'second/config.json'), 'utf8')) as { commits: object }
      expect(commits).toEqual({ model: sha('5'), base: sha('4'), data: sha('6') })
      expect(JSON.parse(await readFile(join(cwd, 'second/adapter/adapter_config.json'), 'utf8'))).toMatchObject({
        base_model_name_or_path: 'somebody/base',
        revision: sha('4'),
        r: 2,
        target_modules: ['query'],
      })
    } finally {
      await hub.close()
    }
  })
})
