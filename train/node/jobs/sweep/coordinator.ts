// `tilegrad sweep`: starts a sweep, or resumes one; starts workers on this machine, shows how far all workers are,
// and writes what came of it.
import { basename } from 'node:path'
import { UserError } from '../../../../engine/errors.ts'
import type { Console } from '../../cli/console.ts'
import { Progress, showDuration } from '../../cli/progress.ts'
import { type StopRequest, shellLine, stopOnSignals } from '../../cli/shell.ts'
import { TILEGRAD } from '../../package.ts'
import { describeTrouble, isDiskTrouble } from '../../run/failures.ts'
import { chooseRunFolder, refuseTaken } from '../../run/folder.ts'
import { lock } from '../../run/lock.ts'
import { counted } from '../../../counts.ts'
import { mean } from '../../../metrics/means.ts'
import { countOf, trialCount } from '../../../search/propose.ts'
import { hasEnded } from '../../../search/settings.ts'
import { advance } from './advance.ts'
import { type LocalSettings, LocalWorkers } from './children.ts'
import { type PatientDatabase, openDatabase, patiently } from './database.ts'
import { type Measured, secondsOf } from './estimate.ts'
import { type SweepFile, createSweepFolder, readSweepFolder, removeSweepFolder } from './folder.ts'
import { serveFolder } from './pglite.ts'
import { type Plan, trialText } from './plan.ts'
import { TrialQueue } from './queue.ts'
import { bestTrial, repeatTrial, resultsTable, trialsJson, writeResults, writeSweepPage } from './results.ts'
import { type SweepRecord, SweepStore, type TrialRecord } from './store.ts'
import { secondsLeft } from './standing.ts'
import { SILENT, STATES } from './status.ts'
import { TIMES, type Times } from './times.ts'
import { optionsOf } from './trial.ts'

/** Milliseconds between two looks at the trials. */
const LOOK_MS = 500

/** Milliseconds between two pages while trials end. */
const PAGE_MS = 15_000

/** Options of a sweep beside its plan. */
export interface SweepOptions extends LocalSettings {
  /** Workers on this machine. */
  readonly workers: number
}

/** Starts a new sweep and waits for its end. Gives the exit status. */
export async function startSweep(
  plan: Plan,
  { out, name, ...options }: SweepOptions & { readonly out?: string; readonly name: string },
  console: Console,
): Promise<number> {
  if (out !== undefined) await refuseTaken(out, 'a sweep')
  const folder = await chooseRunFolder(out, name)
  const { database: address, workers, adapter, store: place, times = TIMES } = options
  // Before anything is written: a database that is not there leaves no folder behind.
  const server = address === undefined ? undefined : await openDatabase(address)
  const id = crypto.randomUUID()
  await createSweepFolder(folder, { id, name: basename(folder), plan, database: address, workers, adapter })
  const opened = await open(folder, server).catch(async (error: unknown) => {
    await removeSweepFolder(folder)
    throw error
  })
  try {
    const store = await SweepStore.open(opened.database)
    await store.createSweep(id, basename(folder), plan, place)
    return await conduct(folder, id, opened.database, store, { ...options, times }, console)
  } finally {
    await opened.close()
  }
}

/** Resumes a sweep. Gives the exit status. */
export async function resumeSweep(
  folder: string,
  options: Partial<SweepOptions> & { readonly retryFailed: boolean },
  console: Console,
): Promise<number> {
  const file = await readSweepFolder(folder)
  const address = addressOf(file, options.database)
  const server = address === undefined ? undefined : await openDatabase(address)
  const opened = await open(folder, server)
  try {
    const store = await SweepStore.open(opened.database)
    // Its first process may have ended before it did this.
    await store.createSweep(file.id, file.name, file.plan, options.store)
    await store.pauseSweep(file.id, false)
    if (options.retryFailed) {
      const retried = await store.retryFailed(file.id)
      console.say(retried.length === 0 ? 'No trial has failed.' : `Trying again: trials ${retried.join(', ')}`)
    }
    const { workers = file.workers, adapter = file.adapter ?? undefined, times = TIMES } = options
    return await conduct(folder, file.id, opened.database, store, { ...options, workers, adapter, times }, console)
  } finally {
    await opened.close()
  }
}

