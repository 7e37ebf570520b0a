// A teacher's answers in a run's folder: a run that is resumed need not ask it again.
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { UserError } from '../../../../engine/errors.ts'
import { exists, openSafetensors, writeSafetensors } from '../../../../models/node/files.ts'
import type { Encoded } from '../../../task.ts'
import type { Run } from '../../run/folder.ts'

const FILE = 'teacher.safetensors'
const NAME = 'answers'

const digestOf = (values: Float32Array): string =>
  createHash('sha256')
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest('hex')

/** Writes the answers of all texts, unless the folder has them already. */
export async function keepAnswers(run: Run, train: readonly Pick<Encoded<unknown>, 'taught'>[]): Promise<void> {
  const width = train[0]?.taught?.length
  if (width === undefined || (await exists(run.path(FILE)))) return
  const values = new Float32Array(train.length * width)
  train.forEach(({ taught }, row) => values.set(Array.from(taught ?? []), row * width))
  const tensor = { name: NAME, dtype: 'F32' as const, shape: [train.length, width], read: async () => values }
  run.check()
  await writeSafetensors(run.path(FILE), [tensor], { sha256: digestOf(values) })
}

/**
 * The answers that the folder has, one for each of `rows` texts; undefined where it has none. A file that is damaged is
 * removed, and `note` hears of it.
 */
export async function keptAnswers(
  run: Run,
  rows: number,
  note: (line: string) => void,
): Promise<readonly Float32Array[] | undefined> {
  const path = run.path(FILE)
  if (!(await exists(path))) return undefined
  try {
    return await readAnswers(path, rows)
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    note(`${error.message}; the teacher answers the texts again`)
    await rm(path)
    return undefined
  }
}

async function readAnswers(path: string, rows: number): Promise<readonly Float32Array[]> {
  const file = await openSafetensors(path)
  try {
    const [count, width] = file.info(NAME).shape
    const values = await file.read(NAME)
    if (count !== rows) throw new UserError(`${path} has answers to ${count} texts, not to ${rows}`)
    if (file.metadata.sha256 !== digestOf(values)) throw new UserError(`${path} is damaged`)
    return Array.from({ length: rows }, (_, row) => values.subarray(row * width, (row + 1) * width))
  } finally {
    await file.close()
  }
}
