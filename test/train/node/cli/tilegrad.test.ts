// One command from training to use: what `tilegrad fine-tune` leaves behind is what the others take.
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compareRuns } from '../../../../train/compare/compare.ts'
import { openRuns } from '../../../../train/node/jobs/compare.ts'
import { parseOptions } from '../../../../train/node/cli/options.ts'
import { recordedOptions } from '../../../../train/node/jobs/fine-tune.ts'
import { TEST_SEED, openData } from '../../../../train/node/jobs/job.ts'
import { version } from '../../../../train/node/package.ts'
import { dataHash } from '../../../../train/node/jobs/fingerprint.ts'
import { createRun } from '../../../../train/node/run/folder.ts'
import { readPredictions } from '../../../../train/node/run/predictions.ts'
import { linesOf } from '../../../support/metrics.ts'
import { type Workplace, makeWorkplace, resultOf } from '../../../support/command.ts'
import { type Ended, startTilegrad, tilegrad, tinyReviews, toCsv } from '../../../support/tiny.ts'

let place: Workplace
beforeAll(async () => {
  place = await makeWorkplace('command')
})
afterAll(() => place.remove())

const run = (args: readonly string[], input?: string): Promise<Ended> =>
  tilegrad(args, { cwd: place.root, env: place.env, input })
const runAlone = (args: readonly string[]): Promise<Ended> =>
  tilegrad(args, { cwd: place.root, env: place.env, ownProcess: true })

