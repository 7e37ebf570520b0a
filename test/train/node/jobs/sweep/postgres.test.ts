// Sweeps on a PostgreSQL server, which the tests of this file share: checkpoints in a folder of all workers, and an
// estimator with several workers.
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { propose } from '../../../../../train/search/propose.ts'
import type { Trial } from '../../../../../train/search/types.ts'
import { type PatientDatabase, openDatabase } from '../../../../../train/node/jobs/sweep/database.ts'
import { SweepStore } from '../../../../../train/node/jobs/sweep/store.ts'
import { type Workplace, filesBelow, makeWorkplace, resultOf } from '../../../../support/command.ts'
import { type PostgresServer, startPostgres, whyNoPostgres } from '../../../../support/postgres.ts'
import { trialOptions, trialsOf } from '../../../../support/sweeps.ts'
import { startTilegrad, tilegrad } from '../../../../support/tiny.ts'

const missing = whyNoPostgres()

describe.skipIf(missing !== undefined)(`a sweep on PostgreSQL${missing === undefined ? '' : ` (${missing})`}`, () => {
  let place: Workplace
  let server: PostgresServer
  let database: PatientDatabase
  let cwd: string
  beforeAll(async () => {
    place = await makeWorkplace('postgres')
    server = await startPostgres()
    database = await openDatabase(server.address)
    cwd = await place.folder()
  })
  afterAll(async () => {
    await database.close()
    await server.remove()
    await place.remove()
  })

  test('keeps checkpoints in the folder of --store, from where the trial of a killed worker goes on', async () => {
    const spec = { parameters: { lr: [0.001, 0.005] }, seeds: [1], options: trialOptions(place) }
    await writeFile(join(cwd, 'rates.json'), JSON.stringify(spec))
    const running = startTilegrad(
      [
        'sweep',
        'rates.json',
        '--out',
        'rates',
        '--workers',
        '2',
        '--database',
        server.address,
        '--store',
        'depot',
        '--json',
      ],
      { cwd, env: place.env },
    )
    await running.said(/^Sweep /m)
    const depot = join(cwd, 'depot')
    /** Trials that run and have a checkpoint of step 6 or later, with their workers. */
    const working = async () => {
      const { rows } = await database.executeSql(
        `SELECT w.pid, t.number, (t.checkpoint ->> 'step')::integer AS step FROM tilegrad.worker w
         JOIN tilegrad.trial t ON t.sweep = w.sweep AND t.number = w.trial
         WHERE t.state = 'running' AND (t.checkpoint ->> 'step')::integer >= 6`,
      )
      return z.array(z.object({ pid: z.int().positive(), number: z.int(), step: z.int() })).parse(rows)
    }
    const killed = await vi.waitFor(
      async () => {
        const [one] = await working()
        if (one === undefined) throw new Error('no trial has a checkpoint yet')
        return one
      },
      { timeout: 60_000, interval: 20 },
    )
    process.kill(killed.pid, 'SIGKILL')
    const [{ store }] = await (await SweepStore.open(database)).sweeps()
    expect(store, 'the whole path, for workers that started elsewhere').toBe(depot)
    expect((await filesBelow(depot)).some(file => file.includes(`/${killed.number}/`))).toBe(true)
    let isOver = false
    void running.ended.then(() => (isOver = true))
    // A trial that began anew would record checkpoints of earlier steps.
    const steps = new Set<number>()
    while (!isOver) {
      const { rows } = await database.executeSql(
        `SELECT (checkpoint ->> 'step')::integer AS step FROM tilegrad.trial WHERE number = $1 AND attempt = 2`,
        [killed.number],
      )
      for (const { step } of rows) if (step !== null) steps.add(z.int().parse(step))
      await sleep(20)
    }
    expect(steps.size, 'checkpoints that were seen').toBeGreaterThan(1)
    expect(Math.min(...steps)).toBeGreaterThanOrEqual(killed.step)
    const ended = await running.ended
    const result = resultOf<{ states: object }>(ended)
    expect(result.states).toMatchObject({ complete: 2, failed: 0 })
    const trials = await trialsOf(join(cwd, 'rates'))
    expect(trials.map(({ number, attempts }) => [number, attempts])).toEqual(
      [0, 1].map(number => [number, number === killed.number ? 2 : 1]),
    )
    expect((await database.executeSql('SELECT count(*)::integer AS pieces FROM tilegrad.piece')).rows).toEqual([
      { pieces: 0 },
    ])
    expect(await readdir(depot), 'nothing is left of checkpoints').toEqual([])
  }, 120_000)

  test('by an estimator, with two workers, makes each trial once, from what was known when it was proposed', async () => {
    const settings = 8
    await writeFile(
      join(cwd, 'estimated.json'),
      JSON.stringify({
        command: 'baseline',
        search: 'tpe',
        tpe: { startup: 3 },
        settings,
        seeds: [1],
        parameters: { alpha: { min: 0.01, max: 100, scale: 'log' }, model: ['nb', 'nb-svm'] },
        options: { data: place.reviews, 'min-df': 1, ngrams: 1 },
      }),
    )
    const args = ['sweep', 'estimated.json', '--out', 'estimated', '--workers', '2', '--database', server.address]
    resultOf(await tilegrad([...args, '--json'], { cwd, env: place.env }))
    const store = await SweepStore.open(database)
    const sweep = (await store.sweeps()).find(({ name }) => name === 'estimated')
    if (!sweep) throw new Error('the sweep is not in the database')
    const { spec } = sweep.plan
    const trials = await store.trials(sweep.id)
    expect(trials.map(({ number, setting, state, attempt }) => [number, setting, state, attempt])).toEqual(
      Array.from({ length: settings }, (_, i) => [i, i, 'complete', 1]),
    )
    for (const { number, values, createdAt } of trials) {
      const before = trials.slice(0, number)
      const endedAt = ({ finishedAt }: (typeof trials)[number]): number => finishedAt?.getTime() ?? Infinity
      const inOrder = before.toSorted((a, b) => endedAt(a) - endedAt(b))
      const over = inOrder.filter(one => endedAt(one) <= createdAt.getTime()).length
      // With two workers, one other trial is under way at most.
      expect(over, `trials over when ${number} was proposed`).toBeGreaterThanOrEqual(number - 1)
      // What it was proposed from was read a moment before, when one of them may have been under way.
      const made = [over, over - 1].map(done => {
        const isOver = new Set(inOrder.slice(0, Math.max(0, done)).map(one => one.number))
        const known = before.map((one): Trial => (isOver.has(one.number) ? one : { ...one, state: 'running' }))
        return propose(spec, known, 1)[0].values
      })
      expect(made, `trial ${number}`).toContainEqual(values)
    }
    const journal = (await readFile(join(cwd, 'estimated/journal.log'), 'utf8'))
      .trimEnd()
      .split('\n')
      .map(line => z.looseObject({ op_code: z.number(), state: z.number().optional() }).parse(JSON.parse(line)))
    expect(
      journal.filter(({ op_code }) => op_code === 4),
      'trials created',
    ).toHaveLength(settings)
    expect(
      journal.filter(({ op_code, state }) => op_code === 6 && state === 1),
      'trials complete',
    ).toHaveLength(settings)
    expect((await trialsOf(join(cwd, 'estimated'))).map(({ value }) => value)).toEqual(trials.map(({ value }) => value))
  }, 120_000)
})
