// Resuming a run: what must not have changed since it began, what may differ, and the checkpoint that it continues
// from.
import { UserError, printableLine } from '../../../engine/errors.ts'
import type { AdapterInfo } from '../../../engine/index.ts'
import type { Position, RunShape } from '../../checkpoint-store.ts'
import type { Checkpoints } from './checkpoints.ts'
import type { Run } from './folder.ts'

/** The error for a run that began with other data or another model or tokenizer than there is now; `what` names it. */
export const changedSince = ({ folder }: Pick<Run, 'folder'>, what: string): UserError =>
  new UserError(`${what} changed since ${folder} began: restore it, or start another run`)

/** Says on stderr what differs from where the run began, since the last bits of its numbers may differ too. */
export function warnOfChanges(
  { config: { adapter: before, tilegrad } }: Pick<Run, 'config'>,
  { name, driver }: Pick<AdapterInfo, 'name' | 'driver'>,
  version: string,
): void {
  const pairs = [
    [before?.name, name],
    [before?.driver, driver],
    [tilegrad && `tilegrad ${tilegrad}`, `tilegrad ${version}`],
  ]
  for (const [old, now] of pairs) {
    const line = `The run began on ${old}; on ${now} its numbers may differ in the last bits.`
    if (old !== undefined && old !== now) process.stderr.write(`${printableLine(line)}\n`)
  }
}

/** Where lines for people go: those of the run, and remarks on what it does. */
interface Listeners {
  readonly console: { say(line: string): void }
  readonly progress: { note(line: string): void }
}

/**
 * Takes the run's folder back to its last undamaged checkpoint, or to its beginning if there is none, and says so.
 * Gives the position to continue from.
 */
export async function rewind(
  run: Run,
  checkpoints: Checkpoints,
  shape: RunShape,
  { console, progress }: Listeners,
): Promise<Position | undefined> {
  const { position, damaged } = await checkpoints.find(shape)
  for (const { step, reason } of damaged)
    progress.note(`The checkpoint of step ${step} is damaged and is left out: ${reason}.`)
  await checkpoints.discard(damaged.map(({ step }) => step))
  await run.cutMetrics(position?.step ?? -1)
  console.say(position ? `Resuming after step ${position.step}.\n` : 'No checkpoint found; starting over.\n')
  return position
}
