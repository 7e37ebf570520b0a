// A sweep's folder: sweep.json says what it is, and where its database is.
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { UserError } from '../../../../engine/errors.ts'
import { exists, readJson, writeAtomic } from '../../../../models/node/files.ts'
import { codeOf } from '../../../../models/node/regular-file.ts'
import { version } from '../../package.ts'
import { refuseTaken, refuseUnwritable } from '../../run/folder.ts'
import { type Plan, planSchema } from './plan.ts'
import { withoutPassword } from './postgres.ts'

const FILE = 'sweep.json'

const schema = z.looseObject({
  job: z.literal('sweep'),
  tilegrad: z.string(),
  created_at: z.string(),
  id: z.string(),
  name: z.string(),
  plan: planSchema,
  /** The server's address, without a password; null for PGlite in the folder. */
  database: z.string().nullable(),
  /** Local workers. */
  workers: z.int(),
  adapter: z.string().nullable(),
})
export type SweepFile = Readonly<z.output<typeof schema>>

/** Makes the folder of a new sweep. Throws a UserError if it is taken, or can't be made. */
export async function createSweepFolder(
  folder: string,
  sweep: Pick<SweepFile, 'id' | 'name' | 'plan' | 'workers'> & { readonly plan: Plan } & {
    readonly database?: string
    readonly adapter?: string
  },
): Promise<void> {
  await refuseTaken(folder, 'a sweep')
  await refuseUnwritable(folder, "the sweep's folder")
  const { database, adapter, ...rest } = sweep
  const content = {
    job: 'sweep',
    tilegrad: version,
    created_at: new Date().toISOString(),
    ...rest,
    database: database === undefined ? null : withoutPassword(database),
    adapter: adapter ?? null,
  }
  try {
    await mkdir(folder, { recursive: true })
    await writeAtomic(join(folder, FILE), `${JSON.stringify(content, null, 2)}\n`)
  } catch (error) {
    throw new UserError(`Cannot write the sweep's folder ${folder}: ${codeOf(error) ?? String(error)}`)
  }
}

/** Removes the folder of a sweep that could not begin. */
export const removeSweepFolder = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true })

/** What a sweep's folder says. Throws a UserError if it is not one. */
export async function readSweepFolder(folder: string): Promise<SweepFile> {
  const path = join(folder, FILE)
  if (!(await exists(path))) throw new UserError(`${folder} is not the folder of a sweep: it has no ${FILE}`)
  const parsed = schema.safeParse(await readJson(path))
  if (parsed.success) return parsed.data
  const [{ path: field, message }] = parsed.error.issues
  throw new UserError(`${path}: ${field.join('.')}: ${message}`)
}
