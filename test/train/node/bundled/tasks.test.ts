// The five small data sets: what is in them, and that a model learns from them far more than the best constant answer.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Example } from '../../../../train/node/data/labelled.ts'
import { makeFiles } from '../../../../train/node/bundled/tasks/make.ts'
import * as phrases from '../../../../train/node/bundled/tasks/phrases.ts'
import { TASKS, constantAnswer, dataOf } from '../../../../train/node/bundled/tasks/tasks.ts'

const folder = fileURLToPath(new URL('../../../../train/node/bundled/tasks/', import.meta.url))

describe('the files', () => {
  test('are what make.ts writes, and small', async () => {
    const files = makeFiles()
    for (const [path, text] of files) expect(await readFile(join(folder, path), 'utf8') === text, path).toBe(true)
    expect([...files.values()].reduce((sum, text) => sum + text.length, 0)).toBeLessThan(400_000)
  })

  test('of a test set are put together from phrases that no training set has', () => {
    const lists = [
      phrases.OPENINGS, phrases.PRAISES, phrases.NO_PRAISE, phrases.SENTENCES, phrases.FIRST, phrases.LAST, phrases.PLACE,
      ...phrases.VERDICTS, ...Object.values(phrases.GENRES), ...Object.values(phrases.ASPECTS), ...phrases.QUESTIONS.flatMap(({ ask, answer }) => [ask, answer]),
    ]
    const train = new Set(lists.flatMap(list => list.train))
    expect(lists.flatMap(list => list.test).filter(phrase => train.has(phrase))).toEqual([])
    for (const list of lists) expect(list.train.length).toBeGreaterThan(list.test.length)
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
    ['genres', 'accuracy', 0.217], ['aspects', 'f1_micro', 0.413], ['ratings', 'mse', 1.635], ['answers', 'accuracy', 0.5], ['names', 'f1', 0.103],
  ] as const)('of %s get a %s of %d from the best constant answer', async (name, metric, value) => {
    const task = TASKS.find(task => task.name === name)
    if (!task) throw new Error(`no task ${name}`)
    const found = constantAnswer(await dataOf(task))
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

  // The measured table of all five is in the README of the data sets.
  test('trains a task with its own settings, with a report, and prints it beside the constant answer', async () => {
    const { status, rows } = await run('--only', 'answers', '--out', join(out, 'whole'))
    expect(status).toBe(0)
    const [, [name, task, train, held, metric, constant, result]] = rows
    expect([name, task, train, held, metric, constant]).toEqual(['answers', 'classes', '640', '120', 'accuracy', '50.00 %'])
    expect(Number.parseFloat(result)).toBeGreaterThan(80)
    expect(existsSync(join(out, 'whole/answers/report.html'))).toBe(true)
  })

  test('trains another in fewer epochs, and is on its way by then', async () => {
    const { status, rows } = await run('--only', 'names', '--epochs', '3', '--out', join(out, 'short'))
    expect(status).toBe(0)
    const [, [name, , , , , constant, f1]] = rows
    expect(name).toBe('names')
    expect(Number.parseFloat(f1)).toBeGreaterThan(3 * Number.parseFloat(constant))
    expect(existsSync(join(out, 'short/names/report.html'))).toBe(true)
  })

  test('refuses a task that there is not', async () => {
    expect((await run('--only', 'genre')).status).toBe(2)
  })
})
