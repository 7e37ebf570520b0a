// A sweep's database on a PostgreSQL server.
import { UserError } from '../../../../engine/errors.ts'
import { PACKAGES, requirePackages } from '../../packages.ts'
import type { Database, Row } from './database.ts'

const SCHEME = /^\w[\w+.-]*:\/\//
const POSTGRES = /^postgres(ql)?:\/\//i
const CONNECT_MS = 10_000
/** A worker's heartbeats must come through while a checkpoint is written. */
const CONNECTIONS = 3

/** Whether a place is the address of a server, not a folder. Throws a UserError if the server is not PostgreSQL. */
export function isAddress(place: string): boolean {
  if (POSTGRES.test(place)) return true
  if (SCHEME.test(place))
    throw new UserError(
      `${withoutPassword(place)} is not supported: use a PostgreSQL server, postgres://user@host/name`,
    )
  return false
}

/** The address without its password, which may be in front of the host or among the parameters. */
export const withoutPassword = (address: string): string =>
  address
    .replace(/^([^:]+:\/\/[^:@/?#]*):[^/?#]*@/, '$1@')
    .replace(/([?&])password=[^&#]*&?/gi, '$1')
    .replace(/[?&]$/, '')

/** Connects to a server. Throws a UserError if that fails. */
export async function openPostgres(address: string): Promise<Database> {
  requirePackages('a PostgreSQL server', PACKAGES.postgres)
  const { default: pg } = await import('pg')
  const place = withoutPassword(address)
  const pool = await refused(
    place,
    async () =>
      new pg.Pool({
        connectionString: address,
        max: CONNECTIONS,
        connectionTimeoutMillis: CONNECT_MS,
        application_name: 'tilegrad',
        allowExitOnIdle: true,
      }),
  )
  // A connection that breaks while nobody uses it: the next statement finds out.
  pool.on('error', () => undefined)
  const executeSql = async (text: string, values?: unknown[]): Promise<{ rows: Row[] }> => {
    // Several statements in one text have a result each.
    const results = await pool.query<Row>(text, values)
    return { rows: [results].flat().flatMap(({ rows }) => rows) }
  }
  await refused(place, () => executeSql('SELECT 1')).catch(async (error: unknown) => {
    await pool.end()
    throw error
  })
  return { backend: 'postgres', place, executeSql, close: () => pool.end() }
}

async function refused<T>(place: string, connect: () => Promise<T>): Promise<T> {
  try {
    return await connect()
  } catch (error) {
    // An AggregateError, of a host with several addresses, has its words in its parts.
    const first: unknown = error instanceof AggregateError ? error.errors[0] : error
    throw new UserError(`Cannot use the database ${place}: ${first instanceof Error ? first.message : String(first)}`)
  }
}
