// The five small data sets: what is in them, and that a model learns from them.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Example } from '../../../../train/node/data/labelled.ts'
import { makeFiles } from '../../../../train/node/bundled/tasks/make.ts'
import * as phrases from '../../../../train/node/bundled/tasks/phrases.ts'
import { type BundledTask, TASKS, constantAnswer, dataOf } from '../../../../train/node/bundled/tasks/tasks.ts'

const resultSchema = z.object({ val_score: z.number(), test_metrics: z.object({ accuracy: z.number() }) })
const configSchema = z.object({ options: z.object({ epochs: z.number() }) })

const folder = fileURLToPath(new URL('../../../../train/node/bundled/tasks/', import.meta.url))

function taskNamed(name: string): BundledTask {
  const task = TASKS.find(task => task.name === name)
  if (!task) throw new Error(`no task ${name}`)
  return task
}

describe('the files', () => {
  test('are what make.ts writes, and small', async () => {
    const files = makeFiles()
    for (const [path, text] of files) expect(await readFile(join(folder, path), 'utf8') === text, path).toBe(true)
    expect([...files.values()].reduce((sum, text) => sum + text.length, 0)).toBeLessThan(400_000)
  })

  const lists = [
    phrases.OPENINGS, phrases.PRAISES, phrases.NO_PRAISE, phrases.SENTENCES, phrases.FIRST, phrases.LAST, phrases.PLACE,
    ...phrases.VERDICTS, ...Object.values(phrases.GENRES), ...Object.values(phrases.ASPECTS),
    ...phrases.QUESTIONS.flatMap(({ ask, answer }) => [ask, answer]),
  ]
  const trained = lists.flatMap(list => list.train)

  test('have fewer phrases for the test set than for training', () => {
    for (const list of lists) expect(list.train.length).toBeGreaterThan(list.test.length)
  })

  test('of a test set are put together from phrases unlike all those of training', () => {
    const wordsOf = (text: string): Set<string> => new Set(text.toLowerCase().match(/[\p{L}\p{N}']+/gu))
    const seen = trained.map(phrase => ({ phrase, words: wordsOf(phrase) }))
    // Words in common, as a part of all the words of the two (Jaccard).
    const alike = lists.flatMap(list => list.test).flatMap(phrase => {
      const words = wordsOf(phrase)
      return seen.filter(other => words.intersection(other.words).size > 0.5 * words.union(other.words).size)
        .map(other => [phrase, other.phrase])
    })
    expect(alike).toEqual([])
  })

  test('of names have as many names in the test set that training never shows as names that it does', async () => {
    const { all, test, plan } = await dataOf(taskNamed('names'))
    const known = new Set(all.flatMap(({ words = [] }) => words))
    const named = test.flatMap(({ words = [], target }) =>
      words.filter((_, i) => typeof target !== 'number' && plan.labels[target[i]] !== 'O'))
    expect(named.length).toBeGreaterThan(200)
    const unknown = named.filter(word => !known.has(word)).length / named.length
    expect(unknown).toBeGreaterThan(0.45)
    expect(unknown).toBeLessThan(0.55)
  })

  test.each(TASKS)('of $name share no text between training and test, and repeat none', async task => {
    const { all, test } = await dataOf(task)
    const keyOf = ({ text, pair, words }: Example): string => JSON.stringify([text, pair, words])
    const train = new Set(all.map(keyOf))
    expect(train.size).toBe(all.length)
    expect(new Set(test.map(keyOf)).size).toBe(test.length)
    expect(test.filter(example => train.has(keyOf(example)))).toEqual([])
  })

  test.each([
    ['genres', 'accuracy', 0.217], ['aspects', 'f1_micro', 0.413], ['ratings', 'mse', 1.635], ['answers', 'accuracy', 0.5], ['names', 'f1', 0.072],
  ] as const)('of %s get a %s of %d from the best constant answer', async (name, metric, value) => {
    const found = constantAnswer(await dataOf(taskNamed(name)))
    expect(found.metric.name).toBe(metric)
    expect(found.value).toBeCloseTo(value, 3)
  })
})

describe('npm run tasks', () => {
  let out: string
  beforeAll(async () => { out = await mkdtemp(join(tmpdir(), 'tilegrad-tasks-')) })
  afterAll(() => rm(out, { recursive: true, force: true }))

  /** Runs it with these arguments: the rows of its table, cell by cell. */
  async function run(...args: readonly string[]): Promise<{ status: number | null, rows: string[][] }> {
    const child = spawn(process.execPath, [join(folder, 'run.ts'), ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
    let stdout = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text })
    const status = await new Promise<number | null>(done => child.on('close', done))
    return { status, rows: stdout.split('\n').map(line => line.split(/ {2,}/)).filter(cells => cells.length > 5) }
  }

  // The README of the data sets has the table of all five. Validation rows repeat the phrases of training, so a model that learns
  // gets most of them right. Test phrases are new, and the bundled model is too small to do well on them.
  test('trains a task in as many epochs as told, with a report, and prints it beside the constant answer', async () => {
    const { status, rows } = await run('--only', 'answers', '--epochs', '4', '--out', join(out, 'run'))
    expect(status).toBe(0)
    const [heads, [name, task, train, held, metric, constant, validation, result]] = rows
    expect(heads).toEqual(['data', 'task', 'train', 'test', 'metric', 'constant', 'validation', 'result', 'seconds'])
    expect([name, task, train, held, metric, constant]).toEqual(['answers', 'classes', '640', '120', 'accuracy', '50.00 %'])
    expect(Number.parseFloat(validation)).toBeGreaterThan(80)
    const written = async (file: string): Promise<unknown> => JSON.parse(await readFile(join(out, 'run/answers', file), 'utf8'))
    const { val_score, test_metrics } = resultSchema.parse(await written('result.json'))
    expect([validation, result]).toEqual([val_score, test_metrics.accuracy].map(value => `${(100 * value).toFixed(2)} %`))
    expect(configSchema.parse(await written('config.json')).options.epochs).toBe(4)
    expect(existsSync(join(out, 'run/answers/report.html'))).toBe(true)
  })

  test('refuses a task that there is not', async () => {
    expect((await run('--only', 'genre')).status).toBe(2)
  })
})