/** Where the database of a sweep's folder is; `given` may have the password, which the folder does not. */
export function addressOf({ database }: SweepFile, given: string | undefined): string | undefined {
  if (database === null && given !== undefined)
    throw new UserError('--database: this sweep is kept in its own folder, by PGlite')
  return given ?? database ?? undefined
}

interface Opened {
  readonly database: PatientDatabase
  close(): Promise<void>
}

/** Takes the folder for this process, and its database. */
async function open(folder: string, server: PatientDatabase | undefined): Promise<Opened> {
  if (!server) {
    const database = patiently(await serveFolder(folder))
    return { database, close: () => database.close() }
  }
  const unlock = await lock(folder)
  return {
    database: server,
    close: async () => {
      await server.close()
      await unlock()
    },
  }
}

/** Works on a sweep until it is done, or stopped. */
async function conduct(
  folder: string,
  id: string,
  database: PatientDatabase,
  store: SweepStore,
  options: SweepOptions & { readonly times: Times },
  console: Console,
): Promise<number> {
  const queue = await TrialQueue.open(database, options.times)
  const progress = new Progress()
  const workers = new LocalWorkers({
    ...options,
    folder,
    sweep: id,
    onDeath: async name => {
      const held = await store.bury(name)
      for (const { sweep, job, jobAttempt } of held) await queue.giveBack(sweep, job, jobAttempt)
      return held.length > 0
    },
    tell: line => progress.note(line),
  })
  const stopping = stopOnSignals(() => {
    database.hurry(30)
    workers.stop()
  }, 'Each worker finishes its step and writes a checkpoint.')
  try {
    const sweep = await store.sweep(id)
    const ended = (await store.standings(id)).filter(hasEnded).length
    const wanted = Math.min(options.workers, trialCount(sweep.plan.spec) - ended)
    await advance(store, queue, sweep, Math.max(1, wanted))
    console.say(announcement(sweep.name, sweep.plan, wanted))
    await workers.start(wanted, await unmeasured(store, sweep, wanted, console))
    await watch(folder, sweep, store, { workers, stopping, progress })
    await workers.ended()
    return await conclude(folder, sweep, store, { stopping, workers }, console)
  } catch (error) {
    if (!isDiskTrouble(error)) throw error
    throw new UserError(`${describeTrouble(error, folder)}. Once that is fixed, resume with: ${resumeOf(folder)}`)
  } finally {
    stopping.end()
    progress.stop()
    workers.kill()
    await queue.close()
  }
}

/** What is about to be done. */
export function announcement(name: string, plan: Plan, workers: number): string {
  const settings = countOf(plan.spec)
  const { seeds, metric, direction, search } = plan.spec
  return (
    `Sweep ${name}: ${counted(trialCount(plan.spec), 'trial')} of tilegrad ${plan.command} ` +
    `(${search}: ${counted(settings, 'setting')} × ${counted(seeds.length, 'seed')}), ` +
    `${direction === 'maximize' ? 'highest' : 'lowest'} ${metric}, ${counted(workers, 'worker')} here`
  )
}

/** Prints an estimate of the sweep's time once steps are measured; undefined if finished trials show it already. */
async function unmeasured(
  store: SweepStore,
  { id, plan }: SweepRecord,
  workers: number,
  console: Console,
): Promise<((measured: Measured) => void) | undefined> {
  const trials = await store.trials(id)
  if (plan.command !== 'fine-tune' || trials.some(({ state }) => state === 'complete')) return undefined
  return measured => {
    const each = trials.map(trial => secondsOf(measured, optionsOf(plan, trial, 'unused')))
    const usual = mean(each)
    const total = (usual * trialCount(plan.spec)) / workers
    const early = plan.spec.halving ? ' at most, since some are stopped early' : ''
    console.say(`About ${showDuration(usual)} a trial, ${showDuration(total)} in all${early}.`)
  }
}

interface Watched {
  readonly workers: LocalWorkers
  readonly stopping: StopRequest
  readonly progress: Progress
}

