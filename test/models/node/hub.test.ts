// Models and data sets by name, against a small Hub on the loopback interface: what is downloaded, what is not, where
// it ends up, and what is said when it can't be had.
import { lstat, mkdir, mkdtemp, readFile, readdir, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { UserError } from '../../../engine/errors.ts'
import { openWeights } from '../../../models/node/files.ts'
import { cachedDataset, cachedModel, resolveDataset, resolveModel } from '../../../models/node/hub.ts'
import { serialize } from '../../../models/safetensors.ts'
import { TOKEN, startHub, stubHub } from '../../support/hub-server.ts'
import type { HubServer } from '../../support/hub-server.ts'

const COMMIT = '0123456789abcdef0123456789abcdef01234567'
const tensors = (name: string, length: number) =>
  serialize([{ name, dtype: 'F32', shape: [length], data: Float32Array.from({ length }, (_, i) => i) }])
const WEIGHTS = tensors('weight', 50_000)
const CONFIG = '{"model_type":"distilbert"}'
const small = { 'config.json': CONFIG, 'tokenizer.json': '{}', 'README.md': '# read me' }
const parquet = (...names: string[]) =>
  Object.fromEntries(names.map(name => [`plain_text/${name}.parquet`, `PAR1 ${name}`]))

let hub: HubServer
let cacheDir = ''
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'tilegrad-hub-'))
  hub = await startHub(
    [
      {
        type: 'model',
        name: 'distilbert/distilbert-base-uncased',
        commit: COMMIT,
        revisions: ['refs/pr/1'],
        files: {
          ...small,
          'model.safetensors': WEIGHTS,
          'pytorch_model.bin': 'pickle',
          'onnx/model.safetensors': 'no',
        },
      },
      {
        type: 'model',
        name: 'some/sharded',
        commit: COMMIT,
        files: {
          ...small,
          'a.safetensors': tensors('a', 3),
          'b.safetensors': tensors('b', 4),
          'c.safetensors': tensors('c', 5),
          'model.safetensors.index.json': JSON.stringify({ weight_map: { a: 'a.safetensors', b: 'b.safetensors' } }),
        },
      },
      {
        type: 'model',
        name: 'some/gap',
        commit: COMMIT,
        files: {
          ...small,
          'model.safetensors.index.json': JSON.stringify({ weight_map: { a: 'a.safetensors' } }),
        },
      },
      { type: 'model', name: 'some/pickle', commit: COMMIT, files: { ...small, 'pytorch_model.bin': 'pickle' } },
      {
        type: 'model',
        name: 'some/gated',
        commit: COMMIT,
        gated: true,
        files: { ...small, 'model.safetensors': WEIGHTS },
      },
      { type: 'model', name: 'some/escape', commit: COMMIT, files: { ...small, '../../evil.json': 'x' } },
      {
        type: 'dataset',
        name: 'stanfordnlp/imdb',
        commit: COMMIT,
        files: {
          'README.md': '#',
          ...parquet('train-00000-of-00001', 'test-00000-of-00001', 'unsupervised-00000-of-00001'),
        },
      },
      {
        type: 'dataset',
        name: 'some/series',
        commit: COMMIT,
        files: parquet('train-00000-of-00002', 'train-00001-of-00002'),
      },
      { type: 'dataset', name: 'some/text', commit: COMMIT, files: { 'data.csv': 'text,label' } },
    ],
    { 'old-name': 'some/sharded' },
  )
  stubHub(hub.url, cacheDir)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await hub.close()
  await rm(cacheDir, { recursive: true, force: true })
})

/** Whether a folder's weights are those of the Hub, to the byte. */
const isWhole = async (folder: string) => (await readFile(join(folder, 'model.safetensors'))).equals(WEIGHTS)

/** The UserError's message that a promise ends in, on one line. */
async function complaint(promise: Promise<unknown>): Promise<string> {
  const failure = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(failure).toBeInstanceOf(UserError)
  expect(String(failure)).not.toContain('\n')
  return String(failure)
}

