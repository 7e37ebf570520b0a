// How much fine-tuned runs forgot of their base's own task, for `tilegrad compare --forgetting`. What a run trained is
// put back under the masked-language head of its base and predicts masked tokens; so does the base itself. All runs of a
// base see the same masks. Results are kept in the runs' folders.
import { UserError } from '../../../engine/errors.ts'
import type { Forgetting, Forgotten } from '../../compare/forgetting.ts'
import type { Encoded } from '../../task.ts'
import { type Progress, downloadsOn } from '../cli/progress.ts'
import { openNamed } from '../device.ts'
import { version } from '../package.ts'
import { EVALUATE } from '../run/config.ts'
import { fingerprintOf, keep, readKept } from './forgetting/kept.ts'
import { MaskedTest, SEED, forgettingFrom, rowsOf, sequenceOf } from './forgetting/masking.ts'
import { type FinishedRun, type Tuned, openTuned } from './forgetting/open.ts'
import { type DrawnTexts, type TextChoices, namedTexts, testTexts } from './forgetting/texts.ts'
import { isOnDisk } from './named.ts'
import { Memo } from './shared.ts'

export interface ForgettingOptions extends TextChoices {
  /** Part of the name of the adapter to measure on; the fastest when left out. */
  readonly adapter?: string
}

/** What was measured, if it could be of any run. */
export interface Measured {
  readonly forgotten: Forgotten | undefined
  /** What was not measured, and why, a sentence each. */
  readonly notes: readonly string[]
}

/** A run, and what its result depends on. */
interface Asked {
  readonly tuned: Tuned
  readonly fingerprint: string
}

/**
 * Measures the runs of fine-tuning whose base has a masked-language head. A device is opened only if a result is
 * missing. Throws a UserError if the texts can't be read.
 */
export async function measureForgetting(
  runs: readonly FinishedRun[],
  options: ForgettingOptions,
  progress: Progress,
): Promise<Measured> {
  // A path that leads nowhere is a mistake, whatever the runs are.
  if (options.data !== undefined) await isOnDisk(options.data)
  const { tuned, notes } = await openAll(runs, progress)
  if (tuned.length === 0) return { forgotten: undefined, notes }
  const texts =
    options.data === undefined
      ? await testTexts(tuned[0], options, downloadsOn(progress))
      : await namedTexts(options.data, options)
  progress.stop()
  const missing: Asked[] = []
  const found = new Map<string, Forgetting>()
  for (const one of tuned) {
    const fingerprint = fingerprintOf(one, texts)
    const kept = await readKept(one.run, fingerprint)
    if (kept) found.set(one.name, kept)
    else missing.push({ tuned: one, fingerprint })
  }
  if (missing.length > 0) notes.push(...(await measureAll(missing, found, texts, options.adapter, progress)))
  return { forgotten: { runs: found, texts }, notes }
}

/** The runs that can be measured, and why others can't. Baselines have no base, so there is nothing to say of them. */
async function openAll(
  runs: readonly FinishedRun[],
  progress: Progress,
): Promise<{ readonly tuned: Tuned[]; readonly notes: string[] }> {
  const hashes = new Memo<string>(64)
  const tuned: Tuned[] = []
  const refused: { readonly name: string; readonly why: string }[] = []
  for (const run of runs) {
    if (run.job === EVALUATE) refused.push({ name: run.name, why: 'it is an evaluation; compare the run itself' })
    if (run.job !== 'fine-tune') continue
    try {
      const opened = await openTuned(run, hashes, downloadsOn(progress))
      if (typeof opened === 'string') refused.push({ name: run.name, why: opened })
      else tuned.push(opened)
    } catch (error) {
      if (!(error instanceof UserError)) throw error
      refused.push({ name: run.name, why: error.message })
    }
  }
  progress.stop()
  if (runs.every(({ job }) => job !== 'fine-tune'))
    return { tuned, notes: ['Forgetting is not measured: none of the runs was fine-tuned.'] }
  const notes = [...Map.groupBy(refused, ({ why }) => why)].map(
    ([why, ones]) => `Forgetting is not measured of ${listed(ones.map(({ name }) => name))}: ${why}.`,
  )
  return { tuned, notes }
}

/** Runs that a note names. */
const MOST_NAMED = 8

const listed = (names: readonly string[]): string =>
  names.slice(0, MOST_NAMED).join(', ') + (names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : '')

/** Runs of one base with the rows that they read. */
interface Group {
  readonly asked: readonly Asked[]
  readonly rows: readonly Encoded<undefined>[]
}

/** Adds what is missing to `found`, base by base, and keeps each at once. Gives notes on those that it can't keep. */
async function measureAll(
  missing: readonly Asked[],
  found: Map<string, Forgetting>,
  texts: DrawnTexts,
  adapter: string | undefined,
  progress: Progress,
): Promise<string[]> {
  const groups: Group[] = []
  for (const asked of Map.groupBy(missing, ({ tuned }) => tuned.base.key).values())
    groups.push({ asked, rows: await rowsOf(asked[0].tuned.base, texts.texts) })
  const device = await openNamed(adapter, false)
  // The base is measured, too.
  const total = groups.reduce((sum, { asked, rows }) => sum + (asked.length + 1) * rows.length, 0)
  progress.start('predict masked tokens', total)
  const notes: string[] = []
  let done = 0
  for (const { asked, rows } of groups) {
    const { base } = asked[0].tuned
    const test = new MaskedTest(base, rows, device)
    const pass = async (tuned?: Tuned) => {
      const predicted = await test.measure(tuned, read => progress.update(done + read))
      done += rows.length
      return predicted
    }
    const own = await pass()
    for (const { tuned, fingerprint } of asked) {
      const result = forgettingFrom(own, await pass(tuned))
      found.set(tuned.name, result)
      const trouble = await keep(tuned.run, result, {
        fingerprint,
        texts: { source: texts.source, count: texts.texts.length, of: texts.of },
        base_model: base.name,
        sequence: sequenceOf(base),
        seed: SEED,
        adapter: device.info.name,
        tilegrad: version,
      })
      if (trouble !== undefined) notes.push(trouble)
    }
    test.release()
  }
  progress.stop()
  return notes
}
