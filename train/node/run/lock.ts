// One process at a time in a run's folder: a file with the pid of whoever works there, its host, and when it started, which
// tells it from a later process with the same pid. What an exited process left, after a kill or a power cut, is taken over.
import { readFileSync } from 'node:fs'
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { UserError, printable } from '../../../engine/errors.ts'
import { codeOf, temporaryName } from '../../../models/node/files.ts'

export const LOCK = 'lock'

/** How long a lock may hold nothing that names a process: some file systems create a file before they fill it. */
const FILLED_WITHIN_MS = 1000
const LOOK_AGAIN_MS = 50

/** Locks of this process, by absolute path. */
const held = new Set<string>()

interface Holder {
  readonly pid: number
  readonly host: string
  /** When the process started, in the system's own words; undefined where that is not known. */
  readonly start: string | undefined
}

/** Locks a folder and gives what unlocks it. Throws a UserError, naming the process, where another works there. */
export async function lock(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, LOCK)
  const key = resolve(path)
  const own = [process.pid, hostname(), startOf(process.pid)].filter(part => part !== undefined).join(' ')
  let patience = FILLED_WITHIN_MS
  while (!await writeNew(folder, path, own)) {
    const content = await readFile(path, 'utf8').catch(() => undefined)
    if (content === undefined) continue
    const holder = parse(content)
    if (held.has(key) || (holder && isWorking(holder))) {
      const who = holder ? `process ${holder.pid} on ${printable(holder.host)}` : 'another process'
      throw new UserError(`${folder} is in use by ${who}; if that process has exited, delete ${path}`)
    }
    if (!holder && patience > 0) {
      await sleep(LOOK_AGAIN_MS)
      patience -= LOOK_AGAIN_MS
      continue
    }
    // Of several that find it one moves it away, and puts back what is another's by now.
    const aside = join(folder, temporaryName(LOCK))
    if (!await rename(path, aside).then(() => true, () => false)) continue
    if (await readFile(aside, 'utf8') !== content) await link(aside, path).catch(() => undefined)
    await rm(aside)
  }
  held.add(key)
  return async () => {
    held.delete(key)
    // The folder may be gone, or another one that another process works in.
    if (await readFile(path, 'utf8').catch(() => undefined) === own) await rm(path, { force: true }).catch(() => undefined)
  }
}

function parse(content: string): Holder | undefined {
  const [, pid, host, start] = /^(\d+) (\S+)(?: (\d+))?$/.exec(content.trim()) ?? []
  return pid === undefined ? undefined : { pid: Number(pid), host, start }
}

/** Whether a holder may still work. On another host one can't look. */
function isWorking({ pid, host, start }: Holder): boolean {
  if (host !== hostname()) return true
  const now = startOf(pid)
  if (start !== undefined && now !== undefined) return start === now
  // Without a start this process can only have been mistaken for one before it with the same pid, as in a container.
  return pid !== process.pid && isAlive(pid)
}

/** When a process started, in ticks since the system did; undefined where there is no such process, or no /proc. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the program's name in parentheses, which may hold anything; the start is the 22nd.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

/** Creates the lock with its content; false where there is one already. */
async function writeNew(folder: string, path: string, content: string): Promise<boolean> {
  // Linked into its place, a lock is never seen empty.
  const beside = join(folder, temporaryName(LOCK))
  await writeFile(beside, content, { flag: 'wx', flush: true })
  try {
    await link(beside, path)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    // Whoever holds the lock has cleared it away.
    if (codeOf(error) === 'ENOENT') return false
    if (!NO_LINKS.includes(codeOf(error) ?? '')) throw error
  } finally {
    await rm(beside, { force: true })
  }
  return writeFile(path, content, { flag: 'wx', flush: true }).then(() => true, (error: unknown) => {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  })
}

/** What file systems without hard links say. */
const NO_LINKS: readonly string[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // One of another user may not be signalled, but is there.
    return codeOf(error) === 'EPERM'
  }
}
