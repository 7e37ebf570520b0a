// A worker: opens its device once, takes trials from the queues of a database's sweeps one after another, and ends when
// there are no more.
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { UserError } from '../../../../engine/index.ts'
import type { Progress } from '../../cli/progress.ts'
import { openNamed } from '../../device.ts'
import { isLocked } from '../../run/lock.ts'
import { type Shared, createShared } from '../shared.ts'
import { advance } from './advance.ts'
import type { PatientDatabase } from './database.ts'
import { type Measured, measure } from './estimate.ts'
import { type Depot, databaseDepot, folderDepot } from './depot.ts'
import { trialText } from './plan.ts'
import { TrialQueue, type TakenJob } from './queue.ts'
import { type Attempt, type SweepRecord, SweepStore, Superseded, type TrialRecord } from './store.ts'
import { EXPIRY, type Times } from './times.ts'
import { MachineTrouble, makeTrial, optionsOf } from './trial.ts'

/** How often a trial's worker may die, or give up, without a new checkpoint in between. */
const MOST_LOSSES = 3

/** Heartbeats that a worker of the list may be late before it no longer counts. */
const LATE = 3

export interface WorkerOptions {
  readonly database: PatientDatabase
  /** The folder below which runs are made, `<folder>/trials/<number>`; one for each sweep below `runs` when left out. */
  readonly folder?: string
  /** Where the folder of checkpoints is on this machine, if the sweep keeps them in one. */
  readonly store?: string
  /** Part of an adapter's name. */
  readonly adapter?: string
  /** Of this sweep alone; of all in the database when left out. */
  readonly sweep?: string
  /** Stays when there is no work. */
  readonly keep: boolean
  readonly times: Times
  readonly progress: Progress
  /** Hears what a few steps of the first trial take, before any trial begins. */
  readonly onMeasured?: (measured: Measured | undefined) => void
  /** What happens, in lines for people. */
  readonly tell: (line: string) => void
}

/** A trial under way. */
interface Life {
  /** Whether the trial is to be stopped. */
  isOver(): boolean
  /** Hears that training begins. */
  begin(): void
  /** Hears how far it is. */
  at(standing: Pick<TrialRecord, 'step' | 'steps' | 'seconds'>): void
  end(): Promise<void>
}

/** A worker that runs, or is about to. */
export class Worker {
  readonly name = `${hostname()}-${process.pid}`
  readonly #options: WorkerOptions
  readonly #shared: Shared = createShared()
  #stopping = false
  /** Ends training with a checkpoint, while there is any. */
  #stopTrial: (() => void) | undefined
  /** Ends a wait for work. */
  readonly #waking = new AbortController()

  constructor(options: WorkerOptions) {
    this.#options = options
  }

  /** Ends the worker, with a checkpoint of the trial that it makes. */
  stop(): void {
    this.#stopping = true
    this.#waking.abort()
    this.#stopTrial?.()
  }

  /** Works until there is nothing left to do, or until it is stopped. Throws a MachineTrouble if the machine can't. */
  async run(): Promise<void> {
    const { database, adapter, times } = this.#options
    const device = await openNamed(adapter, false)
    const store = await SweepStore.open(database)
    const queue = await TrialQueue.open(database, times)
    try {
      await store.greet({ name: this.name, host: hostname(), pid: process.pid, adapter: device.info.name })
      await this.#measure(store)
      await this.#work(store, queue)
      await store.leave(this.name)
    } finally {
      await queue.close()
      device.close()
    }
  }

  /** Measures a few steps, if anybody wants to know. A trial that can't be measured shows why when its turn comes. */
  async #measure(store: SweepStore): Promise<void> {
    const { onMeasured, sweep: id, progress } = this.#options
    if (!onMeasured || id === undefined) return
    const { plan } = await store.sweep(id)
    const first = (await store.trials(id)).find(({ state }) => state === 'waiting')
    if (!first || plan.command !== 'fine-tune') return onMeasured(undefined)
    const measured = await measure(optionsOf(plan, first, 'unused'), this.#shared, progress).catch(() => undefined)
    progress.stop()
    onMeasured(measured)
  }

