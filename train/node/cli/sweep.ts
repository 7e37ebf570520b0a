// `tilegrad sweep`: reads a spec and options, and starts a sweep or resumes one.
import { basename, extname, resolve } from 'node:path'
import { UserError } from '../../../engine/errors.ts'
import { exists } from '../../../models/node/files.ts'
import { countOf, propose, trialCount } from '../../search/propose.ts'
import { parameterNames } from '../../search/space.ts'
import { openNamed } from '../device.ts'
import { checkPaths } from '../jobs/job.ts'
import { settle } from '../jobs/settle.ts'
import { isOnDisk } from '../jobs/named.ts'
import { announcement, resumeSweep, startSweep } from '../jobs/sweep/coordinator.ts'
import { openPlan } from '../jobs/sweep/spec.ts'
import { type Plan, trialArguments } from '../jobs/sweep/plan.ts'
import { TIMES } from '../jobs/sweep/times.ts'
import { TILEGRAD } from '../package.ts'
import { address } from './address.ts'
import { parseBaseline } from './baseline-options.ts'
import { Console, table } from './console.ts'
import { parseOptions } from './options.ts'
import { print } from './output.ts'
import { commandLineSource, searchOptions, splitArguments } from './search-options.ts'
import { ACTIONS, sweepAction } from './sweep-actions.ts'
import { type ValuesOf, flag, helpOf, nearest, number, optional, parseTable, text, valued } from './table.ts'

const seconds = (least: number) => number(`a number of seconds, at least ${least}`, value => value >= least, 'SECONDS')

/** Workers of one machine: each is a process with a device and a model of its own. */
const MOST_WORKERS = 64

const groups = {
  Search: searchOptions,
  'The sweep': {
    out: optional(text('FOLDER', 'a folder'), "the sweep's folder", 'runs/<date>-<name>'),
    name: optional(text('NAME', 'a name'), "the sweep's name", "the spec's"),
    resume: optional(text('FOLDER', "a sweep's folder"), 'resume a sweep'),
    'retry-failed': flag('with --resume: retry the trials that failed'),
    'dry-run': flag('check the spec and the options of every trial, print what would be tried, and exit'),
    json: flag('print one JSON object as the last line on stdout; everything else goes to stderr'),
  },
  Workers: {
    workers: optional(
      number(
        `a whole number from 0 to ${MOST_WORKERS}`,
        value => Number.isInteger(value) && value >= 0 && value <= MOST_WORKERS,
        'N',
      ),
      'workers on this machine, at most one per trial; 0 leaves the work to `tilegrad worker --database` elsewhere',
      "1, or the resumed sweep's",
    ),
    adapter: optional(text('NAME', "part of an adapter's name"), "part of an adapter's name", 'the fastest available'),
    database: optional(
      address,
      'a PostgreSQL server that workers on other machines share: postgres://user@host/name',
      "PGlite in the sweep's folder",
    ),
    store: optional(
      text('FOLDER', 'a folder'),
      'with --database: a folder that all workers see, for checkpoints too large for the database',
      'the database',
    ),
    heartbeat: valued(
      seconds(10),
      TIMES.heartbeat,
      'how long a worker may be silent before another one takes its trial over',
    ),
    'cut-after': valued(
      seconds(1),
      TIMES.slice,
      'stop a trial at a checkpoint after this time and put it back into the queue; a job lasts a day at most',
    ),
  },
  Help: { help: flag('print this help and exit') },
}
type SweepOptions = ValuesOf<typeof groups>

/** What may be given with `--resume`. */
const RESUMABLE = ['resume', 'retry-failed', 'json', 'workers', 'adapter', 'database', 'store', 'cut-after', 'help']

const INTRODUCTION = `Searches options of \`fine-tune\` or \`baseline\`: many trials, each a run of its own, by one worker or many.
The spec is a YAML or JSON file, or is given on the command line: --vary for each option that is searched, and after
-- the options that all trials share. Any process may be killed at any time: trials resume from their checkpoints.

${Object.entries(ACTIONS)
  .map(([name, { says }]) => `  sweep ${name.padEnd(9)}${says}`)
  .join('\n')}`

/** Runs the command. Gives the exit status. Throws a UserError if spec, options, data or database are wrong. */
export async function sweep(argv: readonly string[]): Promise<number> {
  const [action, ...rest] = argv
  if (action !== undefined && Object.hasOwn(ACTIONS, action) && !(await exists(action)))
    return sweepAction(action, rest)
  const { own, shared } = splitArguments(argv)
  const options = parseTable(groups, own, { positionals: true })
  if (options.help) {
    await print(helpOf(groups, `${TILEGRAD} sweep [spec.yaml] [options] [-- options of every trial]`, INTRODUCTION))
    return 0
  }
  const console = new Console(options.json)
  const [file, stray] = options.positionals
  if (stray !== undefined) throw new UserError(`Unexpected argument ${JSON.stringify(stray)}: sweep takes one spec`)
  if (options.resume !== undefined) return resume(options.resume, options, file, shared, console)
  if (options.retryFailed) throw new UserError('--retry-failed needs --resume, the folder of the sweep')
  if (options.store !== undefined && options.database === undefined)
    throw new UserError("--store needs --database: workers on one machine have the sweep's folder")
  if (file !== undefined ? !(await exists(file)) : options.vary.length === 0) throw missing(file)
  const plan = await openPlan(file, commandLineSource(options, shared))
  await checkSources(plan, options.workers)
  return options.dryRun ? dryRun(plan, options, console) : start(plan, file, options, console)
}

