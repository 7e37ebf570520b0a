// What a failure means to someone who wants to resume a run: what is intact, and the command that resumes.
import { resolve } from 'node:path'
import { type Device, DeviceLost, NonFinite, UserError } from '../../../engine/index.ts'
import { codeOf } from '../../../models/node/regular-file.ts'
import { Checkpoints } from './checkpoints.ts'
import { FolderGone, type Run } from './folder.ts'

/** What the system says of a disk that takes no more, or of a folder that is gone. */
const DISK_TROUBLE: readonly string[] = [
  'ENOSPC',
  'EDQUOT',
  'EFBIG',
  'EACCES',
  'EPERM',
  'EROFS',
  'EIO',
  'ENOENT',
  'ENOTDIR',
  'ESTALE',
]

export const isDiskTrouble = (error: unknown): error is Error =>
  error instanceof Error && DISK_TROUBLE.includes(codeOf(error) ?? '')

/** One line on a disk's trouble while `folder` is written, which names the path where the trouble is somewhere else. */
export function describeTrouble(error: Error, folder: string): string {
  const path = 'path' in error && typeof error.path === 'string' ? resolve(error.path) : undefined
  const isElsewhere = path !== undefined && !path.startsWith(resolve(folder))
  return `${isElsewhere ? `Cannot use ${path}` : `Cannot write to ${folder}`}: ${codeOf(error)}`
}

/** The loss of the GPU, where that is what a failure comes from. */
export async function lossOf(error: unknown, device: Device): Promise<DeviceLost | undefined> {
  if (error instanceof DeviceLost) return error
  if (error instanceof UserError || isDiskTrouble(error)) return undefined
  const reason: unknown = await device.checkSoon().then(
    () => undefined,
    (reason: unknown) => reason,
  )
  return reason instanceof DeviceLost ? reason : undefined
}

/** The checkpoints of a run, in its folder. */
export const checkpointsOf = (run: Run): Checkpoints => new Checkpoints(run.path('checkpoints'), () => run.check())

/** The error to end a run with. `command` gives the command that resumes runs, with these arguments. */
export async function explained(
  error: unknown,
  run: Run,
  command: (...args: readonly string[]) => string,
): Promise<unknown> {
  const gone = error instanceof FolderGone || isDiskTrouble(error) ? folderGone(run) : undefined
  if (gone) {
    return new UserError(`${gone.message}. If it was moved, resume with: ${command('--resume')} <where it is now>`)
  }
  const position = await checkpointsOf(run)
    .latest()
    .catch(() => undefined)
  const resumed = `${position ? '' : ' from the beginning'} with: ${command('--resume', run.folder)}`
  if (error instanceof NonFinite) {
    const stands = position && `the checkpoint of step ${position.step} in ${run.folder} is the last good one`
    return new NonFinite(`${error.message}; ${stands ?? 'there is no checkpoint before it'}`, { cause: error })
  }
  if (isDiskTrouble(error)) {
    return new UserError(`${describeTrouble(error, run.folder)}. Once that is fixed, resume${resumed}`, {
      cause: error,
    })
  }
  return error instanceof DeviceLost ? new UserError(`${error.message}. Resume${resumed}`, { cause: error }) : error
}

/** Says that the run's folder is no longer in its place; undefined if it is. */
function folderGone(run: Run): FolderGone | undefined {
  try {
    run.check()
    return undefined
  } catch (error) {
    return error instanceof FolderGone ? error : undefined
  }
}
