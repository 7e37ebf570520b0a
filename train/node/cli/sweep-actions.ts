// `tilegrad sweep status`, `pause`, `continue` and `best`: a look at a sweep, or a change of one, from another terminal.
import { stderr, stdout } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { UserError } from '../../../engine/errors.ts'
import { bestTrial, repeatTrial, trialsJson } from '../jobs/sweep/results.ts'
import {
  type Place,
  type SweepStatus,
  allStatus,
  isDone,
  openPlace,
  showStatus,
  statusLine,
  statusOf,
  statusTexts,
  sweepsOf,
} from '../jobs/sweep/status.ts'
import { TILEGRAD } from '../package.ts'
import { address } from './address.ts'
import { Console } from './console.ts'
import { print } from './output.ts'
import { Screen } from './screen.ts'
import { flag, helpOf, optional, parseTable, text } from './table.ts'

/** Seconds between two looks of `status --watch`. */
const WATCH = 2

const groups = {
  Options: {
    watch: flag('status: follow it until all is done; redrawn on a terminal, elsewhere a line for each change'),
    worker: optional(text('NAME', 'the name of a worker'), 'pause, continue: this worker alone', 'all of the sweep'),
    database: optional(
      address,
      "the address of the sweep's server with its password, which the folder does not record",
    ),
    json: flag('print one JSON object as the last line on stdout; everything else goes to stderr'),
    help: flag('print this help and exit'),
  },
}
type ActionOptions = ReturnType<typeof parseAction>
const parseAction = (argv: readonly string[]) => parseTable(groups, argv, { positionals: true })

interface Action {
  readonly says: string
  readonly run: (place: Place, console: Console, options: ActionOptions) => Promise<void>
}

/** By their names. */
export const ACTIONS: Readonly<Record<string, Action>> = {
  status: { says: 'the states of its trials, its workers, and the best so far', run: status },
  pause: { says: 'stop its workers at checkpoints, or one of them, until it is continued', run: pausing(true) },
  continue: { says: 'let paused workers continue', run: pausing(false) },
  best: { says: 'the best trial so far, with the command that repeats it', run: best },
}

/**
 * Runs an action. Gives the exit status. Throws a UserError if there is no such sweep. `pause` is the number of seconds
 * between two looks of `--watch`.
 */
export async function sweepAction(name: string, argv: readonly string[], { pause = WATCH } = {}): Promise<number> {
  const { says, run } = ACTIONS[name]
  const options = parseAction(argv)
  if (options.help) {
    const usage = `${TILEGRAD} sweep ${name} <folder or postgres://…> [options]`
    await print(helpOf(groups, usage, `${says[0].toUpperCase()}${says.slice(1)}.`))
    return 0
  }
  const [where, stray] = options.positionals
  if (where === undefined) throw new UserError(`sweep ${name} needs the folder of a sweep, or an address postgres://…`)
  if (stray !== undefined) throw new UserError(`Unexpected argument ${JSON.stringify(stray)}: ${name} takes one sweep`)
  const console = new Console(options.json)
  const open = <T>(look: (place: Place) => Promise<T>): Promise<T> => opened(where, options.database, look)
  if (options.watch) {
    if (name !== 'status') throw new UserError(`--watch is for sweep status, not for sweep ${name}`)
    await watch(() => open(allStatus), console, { pause, screen: new Screen(options.json ? stderr : stdout) })
  } else await open(place => run(place, console, options))
  return 0
}

/** What a look at a place gives. The place is closed then: whoever has a folder's database open keeps others from it. */
async function opened<T>(where: string, address: string | undefined, look: (place: Place) => Promise<T>): Promise<T> {
  const place = await openPlace(where, address)
  try {
    return await look(place)
  } finally {
    await place.database.close()
  }
}

async function status(place: Place, console: Console): Promise<void> {
  showStatus(await allStatus(place), console)
}

/** Shows how sweeps go on until all are done, and then their status. */
async function watch(
  look: () => Promise<readonly SweepStatus[]>,
  console: Console,
  { pause, screen }: { readonly pause: number; readonly screen: Screen },
): Promise<void> {
  const said = new Map<string, string>()
  for (;;) {
    const all = await look()
    if (all.every(isDone)) {
      if (screen.isTerminal) screen.clear()
      return showStatus(all, console)
    }
    if (screen.isTerminal) screen.draw(statusTexts(all))
    else {
      for (const one of all) {
        const { line, part } = statusLine(one)
        if (said.get(one.sweep.id) !== part) console.say(line)
        said.set(one.sweep.id, part)
      }
    }
    await sleep(pause * 1000)
  }
}

function pausing(paused: boolean): Action['run'] {
  return async (place, console, { worker }) => {
    if (worker !== undefined) {
      if (!(await place.store.pauseWorker(worker, paused))) {
        const names = (await place.store.workers()).map(({ name }) => name).join(', ')
        throw new UserError(`There is no worker ${worker}; ${names === '' ? 'there are none' : `there are ${names}`}`)
      }
      console.say(`${worker} ${paused ? 'pauses after its next step' : 'continues'}.`)
      console.result({ worker, paused })
      return
    }
    const sweeps = await sweepsOf(place)
    for (const { id, name } of sweeps) {
      await place.store.pauseSweep(id, paused)
      console.say(`${name}: ${paused ? 'its workers stop at checkpoints' : 'its workers continue'}.`)
    }
    console.result({ sweeps: sweeps.map(({ name }) => name), paused })
  }
}

async function best(place: Place, console: Console): Promise<void> {
  const sweeps = await sweepsOf(place)
  const found: object[] = []
  for (const sweep of sweeps) {
    const { trials } = await statusOf(place.store, sweep)
    const trial = bestTrial(sweep, trials)
    if (!trial) {
      console.say(`${sweep.name}: no setting is complete yet`)
      continue
    }
    const command = repeatTrial(sweep, trial)
    found.push({ sweep: sweep.name, ...trialsJson(sweep, [trial]).trials[0], command })
    const { value, number } = trial
    console.say(`${sweep.name}: trial ${number}, ${sweep.plan.spec.metric} ${value?.toFixed(4)}\n${command}`)
  }
  console.result({ best: found })
}
