// The command line and mistakes: each is one line on stderr that names what is wrong, exit status 2, nothing on stdout,
// and nothing written.
import { copyFile, cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listAdapters, openAdapter } from '../../../engine/node/adapters.ts'
import { type Workplace, makeWorkplace, refusal } from '../../support/command.ts'
import { TINY_WORDS } from '../../support/tiny.ts'

const fixtures = join(import.meta.dirname, 'data/fixtures')

let place: Workplace
/** Names of adapters without shader-f16. */
const withoutF16: string[] = []
beforeAll(async () => {
  place = await makeWorkplace('mistakes')
  for (const { name } of await listAdapters()) {
    if (!(await openAdapter({ name })).adapter.features.has('shader-f16')) withoutF16.push(name)
  }
})
afterAll(() => place.remove())

/** A file of its own below the workplace. */
async function put(path: string, content: string | Uint8Array): Promise<string> {
  const whole = join(place.root, path)
  await mkdir(join(whole, '..'), { recursive: true })
  await writeFile(whole, content)
  return whole
}

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>
const QUERY = 'bert.encoder.layer.0.attention.self.query.weight'

/** A copy of the model whose weights file has its header, or its length, changed. */
async function modelWith(name: string, change: (header: Header) => void, cut = 0): Promise<string> {
  const folder = join(place.root, name)
  await cp(place.model, folder, { recursive: true })
  const bytes = await readFile(join(folder, 'model.safetensors'))
  const length = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Header
  change(header)
  const json = Buffer.from(JSON.stringify(header))
  const first = Buffer.alloc(8)
  first.writeBigUInt64LE(BigInt(json.length))
  const data = bytes.subarray(8 + length, bytes.length - cut)
  await writeFile(join(folder, 'model.safetensors'), Buffer.concat([first, json, data]))
  return folder
}

/** A copy of the model with another config.json. */
async function modelOf(name: string, config: string): Promise<string> {
  const folder = join(place.root, name)
  await cp(place.model, folder, { recursive: true })
  await writeFile(join(folder, 'config.json'), config)
  return folder
}

/** The arguments of a run that would be good, with others behind them. */
const good = (...more: string[]): string[] => [
  '--model',
  place.model,
  '--data',
  place.reviews,
  '--max-length',
  '8',
  ...more,
]
const refused = (...more: string[]): Promise<string> => refusal(place, good(...more))

describe.concurrent('options', () => {
  test('that do not exist are refused, with the one that was meant', async () => {
    expect(await refused('--lora-rnak', '4')).toBe('Unknown option --lora-rnak: did you mean --lora-rank?')
  })

  test('with a value out of range say what they take', async () => {
    expect(await refused('--lora-rank', '0')).toBe('--lora-rank takes a whole number of at least 1; got "0"')
  })

  test('that go past the model are refused', async () => {
    expect(await refused('--max-length', '65')).toBe(`--max-length 65 is more than the 64 positions of ${place.model}`)
    expect(await refused('--lora-targets', 'q_lin')).toContain('LoRA target /q_lin/ matches no linear module')
  })

  test('that go past the data are refused', async () => {
    expect(await refused('--limit-train', '2000')).toBe(
      '--limit-train 2000: Cannot draw 2000 examples from a set of 192',
    )
    expect(await refused('--val-split', '192')).toContain('192')
  })

  test('naming an adapter that is not there list those that are', async () => {
    const there = (await listAdapters()).map(({ name }) => `'${name}'`).join(', ')
    expect(await refused('--adapter', 'nothing-like-this')).toBe(
      `No adapter's name contains 'nothing-like-this'; available: ${there}`,
    )
  })

  test('asking for f16 where the adapter has none are refused', async ({ skip }) => {
    const [name] = withoutF16
    if (name === undefined) skip('every adapter here has shader-f16')
    expect(await refused('--adapter', name, '--precision', 'f16')).toBe(
      `--precision f16: ${name} does not offer shader-f16`,
    )
  })

  test('naming a folder for the run that is in use, or can be none, are refused', async () => {
    const used = join(await put('used/diary.txt', 'mine'), '..')
    expect(await refused('--out', used)).toBe(`${used} exists and is not empty: a run needs a folder of its own`)
    expect(await refused('--out', join(used, 'diary.txt', 'run'))).toContain('is a file, or below one')
  })
})

