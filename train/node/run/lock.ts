// One process at a time in a run's folder: a file with the pid of whoever works there. What a process left that is gone, by
// a kill or a power cut, is taken over.
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { UserError } from '../../../engine/errors.ts'
import { codeOf } from '../../../models/node/files.ts'

const LOCK = 'lock'

/** Locks of this process: in a container the one before it may have had the same pid. */
const held = new Set<string>()
/** Locks that were moved away by this process. */
let moved = 0

/** Locks a folder and gives what unlocks it. Throws a UserError, naming the process, where another works there. */
export async function lock(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, LOCK)
  const own = `${process.pid} ${hostname()}`
  while (!await writeNew(path, own)) {
    const holder = await readFile(path, 'utf8').catch(() => undefined)
    if (holder === undefined) continue
    const [pid, host] = holder.split(' ')
    if (held.has(path) || host !== hostname() || (holder !== own && isAlive(Number(pid)))) {
      const who = host ? `process ${pid} on ${host}` : 'another process'
      throw new UserError(`${folder} is in use by ${who}; where that is no longer so, delete ${path}`)
    }
    // Of several that find it one moves it away, and puts back what is another's by now.
    const aside = `${path}.${process.pid}.${++moved}`
    if (!await rename(path, aside).then(() => true, () => false)) continue
    if (await readFile(aside, 'utf8') !== holder) await link(aside, path).catch(() => undefined)
    await rm(aside)
  }
  held.add(path)
  return async () => {
    held.delete(path)
    // A folder that is gone, which the run has told of, is not locked either.
    await rm(path, { force: true }).catch(() => undefined)
  }
}

/** False where the file is there already. */
async function writeNew(path: string, content: string): Promise<boolean> {
  return writeFile(path, content, { flag: 'wx' }).then(() => true, (error: unknown) => {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  })
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // One of another user may not be signalled, but is there.
    return codeOf(error) === 'EPERM'
  }
}
