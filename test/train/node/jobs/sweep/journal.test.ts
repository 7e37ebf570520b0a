// The journal in a sweep's folder.
import { appendFile, mkdtemp, readFile, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { UserError } from '../../../../../engine/errors.ts'
import { appendJournal } from '../../../../../train/node/jobs/sweep/journal.ts'
import type { JournalTrial, Study } from '../../../../../train/search/journal.ts'

const study: Study = {
  name: 'ranks',
  spec: { metric: 'accuracy', direction: 'maximize', spaces: [{ 'lora-rank': { values: [4, 8] } }] },
}
const trials: readonly JournalTrial[] = [4, 8].map((rank, number) => ({
  number,
  setting: number,
  seed: 1,
  values: { 'lora-rank': rank },
  state: 'complete',
  value: 0.5 + number / 4,
  intermediate: [],
  startedAt: new Date(1e12),
  finishedAt: new Date(2e12),
}))

let folder: string
const journal = () => readFile(join(folder, 'journal.log'), 'utf8')

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'journal-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('grows by what is new, and leaves no lock', async () => {
  await appendJournal(folder, study, trials.slice(0, 1))
  const first = await journal()
  await appendJournal(folder, study, trials)
  const both = await journal()
  expect(both.startsWith(first)).toBe(true)
  expect(both.length).toBeGreaterThan(first.length)
  await appendJournal(folder, study, trials)
  expect(await journal()).toBe(both)
  expect(await readdir(folder)).toEqual(['journal.log'])
})

test('is the same after a killed process left half a line', async () => {
  await appendJournal(folder, study, [])
  // Another writer's line need not be ASCII.
  await appendFile(join(folder, 'journal.log'), '{"op_code":2,"worker_id":"x","study_id":0,"user_attr":{"note":"ü"}}\n')
  await appendJournal(folder, study, trials)
  const whole = await journal()
  await truncate(join(folder, 'journal.log'), Buffer.byteLength(whole) - 9)
  await appendJournal(folder, study, trials)
  expect(await journal()).toBe(whole)
})

test('waits for the lock of another process, and takes one that was left behind', async () => {
  const lock = join(folder, 'journal.log.lock')
  await symlink(join(folder, 'journal.log'), lock)
  const appended = appendJournal(folder, study, trials)
  await expect(Promise.race([appended, new Promise(resolve => setTimeout(resolve, 100, 'waits'))])).resolves.toBe(
    'waits',
  )
  await rm(lock)
  await appended
  const whole = await journal()
  await symlink(join(folder, 'journal.log'), lock)
  await appendJournal(folder, study, [{ ...trials[0], number: 2 }], { staleMs: 60 })
  expect((await journal()).startsWith(whole)).toBe(true)
  expect(await readdir(folder)).toEqual(['journal.log'])
})

test('of several writers at a time loses nothing', async () => {
  await Promise.all(trials.map((_, i) => appendJournal(folder, study, trials.slice(0, i + 1))))
  const both = await journal()
  await appendJournal(folder, study, trials)
  expect(await journal()).toBe(both)
  expect(both.match(/"op_code":4/g)).toHaveLength(2)
})

test('that is none is refused by its name, and kept', async () => {
  await writeFile(join(folder, 'journal.log'), 'notes\n')
  await expect(appendJournal(folder, study, trials)).rejects.toThrow(UserError)
  await expect(appendJournal(folder, study, trials)).rejects.toThrow('journal.log is not a journal of Optuna')
  expect(await journal()).toBe('notes\n')
  expect(await readdir(folder)).toEqual(['journal.log'])
})
