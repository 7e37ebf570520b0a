// Trials of `command: baseline`.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { UserError } from '../../../../../engine/errors.ts'
import { SilentConsole } from '../../../../../train/node/cli/console.ts'
import { Progress } from '../../../../../train/node/cli/progress.ts'
import { makeBaseline } from '../../../../../train/node/jobs/sweep/baseline-trial.ts'
import { openRun } from '../../../../../train/node/run/folder.ts'
import { tinyReviews, toCsv } from '../../../../support/tiny.ts'

const said = { console: new SilentConsole(), progress: new Progress() }

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'baseline-trial-'))
  const reviews = tinyReviews(300)
  await writeFile(join(folder, 'train.csv'), toCsv(reviews.slice(0, 240)))
  await writeFile(join(folder, 'test.csv'), toCsv(reviews.slice(240)))
})
afterAll(() => rm(folder, { recursive: true }))
const argv = () => [`--data=${folder}`, '--model=nb', '--ngrams=1', '--seed=3']

test("a trial has a run's folder, and the metric of the validation set as its value", async () => {
  const trial = join(folder, 'trials', '0')
  const { value, result } = await makeBaseline([...argv(), '--val-split=0.2'], 'accuracy', trial, said)
  expect(result).toMatchObject({ val_accuracy: value, test_accuracy: expect.any(Number) })
  const { value: loss } = await makeBaseline([...argv(), '--val-split=0.2'], 'log_loss', trial, said)
  expect(loss).toBe((await openRun(trial)).readMetrics()[0].log_loss)
  expect(await readdir(trial)).toEqual(expect.arrayContaining(['baseline', 'predictions.jsonl', 'report.html']))
})

test.each([
  [['--val-split=0'], 'accuracy', 'there is no validation set: give val-split more than 0'],
  [[], 'spearman', 'the validation set has no metric spearman, but accuracy, '],
  [['--data=nowhere.csv'], 'accuracy', 'nowhere.csv'],
])('a trial with %j and the metric %s fails with one line', async (more, metric, says) => {
  const made = makeBaseline([...argv(), ...more], metric, join(folder, 'trials', '1'), said)
  await expect(made).rejects.toThrow(UserError)
  await expect(made).rejects.toThrow(says)
})