describe('a model by name', () => {
  test('is downloaded into the cache that other tools share, with what it needs and no more', async () => {
    const seen = new Map<string, [number, number]>()
    const { folder, commit } = await resolveModel('distilbert-base-uncased', {
      progress: (file, done, total) => seen.set(file, [done, total]),
    })
    const repository = join(cacheDir, 'models--distilbert--distilbert-base-uncased')
    expect(folder).toBe(join(repository, 'snapshots', COMMIT))
    expect(commit).toBe(COMMIT)
    expect((await readdir(folder)).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json'])
    expect(await readFile(join(repository, 'refs/main'), 'utf8')).toBe(COMMIT)
    expect(await readFile(join(folder, 'config.json'), 'utf8')).toBe(CONFIG)
    expect(await isWhole(folder)).toBe(true)
    expect(seen.get('model.safetensors')).toEqual([WEIGHTS.length, WEIGHTS.length])
    if (process.platform !== 'win32') {
      expect((await lstat(join(folder, 'config.json'))).isSymbolicLink()).toBe(true)
      expect(await readlink(join(folder, 'config.json'))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/)
    }
    expect((await readdir(join(repository, 'blobs'))).filter(name => name.endsWith('.incomplete'))).toEqual([])
  })

  test('that is in the cache is used without a request, by its old name and its new one', async () => {
    expect(await cachedModel('distilbert-base-uncased')).toBeUndefined()
    const { folder } = await resolveModel('distilbert-base-uncased')
    hub.requests.length = 0
    expect(await resolveModel('distilbert/distilbert-base-uncased')).toEqual({ folder, commit: COMMIT })
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    expect(await resolveModel('distilbert-base-uncased')).toEqual({ folder, commit: COMMIT })
    expect(await cachedModel('distilbert-base-uncased')).toBe(folder)
    expect(await cachedModel('distilbert-base-uncased', { revision: 'other' })).toBeUndefined()
    expect(hub.requests).toEqual([])
  })

  test('that another tool has cached without its tokenizer is completed, or used as it is without the Hub', async () => {
    const { folder } = await resolveModel('distilbert-base-uncased')
    await rm(join(folder, 'tokenizer.json'))
    await resolveModel('distilbert-base-uncased')
    expect(await readdir(folder)).toContain('tokenizer.json')
    await rm(join(folder, 'tokenizer.json'))
    expect((await resolveModel('distilbert-base-uncased', { offline: true })).folder).toBe(folder)
    await hub.close()
    expect((await resolveModel('distilbert-base-uncased')).folder).toBe(folder)
    hub = await startHub([])
  })

  test('without its weights gets config and tokenizer, which is not the whole model', async () => {
    const { folder } = await resolveModel('some/pickle', { weights: false })
    expect((await readdir(folder)).sort()).toEqual(['config.json', 'tokenizer.json'])
    expect(await cachedModel('some/pickle')).toBeUndefined()
    expect(await cachedModel('some/pickle', { weights: false })).toBe(folder)
  })

  test('in shards gets those that its index names', async () => {
    const { folder } = await resolveModel('some/sharded')
    expect((await readdir(folder)).sort()).toEqual([
      'a.safetensors',
      'b.safetensors',
      'config.json',
      'model.safetensors.index.json',
      'tokenizer.json',
    ])
    const weights = await openWeights(folder)
    expect(await weights.read('b')).toEqual(Float32Array.of(0, 1, 2, 3))
    await weights.close()
    await rm(join(folder, 'b.safetensors'))
    expect(await cachedModel('some/sharded')).toBeUndefined()
  })

  test('that moved is followed', async () => {
    const { folder } = await resolveModel('old-name', { weights: false })
    expect(await readFile(join(folder, 'config.json'), 'utf8')).toBe(CONFIG)
  })

  test('at a revision is kept under that name, or under none for a commit', async () => {
    const { folder } = await resolveModel('distilbert-base-uncased@refs/pr/1')
    expect(await cachedModel('distilbert-base-uncased', { revision: 'refs/pr/1' })).toBe(folder)
    expect(await cachedModel(`distilbert-base-uncased@${COMMIT}`)).toBe(folder)
    expect(await cachedModel('distilbert-base-uncased')).toBeUndefined()
    expect(await complaint(resolveModel('some/sharded', { revision: 'v9' }))).toContain(
      'the Hub has no model some/sharded at revision v9',
    )
  })
})

describe('a download', () => {
  test('that breaks off says so, and goes on from there the next time', async () => {
    hub.cuts.set('model.safetensors', 100_000)
    const total = WEIGHTS.length
    expect(await complaint(resolveModel('distilbert-base-uncased', { limits: { attempts: 1 } }))).toMatch(
      new RegExp(
        `the download of model\\.safetensors of distilbert/distilbert-base-uncased broke off at \\d+ of ${total} bytes`,
      ),
    )
    expect(await cachedModel('distilbert-base-uncased')).toBeUndefined()
    hub.requests.length = 0
    const starts: number[] = []
    const { folder } = await resolveModel('distilbert-base-uncased', {
      progress: (file, done) => file === 'model.safetensors' && starts.push(done),
    })
    expect(starts[0]).toBeGreaterThan(0)
    expect(hub.requests).toContain(
      `GET /cdn/distilbert/distilbert-base-uncased/model.safetensors [${starts[0]}-${total - 1}]`,
    )
    expect(await isWhole(folder)).toBe(true)
  })

  test('that breaks off is taken up again by itself, where it was', async () => {
    hub.cuts.set('model.safetensors', 100_000)
    const { folder } = await resolveModel('distilbert-base-uncased', { limits: { backoff: 1 } })
    expect(await isWhole(folder)).toBe(true)
    const starts = hub.requests.flatMap(request => /cdn.*model\.safetensors(?: \[(\d+)-\d+\])?$/.exec(request) ?? [])
    expect(starts).toHaveLength(4)
    expect(Number(starts[3])).toBeGreaterThan(0)
  })

  test('whose bytes are not those of the hash is thrown away, and whole the next time', async () => {
    hub.damaged.set('model.safetensors', WEIGHTS.with(WEIGHTS.length - 1, 77))
    expect(await complaint(resolveModel('distilbert-base-uncased'))).toContain(
      'model.safetensors of distilbert/distilbert-base-uncased came damaged',
    )
    hub.damaged.clear()
    const { folder } = await resolveModel('distilbert-base-uncased')
    expect(await isWhole(folder)).toBe(true)
  })

  test('by two at once ends well for both', async () => {
    const both = await Promise.all([resolveModel('distilbert-base-uncased'), resolveModel('distilbert-base-uncased')])
    expect(both[0]).toEqual(both[1])
    expect(await isWhole(both[0].folder)).toBe(true)
  })
})

describe('a model that can not be had', () => {
  test.each([
    ['no/such-model', 'the Hub has no public model no/such-model; if it is private, set HF_TOKEN'],
    [
      'some/pickle',
      'model some/pickle on the Hub has its weights as pytorch_model.bin only, and tilegrad reads model.safetensors: load it',
    ],
    ['some/gap', 'model some/gap on the Hub has no a.safetensors at revision main'],
    ['some/escape', 'model some/escape lists a file that can\'t be stored: "../../evil.json"'],
    ['./no/such/folder', './no/such/folder does not exist, and no model on the Hub can have that name'],
    ['a/b/c', 'a/b/c does not exist'],
    ['../x', '../x does not exist'],
    ['', ' does not exist'],
    ['some/sharded@../../x', 'does not exist'],
  ])('%j is refused in one line', async (name, message) => {
    expect(await complaint(resolveModel(name))).toContain(message)
    expect((await readdir(cacheDir, { recursive: true })).filter(path => path.includes('refs'))).toEqual([])
  })

  test('because it is gated says where to ask; with a token it comes', async () => {
    expect(await complaint(resolveModel('some/gated'))).toContain(
      `model some/gated is gated: accept its terms at ${hub.url}/some/gated and set HF_TOKEN`,
    )
    vi.stubEnv('HF_TOKEN', TOKEN)
    const { folder } = await resolveModel('some/gated')
    expect(await cachedModel('some/gated')).toBe(folder)
    expect(await complaint(resolveModel('no/such-model'))).toContain('the Hub has no model no/such-model')
    vi.stubEnv('HF_TOKEN', 'secret')
    const message = await complaint(resolveModel('no/such-model'))
    expect(message).toContain('HF_TOKEN holds no token of the Hub')
    expect(message).not.toContain('secret')
  })

  test('because it is gated comes with the token that a login has left', async () => {
    await writeFile(join(cacheDir, 'token'), `${TOKEN}\n`)
    const { folder } = await resolveModel('some/gated')
    expect(await cachedModel('some/gated')).toBe(folder)
    await writeFile(join(cacheDir, 'token'), 'secret')
    const message = await complaint(resolveModel('no/such-model'))
    expect(message).toContain(`${join(cacheDir, 'token')} holds no token of the Hub`)
    expect(message).not.toContain('secret')
  })

  test('because downloads are off, the Hub is ill or out of reach says so', async () => {
    expect(await complaint(resolveModel('some/sharded', { offline: true }))).toContain(
      `model some/sharded is neither a folder nor whole in the cache ${cacheDir}, and downloads are off`,
    )
    expect(hub.requests).toEqual([])
    hub.failure = 503
    expect(await complaint(resolveModel('some/sharded', { limits: { backoff: 1 } }))).toContain(
      'the Hub answers 503 to a request for model some/sharded',
    )
    await hub.close()
    expect(await complaint(resolveModel('some/sharded'))).toMatch(
      /^UserError: http:\/\/127\.0\.0\.1:\d+ can't be reached \(ECONNREFUSED\), and model some\/sharded is not in the cache/,
    )
    hub = await startHub([])
  })

  test('because the cache is a file says so', async () => {
    await writeFile(join(cacheDir, 'file'), '')
    const promise = resolveModel('some/sharded', { cacheDir: join(cacheDir, 'file') })
    expect(await complaint(promise)).toContain("can't be written to the cache")
  })
})

describe('a model in a folder', () => {
  test('is used as it is, and what it lacks is named', async () => {
    const folder = join(cacheDir, 'mine')
    await mkdir(folder)
    expect(await complaint(resolveModel(folder))).toBe(
      `UserError: ${folder} has no config.json and no model.safetensors`,
    )
    await writeFile(join(folder, 'config.json'), CONFIG)
    await writeFile(join(folder, 'pytorch_model.bin'), 'pickle')
    const converted = `${folder} has its weights as pytorch_model.bin only, and tilegrad reads model.safetensors: load it in Python with Transformers`
    expect(await complaint(resolveModel(folder))).toContain(converted)
    expect(await complaint(openWeights(folder))).toContain(converted)
    await rm(join(folder, 'pytorch_model.bin'))
    expect(await complaint(resolveModel(folder))).toBe(`UserError: ${folder} has no model.safetensors`)
    expect(await resolveModel(folder, { weights: false })).toEqual({ folder })
    await writeFile(join(folder, 'model.safetensors'), WEIGHTS)
    expect(await resolveModel(folder)).toEqual({ folder })
    expect(await complaint(resolveModel(join(folder, 'config.json')))).toContain(
      'config.json is a file, where the folder of a model',
    )
    expect(hub.requests).toEqual([])
  })
})

describe('a data set by name', () => {
  test('gets the parquet files that are wanted, and is found again without a request', async () => {
    const select = (path: string) => !path.includes('unsupervised')
    expect(await cachedDataset('imdb', { select })).toBeUndefined()
    const { folder } = await resolveDataset('imdb', { select })
    expect(folder).toBe(join(cacheDir, 'datasets--stanfordnlp--imdb/snapshots', COMMIT))
    expect((await readdir(join(folder, 'plain_text'))).sort()).toEqual([
      'test-00000-of-00001.parquet',
      'train-00000-of-00001.parquet',
    ])
    hub.requests.length = 0
    expect(await resolveDataset('stanfordnlp/imdb', { select })).toEqual({ folder, commit: COMMIT })
    expect(await cachedDataset('imdb', { select })).toBe(folder)
    expect(hub.requests).toEqual([])
  })

  test('of which the cache has only a part is completed', async () => {
    const { folder } = await resolveDataset('some/series')
    const part = join(folder, 'plain_text/train-00001-of-00002.parquet')
    await rm(part)
    expect(await cachedDataset('some/series')).toBeUndefined()
    await resolveDataset('some/series')
    expect(await readFile(part, 'utf8')).toBe('PAR1 train-00001-of-00002')
  })

  test('of a series that says it has a thousand million files is not whole, which takes no time', async () => {
    const { folder } = await resolveDataset('some/series')
    await writeFile(join(folder, 'plain_text/train-00000-of-1000000000.parquet'), '')
    await writeFile(join(folder, `plain_text/test-0-of-${'9'.repeat(100)}.parquet`), '')
    expect(await cachedDataset('some/series')).toBeUndefined()
    expect(await cachedDataset('some/series', { select: path => path.endsWith('of-00002.parquet') })).toBe(folder)
  })

  test('of which the cache has one set of two is completed', async () => {
    const splits = ['train', 'test']
    const { folder } = await resolveDataset('imdb', { select: path => path.includes('train') })
    expect(await cachedDataset('imdb')).toBe(folder)
    expect(await cachedDataset('imdb', { splits })).toBeUndefined()
    await resolveDataset('imdb', { splits })
    expect(await cachedDataset('imdb', { splits })).toBe(folder)
    expect(await readdir(join(folder, 'plain_text'))).toContain('test-00000-of-00001.parquet')
  })

  test('without parquet files, or that is not there, is refused', async () => {
    expect(await complaint(resolveDataset('some/text'))).toContain('dataset some/text on the Hub has no parquet files')
    expect(await complaint(resolveDataset('no/such'))).toContain('the Hub has no public dataset no/such')
    expect(await complaint(resolveDataset('imdb', { offline: true }))).toContain(
      'dataset stanfordnlp/imdb is neither a folder nor',
    )
  })
})
