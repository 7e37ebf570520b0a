// A trial of `command: baseline`: a run in its own folder from beginning to end. It takes no GPU and a minute or two, so
// it has no checkpoints, and whoever takes it over begins it again.
import { mkdir, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { UserError } from '../../../../engine/errors.ts'
import { parseBaseline } from '../../cli/baseline-options.ts'
import type { Console } from '../../cli/console.ts'
import type { Progress } from '../../cli/progress.ts'
import { version } from '../../package.ts'
import { openRun } from '../../run/folder.ts'

/** What a finished baseline gives: its result, and the metric of its validation set. */
export interface BaselineResult {
  readonly value: number
  readonly result: object
}

/** Runs a baseline in a folder, of which nothing is kept that was there. Throws a UserError on bad options or data. */
export async function makeBaseline(
  argv: readonly string[],
  metric: string,
  folder: string,
  { console, progress }: { readonly console: Console; readonly progress: Progress },
): Promise<BaselineResult> {
  const options = parseBaseline([...argv, `--out=${folder}`])
  await rm(folder, { recursive: true, force: true })
  await mkdir(dirname(folder), { recursive: true })
  const { runBaseline } = await import('../baseline.ts')
  await runBaseline(options, console, version, progress)
  const run = await openRun(folder)
  const line = run.readMetrics().findLast(({ split }) => split === 'validation')
  const value = line?.[metric]
  if (typeof value !== 'number') {
    const known = Object.keys(line ?? {}).filter(name => !['step', 'epoch', 'split'].includes(name))
    throw new UserError(
      known.length > 0
        ? `the validation set has no metric ${metric}, but ${known.join(', ')}`
        : 'there is no validation set: give val-split more than 0',
    )
  }
  const result = await run.readResult()
  if (typeof result !== 'object' || result === null) throw new Error(`${folder} has no result`)
  return { value, result }
}