/** Shows how far the trials are and keeps the folder's files up to date, until all is done or nobody is left. */
async function watch(
  folder: string,
  sweep: SweepRecord,
  store: SweepStore,
  { workers, stopping, progress }: Watched,
): Promise<void> {
  const total = trialCount(sweep.plan.spec)
  let ended = new Set((await store.standings(sweep.id)).filter(hasEnded).map(({ number }) => number))
  progress.start('trials', total, ended.size)
  let drawn = -Infinity
  for (;;) {
    const standings = await store.standings(sweep.id)
    const over = standings.filter(hasEnded)
    if (over.some(({ number }) => !ended.has(number))) {
      const trials = await store.trials(sweep.id)
      for (const { number } of over) if (!ended.has(number)) progress.note(endingText(sweep, trials[number]))
      ended = new Set(over.map(({ number }) => number))
      await writeResults(folder, sweep, trials)
      if (performance.now() - drawn > PAGE_MS) {
        await writeSweepPage(folder, sweep, trials, secondsLeft(standings, total, Math.max(1, workers.wanted)))
        drawn = performance.now()
      }
    }
    const running = Math.max(1, standings.filter(({ state }) => state === 'running').length)
    progress.update(ended.size, { secondsLeft: secondsLeft(standings, total, running) })
    const isDone = !(await store.isOpen(sweep.id))
    if (isDone || stopping.requested) break
    if (!workers.isAnyLeft) {
      const others = (await store.workers()).filter(worker => worker.seenSeconds < SILENT)
      if (workers.wanted > 0 && others.length === 0) break
    }
    await workers.pause(LOOK_MS)
  }
  progress.stop()
}

/** The command that resumes a sweep. */
const resumeOf = (folder: string): string => shellLine(`${TILEGRAD} sweep`, '--resume', folder)

/** `trial 3: lr=0.001 seed=1: complete, accuracy 0.9123`. */
function endingText({ plan }: SweepRecord, trial: TrialRecord): string {
  const { number, state, value, error } = trial
  const figure = value === undefined ? '' : `, ${plan.spec.metric} ${value.toFixed(4)}`
  return `trial ${number}: ${trialText(trial)}: ${state}${figure}${error === undefined ? '' : `: ${error}`}`
}

/** Writes and shows the results. Gives the exit status. */
async function conclude(
  folder: string,
  sweep: SweepRecord,
  store: SweepStore,
  { stopping, workers }: Pick<Watched, 'stopping' | 'workers'>,
  console: Console,
): Promise<number> {
  const trials = await store.trials(sweep.id)
  await writeResults(folder, sweep, trials)
  await writeSweepPage(folder, sweep, trials, undefined)
  const isOpen = await store.isOpen(sweep.id)
  const count = (state: TrialRecord['state']): number => trials.filter(trial => trial.state === state).length
  const shown = resultsTable(sweep, trials)
  if (shown !== undefined) console.say(`\n${shown}\n`)
  const best = bestTrial(sweep, trials)
  const failed = trials.filter(({ state }) => state === 'failed')
  const resume = resumeOf(folder)
  const isLost = !isOpen && failed.length === trials.length
  if (failed.length > 0 && !isLost) {
    console.say(`${failed.length} failed; the first: ${failed[0].error}. Try them again with: ${resume} --retry-failed`)
  }
  if (best && !isOpen) console.say(`The best again: ${repeatTrial(sweep, best)}`)
  console.say(`Results: ${folder}, report.html first`)
  console.result({
    folder,
    ...(stopping.requested && { stopped: true }),
    states: Object.fromEntries(STATES.map(state => [state, count(state)])),
    best: best ? trialsJson(sweep, [best]).trials[0] : null,
  })
  if (isLost) {
    const all = trials.length === 1 ? 'The only trial' : `All ${trials.length} trials`
    throw new UserError(`${all} failed; the first: ${failed[0].error}. Try them again with: ${resume} --retry-failed`)
  }
  if (!isOpen) return 0
  if (stopping.requested) {
    console.say(`Stopped. Resume with: ${resume}`)
    return stopping.status
  }
  throw new UserError(
    `No worker is left${workers.lastWords === undefined ? '' : ` (${workers.lastWords})`}. Resume with: ${resume}`,
  )
}
