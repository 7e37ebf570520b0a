// `tilegrad pretrain`: reads the options, and hands over to the job.
import { resumePretraining, startPretraining } from '../jobs/pretrain.ts'
import { Console } from './console.ts'
import { print } from './output.ts'
import { parsePretrainOptions, pretrainHelp } from './pretrain-options.ts'

/** Runs the command. Gives the exit status. Throws a UserError if options, data or the machine are not up to it. */
export async function pretrain(argv: readonly string[]): Promise<number> {
  const options = parsePretrainOptions(argv)
  if (options.help) {
    await print(pretrainHelp())
    return 0
  }
  const console = new Console(options.json)
  const { resume } = options
  return resume === undefined ? startPretraining(options, console) : resumePretraining(resume, options, console)
}
