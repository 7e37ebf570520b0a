// What a failure means to someone who wants a run to go on: where it stands, and the command that resumes it.
import { resolve } from 'node:path'
import { type Device, DeviceLost, NonFinite, UserError } from '../../../engine/index.ts'
import { codeOf } from '../../../models/node/files.ts'
import { Checkpoints } from './checkpoints.ts'
import type { Run } from './folder.ts'

/** What the system says of a disk that takes no more, or of a folder that is gone. */
const DISK_TROUBLE: readonly string[] =
  ['ENOSPC', 'EDQUOT', 'EFBIG', 'EACCES', 'EPERM', 'EROFS', 'EIO', 'ENOENT', 'ENOTDIR', 'ESTALE']

/** The error to end a run with; `resume` is the command that goes on with it. */
export async function failureOf(error: unknown, run: Run, device: Device, resume: string): Promise<unknown> {
  const position = await new Checkpoints(run.path('checkpoints')).latest().catch(() => undefined)
  const goOn = `To go on${position ? '' : ', from the beginning,'}`
  if (error instanceof NonFinite) {
    const stands = position && `the checkpoint of step ${position.step} in ${run.folder} is the last good one`
    return new NonFinite(`${error.message}; ${stands ?? 'there is no checkpoint before it'}`)
  }
  const code = codeOf(error)
  if (code !== undefined && DISK_TROUBLE.includes(code)) {
    const path = error instanceof Error && 'path' in error && typeof error.path === 'string'
      ? resolve(error.path) : undefined
    const isElsewhere = path !== undefined && !path.startsWith(resolve(run.folder))
    const what = isElsewhere ? `Cannot use ${path}` : `Cannot write to ${run.folder}`
    return new UserError(`${what}: ${code}. ${goOn} once that is mended: ${resume}`)
  }
  if (error instanceof UserError && !(error instanceof DeviceLost)) return error
  const lost: unknown = await device.checkSoon().then(() => undefined, (reason: unknown) => reason)
  return lost instanceof DeviceLost ? new UserError(`${lost.message}. ${goOn}: ${resume}`) : error
}
