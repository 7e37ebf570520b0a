// What the database knows of sweeps. Every write is one statement, so that it is done whole or not at all, and can be
// sent again where its answer was lost. Writes of a worker name the attempt that it makes: once another worker has taken
// the trial over, they change nothing and throw a Superseded.
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { UserError } from '../../../../engine/errors.ts'
import { type Intermediate, type Proposal, TRIAL_STATES, type Trial, type TrialState } from '../../../search/types.ts'
import type { Database, Row } from './database.ts'
import { type Plan, planSchema, settingSchema } from './plan.ts'
import { createTables } from './schema.ts'
import type { Standing } from './standing.ts'

/** A worker that was presumed dead has lost its trial to another one. */
export class Superseded extends Error {}

const count = z.int().nonnegative()
const optional = <T extends z.ZodType>(schema: T) => schema.nullish().transform(value => value ?? undefined)
/** A bigint, which drivers give as a string, a number or a BigInt. */
const big = z.union([z.string(), z.number(), z.bigint()]).transform(Number)
const time = z.union([z.date(), z.string()]).transform(value => new Date(value))

/** A file of a checkpoint: where it belongs in the run's folder, its SHA-256, and which attempt stored it. */
const fileSchema = z.object({ path: z.string(), digest: z.string(), attempt: count })
export type StoredFile = Readonly<z.output<typeof fileSchema>>

const checkpointSchema = z.object({ step: count, files: z.array(fileSchema).readonly() })
export type StoredCheckpoint = Readonly<z.output<typeof checkpointSchema>>

const trialSchema = z.object({
  number: count,
  setting: count,
  seed: big,
  values: settingSchema,
  state: z.enum(TRIAL_STATES),
  value: optional(z.number()),
  intermediate: z.array(z.object({ step: count, value: z.number() })).readonly(),
  job: z.string(),
  attempt: count,
  jobAttempt: count,
  losses: count,
  worker: optional(z.string()),
  checkpoint: optional(checkpointSchema),
  result: optional(z.record(z.string(), z.unknown())),
  error: optional(z.string()),
  createdAt: time,
  startedAt: optional(time),
  finishedAt: optional(time),
  seconds: z.number(),
  step: count,
  steps: optional(count),
})

const standingSchema = trialSchema.pick({ number: true, state: true, step: true, steps: true, seconds: true })

/** A trial with all that is known of it. */
export type TrialRecord = Readonly<z.output<typeof trialSchema>> & Trial

const TRIAL_COLUMNS = `number, setting, seed, settings AS "values", state, value, intermediate, job, attempt,
  job_attempt AS "jobAttempt", losses, worker, checkpoint, result, error, created_at AS "createdAt",
  started_at AS "startedAt", finished_at AS "finishedAt", seconds, step, steps`

const sweepSchema = z.object({
  id: z.string(),
  name: z.string(),
  plan: planSchema,
  revision: count,
  paused: z.boolean(),
  proposed: z.boolean(),
  store: optional(z.string()),
  createdAt: time,
})
export type SweepRecord = Readonly<z.output<typeof sweepSchema>>
/** Of a row `s`: the search proposes more, or a trial has not ended. */
const IS_OPEN = `(NOT proposed OR EXISTS
  (SELECT 1 FROM tilegrad.trial t WHERE t.sweep = s.id AND t.state IN ('waiting', 'running')))`
const SWEEP_COLUMNS = 'id, name, plan, revision, paused, proposed, store, created_at AS "createdAt"'

const workerSchema = z.object({
  name: z.string(),
  host: z.string(),
  pid: count,
  adapter: z.string(),
  sweep: optional(z.string()),
  trial: optional(count),
  paused: z.boolean(),
  seenSeconds: z.number(),
})
export type WorkerRecord = Readonly<z.output<typeof workerSchema>>

/** Which trial a worker makes, and for which time that is. */
export interface Attempt {
  readonly sweep: string
  readonly trial: number
  readonly attempt: number
}

/** How a trial ended. */
export interface Ending {
  readonly state: Extract<TrialState, 'complete' | 'pruned' | 'failed'>
  readonly value?: number
  readonly result?: object
  readonly error?: string
  /** Seconds of work, over all attempts. */
  readonly seconds: number
}