/** There is no spec, or something else was meant. */
function missing(file: string | undefined): UserError {
  if (file === undefined)
    return new UserError('sweep needs a spec: a YAML or JSON file, or --vary with an option and its values; see --help')
  const meant = nearest(file, Object.keys(ACTIONS))
  return new UserError(`${file} does not exist${meant === undefined ? '' : `; did you mean sweep ${meant}?`}`)
}

async function start(plan: Plan, file: string | undefined, options: SweepOptions, console: Console): Promise<number> {
  const { workers = 1, adapter, database, out, name } = options
  const settled = await settledPlan(plan, adapter, console)
  const called = name ?? (file === undefined ? 'sweep' : basename(file, extname(file)))
  const [store, times] = [storeOf(options), timesOf(options)]
  return startSweep(settled, { workers, adapter, database, store, out, name: called, times }, console)
}

async function resume(
  folder: string,
  { given, ...options }: SweepOptions & { readonly given: ReadonlySet<string> },
  file: string | undefined,
  shared: readonly string[],
  console: Console,
): Promise<number> {
  const changed = [
    ...[...given].filter(name => !RESUMABLE.includes(name)).map(name => `--${name}`),
    ...(file === undefined ? [] : [`The spec ${file}`]),
    ...shared.slice(0, 1).map(argument => `${argument} after --`),
  ]
  if (changed.length > 0)
    throw new UserError(`${changed[0]} cannot be given with --resume, which uses the sweep's own options`)
  const { workers, adapter, database, retryFailed } = options
  const [store, times] = [storeOf(options), timesOf(options)]
  return resumeSweep(folder, { workers, adapter, database, store, retryFailed, times }, console)
}

/** The folder of checkpoints by its whole path: workers may have started elsewhere. */
const storeOf = ({ store }: SweepOptions): string | undefined => (store === undefined ? undefined : resolve(store))

const timesOf = ({ heartbeat, cutAfter }: SweepOptions) => ({ ...TIMES, heartbeat, slice: cutAfter })

/** The arguments of the first trial. */
function firstArguments(plan: Plan): string[] {
  const [{ values }] = propose(plan.spec, [], 1)
  return trialArguments(plan, { values, seed: plan.spec.seeds[0] })
}

/**
 * Throws a UserError if a path of the first trial leads nowhere, and there are workers on this machine: those elsewhere
 * may have what it lacks.
 */
async function checkSources(plan: Plan, workers = 1): Promise<void> {
  if (workers === 0) return
  const first = firstArguments(plan)
  if (plan.command === 'fine-tune') return checkPaths(parseOptions(first, 'tilegrad'))
  const { data } = parseBaseline(first)
  if (data !== undefined) await isOnDisk(data)
}

/** The plan with what it leaves open, as `fine-tune` would take it on this machine, and with absolute paths. */
async function settledPlan(plan: Plan, adapter: string | undefined, console: Console): Promise<Plan> {
  const withPaths = async (shared: readonly string[]): Promise<Plan> => ({
    ...plan,
    arguments: await Promise.all(shared.map(absolute)),
  })
  if (plan.command === 'baseline') return withPaths(plan.arguments)
  const options = parseOptions(firstArguments(plan), 'tilegrad')
  let shared = plan.arguments
  if (options.data === undefined || options.model === undefined) {
    const device = await openNamed(adapter, false)
    const { argv, why } = await settle(options, shared, device.info.fallback, { compares: false })
    device.close()
    if (why !== undefined) console.say(`${device.info.name}. ${why}\n`)
    shared = argv
  }
  return withPaths(shared)
}

/** An argument whose value is a path that is there, with the whole of it. */
export async function absolute(argument: string): Promise<string> {
  const [, name, path] = /^--(data|model|tokenizer|teacher|unlabelled)=(.+)$/s.exec(argument) ?? []
  return path !== undefined && (await exists(path)) ? `--${name}=${resolve(path)}` : argument
}

/** Settings that are listed. */
const LISTED = 20

function dryRun(plan: Plan, { workers = 1 }: SweepOptions, console: Console): number {
  const { spec } = plan
  const known = propose(spec, [], spec.search === 'tpe' ? 1 : countOf(spec))
  const names = parameterNames(spec)
  console.say(announcement('without a name', plan, workers))
  console.say(`Every trial: ${plan.arguments.join(' ')}\n`)
  const rows = known
    .slice(0, LISTED)
    .map(({ setting, values }) => [
      String(setting),
      ...names.map(name => (values[name] === undefined ? '' : String(values[name]))),
    ])
  console.say(table([['setting', ...names], ...rows]))
  if (countOf(spec) > rows.length) console.say(`… and ${countOf(spec) - rows.length} more`)
  console.result({
    command: plan.command,
    spec,
    arguments: plan.arguments,
    settings: countOf(spec),
    trials: trialCount(spec),
    proposed: known,
  })
  return 0
}
