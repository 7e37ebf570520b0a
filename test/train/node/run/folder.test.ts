// A run's folder: nothing there before all is resolved, whole files and whole lines after it.
import { spawn } from 'node:child_process'
import { appendFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import { FolderGone, chooseRunFolder, createRun, openRun } from '../../../../train/node/run/folder.ts'

let root = ''
let count = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'tilegrad-runs-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

const fresh = () => join(root, `run${count++}`)
const now = new Date('2026-11-24T12:00:00Z')

/** The UserError's message, which must fit one line. */
async function mistake(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => new Error('it was taken'),
    (reason: unknown) => reason,
  )
  if (!(error instanceof UserError)) throw error
  expect(error.message).not.toContain('\n')
  return error.message
}

describe("the run's folder", () => {
  test('is runs/<date>-<name>, numbered where that is taken, and choosing it creates nothing', async () => {
    const choose = () => chooseRunFolder(undefined, 'google/bert base', { root: join(root, 'runs'), now })
    const first = await choose()
    expect(first).toBe(join(root, 'runs', '2026-11-24-google-bert-base'))
    await expect(readdir(join(root, 'runs'))).rejects.toThrow('ENOENT')
    await createRun(first, {})
    expect(await choose()).toBe(`${first}-2`)
    await createRun(`${first}-2`, {})
    expect(await choose()).toBe(`${first}-3`)
  })

  test('never leaves the runs folder, whatever the name', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme' }), async name => {
        const folder = await chooseRunFolder(undefined, name, { root: 'no-such-folder', now })
        expect(folder).toMatch(/^no-such-folder[/\\]2026-11-24-[^/\\\s]+$/)
      }),
    )
  })

  test('that was asked for is taken when it is new or empty', async () => {
    const folder = fresh()
    expect(await chooseRunFolder(folder, 'x')).toBe(folder)
    await mkdir(folder)
    expect(await chooseRunFolder(folder, 'x')).toBe(folder)
    await createRun(folder, { seed: 1 })
    expect(await readdir(folder)).toEqual(['config.json'])
  })

  test('that exists and is not empty, or is a file, is refused and left alone', async () => {
    const folder = fresh()
    await mkdir(folder)
    const file = join(folder, 'diary.txt')
    await writeFile(file, 'mine')
    for (const work of [() => chooseRunFolder(folder, 'x'), () => createRun(folder, {})]) {
      expect(await mistake(work())).toBe(`${folder} exists and is not empty: a run needs a folder of its own`)
    }
    expect(await mistake(chooseRunFolder(file, 'x'))).toContain('is a file')
    expect(await mistake(chooseRunFolder(join(file, 'below'), 'x'))).toContain('is a file, or below one')
    expect(await readdir(folder)).toEqual(['diary.txt'])
  })

  test('that a process left which was killed before it wrote anything is taken, and what it left is cleared away', async () => {
    const folder = fresh()
    await mkdir(folder)
    await writeFile(join(folder, 'lock'), '')
    await writeFile(join(folder, '.config.json.0123456789ab.tmp'), '{')
    await writeFile(join(folder, '.lock.0123456789ab.tmp'), '1')
    await createRun(folder, { seed: 1 })
    expect(await readdir(folder)).toEqual(['config.json'])
  })

  test('loses what killed processes left when it is locked again, and nothing of the user', async () => {
    const run = await createRun(fresh(), {})
    const mine = ['.notes.tmp', 'adapter/adapter_config.json', 'checkpoints/step-000001/position.json']
    const left = [
      '.metrics.jsonl.0123456789ab.tmp',
      'checkpoints/.best.0123456789ab.tmp',
      'adapter/.x.json.0123456789ab.tmp',
      '.adapter.0123456789ab.tmp/adapter_config.json',
    ]
    for (const name of [...mine, ...left]) {
      await mkdir(dirname(run.path(name)), { recursive: true })
      await writeFile(run.path(name), '')
    }
    const unlock = await run.lock()
    await unlock()
    const names = (await readdir(run.folder, { recursive: true, withFileTypes: true }))
      .filter(entry => entry.isFile())
      .map(({ name }) => name)
    expect(names.sort()).toEqual(['.notes.tmp', 'adapter_config.json', 'config.json', 'position.json'])
  })

  test('that is gone, or another one by now, is written to no more', async () => {
    for (const replace of [false, true]) {
      const run = await createRun(fresh(), {})
      run.appendMetrics({ step: 1 })
      await rename(run.folder, `${run.folder}-moved`)
      if (replace) await mkdir(run.folder)
      const attempts = [
        async () => run.appendMetrics({ step: 2 }),
        async () => run.flushMetrics(),
        () => run.writeResult({}),
        () => run.write('a', ''),
        () => run.writeFolder('adapter', async () => undefined),
        async () => run.check(),
      ]
      for (const attempt of attempts) await expect(attempt()).rejects.toThrow(FolderGone)
      expect(await readdir(run.folder).catch(() => 'gone')).toEqual(replace ? [] : 'gone')
    }
  })

  test('gets a folder that is whole or not there at all', async () => {
    const run = await createRun(fresh(), {})
    const fill =
      (text: string) =>
      async (path: string): Promise<void> => {
        await writeFile(join(path, 'a'), text)
        expect(
          (await readdir(run.folder)).filter(name => name === 'adapter'),
          'not yet',
        ).toEqual(text === '1' ? [] : ['adapter'])
        if (text === '3') throw new Error('killed')
      }
    await run.writeFolder('adapter', fill('1'))
    await run.writeFolder('adapter', fill('2'))
    await expect(run.writeFolder('adapter', fill('3'))).rejects.toThrow('killed')
    expect(await readFile(run.path('adapter', 'a'), 'utf8')).toBe('2')
    expect((await readdir(run.folder)).toSorted()).toEqual(['adapter', 'config.json'])
  })

  test('keeps its config, sets as lists, and gives it back when opened', async () => {
    const folder = fresh()
    const run = await createRun(folder, { lr: 5e-4, given: new Set(['lr']), model: { name: 'b' }, out: undefined })
    const config = { lr: 5e-4, given: ['lr'], model: { name: 'b' } }
    expect(run.config).toEqual(config)
    expect((await openRun(folder)).config).toEqual(config)
    expect(run.path('checkpoints', 'last')).toBe(join(folder, 'checkpoints', 'last'))
  })

  test('is finished once it has a result', async () => {
    const run = await createRun(fresh(), {})
    expect([await run.finished(), await run.readResult()]).toEqual([false, undefined])
    await run.writeResult({ test_accuracy: 0.9 })
    expect([await run.finished(), await run.readResult()]).toEqual([true, { test_accuracy: 0.9 }])
    expect((await readdir(run.folder)).toSorted()).toEqual(['config.json', 'result.json'])
    await writeFile(run.path('lock'), '')
    expect(await run.finished(), 'a process was killed there').toBe(false)
  })

  test('to go on with must be a run', async () => {
    const folder = fresh()
    expect(await mistake(openRun(folder))).toBe(`No run's folder at ${folder}`)
    await mkdir(folder)
    expect(await mistake(openRun(folder))).toBe(`${folder} is not a run folder: it has no config.json`)
    for (const content of ['{"seed": 1', '[1]', 'null', '']) {
      await writeFile(join(folder, 'config.json'), content)
      expect(await mistake(openRun(folder))).toContain('config.json')
    }
    expect(await mistake(openRun(join(folder, 'config.json')))).toContain("No run's folder")
  })
})

