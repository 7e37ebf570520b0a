// What sweeps keep in their database, over PGlite: the tests share one, which the last of them closes.
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { UserError } from '../../../../../engine/errors.ts'
import { temporaryName } from '../../../../../models/node/files.ts'
import { sweepAction } from '../../../../../train/node/cli/sweep-actions.ts'
import { advance } from '../../../../../train/node/jobs/sweep/advance.ts'
import { type Database, openDatabase } from '../../../../../train/node/jobs/sweep/database.ts'
import { PART, databaseDepot, folderDepot } from '../../../../../train/node/jobs/sweep/depot.ts'
import { createSweepFolder } from '../../../../../train/node/jobs/sweep/folder.ts'
import { serveFolder } from '../../../../../train/node/jobs/sweep/pglite.ts'
import type { Plan } from '../../../../../train/node/jobs/sweep/plan.ts'
import { withoutPassword } from '../../../../../train/node/jobs/sweep/postgres.ts'
import { TrialQueue } from '../../../../../train/node/jobs/sweep/queue.ts'
import { type Attempt, SweepStore, Superseded } from '../../../../../train/node/jobs/sweep/store.ts'
import { TIMES } from '../../../../../train/node/jobs/sweep/times.ts'
import { temporaryFolder } from '../../../../support/folder.ts'
import { isLocked } from '../../../../../train/node/run/lock.ts'
import { digestOf } from '../../../../../train/node/run/state-file.ts'

const folder = await temporaryFolder('store')
/** The sweep whose folder has the database. */
const WATCHED = crypto.randomUUID()
let database: Database
let store: SweepStore
let queue: TrialQueue

beforeAll(async () => {
  await createSweepFolder(join(folder, 'sweep'), { id: WATCHED, name: 'watched', plan, workers: 1 })
  database = await serveFolder(join(folder, 'sweep'))
  store = await SweepStore.open(database)
  queue = await TrialQueue.open(database, TIMES)
})

const plan: Plan = {
  command: 'fine-tune',
  arguments: ['--data=reviews.csv'],
  spec: {
    search: 'grid',
    spaces: [{ lr: { values: [1e-3, 5e-3] }, merge: { values: [true] } }],
    seeds: [1, 4294967295],
    metric: 'accuracy',
    direction: 'maximize',
    seed: 1,
  },
}

/** A new sweep whose trials wait in the queue. */
async function sweep(changes: Partial<Plan['spec']> = {}): Promise<string> {
  const id = crypto.randomUUID()
  await store.createSweep(id, 'test', { ...plan, spec: { ...plan.spec, ...changes } }, undefined)
  await advance(store, queue, await store.sweep(id), 1)
  return id
}

/** Takes the next trial of a sweep for a worker. */
async function begin(id: string, worker = 'first'): Promise<Attempt & { readonly losses: number }> {
  const job = await queue.take(id)
  if (!job) throw new Error('no trial waits')
  const claim = { id: job.id, attempt: job.retryCount, claim: crypto.randomUUID() }
  const record = await store.claim(id, job.trial, worker, claim)
  if (!record) throw new Error('the trial is not to be had')
  return { sweep: id, trial: record.number, attempt: record.attempt, losses: record.losses }
}

/** Makes all workers look as if they had been silent for an hour, and nobody had looked for them since. */
async function silence(): Promise<void> {
  await database.executeSql(
    `UPDATE pgboss.job SET heartbeat_on = heartbeat_on - interval '1 hour' WHERE state = 'active'`,
  )
  await database.executeSql('UPDATE pgboss.queue SET monitor_on = NULL, monitor_claim_on = NULL')
}

