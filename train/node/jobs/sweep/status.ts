// The status of sweeps, in the terminal: states, workers, what runs, and the best so far.
import { setTimeout as sleep } from 'node:timers/promises'
import { UserError, printable } from '../../../../engine/errors.ts'
import { counted } from '../../../counts.ts'
import { trialCount } from '../../../search/propose.ts'
import { hasEnded } from '../../../search/settings.ts'
import type { TrialState } from '../../../search/types.ts'
import { type Console, table } from '../../cli/console.ts'
import { showDuration } from '../../cli/progress.ts'
import { type PatientDatabase, openDatabase } from './database.ts'
import { readSweepFolder } from './folder.ts'
import { trialText } from './plan.ts'
import { isAddress } from './postgres.ts'
import { bestTrial, repeatTrial, resultsTable, trialsJson } from './results.ts'
import { secondsLeft } from './standing.ts'
import { type SweepRecord, SweepStore, type TrialRecord, type WorkerRecord } from './store.ts'

/** Seconds after which a silent worker is not listed. */
export const SILENT = 60

/** Sweeps to look at or to change. */
export interface Place {
  readonly database: PatientDatabase
  readonly store: SweepStore
  /** The sweep of a folder; all of a server's when undefined. */
  readonly sweep: string | undefined
}

/** Opens a sweep's folder or a server. `address` is that of the folder's server with its password. */
export async function openPlace(place: string, address?: string): Promise<Place> {
  if (isAddress(place)) {
    const database = await openDatabase(place)
    return { database, store: await SweepStore.open(database), sweep: undefined }
  }
  const { id, database: recorded } = await readSweepFolder(place)
  const database = await openDatabase(address ?? recorded ?? place)
  return { database, store: await SweepStore.open(database), sweep: id }
}

/** The sweeps of a place. Throws a UserError if there are none. */
export async function sweepsOf({ store, sweep, database }: Place): Promise<SweepRecord[]> {
  const sweeps = sweep === undefined ? await store.sweeps() : [await begunSweep(store, sweep)]
  if (sweeps.length === 0) throw new UserError(`${database.place} has no sweeps`)
  return sweeps
}

/** How long the process that begins a sweep may take from opening its database to recording it, in milliseconds. */
const RECORDED_WITHIN_MS = 5000
const LOOK_AGAIN_MS = 100

/** A folder's sweep, which its process may be about to record. Throws a UserError if it does not. */
async function begunSweep(store: SweepStore, id: string): Promise<SweepRecord> {
  for (let waited = 0; ; waited += LOOK_AGAIN_MS) {
    try {
      return await store.sweep(id)
    } catch (error) {
      if (!(error instanceof UserError) || waited >= RECORDED_WITHIN_MS) throw error
    }
    await sleep(LOOK_AGAIN_MS)
  }
}

/** All that is shown of a sweep. */
export interface SweepStatus {
  readonly sweep: SweepRecord
  readonly trials: readonly TrialRecord[]
  readonly workers: readonly WorkerRecord[]
}

export async function statusOf(store: SweepStore, sweep: SweepRecord): Promise<SweepStatus> {
  const workers = (await store.workers()).filter(({ seenSeconds }) => seenSeconds < SILENT)
  return { sweep, trials: await store.trials(sweep.id), workers }
}

export const STATES: readonly TrialState[] = ['complete', 'pruned', 'failed', 'running', 'waiting']

/** `12 complete, 1 failed, 2 running, 9 waiting`. */
export const countsText = (trials: readonly TrialRecord[]): string =>
  STATES.flatMap(state => {
    const count = trials.filter(trial => trial.state === state).length
    return count === 0 ? [] : [`${count} ${state}`]
  }).join(', ')

export const isDone = ({ sweep, trials }: SweepStatus): boolean => sweep.proposed && trials.every(hasEnded)

/** Seconds until the sweep is done, as far as one can tell. */
export function remaining({ sweep: { plan }, trials, workers }: SweepStatus): number | undefined {
  const running = trials.filter(({ state }) => state === 'running').length
  return secondsLeft(trials, trialCount(plan.spec), Math.max(1, running, workers.length))
}

