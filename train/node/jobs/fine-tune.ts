// One run from its options to its folder. The phases are in `fine-tune/`: prepare (open, check, show, plan), train
// (attempts, with what they record), conclude (test, save, result, report).
import { optionalDependencies } from '../package.ts'
import type { Console } from '../cli/console.ts'
import type { Options } from '../cli/options.ts'
import type { Startup } from '../cli/shell.ts'
import { Progress } from '../cli/progress.ts'
import { checkpointsOf } from '../run/failures.ts'
import { type Run, chooseRunFolder, createNewRun } from '../run/folder.ts'
import { rewind, warnOfChanges } from '../run/resume.ts'
import type { Host } from './fine-tune/host.ts'
import { openJob, overview, planAlone, prepare } from './fine-tune/prepare.ts'
import { runTraining } from './fine-tune/train.ts'
import { repeatable } from './job.ts'
import { commitsOf, fillModel } from './model.ts'

export { recordedOptions } from './fine-tune/recorded.ts'

/** Resolves everything, of a resumed run as it began, plans one step, prints, trains nothing. */
export async function dryRun(options: Options, console: Console, version: string, run?: Run): Promise<number> {
  const progress = new Progress()
  const prepared = await planAlone(await openJob(options, console, progress, version, run), console, progress)
  console.result(overview(prepared))
  return 0
}

/** A new run. Nothing is written before everything is resolved and checked. Gives the exit status. */
export async function startRun(
  options: Options,
  console: Console,
  version: string,
  startup: Startup,
  host: Host = {},
): Promise<number> {
  const progress = host.progress ?? new Progress()
  const name = options.name ?? options.model?.split('/').at(-1) ?? 'run'
  await chooseRunFolder(options.out, name)
  const job = await openJob(options, console, progress, version, undefined, host)
  const [prepared, texts] = await prepare(job, console, progress)
  // Weights that are refused leave no folder behind.
  await fillModel(prepared.model, prepared.opened, prepared.options)
  startup.end()
  const { run, unlock } = await createNewRun(options.out, name, {
    tilegrad: version,
    node: process.version,
    webgpu: optionalDependencies.webgpu,
    created_at: new Date().toISOString(),
    commits: { ...commitsOf(prepared.opened), data: prepared.data.commit, teacher: prepared.teacher?.commit },
    test_seed: prepared.data.testSeed,
    fingerprints: prepared.fingerprints,
    arguments: await repeatable(options, prepared.more && { unlabelled: prepared.more.located }),
    options: prepared.options,
    ...overview(prepared),
  })
  try {
    return await runTraining(run, { ...prepared, isFilled: true }, texts, console, progress, version, host)
  } finally {
    await unlock()
  }
}

/** Resumes a run from its last undamaged checkpoint, or from its beginning if there is none. */
export async function resumeRun(
  run: Run,
  options: Options,
  console: Console,
  version: string,
  startup: Startup,
  host: Host = {},
): Promise<number> {
  const unlock = await run.lock()
  try {
    startup.beforeStop(unlock)
    return await resume(run, options, console, version, startup, host)
  } finally {
    await unlock()
  }
}

async function resume(
  run: Run,
  options: Options,
  console: Console,
  version: string,
  startup: Startup,
  host: Host,
): Promise<number> {
  const progress = host.progress ?? new Progress()
  const checkpoints = checkpointsOf(run)
  // First of all: a run that can't be resumed says so before it loads anything.
  await checkpoints.find()
  const job = await openJob(options, console, progress, version, run, host)
  const [prepared, texts] = await prepare(job, console, progress, run)
  startup.end()
  warnOfChanges(run, prepared.device.info, version)
  const position = await rewind(run, checkpoints, prepared.trainer.shapeOf(texts.train), { console, progress })
  return runTraining(run, prepared, texts, console, progress, version, host, position)
}
