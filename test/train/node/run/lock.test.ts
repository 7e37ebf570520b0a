// Processes that want the same folder: one gets it, the others are told in one line or take the next.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import { lock } from '../../../../train/node/run/lock.ts'
import { chooseRunFolder, createNewRun, createRun } from '../../../../train/node/run/folder.ts'

let root: string
let count = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'tilegrad-lock-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

async function folder(): Promise<string> {
  const path = join(root, `folder${count++}`)
  await mkdir(path)
  return path
}
const left = (path: string, holder: string): Promise<void> => writeFile(join(path, 'lock'), holder)
const gone = (): number => spawnSync(process.execPath, ['--version']).pid

describe('a lock', () => {
  test('keeps others out until it is given back, in this process too', async () => {
    const path = await folder()
    const unlock = await lock(path)
    const [pid, host] = (await readFile(join(path, 'lock'), 'utf8')).split(' ')
    expect([pid, host]).toEqual([`${process.pid}`, hostname()])
    expect(await readdir(path), 'nothing is left of making it').toEqual(['lock'])
    await expect(lock(path)).rejects.toThrow(
      new UserError(
        `${path} is in use by process ${process.pid} on ${hostname()}; if that process has exited, delete ${join(path, 'lock')}`,
      ),
    )
    await unlock()
    expect(await readdir(path)).toEqual([])
    await (
      await lock(path)
    )()
  })

  test('of a process that lives is respected, here and where one cannot look', async () => {
    const path = await folder()
    const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
    try {
      await left(path, `${other.pid} ${hostname()}`)
      await expect(lock(path)).rejects.toThrow(`in use by process ${other.pid}`)
    } finally {
      other.kill('SIGKILL')
    }
    await left(path, '1234567 another-host')
    await expect(lock(path)).rejects.toThrow('in use by process 1234567 on another-host')
  })

  test('of a process that is gone is taken over, by one of many', async () => {
    const path = await folder()
    for (const holder of [`${gone()} ${hostname()}`, `${process.pid} ${hostname()}`]) {
      await left(path, holder)
      const taken = await Promise.allSettled(Array.from({ length: 24 }, () => lock(path)))
      const locks = taken.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
      expect(locks.length).toBe(1)
      await locks[0]()
      expect(await readdir(path)).toEqual([])
    }
  })
})

describe('a lock that names nobody who works', () => {
  test.for(['', ' ', '\0\0\0\0', '1234', 'half a line'])('%j is taken over', async content => {
    const path = await folder()
    await left(path, content)
    await (
      await lock(path)
    )()
    expect(await readdir(path)).toEqual([])
  })

  test('is waited for while it may still be written', async () => {
    const path = await folder()
    await left(path, '')
    const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
    try {
      setTimeout(() => void left(path, `${other.pid} ${hostname()}`), 200)
      await expect(lock(path)).rejects.toThrow(`in use by process ${other.pid}`)
    } finally {
      other.kill('SIGKILL')
    }
  })

  test('of a process whose pid another one has by now is taken over', async ({ skip }) => {
    skip(!existsSync('/proc/self/stat'), 'when a process started is read from /proc')
    const path = await folder()
    const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
    try {
      const stat = await readFile(`/proc/${other.pid}/stat`, 'utf8')
      const start = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19])
      await left(path, `${other.pid} ${hostname()} ${start}`)
      await expect(lock(path)).rejects.toThrow(`in use by process ${other.pid}`)
      await left(path, `${other.pid} ${hostname()} ${start - 1}`)
      await (
        await lock(path)
      )()
    } finally {
      other.kill('SIGKILL')
    }
  })

  test('is not removed by another one that was locked before in its place', async () => {
    const path = await folder()
    const unlock = await lock(path)
    await rm(path, { recursive: true })
    await mkdir(path)
    await left(path, '1234567 another-host')
    await unlock()
    expect(await readFile(join(path, 'lock'), 'utf8')).toBe('1234567 another-host')
  })
})

describe("a new run's folder", () => {
  test('is another for each of many that begin at once', async () => {
    const where = { root: join(root, 'runs'), now: new Date('2026-11-24T12:00:00Z') }
    const runs = await Promise.all(Array.from({ length: 6 }, (_, i) => createNewRun(undefined, 'model', { i }, where)))
    expect(new Set(runs.map(({ run }) => run.folder)).size).toBe(6)
    for (const [i, { run, unlock }] of runs.entries()) {
      expect(run.config).toEqual({ i })
      // Whoever made it has it until the end.
      await expect(run.lock()).rejects.toThrow('is in use')
      await unlock()
      expect(await readdir(run.folder)).toEqual(['config.json'])
    }
  })

  test('that was asked for goes to one of them', async () => {
    for (const out of [join(root, 'asked'), await folder()]) {
      const runs = await Promise.allSettled(Array.from({ length: 4 }, (_, i) => createNewRun(out, 'model', { i })))
      expect(runs.filter(({ status }) => status === 'fulfilled').length).toBe(1)
      for (const run of runs) {
        if (run.status === 'rejected') expect(run.reason).toBeInstanceOf(UserError)
        else await run.value.unlock()
      }
      await expect(createRun(out, {})).rejects.toThrow('exists and is not empty')
    }
  })

  test('is refused before all else where nothing can be written', async ({ skip }) => {
    const file = join(await folder(), 'file')
    await writeFile(file, '')
    await expect(chooseRunFolder(undefined, 'x', { root: file })).rejects.toThrow(`${file} is a file`)
    skip(process.getuid?.() === 0, 'root may write anywhere')
    const closed = await folder()
    await rm(closed, { recursive: true })
    await mkdir(closed, { mode: 0o500 })
    for (const out of [join(closed, 'run'), join(closed, 'a/b/run'), closed]) {
      await expect(chooseRunFolder(out, 'x')).rejects.toThrow(
        new UserError(`Cannot write the run's folder ${out}: EACCES`),
      )
    }
  })
})
