// Where a sweep's trials are kept: one interface over PostgreSQL and over PGlite in the sweep's folder. Everything
// above it speaks SQL to `executeSql` and does not know which of the two it is.
import { setTimeout as sleep } from 'node:timers/promises'
import { UserError, printableLine } from '../../../../engine/errors.ts'
import { codeOf } from '../../../../models/node/regular-file.ts'
import { openFolder } from './pglite.ts'
import { isAddress, openPostgres } from './postgres.ts'

export type Row = Record<string, unknown>

/** A database, as pg-boss takes it too. */
export interface Database {
  readonly backend: 'pglite' | 'postgres'
  /** What messages call it: the folder, or the address without its password. */
  readonly place: string
  /**
   * Runs one statement with values for `$1`, …, or several without values. Its effect is atomic, and repeating it must
   * be harmless: a statement whose answer was lost is sent again.
   */
  executeSql(text: string, values?: unknown[]): Promise<{ rows: Row[] }>
  close(): Promise<void>
}

/** How an outage is waited for. */
export interface Patience {
  /** Milliseconds until the first new attempt; doubled from one to the next. */
  readonly first: number
  /** The most milliseconds between two attempts. */
  readonly most: number
  /** Where the outage and its end are told. */
  readonly tell: (line: string) => void
}

const PATIENCE: Patience = {
  first: 250,
  most: 10_000,
  tell: line => void process.stderr.write(`${printableLine(line)}\n`),
}

/**
 * Opens the database at `place`: an address `postgres://…`, or the folder of a sweep on this machine. Throws a
 * UserError if there is none. From then on, outages are waited for.
 */
export async function openDatabase(place: string, patience: Partial<Patience> = {}): Promise<PatientDatabase> {
  return patiently(isAddress(place) ? await openPostgres(place) : await openFolder(place), patience)
}

/** The same database; its outages are waited for. */
export const patiently = (database: Database, patience: Partial<Patience> = {}): PatientDatabase =>
  new PatientDatabase(database, { ...PATIENCE, ...patience })

/** The database did not come back while its user was about to end. */
export class DatabaseGone extends UserError {}

/** A database whose restarts are waited for. */
export class PatientDatabase implements Database {
  readonly #database: Database
  readonly #patience: Patience
  /** When to stop waiting, on the clock of `performance`. */
  #until = Infinity
  #lastOutage = -Infinity
  #isOut = false

  constructor(database: Database, patience: Patience) {
    this.#database = database
    this.#patience = patience
  }

  get backend(): Database['backend'] {
    return this.#database.backend
  }

  get place(): string {
    return this.#database.place
  }

  /** Seconds since the database last did not answer; Infinity if it always has. */
  get secondsSinceOutage(): number {
    return this.#isOut ? 0 : (performance.now() - this.#lastOutage) / 1000
  }

  /** From now on, outages are waited for no longer than this number of seconds in all. */
  hurry(seconds: number): void {
    this.#until = Math.min(this.#until, performance.now() + seconds * 1000)
  }

  async executeSql(text: string, values?: unknown[]): Promise<{ rows: Row[] }> {
    const { first, most, tell } = this.#patience
    for (let wait = first; ; wait = Math.min(2 * wait, most)) {
      try {
        const result = await this.#database.executeSql(text, values)
        if (this.#isOut) tell(`The database ${this.place} is back.`)
        this.#isOut = false
        return result
      } catch (error) {
        if (codeOf(error) === DISK_FULL) throw new UserError(`The disk of the database ${this.place} is full`)
        if (!isOutage(error)) throw error
        const reason = reasonOf(error)
        this.#lastOutage = performance.now()
        if (performance.now() + wait > this.#until) throw new DatabaseGone(`${this.place} does not answer: ${reason}`)
        if (!this.#isOut) tell(`The database ${this.place} does not answer (${reason}); waiting for it.`)
        this.#isOut = true
        // Not all at once, where many workers wait.
        await sleep(wait * (0.75 + Math.random() / 2))
      }
    }
  }

  close(): Promise<void> {
    return this.#database.close()
  }
}

/** PostgreSQL's word for a disk that takes no more. */
const DISK_FULL = '53100'

/** What the system says of a server that cannot be reached. */
const UNREACHABLE: readonly string[] = [
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
]

/**
 * What PostgreSQL says of itself while it stops, starts, recovers or is full: 57P01–57P03, 53300, and class 08. A
 * deadlock's victim (40P01) only has to try again.
 */
const STATES = /^(57P0[1-3]|53300|08...|40P01)$/

/** Whether a statement failed only because the database cannot be reached now. */
export function isOutage(error: unknown): boolean {
  const code = codeOf(error) ?? ''
  if (UNREACHABLE.includes(code) || STATES.test(code)) return true
  if (!(error instanceof Error)) return false
  // A socket's file that is not there.
  if (code === 'ENOENT') return 'syscall' in error && error.syscall === 'connect'
  return /Connection terminated|timeout exceeded when trying to connect|not queryable|Client was closed/i.test(
    error.message,
  )
}

/** Why a database does not answer, in a word or a few. */
export function reasonOf(error: unknown): string {
  return codeOf(error) ?? (error instanceof Error ? error.message : String(error))
}
