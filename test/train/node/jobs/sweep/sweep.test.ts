// `tilegrad sweep` over PGlite, with workers as child processes: what it leaves, and what becomes of it when processes
// are killed or stopped.
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'csv-parse/sync'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { UserError } from '../../../../../engine/errors.ts'
import { sweep } from '../../../../../train/node/cli/sweep.ts'
import { worker } from '../../../../../train/node/cli/worker.ts'
import { openPlace, sweepsOf } from '../../../../../train/node/jobs/sweep/status.ts'
import { NO_ATTENTION_DROPOUT, makeWorkplace, resultOf, type Workplace } from '../../../../support/command.ts'
import { bitsOf, trialOptions, trialsOf } from '../../../../support/sweeps.ts'
import { type Running, startTilegrad, tilegrad } from '../../../../support/tiny.ts'

let place: Workplace
let cwd: string

beforeAll(async () => {
  place = await makeWorkplace('sweep', NO_ATTENTION_DROPOUT)
  cwd = await place.folder()
  const { 'lora-targets': shared, 'no-report': noReport, ...options } = trialOptions(place)
  // Two rates, and a setting that fails: no module is called so.
  const parameters = [
    { lr: [0.001, 0.005, 0.002], 'lora-targets': [shared] },
    { 'lora-targets': ['nothing.of.the.kind'] },
  ]
  const written = async (name: string, options: object): Promise<void> =>
    writeFile(join(cwd, name), JSON.stringify({ parameters, seeds: [7], options }))
  await written('with-reports.json', options)
  await written('spec.json', { ...options, 'no-report': noReport })
})
afterAll(() => place.remove())

const run = (...args: readonly string[]) => tilegrad(args, { cwd, env: place.env })
const start = (...args: readonly string[]): Running => startTilegrad(args, { cwd, env: place.env })

/** What an action prints, such as `status`. */
async function said(...args: readonly [string, ...string[]]): Promise<string> {
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  try {
    await sweep([...args])
    return write.mock.calls.map(([text]) => String(text)).join('')
  } finally {
    write.mockRestore()
  }
}

describe('a sweep', () => {
  test('makes every trial once and says what came of it; trials that fail leave the others alone', async () => {
    const ended = await run('sweep', 'with-reports.json', '--out', 'whole', '--workers', '2', '--json')
    const result = resultOf<{ states: object; best: { value: number } }>(ended)
    expect(result.states).toEqual({ complete: 3, pruned: 0, failed: 1, running: 0, waiting: 0 })
    expect(ended.stderr).toContain(
      'Sweep whole: 4 trials of tilegrad fine-tune (grid: 4 settings × 1 seed), highest accuracy, 2 workers here\n',
    )
    expect(ended.stderr).toMatch(/^About \d+ s a trial, /m)
    const trials = await trialsOf(join(cwd, 'whole'))
    expect(trials.map(({ state, attempts }) => [state, attempts])).toEqual([
      ['complete', 1],
      ['complete', 1],
      ['complete', 1],
      ['failed', 1],
    ])
    expect(trials[3].error).toContain('nothing.of.the.kind')
    const best = trials.slice(0, 3).map(({ value }) => value ?? 0)
    expect(best).toContain(result.best.value)
    expect(trials[0].intermediate).toHaveLength(3)

    const rows: string[][] = parse(await readFile(join(cwd, 'whole/trials.csv'), 'utf8'))
    expect(rows[0]).toEqual('number,setting,lr,lora-targets,seed,state,accuracy,test_accuracy,seconds,error'.split(','))
    expect(rows.slice(1).map(row => [row[2], row[4], row[5], row[6]])).toEqual(
      trials.map(({ values, seed, state, value }) => [
        String(values.lr ?? ''),
        String(seed),
        state,
        String(value ?? ''),
      ]),
    )
    expect(await readdir(join(cwd, 'whole/trials/1'))).toEqual(
      expect.arrayContaining(['adapter', 'config.json', 'metrics.jsonl', 'predictions.jsonl', 'report.html']),
    )
    expect(await readdir(join(cwd, 'whole/checkpoints'))).toEqual([])
  })

  test('gives each trial what the same options give outside of a sweep', async () => {
    const text = await said('best', join(cwd, 'whole'), '--json')
    const schema = z.object({ best: z.array(z.looseObject({ number: z.number(), command: z.string() })).length(1) })
    const [{ number, command }] = schema.parse(JSON.parse(text)).best
    const args = command.split(' ').slice(command.split(' ').indexOf('fine-tune'))
    const alone = resultOf<Record<string, unknown>>(await run(...args, '--out', 'alone', '--json'))
    const swept = (await trialsOf(join(cwd, 'whole')))[number].result
    for (const name of ['test_loss', 'val_loss', 'loss', 'test_metrics', 'best_checkpoints']) {
      expect(alone[name], name).toEqual(swept?.[name])
    }
  })

  test('that is done says so, and can make its failed trials again', async () => {
    expect(await said('status', join(cwd, 'whole'))).toContain('4 of 4 trials: 3 complete, 1 failed; done\n')
    const before = await trialsOf(join(cwd, 'whole'))
    const ended = await run('sweep', '--resume', 'whole', '--retry-failed', '--json')
    resultOf(ended)
    expect(ended.stderr).toContain('Trying again: trials 3\n')
    const trials = await trialsOf(join(cwd, 'whole'))
    expect(trials.map(({ state, attempts }) => [state, attempts])).toEqual([
      ['complete', 1],
      ['complete', 1],
      ['complete', 1],
      ['failed', 2],
    ])
    expect(trials.slice(0, 3)).toEqual(before.slice(0, 3))
  })
})

