// The address of a PostgreSQL server, as an option takes it.
import { isAddress } from '../jobs/sweep/postgres.ts'
import type { Kind } from './table.ts'

export const address: Kind<string> = {
  shown: 'ADDRESS',
  expects: 'an address postgres://user@host/name',
  read: given => (isAddress(given) ? given : undefined),
}