describe('a sweep in the database', () => {
  test('is one trial for each setting and seed, in order, each with one job', async () => {
    const id = await sweep()
    const trials = await store.trials(id)
    expect(trials.map(({ number, setting, seed, values }) => [number, setting, seed, values.lr, values.merge])).toEqual(
      [
        [0, 0, 1, 1e-3, true],
        [1, 0, 4294967295, 1e-3, true],
        [2, 1, 1, 5e-3, true],
        [3, 1, 4294967295, 5e-3, true],
      ],
    )
    expect((await store.sweep(id)).proposed).toBe(true)
    // Sent twice, it is there once.
    await database.executeSql('UPDATE tilegrad.trial SET queued = false WHERE sweep = $1', [id])
    await queue.send(store, id)
    const taken = [await queue.take(id), await queue.take(id), await queue.take(id), await queue.take(id)]
    expect(taken.map(job => job?.trial)).toEqual([0, 1, 2, 3])
    expect(await queue.take(id)).toBeUndefined()
  })

  test('refuses proposals that were made from an earlier list of trials', async () => {
    const id = crypto.randomUUID()
    await store.createSweep(id, 'race', plan, undefined)
    const seen = await store.sweep(id)
    const proposals = [{ setting: 0, values: { lr: 1e-3 } }]
    expect(await store.addTrials(seen, proposals, false)).toBe(true)
    expect(await store.addTrials(seen, proposals, false)).toBe(false)
    expect(await store.trials(id)).toHaveLength(2)
    expect((await store.openSweeps()).map(one => one.id)).toContain(id)
  })

  test('of an estimator has no more trials under way than workers', async () => {
    const id = await sweep({
      search: 'tpe',
      spaces: [{ lr: { min: 1e-5, max: 1e-2, scale: 'log' } }],
      settings: 3,
      seeds: [1],
    })
    expect(await store.trials(id)).toHaveLength(1)
    await advance(store, queue, await store.sweep(id), 1)
    expect(await store.trials(id)).toHaveLength(1)
    const first = await begin(id)
    await store.finish(first, { state: 'complete', value: 0.5, seconds: 1 })
    await advance(store, queue, await store.sweep(id), 2)
    expect(await store.trials(id)).toHaveLength(3)
  })

  test('keeps figures to the last bit', async () => {
    const id = await sweep()
    const value = 0.1 + 0.2
    const attempt = await begin(id)
    await store.evaluated(attempt, [{ step: 3, value }])
    await store.finish(attempt, { state: 'complete', value, result: { b: 1e-320, a: value }, seconds: 2 })
    const [trial] = await store.trials(id)
    expect(trial).toMatchObject({ state: 'complete', value, intermediate: [{ step: 3, value }] })
    expect(JSON.stringify(trial.result)).toBe(JSON.stringify({ b: 1e-320, a: value }))
  })
})

describe('a worker that goes silent', () => {
  test('loses its trial to another, and can write nothing more', async () => {
    const id = await sweep()
    const first = await begin(id, 'first')
    await store.checkpointed(first, { step: 5, files: [] }, 1)
    await queue.supervise(id)
    expect((await store.trials(id))[0]).toMatchObject({ state: 'running', worker: 'first' })
    await silence()
    await queue.supervise(id)
    const second = await begin(id, 'second')
    expect(second).toMatchObject({ trial: first.trial, attempt: first.attempt + 1, losses: 1 })
    const late = [
      store.evaluated(first, [{ step: 9, value: 1 }]),
      store.checkpointed(first, { step: 9, files: [] }, 9),
      store.finish(first, { state: 'complete', value: 1, seconds: 9 }),
      store.release(first),
      store.progress(first, { step: 9, steps: 10, seconds: 9 }),
    ]
    for (const write of late) await expect(write).rejects.toThrow(Superseded)
    const [trial] = await store.trials(id)
    expect(trial).toMatchObject({
      state: 'running',
      worker: 'second',
      checkpoint: { step: 5 },
      intermediate: [],
      step: 5,
    })
  })

  test('of this machine, whose end is seen, has its trial wait at once', async () => {
    const id = await sweep()
    await begin(id, 'gone')
    const [held, ...others] = await store.bury('gone')
    expect(others).toEqual([])
    expect((await store.trials(id))[0]).toMatchObject({ state: 'waiting', worker: undefined, losses: 1 })
    await queue.giveBack(held.sweep, held.job, held.jobAttempt)
    expect(await begin(id, 'second')).toMatchObject({ trial: 0, attempt: 2, losses: 1 })
    expect(await store.bury('gone')).toEqual([])
  })

  test('does not have its trial made again once that is done', async () => {
    const id = await sweep({ seeds: [1], spaces: [{ lr: { values: [1] } }] })
    const job = await queue.take(id)
    if (!job) throw new Error('no trial waits')
    const claimed = await store.claim(id, 0, 'first', { id: job.id, attempt: 0, claim: crypto.randomUUID() })
    if (!claimed) throw new Error('the trial is not to be had')
    await store.finish({ sweep: id, trial: 0, attempt: 1 }, { state: 'complete', value: 1, seconds: 1 })
    // Killed here, before it ended the job.
    await silence()
    await queue.supervise(id)
    const again = await queue.take(id)
    expect(again).toMatchObject({ id: job.id, trial: 0 })
    const second = { id: job.id, attempt: 1, claim: crypto.randomUUID() }
    expect(await store.claim(id, 0, 'second', second)).toBeUndefined()
    expect((await store.openSweeps()).map(one => one.id)).not.toContain(id)
  })

  test('is known by its heartbeats: one that sends them keeps its trial', async () => {
    const id = await sweep()
    const job = await queue.take(id)
    if (!job) throw new Error('no trial waits')
    await silence()
    expect(await queue.touch(job)).toBe(true)
    await queue.supervise(id)
    expect(await queue.touch(job)).toBe(true)
    await silence()
    await queue.supervise(id)
    expect(await queue.touch(job), 'it was given to another').toBe(false)
  })
})

