// Which worker makes which trial: a queue of pg-boss for each sweep, with a job for each trial that waits or runs. The
// state of the trials themselves is in the store: a job says only that its trial is to be worked on.
import { PgBoss } from 'pg-boss'
import { z } from 'zod'
import type { Database } from './database.ts'
import type { SweepStore } from './store.ts'
import { EXPIRY, type Times } from './times.ts'

/** A job that is kept until it is done, however long that takes. */
const FOREVER = 10 * 365 * 24 * 3600
/** A job is tried again as often as its worker dies; the store counts losses that matter. */
const ALWAYS = 1_000_000

/** A job that this process has taken. */
export interface TakenJob {
  readonly queue: string
  readonly id: string
  readonly retryCount: number
  readonly trial: number
  /** Seconds that its worker may be silent. */
  readonly heartbeat: number
  /** Seconds until pg-boss takes the job away. */
  readonly expiry: number
}

/** What pg-boss answers; its types leave it out. */
const touchedSchema = z.object({ affected: z.int() })
const dataSchema = z.object({ trial: z.int().nonnegative() })

const queueOf = (sweep: string): string => `tilegrad.${sweep}`

export class TrialQueue {
  readonly #boss: PgBoss
  readonly #times: Times
  readonly #known = new Set<string>()

  private constructor(boss: PgBoss, times: Times) {
    this.#boss = boss
    this.#times = times
  }

  /** Makes the queue's tables if they are missing. */
  static async open(database: Database, times: Times): Promise<TrialQueue> {
    const boss = new PgBoss({
      db: database,
      backend: database.backend,
      // Supervision is this class's: the timers of pg-boss know nothing of outages.
      supervise: false,
      schedule: false,
      registerInstance: false,
      monitorIntervalSeconds: 1,
      reindex: false,
      monitorVacuum: false,
    })
    // What it does in the background is tried again; calls throw their own errors.
    boss.on('error', () => undefined)
    await boss.start()
    return new TrialQueue(boss, times)
  }

  /** Puts the trials of a sweep that wait into its queue. */
  async send(store: SweepStore, sweep: string): Promise<void> {
    const waiting = await store.unsent(sweep)
    if (waiting.length === 0) return
    const queue = await this.#queue(sweep)
    // A job that is there already stays as it is.
    await this.#boss.insert(
      queue,
      waiting.map(({ number, job }) => ({ id: job, data: { trial: number }, priority: -number })),
    )
    await store.sent(
      sweep,
      waiting.map(({ job }) => job),
    )
  }

  /** Takes the first job of a sweep; undefined if none waits. */
  async take(sweep: string): Promise<TakenJob | undefined> {
    const queue = await this.#queue(sweep)
    const [job] = await this.#boss.fetch<unknown>(queue)
    if (!job) return undefined
    const { id, retryCount, heartbeatSeconds, expireInSeconds: expiry } = job
    const heartbeat = heartbeatSeconds ?? this.#times.heartbeat
    return { queue, id, retryCount, heartbeat, expiry, trial: dataSchema.parse(job.data).trial }
  }

  /** Says that a job's worker is alive. False if the job is no longer this process's. */
  async touch({ queue, id, retryCount }: TakenJob): Promise<boolean> {
    return touchedSchema.parse(await this.#boss.touch(queue, { id, retryCount })).affected > 0
  }

  /** Ends a job. */
  async done({ queue, id, retryCount }: TakenJob): Promise<void> {
    await this.#boss.complete(queue, { id, retryCount })
  }

  /** Gives the job of a worker that died to whoever is next. */
  async giveBack(sweep: string, id: string, retryCount: number): Promise<void> {
    await this.#boss.fail(await this.#queue(sweep), { id, retryCount })
  }

  /** Gives the jobs of workers that have gone silent to whoever is next. */
  async supervise(sweep: string): Promise<void> {
    await this.#boss.supervise(await this.#queue(sweep))
  }

  async close(): Promise<void> {
    await this.#boss.stop({ close: false, graceful: false })
  }

  /** The name of a sweep's queue, which is made if it is missing. */
  async #queue(sweep: string): Promise<string> {
    const queue = queueOf(sweep)
    if (this.#known.has(queue)) return queue
    await this.#boss.createQueue(queue, {
      heartbeatSeconds: this.#times.heartbeat,
      expireInSeconds: Math.min(Math.ceil(this.#times.slice) + EXPIRY, 24 * 3600),
      retentionSeconds: FOREVER,
      retryLimit: ALWAYS,
      retryDelay: 0,
    })
    this.#known.add(queue)
    return queue
  }
}
