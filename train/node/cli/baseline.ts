// `tilegrad baseline`: reads the options and hands over to the job.
import { runBaseline } from '../jobs/baseline.ts'
import { version } from '../package.ts'
import { baselineHelp, parseBaseline } from './baseline-options.ts'
import { Console } from './console.ts'
import { print } from './output.ts'

/** Runs the command. Gives the exit status. Throws a UserError if options or data are wrong. */
export async function baseline(argv: readonly string[]): Promise<number> {
  const options = parseBaseline(argv)
  if (options.help) {
    await print(baselineHelp())
    return 0
  }
  return runBaseline(options, new Console(options.json), version)
}
