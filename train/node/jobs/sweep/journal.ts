// journal.log of a sweep's folder: the sweep as Optuna's JournalFileBackend keeps studies. Others, such as
// optuna-dashboard, may read it and add to it at any time: it is locked as Optuna locks it, and only ever appended to.
import { appendFile, lstat, rm, symlink, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { UserError } from '../../../../engine/errors.ts'
import { exists, readText } from '../../../../models/node/files.ts'
import { codeOf } from '../../../../models/node/regular-file.ts'
import { Journal, type JournalTrial, type Study } from '../../../search/journal.ts'

export const JOURNAL = 'journal.log'
const MOST_BYTES = 2 ** 30

/** A lock that stays as it is for so long was left by a process that was killed; Optuna waits as long. */
const STALE_MS = 30_000
const PAUSE_MS = 20

/** Runs `work` while no other process writes the journal at `path`. */
async function locked(path: string, work: () => Promise<void>, staleMs: number): Promise<void> {
  const lock = `${path}.lock`
  let seen: { readonly lock: string; readonly at: number } | undefined
  for (;;) {
    try {
      await symlink(path, lock)
      break
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
    }
    const found = await lstat(lock).then(
      ({ ino, mtimeMs }) => `${ino} ${mtimeMs}`,
      () => 'gone',
    )
    if (found !== seen?.lock) seen = { lock: found, at: performance.now() }
    else if (performance.now() - seen.at > staleMs) await rm(lock, { force: true })
    await sleep(PAUSE_MS)
  }
  try {
    await work()
  } finally {
    await rm(lock, { force: true })
  }
}

/**
 * Appends to the journal of a sweep's folder what it lacks. A line that a killed process left unfinished is written
 * again. Throws a UserError if the file is not a journal.
 */
export async function appendJournal(
  folder: string,
  study: Study,
  trials: readonly JournalTrial[],
  { staleMs = STALE_MS } = {},
): Promise<void> {
  const path = join(folder, JOURNAL)
  const append = async (): Promise<void> => {
    const text = (await exists(path)) ? await readText(path, MOST_BYTES) : ''
    const journal = openJournal(path, study, text)
    const added = journal.append(trials)
    if (journal.length < text.length) await truncate(path, Buffer.byteLength(text.slice(0, journal.length)))
    if (added !== '') await appendFile(path, added, { flush: true })
  }
  await locked(path, append, staleMs)
}

function openJournal(path: string, study: Study, text: string): Journal {
  try {
    return new Journal(study, text)
  } catch (error) {
    throw new UserError(`${path} is not a journal of Optuna; move it away, and it is written anew`, { cause: error })
  }
}