describe('metrics', () => {
  test('grow a line at a time and read back as they were', async () => {
    const run = await createRun(fresh(), {})
    expect(run.readMetrics()).toEqual([])
    const lines = [
      { step: 1, loss: 0.7 },
      { step: 2, loss: 0.6 },
      { step: 2, val_accuracy: 0.5, note: 'a\nb' },
    ]
    for (const line of lines) run.appendMetrics(line)
    run.flushMetrics()
    expect(run.readMetrics()).toEqual(lines)
    expect(await readFile(run.path('metrics.jsonl'), 'utf8')).toBe(
      lines.map(line => `${JSON.stringify(line)}\n`).join(''),
    )
  })

  test('go back to a checkpoint as if the later steps had never been, whatever the last write left', async () => {
    const step = fc.nat(20)
    await fc.assert(
      fc.asyncProperty(step, step, fc.nat(12), async (steps, checkpoint, torn) => {
        const run = await createRun(fresh(), {})
        const whole = Array.from({ length: steps }, (_, i) => ({ step: i + 1, loss: 1 / (i + 3) }))
        for (const line of whole) run.appendMetrics(line)
        await appendFile(run.path('metrics.jsonl'), '{"step":21,"l'.slice(0, torn))
        const reopened = await openRun(run.folder)
        await reopened.cutMetrics(checkpoint)
        const kept = whole.slice(0, checkpoint)
        expect(await readFile(run.path('metrics.jsonl'), 'utf8')).toBe(
          kept.map(line => `${JSON.stringify(line)}\n`).join(''),
        )
        reopened.appendMetrics({ step: checkpoint + 1 })
        expect(reopened.readMetrics()).toEqual([...kept, { step: checkpoint + 1 }])
      }),
      { numRuns: 25 },
    )
  })

  test('with a damaged line in their midst are refused, naming the line', async () => {
    const run = await createRun(fresh(), {})
    run.appendMetrics({ step: 1 })
    await appendFile(run.path('metrics.jsonl'), '{"step":\n{"step":3}\n')
    expect(() => run.readMetrics()).toThrow(/metrics\.jsonl, line 2: not a JSON object with a step/)
    expect(await mistake(run.cutMetrics(3))).toContain('line 2')
  })

  test('of a process that was killed are whole lines, in order', async () => {
    const run = await createRun(fresh(), {})
    const script = `
      const { openRun } = await import(${JSON.stringify(new URL('../../../../train/node/run/folder.ts', import.meta.url).href)})
      const run = await openRun(${JSON.stringify(run.folder)})
      for (let step = 1; ; step++) run.appendMetrics({ step, filler: 'x'.repeat(500) })`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let complaints = ''
    child.stderr.on('data', (piece: Buffer) => (complaints += piece.toString()))
    const ended = new Promise(resolve => child.on('exit', resolve))
    const patience = Date.now() + 20_000
    while (run.readMetrics().length < 20 && child.exitCode === null && Date.now() < patience) {
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    child.kill('SIGKILL')
    await ended
    const metrics = run.readMetrics()
    expect(metrics.length, complaints).toBeGreaterThanOrEqual(20)
    expect(metrics.map(({ step }) => step)).toEqual(metrics.map((_, i) => i + 1))
  })
})