  async #work(store: SweepStore, queue: TrialQueue): Promise<void> {
    const { keep, times, sweep: only, tell } = this.#options
    let supervised = -Infinity
    while (!this.#stopping) {
      const sweeps = (await store.openSweeps()).filter(({ id }) => only === undefined || id === only)
      if (sweeps.length === 0 && !keep) return
      if (performance.now() - supervised > times.supervise * 1000) {
        await this.#supervise(queue, sweeps)
        supervised = performance.now()
      }
      const isPaused = await store.alive(this.name, undefined)
      const taken = isPaused ? undefined : await this.#take(store, queue, sweeps)
      if (!taken) {
        await sleep(times.poll * 1000, undefined, { signal: this.#waking.signal }).catch(() => undefined)
        continue
      }
      await this.#make(store, queue, ...taken).catch((error: unknown) => {
        if (!(error instanceof Superseded)) throw error
        tell(`${error.message}; this worker continues with other trials`)
      })
    }
  }

  /** Looks for workers that have gone silent, unless they had no way to be heard. */
  async #supervise(queue: TrialQueue, sweeps: readonly SweepRecord[]): Promise<void> {
    const { database, times } = this.#options
    if (database.secondsSinceOutage < 2 * times.refresh) return
    for (const { id } of sweeps) await queue.supervise(id)
  }

  /** A job of the first sweep that has one, after the search was asked for more trials. */
  async #take(
    store: SweepStore,
    queue: TrialQueue,
    sweeps: readonly SweepRecord[],
  ): Promise<[SweepRecord, TakenJob] | undefined> {
    for (const sweep of sweeps) {
      if (sweep.paused) continue
      const workers = (await store.workers()).filter(
        ({ seenSeconds }) => seenSeconds < LATE * this.#options.times.refresh,
      )
      await advance(store, queue, sweep, workers.length)
      const job = await queue.take(sweep.id)
      if (job) return [sweep, job]
    }
    return undefined
  }

  /** Makes the trial of a job, or puts it back. */
  async #make(store: SweepStore, queue: TrialQueue, sweep: SweepRecord, job: TakenJob): Promise<void> {
    const { tell, progress } = this.#options
    const claim = { id: job.id, attempt: job.retryCount, claim: crypto.randomUUID() }
    const record = await store.claim(sweep.id, job.trial, this.name, claim)
    // What a worker did that died before it could end the job.
    if (!record) return queue.done(job)
    const attempt = { sweep: sweep.id, trial: record.number, attempt: record.attempt }
    if (record.losses > MOST_LOSSES) {
      const error = `its workers died or gave up ${record.losses} times in a row, each time before a new checkpoint`
      await store.finish(attempt, { state: 'failed', error, seconds: record.seconds })
      return queue.done(job)
    }
    tell(
      `trial ${record.number}: ${trialText(record)}${record.checkpoint ? `, from step ${record.checkpoint.step}` : ''}`,
    )
    const depot = this.#depotOf(sweep)
    const life = this.#live(store, queue, job, attempt)
    try {
      const outcome = await makeTrial(sweep, record, {
        store,
        depot,
        shared: this.#shared,
        progress,
        folder: await this.#folderOf(sweep, record),
        onTraining: stop => {
          this.#stopTrial = stop
          life.begin()
          if (this.#stopping || life.isOver()) stop()
        },
        onStep: (step, steps, seconds) => life.at({ step, steps, seconds }),
      })
      if (outcome === 'stopped') {
        await store.release(attempt)
        tell(`trial ${record.number}: stopped at a checkpoint`)
      } else {
        await store.finish(attempt, outcome)
        await depot.keep(attempt, [])
        tell(`trial ${record.number}: ${endingText(outcome.state, outcome.value, outcome.error)}`)
      }
      await queue.done(job)
      await queue.send(store, sweep.id)
    } catch (error) {
      if (error instanceof MachineTrouble) {
        await store.release(attempt, { lost: true })
        await queue.done(job)
        await queue.send(store, sweep.id)
        await store.leave(this.name)
        throw new UserError(`trial ${record.number} was put back: ${error.message}`)
      }
      throw error
    } finally {
      this.#stopTrial = undefined
      progress.stop()
      await life.end()
    }
  }

  /** Shows that the worker of a trial is alive, and stops it when it is to pause, has lost it, or its time is over. */
  #live(store: SweepStore, queue: TrialQueue, job: TakenJob, attempt: Attempt): Life {
    const { times } = this.#options
    const ended = new AbortController()
    let isOver = false
    let standing: Parameters<Life['at']>[0] | undefined
    let slice: NodeJS.Timeout | undefined
    const stop = (): void => {
      isOver = true
      this.#stopTrial?.()
    }
    const beat = async (): Promise<void> => {
      const isMine = await queue.touch(job)
      const isPaused = await store.alive(this.name, attempt)
      if (standing) await store.progress(attempt, standing)
      if (!isMine || isPaused) stop()
    }
    const live = async (): Promise<void> => {
      while (!ended.signal.aborted) {
        // One that fails is missed: the trial's own writes show what is wrong.
        await beat().catch((error: unknown) => {
          if (error instanceof Superseded) stop()
        })
        const pause = Math.min(times.refresh, job.heartbeat / 4) * 1000
        await sleep(pause, undefined, { signal: ended.signal }).catch(() => undefined)
      }
    }
    const living = live()
    return {
      isOver: () => isOver,
      // From the first step on, so that each slice has one at least.
      begin: () => {
        slice ??= setTimeout(stop, Math.min(times.slice, job.expiry - EXPIRY) * 1000)
      },
      at: now => {
        standing = now
      },
      end: async () => {
        clearTimeout(slice)
        ended.abort()
        await living
      },
    }
  }

  #depotOf({ store }: SweepRecord): Depot {
    const { database, store: here } = this.#options
    if (database.backend === 'pglite') return folderDepot(join(database.place, 'checkpoints'))
    const place = here ?? store
    return place === undefined ? databaseDepot(database) : folderDepot(place)
  }

  /** Where a trial's run is made: not where a worker that was presumed dead still works on it. */
  async #folderOf({ id, name }: SweepRecord, { number, attempt }: TrialRecord): Promise<string> {
    const { folder: root = join('runs', `${name}-${id.slice(0, 8)}`) } = this.#options
    const folder = join(root, 'trials', String(number))
    return (await isLocked(folder)) ? `${folder}.${attempt}` : folder
  }
}

const endingText = (state: string, value?: number, error?: string): string =>
  error ?? [state, value?.toFixed(4)].filter(part => part !== undefined).join(', ')