describe.concurrent('data', () => {
  const load = (path: string): Promise<string> => refused('--data', path)

  test('that are not there', async () => {
    expect(await load('../nowhere.csv')).toBe('No file or folder at ../nowhere.csv')
    expect(await load('no/such-dataset')).toContain('is neither a folder nor whole in the cache')
  })

  test('that are folders where files belong', async () => {
    const [train] = [await put('folders/train.csv/x', ''), await put('folders/test.csv/x', '')].map(path =>
      join(path, '..'),
    )
    expect(await load(join(place.root, 'folders'))).toBe(`${train} is a folder, not a file`)
  })

  test('without labels, or with one that is none', async () => {
    const bare = await put('bare.csv', 'text,stars\nfine,5\n')
    expect(await load(bare)).toContain(
      `${bare} has no label column: expected "label" or "sentiment" or the like, found "text", "stars"`,
    )
    const third = await put('third.csv', 'text,label\ngood,1\nso-so,x\n')
    expect(await refused('--data', third, '--labels', 'bad,good')).toBe(
      `${third}, data row 2: the label "x" is not one of bad, good`,
    )
  })

  test('in a Parquet file that is damaged, or whose labels are out of range', async () => {
    const folder = join(place.root, 'damaged-parquet')
    await cp(join(fixtures, 'plain_text'), folder, { recursive: true })
    const path = join(folder, 'train-00001-of-00002.parquet')
    const bytes = await readFile(path)
    // Zeros over the pages: magic and footer are still good.
    await writeFile(path, bytes.fill(0, 4, 80))
    expect(await load(folder)).toContain(`${path} is not a Parquet file, or is cut short or damaged: `)
    const label = join(fixtures, 'bad-label.parquet')
    expect(await load(label)).toMatch(
      /bad-label\.parquet has only the label "\d" to train on; at least two are needed$/,
    )
  })

  test('in an archive that is cut short', async () => {
    const path = await put('aclImdb_v1.tar.gz', Buffer.from('1f8b0800000000000003edcfb10a', 'hex'))
    expect(await load(path)).toContain(`${path} is not a tar archive, or is cut short or damaged`)
  })

  test('in batches that no buffer holds', async () => {
    expect(await refused('--data', place.reviews, '--model', place.model, '--batch-size', '1e12')).toMatch(
      /^--batch-size 1000000000000 × --max-length 8: hidden states of [\d.]+ [MGT]B are more than one buffer of .* holds/,
    )
    expect(await refused('--data', place.reviews, '--model', place.model, '--batch-tokens', '1e12')).toContain(
      '--batch-tokens 1000000000000: ',
    )
  })

  test('of one class only', async () => {
    expect(await load(await put('one.csv', `text,label\n${'good,1\n'.repeat(10)}`))).toContain(
      'the training examples have only the label "positive"',
    )
  })
})

describe.concurrent('a model', () => {
  const load = (path: string): Promise<string> => refused('--model', path)

  test('that is not there, or no model', async () => {
    expect(await load('../nowhere')).toBe('No file or folder at ../nowhere')
    const empty = await place.folder()
    expect(await load(empty)).toMatch(new RegExp(`^${empty} has no config\\.json`))
    const gpt = await modelOf('gpt', '{"model_type": "gpt2"}')
    expect(await load(gpt)).toBe(
      `${join(gpt, 'config.json')}: model_type "gpt2" is not supported; bert and distilbert are`,
    )
  })

  test('whose weights are cut short', async () => {
    const folder = await modelWith('short', () => undefined, 100)
    expect(await load(folder)).toMatch(/short\/model\.safetensors.*truncated/)
  })

  test('whose header lies about where a tensor is', async () => {
    const folder = await modelWith('lying', header => {
      const [begin, end] = header[QUERY].data_offsets
      header[QUERY].data_offsets = [begin + 4, end + 4]
    })
    expect(await load(folder)).toMatch(/lying\/model\.safetensors: .*tensor "bert\.encoder/)
  })

  test('that lacks a tensor', async () => {
    const folder = await modelWith('lacking', header => {
      header['somebody.else'] = header[QUERY]
      delete header[QUERY]
    })
    expect(await load(folder)).toBe(
      `${join(folder, 'model.safetensors')} has no tensor ${QUERY} [32, 32], which ${folder} needs`,
    )
  })

  test('with a tensor of another shape', async () => {
    const folder = await modelWith('misshapen', header => {
      header[QUERY].shape = [16, 64]
    })
    expect(await load(folder)).toBe(
      `${join(folder, 'model.safetensors')}: tensor ${QUERY} is [16, 64], expected [32, 32]`,
    )
  })

  test('with a tokenizer for another vocabulary', async () => {
    const path = await put('other/vocab.txt', [...TINY_WORDS, 'extra', 'words'].map(word => `${word}\n`).join(''))
    expect(await refused('--tokenizer', path)).toBe(
      `${path} is a tokenizer of ${TINY_WORDS.length + 2} tokens, but the model ${place.model} has a vocabulary of ${TINY_WORDS.length}`,
    )
  })
})

describe.concurrent('going on', () => {
  const resume = (path: string): Promise<string> => refusal(place, ['--resume', path])

  test('with what is no run', async () => {
    expect(await resume('../nowhere')).toBe("No run's folder at ../nowhere")
    const empty = await place.folder()
    expect(await resume(empty)).toBe(`${empty} is not a run folder: it has no config.json`)
    const other = join(await put('foreign/config.json', '{"arguments": ["--frobnicate"]}'), '..')
    expect(await resume(other)).toContain(`${join(other, 'config.json')}: arguments: Unknown option --frobnicate`)
  })

  test('with options that would change the run', async () => {
    expect(await refusal(place, ['--resume', '../nowhere', '--lr', '1'])).toContain(
      '--lr cannot be given with --resume',
    )
  })
})

/** A run's folder with only its config.json, as one leaves that was killed at once. */
async function beginnings(name: string): Promise<string> {
  const config = await put(join(name, 'config.json'), JSON.stringify({ arguments: good() }))
  return join(config, '..')
}

describe.concurrent('a run', () => {
  test('that is finished', async () => {
    const folder = await beginnings('finished')
    await put('finished/result.json', '{}')
    expect(await refusal(place, ['--resume', folder])).toBe(`${folder} is finished: see its result.json`)
  })

  test('whose checkpoint has no checksum', async () => {
    const folder = await beginnings('torn')
    await put('torn/checkpoints/step-000004/position.json', '{"step": 4}')
    await copyFile(join(place.model, 'model.safetensors'), join(folder, 'checkpoints/step-000004/state.safetensors'))
    expect(await refusal(place, ['--resume', folder])).toContain(
      'position.json has no checksum: an earlier version of tilegrad wrote it',
    )
  })

  test('whose data have gone', async () => {
    const gone = join(place.root, 'gone.csv')
    const folder = join(await put('orphan/config.json', JSON.stringify({ arguments: good('--data', gone) })), '..')
    expect(await refusal(place, ['--resume', folder])).toBe(`No file or folder at ${gone}`)
  })
})
