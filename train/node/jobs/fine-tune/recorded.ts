// What a run's folder says of how it began: its options, the commits and fingerprints of what it read, and the commands
// that repeat and resume it.
import { UserError } from '../../../../engine/errors.ts'
import { type Options, type Preset, parseOptions } from '../../cli/options.ts'
import { command } from '../../cli/shell.ts'
import { pinnedArguments } from '../../run/config.ts'
import type { Fingerprints } from '../fingerprint.ts'
import type { Run } from '../../run/folder.ts'
import { changedSince } from '../../run/resume.ts'
import { TEST_SEED } from '../job.ts'
import type { ModelCommits, OpenedModel } from '../model.ts'

/** Whose defaults a run began with. Those of runs that do not say were the study's. */
export function presetOf({ config }: Run): Preset {
  return config.options?.preset === 'tilegrad' ? 'tilegrad' : 'imdb'
}

/** The options that a run was started with, `changes` on top. Throws a UserError on a folder that names none, and on one of another command. */
export function recordedOptions(run: Run, changes: readonly string[]): Options {
  const where = run.path('config.json')
  const { arguments: recorded, job } = run.config
  if (job !== undefined)
    throw new UserError(`${run.folder} is a folder of tilegrad ${job}, not of fine-tune: see ${where}`)
  if (recorded === undefined) throw new UserError(`${run.folder} is not a run folder: ${where} names no arguments`)
  try {
    return parseOptions([...recorded, ...changes], presetOf(run))
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${where}: arguments: ${error.message}`) : error
  }
}

/** The Hub's commit that a run began with, of data that it still has: what the Hub holds now may be another. */
export function dataCommitOf(run: Run | undefined, name: string | undefined): string | undefined {
  const { options, commits } = run?.config ?? {}
  return options?.data === name ? commits?.data : undefined
}

/** The same of a model, and of the base of an adapter. */
export function modelCommitsOf(run: Run | undefined, name: string | undefined): ModelCommits {
  const { options, commits: { model, base } = {} } = run?.config ?? {}
  return options?.model === name ? { model, base } : {}
}

/** The same of a teacher. */
export function teacherCommitOf(run: Run | undefined, name: string | undefined): string | undefined {
  const { options, commits } = run?.config ?? {}
  return options?.teacher === name ? commits?.teacher : undefined
}

/** By which the test rows of a run are drawn. Runs that do not say drew theirs by `--seed`. */
export const testSeedOf = (run: Run | undefined, seed: number): number =>
  run ? (run.config.test_seed ?? seed) : TEST_SEED

/** Throws a UserError if the run began with other data, another model or another teacher than there are now. */
export function refuseChanges(
  run: Run,
  now: Fingerprints,
  { data, teacher, unlabelled }: Pick<Options, 'data' | 'teacher' | 'unlabelled'>,
  { name, adapter }: OpenedModel,
): void {
  const { fingerprints: before = {} } = run.config
  const changed = (['data', 'model', 'teacher', 'unlabelled'] as const).find(
    what => before[what] !== undefined && before[what] !== now[what],
  )
  if (!changed) return
  const called = {
    data: `the data in ${data}`,
    model: `the model ${name}${adapter ? `, its tokenizer or the adapter ${adapter.name}` : ' or its tokenizer'}`,
    teacher: `the teacher ${teacher}`,
    unlabelled: `the texts of ${unlabelled.join(' and ')}`,
  }
  throw changedSince(run, called[changed])
}

/** The command that resumes the run. */
export const resumeCommand = (run: Run): string => command(presetOf(run), '--resume', run.folder)

/** The command that repeats the run, into a folder of its own. */
export const repeatCommand = (run: Run): string => command(presetOf(run), ...pinnedArguments(run.config))
