// Training until it ends: when the GPU is lost, the job is rebuilt on another device of the same adapter and continues
// from its last checkpoint.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Device, DeviceLost, UserError } from '../../../engine/index.ts'
import type { Position } from '../../checkpoint-store.ts'
import type { Progress } from '../cli/progress.ts'
import { type StopRequest, stopOnSignals } from '../cli/shell.ts'
import { openNamed } from '../device.ts'
import type { Checkpoints } from '../run/checkpoints.ts'
import { checkpointsOf, explained, lossOf } from '../run/failures.ts'
import type { Run } from '../run/folder.ts'

/** How often the GPU may be lost without a new checkpoint between. */
const MOST_LOSSES = 3

/** How long the first attempt after a loss waits before it opens another device. */
const REOPEN_MS = 1000

/** What is trained, as far as attempts know it. */
interface Trainable {
  readonly device: Device
  readonly trainer: { stop(): void }
}

/** What an attempt gets beside the job. */
export interface Attempt {
  readonly checkpoints: Checkpoints
  readonly stopping: StopRequest
  /** Where to continue from; undefined for the beginning. */
  readonly from: Position | undefined
}

export interface Attempts<Job> {
  readonly run: Run
  readonly progress: Progress
  /** Trains from where the attempt begins. Gives the exit status. */
  readonly attempt: (job: Job, given: Attempt) => Promise<number>
  /** The job on a new device, with the kernels that the run began with; `losses` is what `reopen` takes. */
  readonly rebuild: (job: Job, losses: number) => Promise<Job>
  /** The command that resumes runs, with these arguments. */
  readonly command: (...args: readonly string[]) => string
}

/**
 * Trains to the end, by as many attempts as that takes, with signals that stop it after a step. After a loss of the GPU
 * the next attempt begins at the last checkpoint and comes to the same bits, up to `MOST_LOSSES` times without a new
 * checkpoint between. Gives the exit status. Throws what ended the last attempt, with the command that resumes the run.
 */
export async function runAttempts<Job extends Trainable>(
  first: Job,
  from: Position | undefined,
  { run, progress, attempt, rebuild, command }: Attempts<Job>,
): Promise<number> {
  let job = first
  let position = from
  let lost: DeviceLost | undefined
  let losses = 0
  const stopping = stopOnSignals(() => job.trainer.stop())
  try {
    for (;;) {
      const checkpoints = checkpointsOf(run)
      try {
        if (lost) {
          progress.stop()
          job.device.close()
          position = await checkpoints.latest()
          await run.cutMetrics(position?.step ?? -1)
          const where = position ? `from the checkpoint of step ${position.step}` : 'from the beginning'
          progress.note(`${lost.message}. Resuming ${where} (attempt ${losses} of ${MOST_LOSSES}).`)
          job = await rebuild(job, losses)
        }
        if (stopping.requested) job.trainer.stop()
        return await attempt(job, { checkpoints, stopping, from: position })
      } catch (error) {
        lost = await lossOf(error, job.device)
        losses = checkpoints.saved > 0 ? 1 : losses + 1
        if (lost && losses <= MOST_LOSSES) continue
        throw await explained(lost ?? error, run, command)
      }
    }
  } finally {
    stopping.end()
    progress.stop()
  }
}

/**
 * Another device of the adapter of one that was lost, `losses` times in a row by now. Throws a DeviceLost if there is
 * none.
 */
export async function reopen(
  { info: before }: Device,
  adapter: string | undefined,
  profile: boolean,
  losses: number,
): Promise<Device> {
  // A driver that restarts needs a moment, and a longer one if that was not enough.
  await sleep(losses * REOPEN_MS)
  const device = await openNamed(adapter, profile).catch((error: unknown) => {
    throw error instanceof UserError ? new DeviceLost(error.message) : error
  })
  if (device.info.name === before.name && device.info.driver === before.driver) return device
  device.close()
  throw new DeviceLost(`the GPU was lost: ${before.name} is no longer offered, only ${device.info.name}`)
}