test('every command is listed, and a misspelt one is answered by the nearest', async () => {
  const { status, stdout, stderr } = await run(['--help'])
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const named = [...stdout.matchAll(/^ {2}([a-z-]+) {2,}\S/gm)].map(([, name]) => name)
  expect(named).toEqual(expect.arrayContaining(['fine-tune', 'predict', 'evaluate', 'export', 'adapters', 'setup']))
  const shown = await Promise.all(['predict', 'evaluate', 'export'].map(name => run([name, '--help'])))
  for (const ended of shown) {
    expect(ended, ended.stdout).toMatchObject({ status: 0, stderr: '' })
    expect(ended.stdout).toMatch(/^Usage: npm run -s tilegrad -- /)
    for (const line of ended.stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(120)
  }
  const mistakes = await Promise.all([runAlone(['evalate']), run(['serve']), run([])])
  expect(mistakes.map(({ status, stdout, stderr }) => [status, stdout, stderr])).toEqual([
    [2, '', 'tilegrad: Unknown command "evalate": did you mean evaluate?\n'],
    [2, '', expect.stringMatching(/^tilegrad: Unknown command "serve": the commands are fine-tune, .+\n$/)],
    [2, '', expect.stringMatching(/^tilegrad: A command is needed: fine-tune, .+\n$/)],
  ])
})

test('a run is fine-tuned, labels texts, is evaluated and exported', async () => {
  const [folder, data] = [join(place.root, 'run'), join(place.root, 'data')]
  await mkdir(data)
  const reviews = tinyReviews(240, { shortest: 2, longest: 4 })
  await writeFile(join(data, 'train.csv'), toCsv(reviews.slice(0, 180)))
  await writeFile(join(data, 'test.csv'), toCsv(reviews.slice(180)))
  // As many positions as the model has, though more tokens are the default.
  const trained = await run([
    'fine-tune',
    '--data',
    data,
    '--model',
    place.model,
    '--out',
    folder,
    '--epochs',
    '1',
    '--json',
    '--batch-size',
    '4',
    '--lr',
    '5e-3',
    '--val-split',
    '60',
  ])
  resultOf(trained)
  const { options } = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'))
  expect(options).toMatchObject({ preset: 'tilegrad', trainHead: true, loraAlpha: 16, maxLength: 64 })

  const [two, scored, plain, plainTwo, exported] = await Promise.all([
    run(['predict', folder], 'great film\nawful\n'),
    runAlone(['evaluate', folder, '--data', data, '--out', 'scores', '--report', 'scores/report.html', '--json']),
    run(['evaluate', folder, '--data', data, '--uncalibrated', '--json']),
    run(['predict', folder, '--uncalibrated', '--json'], 'great film\n'),
    runAlone(['export', folder, '--merge', '--out', 'merged']),
  ])
  expect(two).toMatchObject({ status: 0, stderr: '' })
  expect(two.stdout).toMatch(/^\S+ +\d+\.\d\d % {2}great film\n\S+ +\d+\.\d\d % {2}awful\n$/)

  const result = resultOf<Record<string, number>>(scored)
  expect(result).toMatchObject({ calibrated: true, task: 'classes', rows: 60, interval: { metric: 'accuracy' } })
  // What the run says of its test set, calibrated and as trained, is what evaluate says of it, with and without
  // calibration.
  type Figures = Readonly<Record<string, number | null>>
  const ended = resultOf<{
    test_metrics_calibrated: Figures
    test_metrics: Figures
    calibration: { temperature: number; thresholds: number[] }
  }>(trained)
  const bare = resultOf<Record<string, number>>(plain)
  expect(bare).toMatchObject({ calibrated: false })
  expect(Object.keys(ended.test_metrics_calibrated)).toEqual(Object.keys(ended.test_metrics))
  expect(ended.test_metrics_calibrated.log_loss, 'the temperature counts').not.toBe(ended.test_metrics.log_loss)
  for (const [figures, evaluated] of [
    [ended.test_metrics_calibrated, result],
    [ended.test_metrics, bare],
  ] as const) {
    for (const [name, value] of Object.entries(figures)) {
      if (value === null) expect(evaluated[name], name).toBeNull()
      else expect(evaluated[name], name).toBeCloseTo(value, 5)
    }
  }
  const said = trained.stderr.match(
    /As predict and evaluate answer \(temperature (\S+), threshold (\S+) % for positive\): accuracy (\S+) %/,
  )
  expect(said?.slice(1).map(Number)).toEqual([
    Number(ended.calibration.temperature.toPrecision(4)),
    Number((100 * ended.calibration.thresholds[1]).toFixed(2)),
    Number((100 * result.accuracy).toFixed(2)),
  ])
  // One text with its probability, from both.
  const [calibratedOne, plainOne] = [await run(['predict', folder, '--json'], 'great film\n'), plainTwo].map(
    ({ stdout }) => JSON.parse(stdout).probabilities.positive as number,
  )
  const logit = (p: number): number => Math.log(p / (1 - p))
  expect(logit(calibratedOne) * ended.calibration.temperature).toBeCloseTo(logit(plainOne), 5)
  expect(scored.stderr).toContain(`from ${(100 * ended.calibration.thresholds[1]).toFixed(1)} %`)
  expect(scored.stderr).toMatch(/Data: .+: 60 rows; texts from column "text", labels from "label"/)
  expect(JSON.parse(await readFile(join(place.root, 'scores', 'result.json'), 'utf8')).accuracy).toBe(result.accuracy)
  const answers = (await readPredictions(join(place.root, 'scores'))) ?? []
  expect(answers.filter(({ label, predicted }) => label === predicted).length / 60).toBeCloseTo(result.accuracy, 12)
  const rowsOf = (all: typeof answers = []) => all.map(({ row, text, label }) => ({ row, text, label }))
  expect(rowsOf(answers)).toEqual(rowsOf(await readPredictions(folder)))
  // The run as trained and the evaluation as calibrated, on the same rows.
  const { pairs } = compareRuns((await openRuns([folder, join(place.root, 'scores')])).runs)
  expect(pairs).toMatchObject([{ onlyA: expect.any(Number), p: expect.any(Number) }])

  const page = await readFile(join(place.root, 'scores', 'report.html'), 'utf8')
  expect(page).toContain(`<strong>${(100 * result.accuracy).toFixed(2)}\u00a0%</strong> <span>accuracy</span>`)
  expect(page).toContain(
    `npm run -s tilegrad -- evaluate ${folder} --data ${data} --out scores --report scores/report.html`,
  )
  const again = await run(['evaluate', folder, '--data', data, '--report', 'scores/report.html'])
  expect(again).toMatchObject({
    status: 2,
    stdout: '',
    stderr: 'tilegrad: --report scores/report.html exists: name another file\n',
  })

  expect(exported, exported.stderr).toMatchObject({ status: 0, stdout: 'Model: merged\n', stderr: '' })
  expect(await readdir(join(place.root, 'merged'))).toContain('model.safetensors')
  const both = await run(['predict', 'merged', 'great film', 'awful', '--also', folder])
  const [first, second] = two.stdout.trimEnd().split('\n')
  expect(both.stdout).toBe(`merged  ${first}\n${folder}  ${first}\nmerged  ${second}\n${folder}  ${second}\n`)
})

test('a run goes on from the adapter of another, and comes to the same bits when it is stopped and resumed', async () => {
  const folder = join(place.root, 'run')
  const args = (out: string) => [
    'fine-tune',
    '--data',
    join(place.root, 'data'),
    '--model',
    folder,
    '--out',
    join(place.root, out),
    '--epochs',
    '1',
    '--val-split',
    '60',
    '--batch-size',
    '2',
    '--tune-kernels',
    'off',
  ]
  const whole = await run([...args('whole'), '--json'])
  expect(resultOf(whole)).toMatchObject({ model: { name: place.model, adapter: join(folder, 'adapter') } })
  const losses = async (name: string): Promise<number[]> =>
    (await linesOf(join(place.root, name))).filter(({ split }) => split === 'validation').map(({ loss }) => loss)
  expect((await losses('whole'))[0], 'begins where the other ended').toBeCloseTo((await losses('run')).at(-1) ?? NaN, 5)

  const stopped = startTilegrad(args('stopped'), { cwd: place.root, env: place.env })
  await stopped.said(/train [1-9]/)
  stopped.child.kill('SIGINT')
  expect((await stopped.ended).status).toBe(130)
  const adapter = (name: string): Promise<Buffer> =>
    readFile(join(place.root, name, 'adapter', 'adapter_model.safetensors'))
  const before = await readFile(join(folder, 'adapter', 'adapter_model.safetensors'))
  await writeFile(join(folder, 'adapter', 'adapter_model.safetensors'), Buffer.from(before).fill(0, before.length - 4))
  const refused = await run(['fine-tune', '--resume', join(place.root, 'stopped')])
  expect(refused).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/or the adapter .+ changed since .+ began/),
  })
  await writeFile(join(folder, 'adapter', 'adapter_model.safetensors'), before)
  const resumed = await run(['fine-tune', '--resume', join(place.root, 'stopped')])
  expect(resumed.status, resumed.stderr).toBe(0)
  expect((await adapter('stopped')).equals(await adapter('whole'))).toBe(true)
  expect((await adapter('whole')).equals(before)).toBe(false)
})

