// A run with `--compare-with` and `--try`: each reference is what its own command gives, and the run itself is the same.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { currentDevice } from '../../../engine/node/index.ts'
import { readJson } from '../../../models/node/files.ts'
import { type Workplace, filesBelow, makeWorkplace, refusal, resultOf, tinyRun } from '../../support/command.ts'
import { preloaded } from '../../support/interrupted.ts'
import { imdb, tilegrad, writeTinyModel } from '../../support/tiny.ts'

interface Reference {
  readonly name: string
  readonly title: string
  readonly recorded_command?: string
  readonly metric: string
  readonly value: number
  readonly low: number
  readonly high: number
  readonly difference: number
  readonly difference_low: number
  readonly difference_high: number
  readonly test_metrics: Readonly<Record<string, number>>
  readonly trained_parameters: number
  readonly seconds: number
}
interface Result {
  readonly folder: string
  readonly test_accuracy: number
  readonly test_metrics: Readonly<Record<string, number>>
  readonly parameters: { readonly trainable: number }
  readonly compared_with?: readonly Reference[]
  readonly tried: readonly {
    readonly text: string
    readonly label: string
    readonly probability: number
    readonly decided_by: readonly { readonly word: string; readonly share: number }[]
  }[]
}

let place: Workplace
beforeAll(async () => {
  place = await makeWorkplace('compared')
})
afterAll(async () => {
  await place.remove()
  ;(await currentDevice()).close()
})

const adapterOf = (cwd: string): Promise<Buffer> => readFile(join(cwd, 'run/adapter/adapter_model.safetensors'))

describe('a run beside random weights and naive Bayes', () => {
  const texts = ['a great film', 'the plot was awful']
  const compared = ['--compare-with', 'random,nb', '--train-head', ...texts.flatMap(text => ['--try', text])]
  let cwd: string
  let result: Result
  let stderr: string
  beforeAll(async () => {
    cwd = await place.folder()
    const ended = await imdb([...tinyRun(place), ...compared, '--json'], { cwd, env: place.env, report: true })
    stderr = ended.stderr
    result = resultOf<Result>(ended)
  })

  test('gives of random weights what the run gives on a base of the same random weights', async () => {
    const model = await writeTinyModel(join(place.root, 'fresh'), { seed: 42, changes: { num_hidden_layers: 1 } })
    const alone = await place.folder()
    const args = [...tinyRun({ ...place, model }), '--train-head', '--json']
    const fresh = resultOf<Result>(await imdb(args, { cwd: alone, env: place.env }))
    const [random] = result.compared_with ?? []
    expect(random).toMatchObject({ name: 'random', metric: 'accuracy', value: fresh.test_accuracy })
    expect(random.test_metrics).toEqual(fresh.test_metrics)
    expect(random.test_metrics).not.toEqual(result.test_metrics)
    expect(random.trained_parameters).toBe(result.parameters.trainable)
    expect(fresh.compared_with).toBeUndefined()
  })

  test('gives of naive Bayes what the command baseline gives', async () => {
    const options = ['--model', 'nb', '--limit-train', '96', '--val-split', '16', '--out', 'nb', '--json']
    const args = ['baseline', '--data', place.reviews, ...options]
    const nb = resultOf<Result>(await tilegrad(args, { cwd: await place.folder() }))
    const [, other] = result.compared_with ?? []
    expect(other).toMatchObject({ name: 'nb', value: nb.test_accuracy, trained_parameters: nb.parameters.trainable })
    expect(other.test_metrics).toEqual(nb.test_metrics)
  })

  test('says how far it is from each, with intervals, in its result, on the console and in the report', async () => {
    expect(await readJson(join(cwd, 'run/result.json'))).toMatchObject({ compared_with: result.compared_with })
    const report = await readFile(join(cwd, 'run/report.html'), 'utf8')
    for (const { value, low, high, difference, difference_low, difference_high } of result.compared_with ?? []) {
      expect(difference).toBeCloseTo(result.test_accuracy - value, 12)
      expect(low <= value && value <= high).toBe(true)
      expect(difference_low <= difference && difference <= difference_high).toBe(true)
      const shown = `${(100 * value).toFixed(2)} %`
      expect(stderr).toMatch(new RegExp(`^(the same from|naive Bayes) .* ${shown} .* to .* to `, 'm'))
      expect(report).toContain(`<b>${shown.replace(' ', '\u00a0')}</b>`)
    }
  })

  test('classifies the texts that it was asked to, with the words that decided', () => {
    expect(result.tried.map(({ text }) => text)).toEqual(texts)
    for (const { text, label, probability, decided_by } of result.tried) {
      expect(stderr).toContain(`${label} (${(100 * probability).toFixed(2)} %): ${text}\n    ${decided_by[0].word} `)
      const sizes = decided_by.map(({ share }) => Math.abs(share))
      expect(sizes).toEqual(sizes.toSorted((a, b) => b - a))
      for (const { word } of decided_by) expect(text.split(' ')).toContain(word)
    }
  })

  test('keeps what it measured as a run that others can be compared with', async () => {
    const kept = join(cwd, 'run/from-random-weights')
    const [random] = result.compared_with ?? []
    const other = await place.folder()
    const args = [...tinyRun(place), '--train-head', '--compare-with', kept, '--json']
    const [read] = resultOf<Result>(await imdb(args, { cwd: other, env: place.env })).compared_with ?? []
    const { value, low, high, difference, test_metrics, trained_parameters } = random
    expect(read).toMatchObject({ value, low, high, difference, test_metrics, trained_parameters })
    expect(read.recorded_command).toContain('npx node train/imdb.ts --model=')
    expect(read).toMatchObject({ name: kept, title: 'the same from random weights (recorded)' })
    const elsewhere = [...args, '--limit-test', '20', '--out', 'other']
    expect(await refusal(place, elsewhere)).toBe(`--compare-with ${kept}: that run was tested on other rows`)
    expect(await refusal(place, [...tinyRun(place), '--compare-with', 'bayes'])).toBe(
      "--compare-with bayes: no run's folder there, and not one of random, nb, lr, nb-svm",
    )
  })

  test('is stopped while it trains from random weights, and comes to the same end when it is resumed', async () => {
    const stopped = await place.folder()
    const env = await preloaded(
      place,
      'compared-signal',
      `
      const write = process.stderr.write.bind(process.stderr)
      process.stderr.write = (text, ...rest) => {
        if (/^train from random weights \\d/.test(text)) process.kill(process.pid, 'SIGINT')
        return write(text, ...rest)
      }`,
    )
    const first = await imdb([...tinyRun(place), ...compared, '--json'], { cwd: stopped, env })
    expect(resultOf(first, 130)).toMatchObject({ stopped: true, folder: 'run' })
    expect(await filesBelow(stopped)).not.toContain('run/result.json')
    const again = await imdb(['--resume', 'run', '--json'], { cwd: stopped, env: place.env })
    const timeless = ({ compared_with: references = [] }: Result) => references.map(one => ({ ...one, seconds: 0 }))
    expect(timeless(resultOf<Result>(again))).toEqual(timeless(result))
    expect((await adapterOf(stopped)).equals(await adapterOf(cwd))).toBe(true)
  })
})
