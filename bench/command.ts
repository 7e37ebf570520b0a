// What the benches' command lines have in common.
import { UserError } from '../engine/index.ts'

/** Runs one to its end. What its user can mend is one line on stderr, and status 2. */
export async function runBench(name: string, main: () => Promise<void>): Promise<void> {
  try {
    await main()
  } catch (error) {
    const isUsers = error instanceof UserError || (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
    if (!isUsers) throw error
    process.stderr.write(`${name}: ${error.message.split('\n')[0]}\n`)
    process.exitCode = 2
  }
}
