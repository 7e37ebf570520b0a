// `tilegrad fine-tune`: reads the options, opens the adapter, and hands over to the job.
import type { Device } from '../../../engine/index.ts'
import { UserError } from '../../../engine/errors.ts'
import { type Options, type Preset, helpText, parseOptions, toArguments } from './options.ts'
import { checkPaths } from '../jobs/job.ts'
import { recordedTime, settle } from '../jobs/settle.ts'
import { dryRun, recordedOptions, resumeRun, startRun } from '../jobs/fine-tune.ts'
import { openNamed } from '../device.ts'
import { version } from '../package.ts'
import { openRun } from '../run/folder.ts'
import { showAdapters } from './adapters.ts'
import { Console } from './console.ts'
import { showDuration } from './progress.ts'
import { print } from './output.ts'
import { stopBeforeTraining } from './shell.ts'

/**
 * Runs the command with the defaults of a preset; a resumed run keeps those that it began with. Gives the exit status.
 * @throws UserError where options, files or data are wrong, or the machine lacks something
 */
export async function fineTune(argv: readonly string[], preset: Preset): Promise<number> {
  const options = parseOptions(argv, preset)
  if (options.help) {
    await print(helpText(preset))
    return 0
  }
  if (options.version) {
    await print(`${version}\n`)
    return 0
  }
  const console = new Console(options.json)
  if (options.listAdapters) {
    await showAdapters(console)
    return 0
  }
  if (options.resume !== undefined) {
    const startup = stopBeforeTraining('the run is as it was')
    const run = await openRun(options.resume)
    const full = recordedOptions(run, toArguments(options, { omit: ['resume'] }))
    if (await run.finished()) throw new UserError(`${run.folder} is finished: see its result.json`)
    await checkPaths(full)
    checkFeatures(full, await openNamed(full.adapter, full.profile))
    return full.dryRun ? dryRun(full, console, version, run) : resumeRun(run, full, console, version, startup)
  }
  const startup = stopBeforeTraining('nothing was written')
  await checkPaths(options)
  const device = await openNamed(options.adapter, options.profile)
  const { argv: settled, why, isAsRecorded } = await settle(options, argv, device.info.fallback)
  if (why) console.say(`${device.info.name}. ${why}`)
  if (isAsRecorded && !options.dryRun) {
    const { seconds, where } = await recordedTime()
    console.say(
      `Recorded on ${where}: ${showDuration(seconds)} in all. An estimate for this machine follows the first steps.`,
    )
  }
  if (why) console.say()
  const full = parseOptions(settled, preset)
  checkFeatures(full, device)
  return full.dryRun ? dryRun(full, console, version) : startRun(full, console, version, startup)
}

/** Throws a UserError if the device lacks what the options need. */
function checkFeatures(options: Options, device: Device): void {
  if (options.profile && !device.gpu.features.has('timestamp-query'))
    throw new UserError(`--profile: ${device.info.name} has no timestamps`)
  if (options.precision === 'f16' && !device.traits.f16) {
    throw new UserError(`--precision f16: ${device.info.name} does not offer shader-f16`)
  }
}
