// The event file of a run holds what metrics.jsonl holds, also after a checkpoint took steps back.
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Metrics, createRun, openRun } from '../../../../train/node/run/folder.ts'
import { firstRecord, recordOf } from '../../../../train/tensorboard.ts'
import { temporaryFolder } from '../../../support/folder.ts'

const folder = await temporaryFolder('events')
const CREATED = '2026-11-30T03:00:00.000Z'
const line = (step: number, loss = 1 / step): Metrics => ({ step, loss, wall_seconds: step / 4 })

async function eventsIn(run: string): Promise<string> {
  const names = await readdir(join(run, 'tensorboard'))
  expect(names).toEqual([expect.stringMatching(/^events\.out\.tfevents\.\d+\.tilegrad$/)])
  return (await readFile(join(run, 'tensorboard', names[0]))).toString('hex')
}

function expected(lines: readonly Metrics[]): string {
  const began = Date.parse(CREATED) / 1000
  return Buffer.concat([firstRecord(began), ...lines.flatMap(one => recordOf(one, began) ?? [])]).toString('hex')
}

test('events follow the metrics, and steps after the checkpoint are not there twice', async () => {
  const path = join(folder, 'asked')
  const run = await createRun(path, { created_at: CREATED })
  await run.keepEvents()
  expect(await eventsIn(path)).toBe(expected([]))
  for (const step of [1, 2, 3]) run.appendMetrics(line(step))
  expect(await eventsIn(path)).toBe(expected([1, 2, 3].map(step => line(step))))

  const resumed = await openRun(path)
  await resumed.cutMetrics(2)
  await resumed.keepEvents()
  resumed.appendMetrics(line(3, 0.25))
  expect(await eventsIn(path)).toBe(expected([line(1), line(2), line(3, 0.25)]))
})

test('a run that was not asked for events has none, and gets those of all its steps once it is', async () => {
  const path = join(folder, 'later')
  const run = await createRun(path, { created_at: CREATED })
  run.appendMetrics(line(1))
  expect(await readdir(path)).not.toContain('tensorboard')
  await run.keepEvents()
  run.appendMetrics(line(2))
  expect(await eventsIn(path)).toBe(expected([line(1), line(2)]))
})
