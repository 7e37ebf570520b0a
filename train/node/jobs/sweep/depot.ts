// Where checkpoints of trials go, so that any worker can go on from them: the database itself, or a folder that all
// workers see. A file is stored under its SHA-256 and the attempt that brought it. An attempt deletes nothing of later
// ones, so a worker that was presumed dead does no harm.
import { createReadStream } from 'node:fs'
import { copyFile, link, mkdir, open, readdir, rename, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { UserError } from '../../../../engine/errors.ts'
import { isTemporary, temporaryName } from '../../../../models/node/files.ts'
import { codeOf } from '../../../../models/node/regular-file.ts'
import { digestOf } from '../../run/state-file.ts'
import type { Database } from './database.ts'
import type { Attempt, StoredFile } from './store.ts'

export interface Depot {
  /** Stores a file. */
  put(attempt: Attempt, digest: string, path: string): Promise<void>
  /** Writes a stored file to `path`. Throws a UserError if it is not there, or not what it was. */
  get(attempt: Attempt, file: StoredFile, path: string): Promise<void>
  /** Deletes all that this attempt and those before it stored of the trial, but these files. */
  keep(attempt: Attempt, files: readonly StoredFile[]): Promise<void>
}

/** Bytes of a row of the database. */
export const PART = 1024 * 1024

/** Checkpoints in the database. */
export function databaseDepot(database: Database): Depot {
  return {
    async put({ sweep, trial, attempt }, digest, path) {
      let part = 0
      for await (const data of createReadStream(path, { highWaterMark: PART })) {
        await database.executeSql(
          `INSERT INTO tilegrad.piece (sweep, trial, attempt, digest, part, data) VALUES ($1, $2, $3, $4, $5, $6)
           ON CONFLICT DO NOTHING`,
          [sweep, trial, attempt, digest, part++, data],
        )
      }
    },
    async get({ sweep, trial }, { digest, attempt }, path) {
      const file = await open(path, 'wx')
      try {
        for (let part = 0; ; part++) {
          const { rows } = await database.executeSql(
            `SELECT data FROM tilegrad.piece
             WHERE sweep = $1 AND trial = $2 AND attempt = $3 AND digest = $4 AND part = $5`,
            [sweep, trial, attempt, digest, part],
          )
          if (rows.length === 0) break
          await file.write(z.instanceof(Uint8Array).parse(rows[0].data))
        }
      } finally {
        await file.close()
      }
      await verify(path, digest, database.place)
    },
    async keep({ sweep, trial, attempt }, files) {
      await database.executeSql(
        `DELETE FROM tilegrad.piece p WHERE sweep = $1 AND trial = $2 AND attempt <= $3 AND NOT EXISTS (
           SELECT 1 FROM json_to_recordset($4::json) AS f (digest text, attempt integer)
           WHERE f.digest = p.digest AND f.attempt = p.attempt)`,
        [sweep, trial, attempt, JSON.stringify(files.map(({ digest, attempt }) => ({ digest, attempt })))],
      )
    },
  }
}

/** Checkpoints in a folder. */
export function folderDepot(root: string): Depot {
  const folderOf = ({ sweep, trial }: Attempt): string => join(root, sweep, String(trial))
  const nameOf = (attempt: number, digest: string): string => `${attempt}-${digest}`
  return {
    async put(attempt, digest, path) {
      const folder = folderOf(attempt)
      await mkdir(folder, { recursive: true })
      const target = join(folder, nameOf(attempt.attempt, digest))
      if (!(await linkOrCopy(path, target))) throw new Error(`${path} is missing`)
    },
    async get(attempt, { digest, attempt: from }, path) {
      const source = join(folderOf(attempt), nameOf(from, digest))
      await copyFile(source, path).catch((error: unknown) => {
        throw new UserError(`Cannot read a checkpoint from ${source}: ${codeOf(error) ?? String(error)}`)
      })
      await verify(path, digest, root)
    },
    async keep(attempt, files) {
      const folder = folderOf(attempt)
      const wanted = new Set(files.map(({ digest, attempt: from }) => nameOf(from, digest)))
      // A trial of which nothing is kept is over, so nobody writes there any more.
      const isOver = files.length === 0
      for (const name of await readdir(folder).catch(() => [])) {
        const from = Number(/^(\d+)-[0-9a-f]{64}$/.exec(name)?.[1] ?? Infinity)
        const isLeft = isOver && isTemporary(name)
        if (isLeft || (from <= attempt.attempt && !wanted.has(name))) await rm(join(folder, name), { force: true })
      }
      // Folders go when nothing is left in them.
      if (!isOver) return
      for (const empty of [folder, dirname(folder)]) await rmdir(empty).catch(() => undefined)
    },
  }
}

/**
 * Gives a file a second name, or a copy of it where that is wanted or on another disk; whole, or not at all. False if
 * there is no such file.
 */
export async function linkOrCopy(path: string, target: string, { copy = false } = {}): Promise<boolean> {
  try {
    if (copy) await copyFile(path, target)
    else await link(path, target)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return true
    if (codeOf(error) === 'ENOENT') return false
    const making = join(dirname(target), temporaryName('part'))
    try {
      await copyFile(path, making)
      await rename(making, target)
      return true
    } finally {
      await rm(making, { force: true })
    }
  }
}

async function verify(path: string, digest: string, where: string): Promise<void> {
  if ((await digestOf(path)) !== digest)
    throw new UserError(`${where} does not hold the checkpoint that was stored there`)
}
