// Stdout and stderr that are closed or full, or read slowly: a command goes on, loses nothing that somebody reads, and
// ends with its own status.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'

const url = (file: string): string =>
  JSON.stringify(new URL(`../../../../train/node/cli/${file}`, import.meta.url).href)
const args = (code: string): string[] => [
  '--input-type=module',
  '-e',
  `
  import { runCommand } from ${url('main.ts')}
  import { finishPrinting, print } from ${url('output.ts')}
  import { UserError, NonFinite } from ${JSON.stringify(new URL('../../../../engine/errors.ts', import.meta.url).href)}
  import { setTimeout as sleep } from 'node:timers/promises'
  await runCommand(async () => { ${code} })`,
]

/** Runs a command, whose stdout and stderr nobody reads from its first line on. */
function closed(code: string): Promise<number | null> {
  const child = spawn(process.execPath, args(code), { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.once('data', () => {
    child.stdout.destroy()
    child.stderr.destroy()
  })
  return new Promise(done => child.once('exit', done))
}

test('a command whose output nobody reads any more goes on to its own end', async () => {
  const write = `for (let i = 0; i < 20; i++) { process.stdout.write('out\\n'); process.stderr.write('err\\n'); await sleep(10) }`
  expect(await closed(`${write}; return 5`)).toBe(5)
  expect(await closed(`${write}; throw new UserError('a mistake')`)).toBe(2)
})

test('one that only prints is told, and may stop', async () => {
  const code = `for (let i = 0; i < 10_000; i++) if (!(await print('x'.repeat(1000) + '\\n'))) return i > 0 ? 4 : 5`
  expect(await closed(code)).toBe(4)
})

test('a full disk below stdout and stderr ends no command', ({ skip }) => {
  skip(!existsSync('/dev/full'), 'there is no /dev/full')
  const code = `process.stdout.write('out\\n'); process.stderr.write('err\\n'); await sleep(20); process.stdout.write('out\\n'); return 6`
  const command = `"$0" "$@" > /dev/full 2> /dev/full`
  expect(spawnSync('/bin/sh', ['-c', command, process.execPath, ...args(code)]).status).toBe(6)
})

test('a full disk below stdout ends a command whose output is its result with one line and status 2', ({ skip }) => {
  skip(!existsSync('/dev/full'), 'there is no /dev/full')
  const code = `await print('answer\\n'); await finishPrinting(); return 0`
  const { status, stderr } = spawnSync('/bin/sh', ['-c', '"$0" "$@" > /dev/full', process.execPath, ...args(code)], {
    encoding: 'utf8',
  })
  expect({ status, stderr }).toEqual({
    status: 2,
    stderr: 'tilegrad: Cannot write to standard output: ENOSPC. What came before may be incomplete\n',
  })
})

test('what the system refuses is one line that names call and path, and status 2', () => {
  const code = `await import('node:fs/promises').then(fs => fs.writeFile('/dev/null/no', '')); return 0`
  const { status, stderr } = spawnSync(process.execPath, args(code), { encoding: 'utf8' })
  expect({ status, stderr }).toEqual({ status: 2, stderr: "tilegrad: ENOTDIR: not a directory, open '/dev/null/no'\n" })
})

test('a slow reader gets all of a large output, which waits for it rather than fill memory', async () => {
  const code = `
    let most = 0
    for (let i = 0; i < 400; i++) { await print('x'.repeat(9999) + '\\n'); most = Math.max(most, process.stdout.writableLength) }
    process.stderr.write(String(most))
    return 0`
  const child = spawn(process.execPath, args(code), { stdio: ['ignore', 'pipe', 'pipe'] })
  let [bytes, most] = [0, '']
  child.stderr.on('data', (piece: Buffer) => {
    most += String(piece)
  })
  await sleep(500)
  child.stdout.on('data', (piece: Buffer) => {
    bytes += piece.length
  })
  const status = await new Promise(done => child.once('close', done))
  expect({ status, bytes }).toEqual({ status: 0, bytes: 4_000_000 })
  expect(Number(most)).toBeLessThan(100_000)
})

test('what was written last arrives before the process exits', () => {
  const { stdout, status } = spawnSync(
    '/bin/sh',
    [
      '-c',
      '"$0" "$@" | (sleep 0.3; wc -c)',
      process.execPath,
      ...args(`process.stdout.write('x'.repeat(1_000_000)); return 0`),
    ],
    { encoding: 'utf8' },
  )
  expect({ status, bytes: Number(stdout) }).toEqual({ status: 0, bytes: 1_000_000 })
})

test('an error is one line with its status, or with its stack where it is a bug', () => {
  const end = (code: string): { status: number | null; stderr: string } => {
    const { status, stderr } = spawnSync(process.execPath, args(code), { encoding: 'utf8' })
    return { status, stderr }
  }
  expect(end(`throw new UserError('no such file')`)).toEqual({ status: 2, stderr: 'tilegrad: no such file\n' })
  expect(end(`throw new NonFinite('step 3: NaN')`)).toEqual({ status: 3, stderr: 'tilegrad: step 3: NaN\n' })
  const bug = end(`throw new TypeError('ours')`)
  expect(bug.status).toBe(1)
  expect(bug.stderr).toMatch(/^TypeError: ours\n +at /)
  expect(end(String.raw`throw new TypeError('\x1b[2Jours')`).stderr).toMatch(/^TypeError: \\x1b\[2Jours\n +at /)
})