describe('a sweep that is disturbed', () => {
  test('goes on after a killed worker, a pause, Ctrl-C and a killed sweep, to the same bits', async () => {
    const folder = join(cwd, 'disturbed')
    const first = start('sweep', 'spec.json', '--out', 'disturbed', '--json')
    await first.said(/^Sweep /m)
    // One connection, which finds the sweep again when it starts anew.
    const at = await openPlace(folder)
    const [{ id }] = await sweepsOf(at)
    const soon = { timeout: 60_000, interval: 20 }
    /** The process of a worker whose trial has a checkpoint, once there is one. One small statement for each look. */
    const working = () =>
      vi.waitFor(async () => {
        const { rows } = await at.database.executeSql(
          `SELECT w.pid FROM tilegrad.worker w JOIN tilegrad.trial t ON t.sweep = w.sweep AND t.number = w.trial
           WHERE t.state = 'running' AND t.checkpoint IS NOT NULL`,
        )
        return z.int().positive().parse(rows[0]?.pid)
      }, soon)
    process.kill(await working(), 'SIGKILL')
    await first.said(/A worker was ended by SIGKILL; another one takes its place\./)

    const taken = sweep([join(cwd, 'spec.json'), '--out', folder])
    await expect(taken).rejects.toThrow(`${folder} exists and is not empty: a sweep needs a folder of its own`)
    await expect(sweep(['--resume', folder])).rejects.toThrow(/disturbed is in use by process \d+ on /)

    expect(await said('pause', folder)).toBe('disturbed: its workers stop at checkpoints.\n')
    await expect
      .poll(async () => (await at.store.standings(id)).filter(({ state }) => state === 'running').length, soon)
      .toBe(0)
    expect((await at.store.sweep(id)).paused).toBe(true)
    expect(await said('continue', folder)).toBe('disturbed: its workers continue.\n')

    await working()
    first.child.kill('SIGINT')
    const stopped = await first.ended
    expect(stopped.status, stopped.stderr).toBe(130)
    expect(JSON.parse(stopped.stdout)).toMatchObject({ stopped: true, states: { running: 0 } })
    expect(stopped.stderr).toContain('sweep --resume disturbed\n')

    const second = start('sweep', '--resume', 'disturbed', '--json')
    await working()
    second.child.kill('SIGKILL')
    await second.ended
    await at.database.close()

    resultOf(await run('sweep', '--resume', 'disturbed', '--json'))
    const [trials, wanted] = [await trialsOf(join(cwd, 'disturbed')), await trialsOf(join(cwd, 'whole'))]
    expect(trials.map(bitsOf)).toEqual(wanted.map(bitsOf))
    expect(trials.slice(0, 3).some(({ attempts }) => attempts > 1)).toBe(true)
    expect(await readdir(join(cwd, 'disturbed/checkpoints'))).toEqual([])
  }, 240_000)
})