describe('writes whose answers were lost', () => {
  test('are sent again and change nothing more', async () => {
    const id = await sweep()
    const job = await queue.take(id)
    if (!job) throw new Error('no trial waits')
    const claim = { id: job.id, attempt: 0, claim: crypto.randomUUID() }
    const once = await store.claim(id, 0, 'first', claim)
    const twice = await store.claim(id, 0, 'first', claim)
    expect(twice).toEqual(once)
    const attempt = { sweep: id, trial: 0, attempt: 1 }
    for (let i = 0; i < 2; i++) await store.finish(attempt, { state: 'failed', error: 'why', seconds: 1 })
    expect((await store.trials(id))[0]).toMatchObject({ state: 'failed', error: 'why', attempt: 1, losses: 0 })
  })
})

describe('failed trials', () => {
  test('wait again, from their beginning, when they are to be tried again; others stay', async () => {
    const id = await sweep()
    const [failing, done] = [await begin(id), await begin(id)]
    await store.finish(failing, { state: 'failed', error: 'out of memory', seconds: 3 })
    await store.finish(done, { state: 'complete', value: 1, seconds: 3 })
    expect(await store.retryFailed(id)).toEqual([0])
    const trials = await store.trials(id)
    expect(trials[0]).toMatchObject({ state: 'waiting', error: undefined, seconds: 0, checkpoint: undefined })
    expect(trials[1]).toMatchObject({ state: 'complete', value: 1 })
    await queue.send(store, id)
    // Behind those that wait already would do too; it has the smallest number.
    expect(await begin(id)).toMatchObject({ trial: 0, attempt: 2 })
  })
})

describe('pausing', () => {
  test('is heard by the workers of a sweep, or by one of them', async () => {
    const id = await sweep()
    for (const name of ['one', 'two']) await store.greet({ name, host: 'here', pid: 1, adapter: 'software' })
    const at = { sweep: id, trial: 0 }
    const paused = async (): Promise<boolean[]> => [await store.alive('one', at), await store.alive('two', at)]
    expect(await paused()).toEqual([false, false])
    expect(await store.pauseWorker('two', true)).toBe(true)
    expect(await paused()).toEqual([false, true])
    await store.pauseSweep(id, true)
    expect(await paused()).toEqual([true, true])
    await store.pauseSweep(id, false)
    expect(await store.pauseWorker('two', false)).toBe(true)
    expect(await paused()).toEqual([false, false])
    expect(await store.pauseWorker('three', true)).toBe(false)
    for (const name of ['one', 'two']) await store.leave(name)
    expect(await store.workers()).toEqual([])
  })
})

