// `tilegrad baseline` as a user runs it: the folder that it leaves, and what predict and evaluate make of it.
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import { parseBaseline, switchedSteps } from '../../../../train/node/cli/baseline-options.ts'
import { readPredictions, textHash } from '../../../../train/node/run/predictions.ts'
import { filesBelow, resultOf } from '../../../support/command.ts'
import { tilegrad, tinyReviews, toCsv } from '../../../support/tiny.ts'

const tasks = fileURLToPath(new URL('../../../../train/node/bundled/tasks', import.meta.url))
let root = ''
let data = ''
const run = (...args: string[]) => tilegrad(args, { cwd: root })

interface Result {
  readonly folder: string
  readonly test_accuracy: number
  readonly val_accuracy: number
  readonly parameters: { readonly total: number }
  readonly features: number
  readonly ablation?: readonly {
    readonly option: string
    readonly value: string
    readonly p: number
    readonly features: number
  }[]
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'tilegrad-baseline-job-'))
  data = join(root, 'data')
  await mkdir(data)
  const reviews = tinyReviews(600)
  await writeFile(join(data, 'train.csv'), toCsv(reviews.slice(0, 480)))
  await writeFile(join(data, 'test.csv'), toCsv(reviews.slice(480)))
})
afterAll(() => rm(root, { recursive: true, force: true }))

describe('a run', () => {
  let result: Result
  beforeAll(async () => {
    const args = ['baseline', '--data', 'data', '--out', 'runs/one', '--json', '--ablation', 'all']
    result = resultOf<Result>(await tilegrad(args, { cwd: root, ownProcess: true }))
  })

  test('leaves the files of every run', async () => {
    expect(await filesBelow(join(root, 'runs/one'))).toEqual([
      'ablation.json',
      'baseline/baseline.json',
      'baseline/model.safetensors',
      'config.json',
      'metrics.jsonl',
      'predictions.jsonl',
      'report.html',
      'result.json',
    ])
    const config = JSON.parse(await readFile(join(root, 'runs/one/config.json'), 'utf8'))
    expect(config).toMatchObject({ job: 'baseline', arguments: [`--data=${data}`, '--ablation=all'] })
    expect(config.fingerprints.data).toMatch(/^[0-9a-f]{64}$/)
    const { folder: _folder, ...written } = result
    expect(JSON.parse(await readFile(join(root, 'runs/one/result.json'), 'utf8'))).toEqual(written)
  })

  test('learns reviews that one word decides, and its answers add up to its accuracy', async () => {
    expect(result.test_accuracy).toBeGreaterThan(0.95)
    expect(result.val_accuracy).toBeGreaterThan(0.95)
    expect(result.parameters.total).toBe(result.features + 1)
    const predictions = (await readPredictions(join(root, 'runs/one'))) ?? []
    expect(predictions).toHaveLength(120)
    expect(predictions.filter(({ label, predicted }) => label === predicted).length / 120).toBe(result.test_accuracy)
    expect(predictions[0].text).toBe(textHash({ text: tinyReviews(600)[480].text }))
  })

  test('has tested each step, and the page shows the tests and the words that decide', async () => {
    const options = parseBaseline(['--data', 'x', '--ablation', 'all'])
    expect(result.ablation?.map(({ option, value }) => [option, value])).toEqual(
      switchedSteps(options).map(({ option, value }) => [option, value]),
    )
    const page = await readFile(join(root, 'runs/one/report.html'), 'utf8')
    for (const text of ['What each step is worth', '--stop-words keep-negations', 'Which words decide', '<q>awful</q>'])
      expect(page).toContain(text)
  })

  test('is the same again from the command that config.json has, and without ablation, and shows its progress', async () => {
    const { stderr } = await run('baseline', `--data=${data}`, '--out', 'runs/two')
    const lines = stderr.trimEnd().split('\n')
    expect([...new Set(lines.map(line => line.replace(/ \d+\/\d+.*$/, '')))]).toEqual(['read words', 'fit (%)'])
    expect(lines.filter(line => line.includes('100/100'))).toEqual([lines.at(-1)])
    for (const file of ['baseline/model.safetensors', 'baseline/baseline.json', 'predictions.jsonl']) {
      const [one, two] = await Promise.all(['one', 'two'].map(name => readFile(join(root, 'runs', name, file))))
      expect(one.equals(two), file).toBe(true)
    }
  })

  test('is not a transformer to export or to train further', async () => {
    for (const args of [
      ['export', 'runs/one', '--merge', '--out', 'merged'],
      ['export', 'runs/one'],
      ['fine-tune', '--data', 'data', '--model', 'runs/one', '--out', 'further'],
    ]) {
      const refused = await run(...args)
      expect(refused.status).toBe(2)
      expect(refused.stderr).toContain('runs/one is a baseline: it has no transformer to train further or to export')
    }
  })

  test('is answered and scored with by predict and evaluate, with no device', async () => {
    // No adapter is called so: whoever opened one would fail.
    const env = { TILEGRAD_ADAPTER: 'no such adapter' }
    const predicted = await tilegrad(['predict', 'runs/one', 'a good film', 'an awful film', '--json'], {
      cwd: root,
      env,
    })
    expect(predicted.stderr).toBe('')
    const labels = predicted.stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line).label)
    expect(labels).toEqual(['positive', 'negative'])
    const evaluated = await tilegrad(
      ['evaluate', 'runs/one', '--data', 'data', '--uncalibrated', '--report', 'page.html', '--json'],
      { cwd: root, env },
    )
    expect(resultOf<{ accuracy: number }>(evaluated).accuracy).toBe(result.test_accuracy)
    expect(await readFile(join(root, 'page.html'), 'utf8')).toContain('CPU')
    const unexplained = await run('predict', 'runs/one', 'x', '--explain')
    expect(unexplained).toMatchObject({ status: 2, stdout: '' })
    expect(unexplained.stderr).toBe('tilegrad: --explain is for transformers, and runs/one is a baseline\n')
    const refused = await run('predict', 'runs/one', 'x', '--max-length', '20')
    expect(refused).toMatchObject({ status: 2, stdout: '' })
    expect(refused.stderr).toMatch(/^tilegrad: --max-length is for transformers.*\n$/)
  })
})