test('a sweep whose trials all fail is recorded, and ends with status 2', async () => {
  const plan = { command: 'baseline', parameters: { 'min-df': [1000, 2000] }, options: { data: place.reviews } }
  await writeFile(join(cwd, 'lost.json'), JSON.stringify(plan))
  const ended = await run('sweep', 'lost.json', '--out', 'lost')
  expect(ended.status).toBe(2)
  expect(ended.stderr).toMatch(
    /\ntilegrad: All 2 trials failed; the first: .*min-df.* Try them again with: .*--retry-failed\n$/,
  )
  expect((await trialsOf(join(cwd, 'lost'))).map(({ state }) => state)).toEqual(['failed', 'failed'])
})

describe('mistakes', () => {
  const spec = (name: string): string => join(cwd, name)
  test.each([
    [() => [], 'sweep needs a spec: a YAML or JSON file, or --vary with an option and its values; see --help'],
    [() => ['statsu'], 'statsu does not exist; did you mean sweep status?'],
    [() => ['constructor'], 'constructor does not exist'],
    [() => ['status', cwd], /^\S+ is not the folder of a sweep: it has no sweep\.json$/],
    [() => ['--resume', 'nowhere'], 'nowhere is not the folder of a sweep: it has no sweep.json'],
    [() => ['--vary', 'lr=1,2', '--retry-failed'], '--retry-failed needs --resume, the folder of the sweep'],
    [
      () => ['--resume', spec('whole'), '--seeds', '1'],
      "--seeds cannot be given with --resume, which uses the sweep's own options",
    ],
    [
      () => ['--resume', spec('whole'), '--vary', 'lr=1'],
      "--vary cannot be given with --resume, which uses the sweep's own options",
    ],
    [
      () => ['--resume', spec('whole'), '--', '--epochs', '9'],
      "--epochs after -- cannot be given with --resume, which uses the sweep's own options",
    ],
    [
      () => ['--resume', spec('whole'), '--database', 'postgres://me@127.0.0.1:1/none'],
      '--database: this sweep is kept in its own folder, by PGlite',
    ],
    [() => ['--vary', 'lr=1,2', '--workers', '99999'], '--workers takes a whole number from 0 to 64; got "99999"'],
    [
      () => ['--command', 'baseline', '--vary', 'c=1,2', '--out', spec('new'), '--', '--data', spec('nowhere.csv')],
      /^No file or folder at \S+nowhere\.csv$/,
    ],
    [() => ['--vary', 'lr=1,2', '--dry-run', '--', '--data', 'nowhere.csv'], 'No file or folder at nowhere.csv'],
    [() => ['--vary', 'lrr=1,2'], /^--vary lrr: .*did you mean --lr\?/],
    [
      () => [spec('spec.json'), '--out', spec('new'), '--database', 'postgres://me:secret@127.0.0.1:1/none'],
      'Cannot use the database postgres://me@127.0.0.1:1/none: connect ECONNREFUSED 127.0.0.1:1',
    ],
    [
      () => [spec('spec.json'), '--out', spec('new'), '--database', spec('whole')],
      /^--database takes an address postgres:\/\/user@host\/name; got "\S+whole"$/,
    ],
    [
      () => [spec('spec.json'), '--out', spec('new'), '--database', 'mysql://me:secret@host/name'],
      'mysql://me@host/name is not supported: use a PostgreSQL server, postgres://user@host/name',
    ],
    [
      () => [spec('spec.json'), '--out', spec('spec.json/new')],
      /^\S+ is a file, or below one: a sweep needs a folder of its own$/,
    ],
    [
      () => [spec('spec.json'), '--store', cwd],
      "--store needs --database: workers on one machine have the sweep's folder",
    ],
  ])('%# is one line, and nothing is written', async (args, says) => {
    const before = await readdir(cwd)
    const refused = await sweep(args()).then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(refused).toBeInstanceOf(UserError)
    const { message } = refused instanceof UserError ? refused : { message: '' }
    if (typeof says === 'string') expect(message).toBe(says)
    else expect(message).toMatch(says)
    expect(await readdir(cwd)).toEqual(before)
  })

  test('of a worker are one line too', async () => {
    await expect(worker([])).rejects.toThrow('worker needs --database, or TILEGRAD_DATABASE in the environment')
    await expect(worker(['--database', 'nowhere'])).rejects.toThrow('nowhere has no database of a sweep')
  })
})