/** How long it will take. */
function whenText(status: SweepStatus): string {
  if (isDone(status)) return 'done'
  const left = remaining(status)
  return left === undefined ? 'not known yet how long' : `about ${showDuration(left)} left`
}

/** `4 of 9 trials: 2 complete, 2 running`. */
const standingText = ({ sweep: { plan }, trials }: SweepStatus): string =>
  `${trials.length} of ${trialCount(plan.spec)} trials: ${countsText(trials) || 'none yet'}`

/** A sweep in one line, and a part of it that is the same for two looks between which only time has passed. */
export function statusLine(status: SweepStatus): { readonly line: string; readonly part: string } {
  const { sweep, trials, workers } = status
  const best = bestTrial(sweep, trials)
  const parts = [
    `${sweep.name}: ${standingText(status)}`,
    counted(workers.length, 'worker'),
    best?.value !== undefined && `best ${sweep.plan.spec.metric} ${best.value.toFixed(4)}`,
    sweep.paused && 'paused',
  ]
  const part = parts.filter(one => typeof one === 'string').join('; ')
  return { line: `${part}; ${whenText(status)}`, part }
}

/** What people read. */
export function statusText(status: SweepStatus): string {
  const { sweep, trials, workers } = status
  const { command, spec } = sweep.plan
  const failed = trials.filter(({ state }) => state === 'failed')
  const best = bestTrial(sweep, trials)
  const parts = [
    `${sweep.name}: ${spec.search} search of tilegrad ${command}, ${spec.direction === 'maximize' ? 'highest' : 'lowest'} ${spec.metric}`,
    `${standingText(status)}; ${whenText(status)}${sweep.paused ? '; paused' : ''}`,
    workersTable(sweep, trials, workers),
    resultsTable(sweep, trials),
    failed.length > 0 &&
      failed.map(trial => `trial ${trial.number} failed (${trialText(trial)}): ${trial.error}`).join('\n'),
    best && `The best again: ${repeatTrial(sweep, best)}`,
  ]
  return parts.filter(part => typeof part === 'string').join('\n\n')
}

/** Who works on what; undefined if nobody does. */
function workersTable(
  { id, paused }: SweepRecord,
  trials: readonly TrialRecord[],
  workers: readonly WorkerRecord[],
): string | undefined {
  const rows = workers.map(worker => {
    const trial = worker.sweep === id && worker.trial !== undefined ? trials[worker.trial] : undefined
    const at = trial?.steps ? `${trial.step}/${trial.steps}` : ''
    const does = trial ? `trial ${trial.number}: ${trialText(trial)}` : worker.sweep ? 'another sweep' : 'idle'
    const state = worker.paused || paused ? `paused${trial ? ` after ${does}` : ''}` : does
    return [printable(worker.name), printable(worker.adapter), at, state]
  })
  return rows.length === 0 ? undefined : table([['worker', 'adapter', 'step', 'does'], ...rows])
}

/** The status of all sweeps of a place. */
export async function allStatus(place: Place): Promise<SweepStatus[]> {
  const all: SweepStatus[] = []
  for (const sweep of await sweepsOf(place)) all.push(await statusOf(place.store, sweep))
  return all
}

/** The texts of several sweeps. */
export const statusTexts = (all: readonly SweepStatus[]): string => all.map(statusText).join('\n\n\n')

/** Prints the status of sweeps. */
export function showStatus(all: readonly SweepStatus[], console: Console): void {
  console.say(statusTexts(all))
  console.result({
    sweeps: all.map(status => ({
      ...trialsJson(status.sweep, status.trials),
      paused: status.sweep.paused,
      seconds_left: remaining(status) ?? null,
      workers: status.workers.map(({ name, host, pid, adapter, trial, paused, seenSeconds }) => ({
        name,
        host,
        pid,
        adapter,
        trial: trial ?? null,
        paused,
        seen_seconds_ago: seenSeconds,
      })),
    })),
  })
}
