// The five small data sets: what is in them, and that a model learns from them.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { readJson } from '../../../../models/node/files.ts'
import type { Example } from '../../../../train/node/data/labelled.ts'
import { makeFiles } from '../../../../train/node/bundled/tasks/make.ts'
import * as phrases from '../../../../train/node/bundled/tasks/phrases.ts'
import { parseOptions } from '../../../../train/node/cli/options.ts'
import { openData } from '../../../../train/node/jobs/job.ts'
import { type BundledTask, TASKS, constantScore, dataOf } from '../../../../train/node/bundled/tasks/tasks.ts'

const resultSchema = z.object({ test_metrics: z.object({ accuracy: z.number() }) })
const configSchema = z.object({ options: z.object({ epochs: z.number() }) })

const folder = fileURLToPath(new URL('../../../../train/node/bundled/tasks/', import.meta.url))

function taskNamed(name: string): BundledTask {
  const task = TASKS.find(task => task.name === name)
  if (!task) throw new Error(`no task ${name}`)
  return task
}

/** The rows from phrases that training does not have, as a run would read them. */
async function newPhrasesOf({ newPhrases, args }: BundledTask): Promise<readonly Example[]> {
  const options = parseOptions([...args, `--data=${newPhrases}`], 'tilegrad')
  const { train, validation, test } = await openData(options, () => undefined)
  return [...train, ...validation, ...test]
}

describe('the files', () => {
  test('are what make.ts writes, and small', async () => {
    const files = makeFiles()
    for (const [path, text] of files) expect((await readFile(join(folder, path), 'utf8')) === text, path).toBe(true)
    expect([...files.values()].reduce((sum, text) => sum + text.length, 0)).toBeLessThan(500_000)
  })

  const lists = [
    phrases.OPENINGS,
    phrases.PRAISES,
    phrases.NO_PRAISE,
    phrases.SENTENCES,
    phrases.FIRST,
    phrases.LAST,
    phrases.PLACE,
    ...phrases.VERDICTS,
    ...Object.values(phrases.GENRES),
    ...Object.values(phrases.ASPECTS),
    ...phrases.QUESTIONS.flatMap(({ ask, answer }) => [ask, answer]),
  ]
  const known = lists.flatMap(list => list.known)

  test('have fewer new phrases than phrases of training', () => {
    for (const list of lists) expect(list.known.length).toBeGreaterThan(list.unseen.length)
  })

  test('of new phrases have none that is like one of training', () => {
    const wordsOf = (text: string): Set<string> => new Set(text.toLowerCase().match(/[\p{L}\p{N}']+/gu))
    const seen = known.map(phrase => ({ phrase, words: wordsOf(phrase) }))
    // Words in common, as a part of all the words of the two (Jaccard).
    const alike = lists
      .flatMap(list => list.unseen)
      .flatMap(phrase => {
        const words = wordsOf(phrase)
        return seen
          .filter(other => words.intersection(other.words).size > 0.5 * words.union(other.words).size)
          .map(other => [phrase, other.phrase])
      })
    expect(alike).toEqual([])
  })

  test('of names have as many names among new phrases that training never shows as names that it does', async () => {
    const task = taskNamed('names')
    const { all, plan } = await dataOf(task)
    const test = await newPhrasesOf(task)
    const known = new Set(all.flatMap(({ words = [] }) => words))
    const named = test.flatMap(({ words = [], target }) =>
      words.filter((_, i) => typeof target !== 'number' && plan.labels[target[i]] !== 'O'),
    )
    expect(named.length).toBeGreaterThan(200)
    const unknown = named.filter(word => !known.has(word)).length / named.length
    expect(unknown).toBeGreaterThan(0.45)
    expect(unknown).toBeLessThan(0.55)
  })

  test.each(TASKS)('of $name repeat no text, neither within a file nor in another', async task => {
    const { all, test } = await dataOf(task)
    const rows: readonly Example[] = [...all, ...test, ...(await newPhrasesOf(task))]
    const keys = rows.map(({ text, pair, words }) => JSON.stringify([text, pair, words]))
    expect(test.length).toBe(120)
    expect(new Set(keys).size).toBe(all.length + 240)
  })

  test.each([
    ['genres', 'accuracy', 0.258],
    ['aspects', 'f1_micro', 0.435],
    ['ratings', 'mse', 1.758],
    ['answers', 'accuracy', 0.5],
    ['names', 'f1', 0],
  ] as const)('of %s get a %s of %d from the constant answer', async (name, metric, value) => {
    const found = constantScore(await dataOf(taskNamed(name)))
    expect(found.metric.name).toBe(metric)
    expect(found.value).toBeCloseTo(value, 3)
  })
})

describe('npm run tasks', () => {
  let out: string
  beforeAll(async () => {
    out = await mkdtemp(join(tmpdir(), 'tilegrad-tasks-'))
  })
  afterAll(() => rm(out, { recursive: true, force: true }))

  /** Runs it with these arguments: the rows of its table, cell by cell. */
  async function run(...args: readonly string[]): Promise<{ status: number | null; rows: string[][] }> {
    const child = spawn(process.execPath, [join(folder, 'run.ts'), ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
    let stdout = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    const status = await new Promise<number | null>(done => child.on('close', done))
    return {
      status,
      rows: stdout
        .split('\n')
        .map(line => line.split(/ {2,}/))
        .filter(cells => cells.length > 5),
    }
  }

  // The README of the data sets has the table of all five.
  test('trains a task in as many epochs as told, with a report, and prints it beside the constant answer', async () => {
    const { status, rows } = await run('--only', 'genres', '--epochs', '1', '--out', join(out, 'run'))
    expect(status).toBe(0)
    const [heads, [name, task, train, held, metric, constant, result, unseen]] = rows
    expect(heads).toEqual(['data', 'task', 'train', 'test', 'metric', 'constant', 'result', 'new phrases', 'seconds'])
    expect([name, task, train, held]).toEqual(['genres', 'classes', '480', '120'])
    expect([metric, constant]).toEqual(['accuracy', '25.83 %'])
    expect(Number.parseFloat(result)).toBeGreaterThan(50)
    const written = (file: string): Promise<unknown> => readJson(join(out, 'run/genres', file))
    const { test_metrics } = resultSchema.parse(await written('result.json'))
    const { accuracy } = z.object({ accuracy: z.number() }).parse(await written('new-phrases/result.json'))
    expect([result, unseen]).toEqual([test_metrics.accuracy, accuracy].map(value => `${(100 * value).toFixed(2)} %`))
    expect(configSchema.parse(await written('config.json')).options.epochs).toBe(1)
    expect(existsSync(join(out, 'run/genres/report.html'))).toBe(true)
  })

  test('refuses the name of a task that does not exist', async () => {
    expect((await run('--only', 'genre')).status).toBe(2)
  })
})
