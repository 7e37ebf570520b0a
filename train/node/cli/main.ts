// The one frame that every command runs in: it turns errors into one line and an exit status, and ends the process in
// order: devices closed, output flushed, then exit. The statuses: 0 done; 1 a bug of ours, with its stack; 2 a mistake
// of the user or a lack of the machine; 3 numbers that are not finite; 129, 130 and 143 after SIGHUP, Ctrl-C and
// SIGTERM.
import { inspect } from 'node:util'
import { NonFinite, UserError, printableLine, printableLines } from '../../../engine/errors.ts'
import { closeDevices } from '../../../engine/runtime/device.ts'
import { codeOf } from '../../../models/node/regular-file.ts'
import { missingPackage } from '../packages.ts'
import { flushOutput, guardOutput } from './output.ts'

/** Errors that are one line to the user, with their exit statuses; the first class that fits counts. */
const STATUSES: readonly (readonly [abstract new (...args: never[]) => Error, number])[] = [
  [NonFinite, 3],
  [UserError, 2],
]

type Main = (argv: readonly string[]) => Promise<number>

/** Runs a command to the end of the process, with the status that it gives or that its error has. */
export async function runCommand(main: Main): Promise<never> {
  guardOutput()
  const status = await statusOf(main, process.argv.slice(2))
  // Before the flush: a slow reader keeps no GPU memory.
  closeDevices()
  await flushOutput()
  process.exit(status)
}

/** Runs a command and prints its error, if it throws one. Gives its exit status. */
export async function statusOf(main: Main, argv: readonly string[]): Promise<number> {
  return main(argv).catch(report)
}

/** What the system refused: a full disk, a folder that may not be written. Its message names call and path. */
function isRefusal(error: unknown): error is Error {
  return error instanceof Error && 'syscall' in error && codeOf(error) !== undefined
}

function report(thrown: unknown): number {
  const error = missingPackage(thrown) ?? thrown
  if (isRefusal(error)) {
    process.stderr.write(`tilegrad: ${printableLine(error.message)}\n`)
    return 2
  }
  for (const [kind, status] of STATUSES) {
    if (!(error instanceof kind)) continue
    process.stderr.write(`tilegrad: ${error.message}\n`)
    return status
  }
  const text = error instanceof Error && error.stack ? inspect(error) : String(error)
  process.stderr.write(`${printableLines(text)}\n`)
  return 1
}
