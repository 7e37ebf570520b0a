// A worker in this process, over PGlite: what it does with trials that are cut, stopped, pruned, or not for this machine.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Progress } from '../../../../../train/node/cli/progress.ts'
import { argumentsOf } from '../../../../../train/node/jobs/sweep/check.ts'
import { type PatientDatabase, patiently } from '../../../../../train/node/jobs/sweep/database.ts'
import { serveFolder } from '../../../../../train/node/jobs/sweep/pglite.ts'
import type { Plan } from '../../../../../train/node/jobs/sweep/plan.ts'
import { SweepStore, type TrialRecord } from '../../../../../train/node/jobs/sweep/store.ts'
import { TIMES, type Times } from '../../../../../train/node/jobs/sweep/times.ts'
import { Worker } from '../../../../../train/node/jobs/sweep/worker.ts'
import { NO_ATTENTION_DROPOUT, type Workplace, makeWorkplace } from '../../../../support/command.ts'
import { bitsOf, trialOptions } from '../../../../support/sweeps.ts'

let place: Workplace
let folder: string
let database: PatientDatabase
let store: SweepStore

beforeAll(async () => {
  place = await makeWorkplace('worker', NO_ATTENTION_DROPOUT)
  folder = join(await place.folder(), 'sweep')
  await mkdir(folder)
  database = patiently(await serveFolder(folder))
  store = await SweepStore.open(database)
})
afterAll(async () => {
  await database.close()
  await place.remove()
})

/** A new sweep of the tiny model. */
async function sweep(changes: Partial<Plan['spec']> = {}): Promise<string> {
  const id = crypto.randomUUID()
  // Eight steps, and an evaluation after every other one.
  const options = { ...trialOptions(place), 'limit-train': 32, 'evaluate-every': 2 }
  const shared = argumentsOf(options)
  const spec: Plan['spec'] = {
    search: 'grid',
    spaces: [{ lr: { values: [0.005] } }],
    seeds: [1],
    metric: 'accuracy',
    direction: 'maximize',
    seed: 0,
    ...changes,
  }
  await store.createSweep(id, 'test', { command: 'fine-tune', arguments: shared, spec }, undefined)
  return id
}

/** What a worker for a sweep said, once it has ended. */
async function work(id: string, times: Partial<Times> = {}, { keep = false, until = '' } = {}): Promise<string[]> {
  const said: string[] = []
  const worker = new Worker({
    database,
    folder: join(folder, id),
    sweep: id,
    keep,
    times: { ...TIMES, poll: 0.05, ...times },
    progress: new Progress({ stream: new PassThrough().resume() }),
    tell: line => {
      said.push(line)
      if (until !== '' && line.includes(until)) worker.stop()
    },
  })
  await worker.run()
  return said
}

const bits = ({ number, values, seed, state, value, intermediate, result }: TrialRecord) =>
  bitsOf({
    ...{ number, values, seed, state, intermediate: [...intermediate], attempts: 0, error: null },
    value: value ?? null,
    result: result ?? null,
  })

describe('a worker', () => {
  test('that cuts trials at checkpoints ends with the bits of one that does not', async () => {
    const [whole, cut] = [await sweep(), await sweep()]
    await work(whole)
    const said = await work(cut, { slice: 0.05 })
    const [[wanted], [trial]] = [await store.trials(whole), await store.trials(cut)]
    expect(trial.attempt, 'it was cut').toBeGreaterThan(1)
    expect(said.filter(line => line.includes('stopped at a checkpoint'))).toHaveLength(trial.attempt - 1)
    expect(said[2]).toMatch(/^trial 0: lr=0\.005 seed=1, from step \d+$/)
    expect(wanted.attempt).toBe(1)
    expect(bits(trial)).toEqual(bits(wanted))
  })

  test('prunes a trial that is worse than those before it, and goes on', async () => {
    const id = await sweep({
      spaces: [{ lr: { values: [0.005, 1e-9] } }],
      halving: { grace: 1, factor: 2 },
      metric: 'loss',
      direction: 'minimize',
    })
    await work(id)
    const [first, second] = await store.trials(id)
    expect(first).toMatchObject({ state: 'complete' })
    expect(second).toMatchObject({ state: 'pruned', value: second.intermediate[0].value })
    expect(second.intermediate).toHaveLength(1)
    expect(first.intermediate).toHaveLength(4)
  })

  test('whose data is not that of the others puts its trial back and ends with one line', async () => {
    const id = await sweep()
    await work(id, {}, { until: 'trial 0:' })
    expect((await store.trials(id))[0]).toMatchObject({ state: 'waiting', attempt: 1 })
    await database.executeSql(
      `UPDATE tilegrad.fingerprint SET hash = 'other' WHERE sweep = $1 AND source LIKE 'data %'`,
      [id],
    )
    await expect(work(id)).rejects.toThrow(
      /^trial 0 was put back: the data \S+ \(.+\) is not the same here as on the worker that began the sweep$/,
    )
    expect((await store.trials(id))[0]).toMatchObject({ state: 'waiting', error: undefined })
    expect(await store.workers()).toEqual([])
  })

  test('records a trial that kills its workers as failed, and ends though others wait for nothing', async () => {
    const id = await sweep()
    await work(id, {}, { until: 'trial 0:' })
    await database.executeSql('UPDATE tilegrad.trial SET losses = 4 WHERE sweep = $1', [id])
    await work(id)
    const [trial] = await store.trials(id)
    expect(trial).toMatchObject({ state: 'failed' })
    expect(trial.error).toBe('its workers died or gave up 4 times in a row, each time before a new checkpoint')
  })

  test('stays with nothing to do where it is to keep, and takes what comes', async () => {
    const id = await sweep({ spaces: [{ 'lora-targets': { values: ['nothing.of.the.kind'] } }] })
    const working = work(id, {}, { keep: true, until: 'again' })
    await expect.poll(async () => (await store.trials(id))[0]?.state, { timeout: 30_000 }).toBe('failed')
    expect((await store.openSweeps()).map(one => one.id)).not.toContain(id)
    // The worker reports that it has no trial a moment after the trial's own state.
    await expect
      .poll(async () => (await store.workers())[0], { timeout: 30_000 })
      .toMatchObject({ pid: process.pid, trial: undefined })
    await database.executeSql(
      `UPDATE tilegrad.trial SET state = 'waiting', queued = false, job = gen_random_uuid(), settings = '{"lora-targets":"again"}'
       WHERE sweep = $1`,
      [id],
    )
    await working
    expect(await store.workers()).toEqual([])
  })
})