describe('data and models', () => {
  test('are those of the worker that came first', async () => {
    const id = await sweep()
    expect(await store.agree(id, 'data', 'abc')).toBe('abc')
    expect(await store.agree(id, 'data', 'def')).toBe('abc')
    expect(await store.agree(id, 'model', 'def')).toBe('def')
  })
})

describe('checkpoints', () => {
  const attempt = (id: string, number: number): Attempt => ({ sweep: id, trial: 0, attempt: number })

  test.each(['database', 'folder'] as const)(
    'come back from the %s as they were; later attempts keep theirs',
    async kind => {
      const id = await sweep()
      const depot = kind === 'database' ? databaseDepot(database) : folderDepot(join(folder, 'depot'))
      // More than one row of the database.
      const bytes = Buffer.alloc(PART + 17, 'checkpoint')
      const source = join(folder, `source-${kind}`)
      await writeFile(source, bytes)
      const digest = await digestOf(source)
      const [old, now] = [attempt(id, 1), attempt(id, 2)]
      for (const one of [old, now, now]) await depot.put(one, digest, source)
      const file = { path: 'state', digest, attempt: 2 }
      await depot.keep(old, [])
      const target = join(folder, `target-${kind}`)
      await depot.get(now, file, target)
      expect((await readFile(target)).equals(bytes)).toBe(true)
      await depot.keep(now, [])
      await expect(depot.get(now, file, `${target}-2`)).rejects.toThrow(UserError)
    },
  )

  test('leave nothing behind once the trial is over, not even what a killed worker had begun to write', async () => {
    const id = await sweep()
    const [root, source] = [join(folder, 'begun'), join(folder, 'begun-source')]
    const depot = folderDepot(root)
    await writeFile(source, 'state')
    const digest = await digestOf(source)
    await depot.put(attempt(id, 1), digest, source)
    const begun = join(root, id, '0', temporaryName('part'))
    await writeFile(begun, 'sta')
    await depot.keep(attempt(id, 1), [{ path: 'state', digest, attempt: 1 }])
    expect((await readdir(join(root, id, '0'))).toSorted()).toEqual([basename(begun), `1-${digest}`].toSorted())
    await depot.keep(attempt(id, 1), [])
    expect(await readdir(root)).toEqual([])
  })

  test('that are damaged are refused', async () => {
    const id = await sweep()
    const depot = folderDepot(join(folder, 'damaged'))
    const source = join(folder, 'source')
    await writeFile(source, 'state')
    const digest = await digestOf(source)
    await depot.put(attempt(id, 1), digest, source)
    const [name] = await readdir(join(folder, 'damaged', id, '0'))
    await writeFile(join(folder, 'damaged', id, '0', name), 'other')
    const file = { path: 'state', digest, attempt: 1 }
    await expect(depot.get(attempt(id, 1), file, join(folder, 'target'))).rejects.toThrow(
      'does not hold the checkpoint',
    )
  })
})

describe('sweep status --watch, off a terminal,', () => {
  const place = join(folder, 'sweep')

  test('prints a line for each change, and the status once the sweep is done', async () => {
    const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
    try {
      const lines = (): string[] => write.mock.calls.map(([text]) => String(text))
      const said = (text: string) => expect.poll(() => lines().at(-1), { timeout: 20_000 }).toContain(text)
      const watching = sweepAction('status', [place, '--watch'], { pause: 0.05 })
      // The folder's sweep is not recorded yet when the first look is taken.
      await store.createSweep(WATCHED, 'watched', { ...plan, spec: { ...plan.spec, seeds: [1] } }, undefined)
      await advance(store, queue, await store.sweep(WATCHED), 1)
      await said('watched: 2 of 2 trials: 2 waiting; 0 workers; not known yet how long\n')
      const first = await begin(WATCHED)
      await said('1 running, 1 waiting; 0 workers; not known yet how long\n')
      await store.finish(first, { state: 'complete', value: 0.75, seconds: 60 })
      await said('1 complete, 1 waiting; 0 workers; best accuracy 0.7500; about 1 min 00 s left\n')
      await store.pauseSweep(WATCHED, true)
      await said('best accuracy 0.7500; paused; about')
      await store.finish(await begin(WATCHED), { state: 'failed', error: 'why', seconds: 1 })
      expect(await watching).toBe(0)
      const all = lines()
      expect(all.slice(0, 4)).toEqual([...new Set(all.slice(0, 4))])
      expect(all.at(-1)).toContain('2 of 2 trials: 1 complete, 1 failed; done; paused\n')
      expect(all.at(-1)).toContain('The best again: ')
      expect(all.join('')).not.toContain('\x1b')
    } finally {
      write.mockRestore()
    }
  })

  test('prints one object with --json, once the sweep is done; no other action can be watched', async () => {
    const out = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
    const err = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    try {
      expect(await sweepAction('status', [place, '--watch', '--json'])).toBe(0)
      const [[text], ...others] = out.mock.calls
      expect(others).toEqual([])
      expect(JSON.parse(String(text))).toMatchObject({ sweeps: [{ paused: true, seconds_left: 0 }] })
    } finally {
      out.mockRestore()
      err.mockRestore()
    }
    await expect(sweepAction('pause', [place, '--watch'])).rejects.toThrow(
      '--watch is for sweep status, not for sweep pause',
    )
  })
})

