// Long texts from the command line: what is said of their length, and that `--window` learns what a cut loses, is kept
// with the model, and can be overridden.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readJson } from '../../../models/node/files.ts'
import { type Workplace, makeWorkplace, refusal, resultOf } from '../../support/command.ts'
import { imdb, tilegrad, tinyReviews, toCsv, writeTinyModel } from '../../support/tiny.ts'

/** Reviews of 8 to 19 words whose last one decides: 10 to 21 tokens, of which a cut at 8 leaves the first 6 words. */
const LONG = tinyReviews(200, { shortest: 7, longest: 18, seed: 4 }).map(({ text, label }) => {
  const words = text.split(' ')
  const at = words.findIndex(word => ['good', 'great', 'bad', 'awful'].includes(word))
  const [decider] = words.splice(at, 1, 'film')
  return { text: [...words, decider].join(' '), label }
})

let place: Workplace
let data: string
beforeAll(async () => {
  place = await makeWorkplace('window', { hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 })
  data = join(place.root, 'long.csv')
  await writeFile(data, toCsv(LONG))
})
afterAll(() => place.remove())

const inputs = (...more: string[]): string[] => [
  '--model',
  place.model,
  '--data',
  data,
  '--max-length',
  '8',
  '--val-split',
  '0',
  ...more,
]
const training = [
  '--tune',
  'full',
  '--lr',
  '1e-2',
  '--batch-size',
  '8',
  '--epochs',
  '6',
  '--tune-kernels',
  'off',
  '--json',
]
interface Result {
  readonly folder: string
  readonly test_accuracy: number
  readonly data: { readonly token_length: Record<string, number> }
}

describe.concurrent('a text that is longer than the model', () => {
  test('is learned from its end with --window, and what was trained reads all of it too', async () => {
    const cwd = await place.folder()
    const options = { cwd, env: place.env }
    const {
      test_accuracy,
      data: { token_length },
    } = resultOf<Result>(await imdb(inputs('--window', '2', '--out', 'run', ...training), options))
    expect(test_accuracy).toBeGreaterThan(0.9)
    expect(token_length).toMatchObject({ count: 160, longer: 160 })
    expect(await readJson(join(cwd, 'run/model/tilegrad.json'))).toMatchObject({ max_length: 8, window: 2 })

    const texts = join(cwd, 'texts.txt')
    const long = 'the film was long and the plot was old and just about the end of it'
    const input = `${long} awful\n${long} great\nshort film\n`
    await writeFile(texts, input)
    const answers = async (...more: string[]) => {
      const { status, stdout, stderr } = await tilegrad(['predict', 'run', '--json', ...more], { ...options, input })
      expect(status, stderr).toBe(0)
      return {
        stderr,
        rows: stdout
          .trimEnd()
          .split('\n')
          .map(line => JSON.parse(line) as { label: string; probability: number }),
      }
    }
    const windows = await answers()
    expect([windows.stderr, windows.rows.map(({ label }) => label).slice(0, 2)]).toEqual(['', ['negative', 'positive']])
    const cut = await answers('--window', 'off')
    expect(cut.stderr).toBe(
      'tilegrad: 2 of 3 texts were cut to 8 tokens; --window or --max-length (up to 64) reads more of them\n',
    )
    expect(cut.rows[0]).toMatchObject({ label: cut.rows[1].label, probability: cut.rows[1].probability })
    // One that fits gets the same bits, whatever is done with the others.
    expect(cut.rows[2]).toEqual(windows.rows[2])

    const evaluated = await tilegrad(['evaluate', 'run', '--data', data, '--window', 'off', '--json'], options)
    expect(evaluated.stderr).toContain(
      'tilegrad: 200 of 200 texts were cut to 8 tokens; --window or --max-length (up to 64) reads more of them\n',
    )
    expect(resultOf<{ accuracy: number }>(evaluated).accuracy).toBeLessThan(0.7)
  })

  test('is not learned from its end without', async () => {
    const { test_accuracy } = resultOf<Result>(
      await imdb(inputs('--out', 'run', ...training), { cwd: await place.folder(), env: place.env }),
    )
    expect(test_accuracy).toBeLessThan(0.7)
  })

  test('is told of before a run, and what helps', async () => {
    const said = async (...more: string[]): Promise<string> => {
      const { status, stdout, stderr } = await imdb(inputs('--dry-run', ...more), {
        cwd: await place.folder(),
        env: place.env,
      })
      expect(status, stderr).toBe(0)
      return stdout
    }
    const tokens = /Tokens in a training text: median 1\d, 95 % up to 2\d, longest 21\.\n/
    expect(await said()).toMatch(
      new RegExp(
        `${tokens.source}160 of 160 \\(100\\.00 %\\) are longer than 8 and are cut; --window or --max-length \\(up to 64\\) reads more of them\\.\n`,
      ),
    )
    const windows = await said('--window', '2')
    expect(windows).toMatch(/160 of 160 \(100\.00 %\) are longer than 8 and are read in windows of 8 that share 2\.\n/)
    expect(windows).toMatch(/Step of (64|96) windows × 8 tokens on /)
  })

  test('that is the first of a pair leaves windows no room, which a dry run with --window says as a run does', async () => {
    const pairs = join(place.root, 'pairs')
    const rows = Array.from(
      { length: 20 },
      (_, i) => `${i < 19 ? 'the film' : 'the plot was long and old'},it was ${i % 2 ? 'good' : 'bad'},${i % 2}\n`,
    )
    await mkdir(pairs)
    await writeFile(join(pairs, 'train.csv'), `text_a,text_b,label\n${rows.slice(0, 18).join('')}`)
    await writeFile(join(pairs, 'test.csv'), `text_a,text_b,label\n${rows.slice(18).join('')}`)
    const args = ['--model', place.model, '--data', pairs, '--max-length', '10', '--val-split', '0']
    const options = { cwd: await place.folder(), env: place.env }
    const [windows, cut] = await Promise.all(
      [['--window', '2'], []].map(more => imdb([...args, ...more, '--dry-run'], options)),
    )
    expect(windows.stderr).toMatch(
      /^tilegrad: example 2: the first text of a pair is kept whole in every window, and has 6 tokens: a window of 10 holds 1 of the second, /,
    )
    expect([windows.status, cut.status], cut.stderr).toEqual([2, 0])
  })

  test('in windows that share too much is refused before anything is read', async () => {
    expect(await refusal(place, inputs('--window', '6'))).toMatch(
      /^--window 6 must be at most 5: a window of 8 tokens holds 6 /,
    )
  })
})

test('the longest text follows the positions of the model', async () => {
  const folder = await writeTinyModel(join(place.root, 'distilbert'), {
    changes: {
      model_type: 'distilbert',
      architectures: ['DistilBertForSequenceClassification'],
      dim: 32,
      n_layers: 1,
      n_heads: 2,
      hidden_dim: 64,
      max_position_embeddings: 64,
    },
  })
  const { status, stdout, stderr } = await imdb(['--model', folder, '--data', data, '--dry-run'], {
    cwd: await place.folder(),
    env: place.env,
  })
  expect(status, stderr).toBe(0)
  expect(stdout).toContain('Step of 16 × 64 tokens on ')
  expect(stdout).toContain(' None is longer than 64.\n')
})