/** The sweeps of a database. */
export class SweepStore {
  readonly #database: Database

  private constructor(database: Database) {
    this.#database = database
  }

  /** Makes the tables if they are missing. */
  static async open(database: Database): Promise<SweepStore> {
    await createTables(database)
    return new SweepStore(database)
  }

  async createSweep(id: string, name: string, plan: Plan, store: string | undefined): Promise<void> {
    await this.#run(
      'INSERT INTO tilegrad.sweep (id, name, plan, store) VALUES ($1, $2, $3::json, $4) ON CONFLICT DO NOTHING',
      [id, name, JSON.stringify(plan), store ?? null],
    )
  }

  /** All sweeps, oldest first. */
  async sweeps(): Promise<SweepRecord[]> {
    const rows = await this.#run(`SELECT ${SWEEP_COLUMNS} FROM tilegrad.sweep ORDER BY created_at, id`)
    return rows.map(row => sweepSchema.parse(row))
  }

  /** Sweeps of which something is still to be done, oldest first. */
  async openSweeps(): Promise<SweepRecord[]> {
    const rows = await this.#run(
      `SELECT ${SWEEP_COLUMNS} FROM tilegrad.sweep s WHERE ${IS_OPEN} ORDER BY created_at, id`,
    )
    return rows.map(row => sweepSchema.parse(row))
  }

  /** Whether something of a sweep is still to be done. */
  async isOpen(id: string): Promise<boolean> {
    return (await this.#run(`SELECT id FROM tilegrad.sweep s WHERE id = $1 AND ${IS_OPEN}`, [id])).length > 0
  }

  /** Throws a UserError if there is no such sweep. */
  async sweep(id: string): Promise<SweepRecord> {
    const [row] = await this.#run(`SELECT ${SWEEP_COLUMNS} FROM tilegrad.sweep WHERE id = $1`, [id])
    if (!row) throw new UserError(`${this.#database.place} has no sweep ${id}`)
    return sweepSchema.parse(row)
  }

  /** All trials, by their numbers. */
  async trials(sweep: string): Promise<TrialRecord[]> {
    const rows = await this.#run(`SELECT ${TRIAL_COLUMNS} FROM tilegrad.trial WHERE sweep = $1 ORDER BY number`, [
      sweep,
    ])
    return rows.map(row => trialSchema.parse(row))
  }

  /** How far all trials are, by their numbers. */
  async standings(sweep: string): Promise<Standing[]> {
    const rows = await this.#run(
      'SELECT number, state, step, steps, seconds FROM tilegrad.trial WHERE sweep = $1 ORDER BY number',
      [sweep],
    )
    return rows.map(row => standingSchema.parse(row))
  }

  /**
   * Adds a trial for each seed of each proposal, made from this revision of the sweep; no proposals end the search.
   * False, with nothing added, if the revision has passed.
   */
  async addTrials(
    { id, revision, plan }: SweepRecord,
    proposals: readonly Proposal[],
    isLast: boolean,
  ): Promise<boolean> {
    const added = proposals.flatMap(({ setting, values }) =>
      plan.spec.seeds.map(seed => ({ setting, seed, settings: values, job: randomUUID() })),
    )
    const rows = await this.#run(
      `WITH turn AS (
         UPDATE tilegrad.sweep SET revision = revision + 1, proposed = $3 WHERE id = $1 AND revision = $2 RETURNING id
       ), added AS (
         INSERT INTO tilegrad.trial (sweep, number, setting, seed, settings, job)
         SELECT turn.id, (SELECT count(*) FROM tilegrad.trial t WHERE t.sweep = turn.id) + x.place - 1,
           (x.trial ->> 'setting')::integer, (x.trial ->> 'seed')::bigint, x.trial -> 'settings',
           (x.trial ->> 'job')::uuid
         FROM turn, json_array_elements($4::json) WITH ORDINALITY AS x (trial, place)
       )
       SELECT id FROM turn`,
      [id, revision, isLast, JSON.stringify(added)],
    )
    return rows.length > 0
  }

  /** Trials that wait without a job in the queue, with the job that each is to have. */
  async unsent(sweep: string): Promise<{ number: number; job: string }[]> {
    const rows = await this.#run(
      `SELECT number, job FROM tilegrad.trial WHERE sweep = $1 AND state = 'waiting' AND NOT queued ORDER BY number`,
      [sweep],
    )
    return rows.map(row => z.object({ number: count, job: z.string() }).parse(row))
  }

  /** Remembers that these jobs are in the queue. */
  async sent(sweep: string, jobs: readonly string[]): Promise<void> {
    await this.#run(
      `UPDATE tilegrad.trial SET queued = true
       WHERE sweep = $1 AND job::text IN (SELECT json_array_elements_text($2::json))`,
      [sweep, JSON.stringify(jobs)],
    )
  }

  /**
   * Takes a trial for a worker, by its job. Undefined if it is done, or has another job by now.
   * `claim` is a new UUID for each time that a job is fetched.
   */
  async claim(
    sweep: string,
    trial: number,
    worker: string,
    job: { readonly id: string; readonly attempt: number; readonly claim: string },
  ): Promise<TrialRecord | undefined> {
    const [row] = await this.#run(
      `UPDATE tilegrad.trial SET
         attempt = attempt + CASE WHEN claim = $6 THEN 0 ELSE 1 END,
         losses = losses + CASE WHEN claim = $6 OR state = 'waiting' THEN 0 ELSE 1 END,
         claim = $6, state = 'running', worker = $3, job_attempt = $5, started_at = COALESCE(started_at, now())
       WHERE sweep = $1 AND number = $2 AND job = $4 AND state IN ('waiting', 'running')
       RETURNING ${TRIAL_COLUMNS}`,
      [sweep, trial, worker, job.id, job.attempt, job.claim],
    )
    return row && trialSchema.parse(row)
  }

  /** Puts a trial back, for whoever is next, under a new job. `lost`: because this machine can't continue it. */
  async release(attempt: Attempt, { lost = false } = {}): Promise<void> {
    await this.#fenced(
      attempt,
      `state = 'waiting', worker = NULL, job = $4::uuid, queued = false, losses = losses + $5`,
      [randomUUID(), lost ? 1 : 0],
    )
  }

  /** Records where a trial is. */
  async progress(attempt: Attempt, { step, steps, seconds }: Pick<TrialRecord, 'step' | 'steps' | 'seconds'>) {
    await this.#fenced(attempt, 'step = $4, steps = $5, seconds = $6', [step, steps ?? null, seconds])
  }

  /** Records all evaluations of a trial so far. */
  async evaluated(attempt: Attempt, intermediate: readonly Intermediate[]): Promise<void> {
    await this.#fenced(attempt, 'intermediate = $4::json', [JSON.stringify(intermediate)])
  }

  /** Records a checkpoint, whose files are in the store. Gives the one that it takes the place of. */
  async checkpointed(attempt: Attempt, checkpoint: StoredCheckpoint, seconds: number): Promise<void> {
    await this.#fenced(attempt, 'checkpoint = $4::json, step = $5, seconds = $6, losses = 0', [
      JSON.stringify(checkpoint),
      checkpoint.step,
      seconds,
    ])
  }

  /** Records how a trial ended. */
  async finish(attempt: Attempt, { state, value, result, error, seconds }: Ending): Promise<void> {
    await this.#fenced(
      attempt,
      'state = $4, value = $5, result = $6::json, error = $7, seconds = $8, finished_at = now(), checkpoint = NULL',
      [state, value ?? null, result ? JSON.stringify(result) : null, error ?? null, seconds],
    )
  }

  /** Makes failed trials wait again, from their beginning. Gives their numbers. */
  async retryFailed(sweep: string): Promise<number[]> {
    const rows = await this.#run(
      `UPDATE tilegrad.trial SET state = 'waiting', job = gen_random_uuid(), queued = false, losses = 0, error = NULL,
         value = NULL, intermediate = '[]', checkpoint = NULL, result = NULL, finished_at = NULL, seconds = 0, step = 0
       WHERE sweep = $1 AND state = 'failed' RETURNING number`,
      [sweep],
    )
    return rows.map(({ number }) => count.parse(number)).sort((a, b) => a - b)
  }

  /**
   * The hash of a source, such as the data, of a sweep: the one that the first worker found, which may be this one.
   */
  async agree(sweep: string, source: string, hash: string): Promise<string> {
    await this.#run(
      'INSERT INTO tilegrad.fingerprint (sweep, source, hash) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
      [sweep, source, hash],
    )
    const [row] = await this.#run('SELECT hash FROM tilegrad.fingerprint WHERE sweep = $1 AND source = $2', [
      sweep,
      source,
    ])
    return z.string().parse(row.hash)
  }

  /** Adds or renews a worker's entry. */
  async greet({ name, host, pid, adapter }: Pick<WorkerRecord, 'name' | 'host' | 'pid' | 'adapter'>): Promise<void> {
    await this.#run(
      `INSERT INTO tilegrad.worker (name, host, pid, adapter) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO UPDATE
       SET host = $2, pid = $3, adapter = $4, sweep = NULL, trial = NULL, paused = false, seen_at = now()`,
      [name, host, pid, adapter],
    )
  }

  /** Says what a worker does, and that it is alive. Gives whether it, or the sweep, is to pause. */
  async alive(name: string, at: { readonly sweep: string; readonly trial: number } | undefined): Promise<boolean> {
    const [row] = await this.#run(
      `UPDATE tilegrad.worker w SET seen_at = now(), sweep = $2::uuid, trial = $3 WHERE name = $1
       RETURNING paused OR COALESCE((SELECT s.paused FROM tilegrad.sweep s WHERE s.id = $2::uuid), false) AS paused`,
      [name, at?.sweep ?? null, at?.trial ?? null],
    )
    return row?.paused === true
  }

  /** Removes a worker's entry. */
  async leave(name: string): Promise<void> {
    await this.#run('DELETE FROM tilegrad.worker WHERE name = $1', [name])
  }

  async workers(): Promise<WorkerRecord[]> {
    const rows = await this.#run(
      `SELECT name, host, pid, adapter, sweep, trial, paused,
         extract(epoch FROM now() - seen_at)::double precision AS "seenSeconds"
       FROM tilegrad.worker ORDER BY started_at, name`,
    )
    return rows.map(row => workerSchema.parse(row))
  }

  /** Pauses a sweep, or lets it continue. */
  async pauseSweep(id: string, paused: boolean): Promise<void> {
    await this.#run('UPDATE tilegrad.sweep SET paused = $2 WHERE id = $1', [id, paused])
  }

  /** Pauses a worker, or lets it continue. False if no worker has this name. */
  async pauseWorker(name: string, paused: boolean): Promise<boolean> {
    const rows = await this.#run('UPDATE tilegrad.worker SET paused = $2 WHERE name = $1 RETURNING name', [
      name,
      paused,
    ])
    return rows.length > 0
  }

  /** Makes the trials of a worker that has died wait for others. Gives them with their jobs, which are still its own. */
  async bury(worker: string): Promise<{ sweep: string; job: string; jobAttempt: number }[]> {
    const rows = await this.#run(
      `UPDATE tilegrad.trial SET state = 'waiting', worker = NULL, losses = losses + 1
       WHERE worker = $1 AND state = 'running' RETURNING sweep, job, job_attempt AS "jobAttempt"`,
      [worker],
    )
    await this.leave(worker)
    const schema = z.object({ sweep: z.string(), job: z.string(), jobAttempt: count })
    return rows.map(row => schema.parse(row))
  }

  /** Sets columns of a trial, if it is still this attempt's. Values are `$4`, `$5`, … Throws a Superseded otherwise. */
  async #fenced({ sweep, trial, attempt }: Attempt, set: string, values: readonly unknown[]): Promise<void> {
    const rows = await this.#run(
      `UPDATE tilegrad.trial SET ${set} WHERE sweep = $1 AND number = $2 AND attempt = $3 RETURNING number`,
      [sweep, trial, attempt, ...values],
    )
    if (rows.length === 0) throw new Superseded(`trial ${trial} was taken over by another worker`)
  }

  async #run(text: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.#database.executeSql(text, values)).rows
  }
}
