// `tilegrad sweep status`, `pause`, `continue` and `best`: a look at a sweep, or a change of one, from another terminal.
import { setTimeout as sleep } from 'node:timers/promises'
import { UserError } from '../../../engine/errors.ts'
import { bestTrial, repeatTrial, trialsJson } from '../jobs/sweep/results.ts'
import { type Place, openPlace, showStatus, statusOf, sweepsOf } from '../jobs/sweep/status.ts'
import { TILEGRAD } from '../package.ts'
import { address } from './address.ts'
import { Console } from './console.ts'
import { print } from './output.ts'
import { flag, helpOf, optional, parseTable, text } from './table.ts'

/** What clears a terminal. */
const CLEAR = '\u001b[H\u001b[J'

/** Seconds between two looks of `status --watch`. */
const WATCH = 2

const groups = {
  Options: {
    watch: flag('status: show it again every two seconds, until all is done'),
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
  /** Gives false where there may be more to show later. */
  readonly run: (place: Place, console: Console, options: ActionOptions) => Promise<boolean | void>
}

/** By their names. */
export const ACTIONS: Readonly<Record<string, Action>> = {
  status: { says: 'the states of its trials, its workers, and the best so far', run: status },
  pause: { says: 'stop its workers at checkpoints, or one of them, until it is continued', run: pausing(true) },
  continue: { says: 'let paused workers continue', run: pausing(false) },
  best: { says: 'the best trial so far, with the command that repeats it', run: best },
}

/** Runs an action. Gives the exit status. Throws a UserError if there is no such sweep. */
export async function sweepAction(name: string, argv: readonly string[]): Promise<number> {
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
  for (;;) {
    // Opened anew for each look: whoever has a folder's database open keeps others from resuming the sweep.
    const place = await openPlace(where, options.database)
    const isOver = await looked(place, run(place, console, options))
    if (isOver !== false || !options.watch) return 0
    await sleep(WATCH * 1000)
  }
}

/** The same, once the place is closed. */
async function looked<T>({ database }: Place, look: Promise<T>): Promise<T> {
  try {
    return await look
  } finally {
    await database.close()
  }
}

async function status(place: Place, console: Console, { watch }: ActionOptions): Promise<boolean> {
  if (watch) process.stdout.write(process.stdout.isTTY ? CLEAR : '\n')
  return showStatus(place, console)
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
