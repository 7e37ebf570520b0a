// One process at a time in a run's folder: a file that names who works there: pid, host, when the process started,
// which tells it from a later one with the same pid, and a number of its own. What an exited process left, after a kill
// or a power cut, is taken over.
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { link, readFile, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { UserError, printable } from '../../../engine/errors.ts'
import { temporaryName } from '../../../models/node/files.ts'
import { codeOf } from '../../../models/node/regular-file.ts'

export const LOCK = 'lock'

/** How long a lock may hold nothing that names a process: some file systems create a file before they fill it. */
const FILLED_WITHIN_MS = 1000
const LOOK_AGAIN_MS = 20

/** Numbers of the locks of this process. */
const held = new Set<string>()

interface Holder {
  readonly pid: number
  readonly host: string
  /** When the process started, in the system's own words; undefined where that is not known. */
  readonly start: string | undefined
  readonly number: string | undefined
}

/** Another process works in a folder. */
export class InUse extends UserError {}

type Unlock = () => Promise<void>

/** Locks a folder and gives what unlocks it. Throws an InUse, naming the process, where another works there. */
export async function lock(folder: string): Promise<Unlock> {
  const path = join(folder, LOCK)
  const taken = await take(path)
  if (typeof taken === 'function') return taken
  const { pid, host } = taken
  throw new InUse(
    `${folder} is in use by process ${pid} on ${printable(host)}; if that process has exited, delete ${path}`,
  )
}

/** Whether another process works in a folder, as far as one can tell. */
export async function isLocked(folder: string): Promise<boolean> {
  const content = await contentOf(join(folder, LOCK))
  const holder = content === undefined ? undefined : parse(content)
  return holder !== undefined && isWorking(holder)
}

/**
 * Creates a file that names this process, in place of one whose process has exited. Gives who works there where one
 * does.
 */
async function take(path: string): Promise<Unlock | Holder> {
  const number = randomBytes(6).toString('hex')
  const own = `${process.pid} ${hostname()} ${startOf(process.pid) ?? '-'} ${number}`
  let patience = FILLED_WITHIN_MS
  held.add(number)
  for (;;) {
    if (await writeNew(path, own)) return () => leave(path, own, number)
    const content = await contentOf(path)
    if (content === undefined) continue
    const holder = parse(content)
    if (holder && isWorking(holder)) {
      held.delete(number)
      return holder
    }
    if (!holder && patience > 0) {
      await sleep(LOOK_AGAIN_MS)
      patience -= LOOK_AGAIN_MS
      continue
    }
    // Of several that find it one may remove it, and no lock but this very one: whoever else removed it made another
    // since.
    const hash = createHash('sha256').update(content).digest('hex').slice(0, 12)
    const claim = await take(join(dirname(path), `.${basename(path).replace(/^\.|\..*$/g, '')}.${hash}.tmp`))
    if (typeof claim !== 'function') {
      await sleep(LOOK_AGAIN_MS)
      continue
    }
    if ((await contentOf(path)) === content) await rm(path, { force: true })
    await claim()
  }
}

async function leave(path: string, own: string, number: string): Promise<void> {
  held.delete(number)
  // The folder may be gone, or another one that another process works in.
  if ((await contentOf(path)) === own) await rm(path, { force: true }).catch(() => undefined)
}

const contentOf = (path: string): Promise<string | undefined> => readFile(path, 'utf8').catch(() => undefined)

function parse(content: string): Holder | undefined {
  const [, pid, host, start, number] = /^(\d+) (\S+)(?: (\d+|-))?(?: ([0-9a-f]+))?$/.exec(content.trim()) ?? []
  return pid === undefined ? undefined : { pid: Number(pid), host, start: start === '-' ? undefined : start, number }
}

/** Whether a holder may still work. On another host one can't look. */
function isWorking({ pid, host, start, number }: Holder): boolean {
  if (host !== hostname() || (number !== undefined && held.has(number))) return true
  const now = startOf(pid)
  if (start !== undefined && now !== undefined) return start === now
  // Without a start this process can only have been mistaken for one before it with the same pid, as in a container.
  return pid !== process.pid && isAlive(pid)
}

/** When a process started, in ticks since the system did; undefined if there is no such process, or no /proc. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the program's name in parentheses, which may hold anything; the start is the 22nd.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}

/** Creates a file with its content; false if there is one already. */
async function writeNew(path: string, content: string): Promise<boolean> {
  // Linked into its place, it is never seen empty.
  const beside = join(dirname(path), temporaryName(LOCK))
  await writeFile(beside, content, { flag: 'wx', flush: true })
  try {
    await link(beside, path)
    return true
  } catch (error) {
    // Missing: whoever holds the lock has cleared it away.
    if (['EEXIST', 'ENOENT'].includes(codeOf(error) ?? '')) return false
    if (!NO_LINKS.includes(codeOf(error) ?? '')) throw error
  } finally {
    await rm(beside, { force: true })
  }
  return writeFile(path, content, { flag: 'wx', flush: true }).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) === 'EEXIST') return false
      throw error
    },
  )
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