describe('the database of a folder', () => {
  test('is used by others through the process that has it open, and waited for where that starts anew', async () => {
    const place = join(folder, 'sweep')
    const lines: string[] = []
    const client = await openDatabase(place, { first: 20, most: 50, tell: line => lines.push(line) })
    await client.executeSql('CREATE TABLE numbers (n integer)')
    await client.executeSql('INSERT INTO numbers VALUES ($1)', [1])
    expect((await database.executeSql('SELECT n FROM numbers')).rows).toEqual([{ n: 1 }])
    await expect(client.executeSql('SELECT nothing')).rejects.toThrow(/nothing/)
    expect(client.secondsSinceOutage).toBe(Infinity)
    await queue.close()
    await database.close()
    const answer = client.executeSql('SELECT n FROM numbers')
    await expect.poll(() => lines.length).toBe(1)
    const opening = serveFolder(place)
    // While it has the folder's lock, but serves nobody yet.
    await expect.poll(() => isLocked(place), { interval: 1 }).toBe(true)
    const late = openDatabase(place)
    database = await opening
    expect((await (await late).executeSql('SELECT n FROM numbers')).rows).toEqual([{ n: 1 }])
    await (await late).close()
    expect((await answer).rows).toEqual([{ n: 1 }])
    expect(lines).toEqual([
      `The database ${place} does not answer (ECONNRESET); waiting for it.`,
      `The database ${place} is back.`,
    ])
    await database.close()
    client.hurry(0.05)
    await expect(client.executeSql('SELECT 1')).rejects.toThrow(`${place} does not answer: ECONNRESET`)
    await client.close()
  })

  test('that is missing, or a server that does not answer, is one line', async () => {
    await expect(openDatabase(folder)).rejects.toThrow(`${folder} has no database of a sweep`)
    const refused = openDatabase('postgres://someone:secret@127.0.0.1:1/nowhere')
    await expect(refused).rejects.toThrow(UserError)
    await expect(refused).rejects.toThrow('Cannot use the database postgres://someone@127.0.0.1:1/nowhere')
    await expect(openDatabase('postgres://%zz@')).rejects.toThrow(UserError)
    await expect(openDatabase('mysql://host/name')).rejects.toThrow('mysql://host/name is not supported')
  })
})

test.each([
  ['postgres://me:secret@host:1/name', 'postgres://me@host:1/name'],
  ['postgres://me:a@b:c@host/name?ssl=true', 'postgres://me@host/name?ssl=true'],
  ['postgres://:secret@host/name', 'postgres://@host/name'],
  ['postgres://me@host/name?password=secret', 'postgres://me@host/name'],
  ['postgres://me@host/name?password=secret&ssl=true', 'postgres://me@host/name?ssl=true'],
  ['postgres://me@host/name?ssl=true&password=secret', 'postgres://me@host/name?ssl=true'],
  ['postgres://host:1/name?host=/tmp/x@y', 'postgres://host:1/name?host=/tmp/x@y'],
])('the address %s is recorded as %s', (address, shown) => {
  expect(withoutPassword(address)).toBe(shown)
})
