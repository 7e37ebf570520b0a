// `tilegrad worker`: makes the trials of a database's sweeps, one after another.
import { hostname } from 'node:os'
import { PassThrough } from 'node:stream'
import { UserError } from '../../../engine/errors.ts'
import { MEASURE, STOP } from '../jobs/sweep/children.ts'
import { DatabaseGone, openDatabase } from '../jobs/sweep/database.ts'
import { TIMES } from '../jobs/sweep/times.ts'
import { Worker } from '../jobs/sweep/worker.ts'
import { TILEGRAD } from '../package.ts'
import { print } from './output.ts'
import { Progress } from './progress.ts'
import { stopOnSignals } from './shell.ts'
import { flag, helpOf, number, optional, parseTable, text, valued } from './table.ts'

/** The address of the database, where it is not given: an address may have a password, and arguments are for all to see. */
export const DATABASE_VARIABLE = 'TILEGRAD_DATABASE'

const groups = {
  Options: {
    database: optional(
      text('ADDRESS|FOLDER', 'an address postgres://…, or the folder of a sweep'),
      'where the sweeps are: an address postgres://user@host/name, or the folder of a sweep on this machine',
      `$${DATABASE_VARIABLE}`,
    ),
    keep: flag('keep running when nothing is left to do, and wait for more'),
    sweep: optional(text('ID', 'the id of a sweep'), 'work on this sweep alone', 'all of the database'),
    store: optional(
      text('FOLDER', 'a folder'),
      "this machine's path to the sweep's folder of checkpoints",
      "the sweep's",
    ),
    out: optional(text('FOLDER', 'a folder'), 'where the folders of runs are made', 'runs/<sweep>-<id>'),
    'cut-after': valued(
      number('a number of seconds, at least 1', value => value >= 1, 'SECONDS'),
      TIMES.slice,
      'stop a trial at a checkpoint after this time and put it back into the queue',
    ),
    adapter: optional(text('NAME', "part of an adapter's name"), "part of an adapter's name", 'the fastest available'),
    help: flag('print this help and exit'),
  },
}

/** How long a stopped worker waits for a database that does not answer, in seconds. */
const FAREWELL = 30

/** Runs the command. Gives the exit status. Throws a UserError if options, the database or the machine are wrong. */
export async function worker(argv: readonly string[]): Promise<number> {
  const options = parseTable(groups, argv)
  if (options.help) {
    await print(
      helpOf(
        groups,
        `${TILEGRAD} worker --database ADDRESS [options]`,
        'Makes the trials of sweeps, one after another, until there are no more. Any number of workers may share a\n' +
          'database; if one dies, another resumes its trial from the last checkpoint.',
      ),
    )
    return 0
  }
  const place = options.database ?? process.env[DATABASE_VARIABLE]
  if (place === undefined) throw new UserError(`worker needs --database, or ${DATABASE_VARIABLE} in the environment`)
  const database = await openDatabase(place)
  const { out: folder, store, adapter, sweep, keep, cutAfter } = options
  const tell = (line: string): void => void (process.connected || process.stderr.write(`${line}\n`))
  const working = new Worker({
    database,
    folder,
    store,
    adapter,
    sweep,
    keep,
    times: { ...TIMES, slice: cutAfter },
    progress: progressOf(),
    onMeasured: process.env[MEASURE] === undefined ? undefined : measured => process.send?.({ measured }),
    tell,
  })
  const stop = (): void => {
    database.hurry(FAREWELL)
    working.stop()
  }
  // Of a sweep on this machine, which is a child process of it.
  process.on('message', message => message === STOP && stop())
  process.on('disconnect', stop)
  const stopping = stopOnSignals(stop)
  try {
    await working.run()
    tell(`${hostname()}: ${stopping.requested ? 'stopped' : 'there is nothing left to do'}`)
    return stopping.status
  } catch (error) {
    if (error instanceof DatabaseGone && stopping.requested) return stopping.status
    throw error
  } finally {
    stopping.end()
    await database.close()
  }
}

/** A worker of a sweep on this machine shows nothing: the sweep does. */
function progressOf(): Progress {
  return process.connected ? new Progress({ stream: new PassThrough().resume() }) : new Progress()
}
