// A PostgreSQL server of a test's own, on a Unix socket alone. It refuses to run as root, so root runs it as the user
// that Debian's package makes.
import { execFile, execFileSync, spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { chmod, chown, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Where the server's programs are; undefined where PostgreSQL is not installed. */
export function postgresPrograms(): string | undefined {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const places = [
    ...versions.map(version => join(debian, version, 'bin')),
    ...(process.env.PATH ?? '').split(delimiter),
  ]
  return places.find(place => ['initdb', 'postgres'].every(name => existsSync(join(place, name))))
}

const isRoot = process.getuid?.() === 0

/** The user that runs the server, if this one may not; undefined if there is none, or it needs no other. */
function serverUser(): { readonly uid: number; readonly gid: number } | undefined {
  if (!isRoot) return undefined
  const idOf = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  return { uid: idOf('-u'), gid: idOf('-g') }
}

/** Why there can be no server here; undefined if there can. */
export function whyNoPostgres(): string | undefined {
  if (postgresPrograms() === undefined) return 'PostgreSQL is not installed'
  try {
    serverUser()
    return undefined
  } catch {
    return 'PostgreSQL does not run as root, and there is no user postgres'
  }
}

export interface PostgresServer {
  /** How clients reach it. */
  readonly address: string
  /** Kills all of its processes at once, as a power cut does. */
  kill(): Promise<void>
  /** Starts it, after `kill` again, and waits until it answers. */
  start(): Promise<void>
  /** Ends it and removes its data. */
  remove(): Promise<void>
}

/** Makes a server with an empty database, and starts it. */
export async function startPostgres(): Promise<PostgresServer> {
  const programs = postgresPrograms()
  if (programs === undefined) throw new Error('PostgreSQL is not installed')
  const user = serverUser()
  const root = await mkdtemp(join(tmpdir(), 'tg-pg-'))
  if (user) await chown(root, user.uid, user.gid)
  await chmod(root, 0o755)
  const data = join(root, 'data')
  await run(join(programs, 'initdb'), ['-D', data, '-U', 'tilegrad', '-A', 'trust', '--no-sync', '-E', 'UTF8'], {
    ...user,
    cwd: root,
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
  })
  const address = `postgres://tilegrad@localhost/postgres?host=${encodeURIComponent(root)}`
  let ended: Promise<void> = Promise.resolve()
  let group: number | undefined
  const server: PostgresServer = {
    address,
    async start() {
      // What a killed server kept in shared memory may take a moment to go.
      for (let tries = 0; ; tries++) {
        const child = spawn(
          join(programs, 'postgres'),
          ['-D', data, '-k', root, '-c', 'listen_addresses=', '-c', 'fsync=off', '-c', 'shared_buffers=16MB'],
          { ...user, cwd: root, env: { PATH: process.env.PATH, LC_ALL: 'C' }, stdio: 'ignore', detached: true },
        )
        group = child.pid
        let isRunning = true
        ended = new Promise(done => {
          child.once('exit', () => {
            isRunning = false
            done()
          })
        })
        while (isRunning && !(await answers(programs, root))) await sleep(50)
        if (isRunning) return
        if (tries === 20) throw new Error('PostgreSQL does not start')
        await sleep(100)
      }
    },
    async kill() {
      if (group !== undefined) process.kill(-group, 'SIGKILL')
      group = undefined
      await ended
    },
    async remove() {
      await server.kill()
      await rm(root, { recursive: true, force: true, maxRetries: 5 })
    },
  }
  await server.start()
  return server
}

const answers = (programs: string, root: string): Promise<boolean> =>
  run(join(programs, 'psql'), ['-h', root, '-U', 'tilegrad', '-d', 'postgres', '-Atc', 'SELECT 1']).then(
    () => true,
    () => false,
  )
