// A teacher's answers in a run's folder: a run that is resumed need not ask it again. The file is a SHA-256, then all
// numbers as f32, little-endian, one answer after another.
import { createHash } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { exists, writeAtomic } from '../../../../models/node/files.ts'
import type { Encoded } from '../../../task.ts'
import type { Run } from '../../run/folder.ts'

const FILE = 'teacher.bin'
const DIGEST_BYTES = 32

const digestOf = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()

/** Writes the answers to all texts, unless the folder has them already. */
export async function keepAnswers(run: Run, train: readonly Pick<Encoded<unknown>, 'taught'>[]): Promise<void> {
  if (train[0]?.taught === undefined || (await exists(run.path(FILE)))) return
  const values = Float32Array.from(train.flatMap(({ taught = [] }) => Array.from(taught)))
  const bytes = new Uint8Array(values.buffer)
  run.check()
  await writeAtomic(run.path(FILE), Buffer.concat([digestOf(bytes), bytes]), { makeFolder: false })
}

/**
 * The answers that the folder has, one of each of these lengths; undefined where it has none. A file that is damaged is
 * removed, and `note` hears of it.
 */
export async function keptAnswers(
  run: Run,
  lengths: readonly number[],
  note: (line: string) => void,
): Promise<readonly Float32Array[] | undefined> {
  const path = run.path(FILE)
  if (!(await exists(path))) return undefined
  const file = await readFile(path)
  // A copy, which begins at a multiple of four bytes.
  const bytes = Uint8Array.from(file.subarray(DIGEST_BYTES))
  const total = lengths.reduce((sum, length) => sum + length, 0)
  if (bytes.length === 4 * total && digestOf(bytes).equals(file.subarray(0, DIGEST_BYTES))) {
    const values = new Float32Array(bytes.buffer)
    let at = 0
    return lengths.map(length => values.subarray(at, (at += length)))
  }
  note(`${path} is damaged: the teacher answers the texts again`)
  await rm(path)
  return undefined
}
