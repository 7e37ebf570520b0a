// forgetting.json of a run's folder: what was measured, on what, and by which it is known whether it still holds.
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { exists, readJson } from '../../../../models/node/files.ts'
import { codeOf } from '../../../../models/node/regular-file.ts'
import type { Forgetting } from '../../../compare/forgetting.ts'
import type { Run } from '../../run/folder.ts'
import { finiteJson } from '../../run/json.ts'
import { version } from '../../package.ts'
import { batchingOf } from './masking.ts'
import type { Tuned } from './open.ts'
import type { DrawnTexts } from './texts.ts'

export const FORGETTING = 'forgetting.json'

const figures = z.object({
  loss: z.number().nonnegative(),
  accuracy: z.number().min(0).max(1),
  tokens: z.int().positive(),
})
const interval = z.object({ low: z.number(), high: z.number() }).nullable()
const schema = z.looseObject({ fingerprint: z.string(), base: figures, tuned: figures, loss_interval: interval })

/** SHA-256 of all that a result depends on: base, tokens, what was trained, texts, masks, and this version. */
export function fingerprintOf({ base, model, saved: { hashes } }: Tuned, { fingerprint: texts }: DrawnTexts): string {
  const all = [version, model, base.tokenizer.json, hashes, texts, batchingOf(base)]
  return createHash('sha256').update(JSON.stringify(all)).digest('hex')
}

/** The result in a run's folder if it has this fingerprint. A damaged file counts as none. */
export async function readKept(run: Run, fingerprint: string): Promise<Forgetting | undefined> {
  const path = run.path(FORGETTING)
  if (!(await exists(path))) return undefined
  const { success, data } = schema.safeParse(await readJson(path).catch(() => undefined))
  if (!success || data.fingerprint !== fingerprint) return undefined
  const { base, tuned, loss_interval: kept } = data
  return { base, tuned, interval: kept ?? undefined }
}

/** What a result was measured on, for a reader of the file. */
export interface About {
  readonly fingerprint: string
  readonly texts: { readonly source: string; readonly count: number; readonly of: number }
  readonly base_model: string
  readonly sequence: number
  readonly seed: number
  readonly adapter: string
  readonly tilegrad: string
}

/** Writes a result into its run's folder. Gives a note if the folder can't be written to. */
export async function keep(
  run: Run,
  { base, tuned, interval: change }: Forgetting,
  about: About,
): Promise<string | undefined> {
  const result = { ...about, base, tuned, loss_interval: change ?? null }
  try {
    await run.write(FORGETTING, `${finiteJson(result, run.path(FORGETTING), 2)}\n`)
    return undefined
  } catch (error) {
    const code = codeOf(error)
    if (code === undefined) throw error
    return `${run.path(FORGETTING)} could not be written (${code}), so it is measured again next time.`
  }
}
