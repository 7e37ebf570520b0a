// What a value such as `--data` or `--model` names: something on disk, or on the Hub.
import { join } from 'node:path'
import { UserError } from '../../../engine/errors.ts'
import { exists } from '../../../models/node/files.ts'
import { brokenLink } from '../../../models/node/regular-file.ts'

/** Endings of files, which no name on the Hub has. */
const FILE_ENDING = /\.(csv|tsv|jsonl?|ndjson|parquet|arrow|txt|tar|tgz|gz|bz2|xz|zip|safetensors)$/i

/** The settings of a baseline, in its folder. */
export const BASELINE_FILE = 'baseline.json'

/** Whether a folder holds a baseline. */
export const isBaseline = (folder: string): Promise<boolean> => exists(join(folder, BASELINE_FILE))

/** A path that exists, or the name of something on the Hub. Throws a UserError on a path that leads nowhere. */
export async function isOnDisk(value: string): Promise<boolean> {
  if (await exists(value)) return true
  const broken = await brokenLink(value)
  if (broken) throw broken
  const isName = /^[\w-][\w.-]*(\/[\w.-]+)?(@[\w./-]+)?$/.test(value) && !FILE_ENDING.test(value)
  if (!isName) throw new UserError(`No file or folder at ${value}`)
  return false
}

/** The Hub's name with the commit that it was resolved to, which names the same files for good. */
export const pinnedName = (name: string, commit: string | undefined): string =>
  commit === undefined ? name : `${name.split('@')[0]}@${commit}`