test.each(['on', 'off'])('with --refit %s the ablation learns from the same texts as the run', async refit => {
  const args = [
    '--data',
    'data',
    '--refit',
    refit,
    '--ablation',
    'strip-urls',
    '--out',
    `runs/refit-${refit}`,
    '--json',
  ]
  const { features, ablation } = resultOf<Result>(await run('baseline', ...args))
  // The reviews have no addresses, so the step changes nothing.
  expect(ablation?.map(row => row.features)).toEqual([features])
})

test('several labels at once, and logistic regression of TF-IDF', async () => {
  const args = [
    '--data',
    join(tasks, 'aspects'),
    '--label-column',
    'praised',
    '--model',
    'lr',
    '--out',
    'runs/<b>aspects',
  ]
  const { status, stdout, stderr } = await run('baseline', ...args)
  expect({ status, stderr: stderr.includes('tilegrad:') }).toEqual({ status: 0, stderr: false })
  expect(stdout).toContain('predict \'runs/<b>aspects\' "your text"')
  expect(stdout).toMatch(/Held-out F1, micro: [89]\d\.\d\d %/)
})

test.each([
  [[], 'baseline needs --data: labelled texts'],
  [['--data', 'data', '--beta', '2'], '--beta takes a number from 0 to 1; got "2"'],
  [['--data', 'data', '--model', 'nb', '--c', '1'], '--c has no effect with --model nb; it is for lr and nb-svm'],
  [
    ['--data', 'data', '--sublinear', 'on'],
    '--sublinear has no effect with --features presence; it is for counts and tfidf',
  ],
  [
    ['--data', 'data', '--ablation', 'stems'],
    '--ablation takes all, or any of strip-html, strip-urls, emojis, strip-punctuation, chat-words, spelling, lower-case, lemmatize, stem, stop-words; got "stems"',
  ],
  [['--data', 'data', '--stem'], '--stem takes on or off; got nothing'],
  [['--data', 'data', '--lora-rank', '3'], 'Unknown option --lora-rank: see --help for all of them'],
])('the options %j are refused', (args, message) => {
  expect(() => parseBaseline(args)).toThrow(new UserError(message))
})

test.each([
  [['--data', 'nowhere.csv'], /^No file or folder at nowhere.csv$/],
  [
    ['--data', join(tasks, 'ratings'), '--label-column', 'stars'],
    /: a baseline gives one label per text or several, and this is one number per text/,
  ],
  [['--data', 'data', '--out', 'data'], /^data exists and is not empty: a run needs a folder of its own$/],
])('%j is refused in one line, and nothing is written', async (args, message) => {
  const before = await readdir(root)
  const { status, stdout, stderr } = await run('baseline', '--json', ...args)
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
  expect(/^tilegrad: (.+)\n$/.exec(stderr)?.[1]).toMatch(message)
  expect(await readdir(root)).toEqual(before)
})

test('n-grams that are all too rare are an error, and nothing is written', async () => {
  const before = await readdir(root)
  const { status, stderr } = await run('baseline', '--data', 'data', '--min-df', '1000')
  expect(status).toBe(2)
  expect(stderr).toMatch(/\ntilegrad: data: no n-gram is in at least 1000 training texts \(--min-df\); there is .*\n$/)
  expect(await readdir(root)).toEqual(before)
})
