// What the benches' command lines have in common.
import { UserError, printableLine } from '../engine/errors.ts'
import { isBadOption } from '../engine/node/arguments.ts'

/** Runs one to its end. What its user can mend is one line on stderr, and status 2. */
export async function runBench(name: string, main: () => Promise<void>): Promise<void> {
  try {
    await main()
  } catch (error) {
    if (!(error instanceof UserError || isBadOption(error))) throw error
    process.stderr.write(`${name}: ${printableLine(error.message.split('\n')[0])}\n`)
    process.exitCode = 2
  }
}