describe('a run that goes on', () => {
  test('has the defaults of the preset that it began with', async () => {
    const options = async (name: string, recorded: object) =>
      recordedOptions(
        await createRun(join(place.root, name), { tilegrad: version, arguments: ['--lora-rank=4'], options: recorded }),
        [],
      )
    expect(await options('field', { preset: 'tilegrad' })).toMatchObject({
      preset: 'tilegrad',
      trainHead: true,
      loraAlpha: 8,
    })
    expect(await options('study', { preset: 'imdb' })).toMatchObject({ preset: 'imdb', trainHead: false, loraAlpha: 1 })
    expect(await options('old', {})).toMatchObject({ preset: 'imdb', trainHead: false, loraAlpha: 1 })
  })

  test('has the test rows that it began with, also where an older version drew them by the seed', async () => {
    const given = ['--model', place.model, '--data', place.reviews, '--limit-test', '16', '--seed', '7']
    const resumed = async (name: string, testSeed: number, more: object = {}): Promise<Ended> => {
      const data = await openData({ ...parseOptions(given, 'tilegrad'), testSeed }, () => undefined)
      const config = { arguments: given, options: { preset: 'tilegrad' }, fingerprints: { data: dataHash(data) } }
      const { folder } = await createRun(join(place.root, name), { tilegrad: version, ...config, ...more })
      return run(['fine-tune', '--resume', folder, '--dry-run'])
    }
    const [older, now, other] = await Promise.all([
      resumed('older', 7),
      resumed('now', TEST_SEED, { test_seed: TEST_SEED }),
      resumed('other', 8),
    ])
    expect(older.status, older.stderr).toBe(0)
    expect(now.status, now.stderr).toBe(0)
    expect(other.stderr).toContain(`the data in ${place.reviews} changed since`)
  })
})
