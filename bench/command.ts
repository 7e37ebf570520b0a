// What the benches' command lines have in common.
import { UserError, printableLine } from '../engine/errors.ts'
import { isBadOption } from '../engine/node/arguments.ts'

/** Runs a bench. An error that the user can fix is one line on stderr, and exit status 2. */
export async function runBench(name: string, main: () => Promise<void>): Promise<void> {
  try {
    await main()
  } catch (error) {
    if (!(error instanceof UserError || isBadOption(error))) throw error
    process.stderr.write(`${name}: ${printableLine(error.message.split('\n')[0])}\n`)
    process.exitCode = 2
  }
}
