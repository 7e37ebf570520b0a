// A run that keeps the values of several evaluations: listed in result.json, exported by step or place, the same after
// a kill.
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { linesOf } from '../../support/metrics.ts'
import { type Workplace, filesBelow, makeWorkplace, tinyRun } from '../../support/command.ts'
import { signalledAfter } from '../../support/interrupted.ts'
import { imdb, startImdb, tilegrad } from '../../support/tiny.ts'

interface Kept {
  readonly step: number
  readonly score: number
  readonly loss: number
  readonly file: string
}

let place: Workplace
/** The folder in which the run `run` was never disturbed. */
let whole: string
const args = (): string[] => [
  ...tinyRun(place),
  ...['--batch-size', '4', '--evaluate-every', '8', '--keep-best', '2', '--best-metric', 'loss'],
  ...['--checkpoint-every', '0'],
]

beforeAll(async () => {
  place = await makeWorkplace('keep-best')
  whole = await place.folder()
  const { status, stderr } = await imdb(args(), { cwd: whole, env: place.env })
  expect(status, stderr).toBe(0)
})
afterAll(() => place.remove())

async function keptOf(cwd: string): Promise<Kept[]> {
  const result = JSON.parse(await readFile(join(cwd, 'run/result.json'), 'utf8')) as {
    best_checkpoints: Kept[]
    best_step: number
  }
  expect(result.best_step).toBe(result.best_checkpoints[0].step)
  return result.best_checkpoints
}

test('result.json lists the best evaluations in order, with files that are there, and no others are', async () => {
  const lines = await linesOf(join(whole, 'run'))
  const evaluations = lines.filter(({ split, step }) => split === 'validation' && step > 0)
  const wanted = evaluations
    .toSorted((a, b) => a.loss - b.loss)
    .slice(0, 2)
    .map(({ step, loss }) => ({ step, score: loss, loss }))
  expect(evaluations).toHaveLength(5)
  const kept = await keptOf(whole)
  expect(kept).toMatchObject(wanted)
  for (const { file } of kept) expect(existsSync(join(whole, 'run', file)), file).toBe(true)
})

test('each of them is exported by its step or its place, and no other step is', async () => {
  const [best, second] = await keptOf(whole)
  const exported = async (...choice: string[]): Promise<string> => {
    const out = `out${choice.join('')}`
    const ended = await tilegrad(['export', 'run', '--merge', '--out', out, ...choice], { cwd: whole, env: place.env })
    expect(ended.status, ended.stderr).toBe(0)
    return (await readFile(join(whole, out, 'model.safetensors'))).toString('base64')
  }
  const [plain, first, byStep, byPlace] = await Promise.all(
    [[], ['--best', '1'], ['--step', String(second.step)], ['--best', '2']].map(choice => exported(...choice)),
  )
  expect(first).toBe(plain)
  expect(byStep).toBe(byPlace)
  expect(byStep).not.toBe(plain)

  const refused = await tilegrad(['export', 'run', '--merge', '--out', 'other', '--step', '1'], {
    cwd: whole,
    env: place.env,
  })
  expect(refused.status).toBe(2)
  expect(refused.stderr).toContain(
    `--step 1: run kept the values of these steps, best first: ${best.step}, ${second.step}`,
  )
  expect(existsSync(join(whole, 'other'))).toBe(false)
})

test.for([13, 30])('a run that is killed after step %i ends with the same values kept', async step => {
  const cwd = await place.folder()
  const { signal } = await startImdb(args(), { cwd, env: await signalledAfter(place, step, 'SIGKILL') }).ended
  expect(signal).toBe('SIGKILL')
  const { status, stderr } = await imdb(['--resume', 'run'], { cwd, env: place.env })
  expect(status, stderr).toBe(0)
  expect(await keptOf(cwd)).toEqual(await keptOf(whole))
  expect(await filesBelow(join(cwd, 'run'))).toEqual(await filesBelow(join(whole, 'run')))
  for (const { file } of await keptOf(whole)) {
    expect((await readFile(join(cwd, 'run', file))).equals(await readFile(join(whole, 'run', file))), file).toBe(true)
  }
})
