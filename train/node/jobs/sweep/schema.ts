// The tables of sweeps, beside those of pg-boss: what is tried, by whom, and what came of it.
import { UserError } from '../../../../engine/errors.ts'
import type { Database } from './database.ts'

/** Raised when a table changes. */
const VERSION = 1

/** JSON is kept as text (`json`, not `jsonb`), so that numbers come back as they went in. */
const TABLES = `
BEGIN;
SELECT pg_advisory_xact_lock(4715274);
CREATE SCHEMA IF NOT EXISTS tilegrad;
CREATE TABLE IF NOT EXISTS tilegrad.version (version integer NOT NULL);
INSERT INTO tilegrad.version SELECT ${VERSION} WHERE NOT EXISTS (SELECT 1 FROM tilegrad.version);
CREATE TABLE IF NOT EXISTS tilegrad.sweep (
  id uuid PRIMARY KEY,
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  plan json NOT NULL,
  -- Counts changes of the list of trials: a proposal is made from one revision, and refused at another.
  revision integer NOT NULL DEFAULT 0,
  paused boolean NOT NULL DEFAULT false,
  -- Whether the search proposes no more.
  proposed boolean NOT NULL DEFAULT false,
  store text
);
CREATE TABLE IF NOT EXISTS tilegrad.fingerprint (
  sweep uuid NOT NULL REFERENCES tilegrad.sweep ON DELETE CASCADE,
  source text NOT NULL,
  hash text NOT NULL,
  PRIMARY KEY (sweep, source)
);
CREATE TABLE IF NOT EXISTS tilegrad.trial (
  sweep uuid NOT NULL REFERENCES tilegrad.sweep ON DELETE CASCADE,
  number integer NOT NULL,
  setting integer NOT NULL,
  seed bigint NOT NULL,
  settings json NOT NULL,
  state text NOT NULL DEFAULT 'waiting',
  -- The trial's job in the queue, and whether it was sent.
  job uuid NOT NULL,
  queued boolean NOT NULL DEFAULT false,
  -- Counts the workers that took the trial; whatever an earlier one writes is refused.
  attempt integer NOT NULL DEFAULT 0,
  claim uuid,
  job_attempt integer NOT NULL DEFAULT 0,
  -- Attempts in a row that died, or gave up, without a new checkpoint.
  losses integer NOT NULL DEFAULT 0,
  worker text,
  value double precision,
  intermediate json NOT NULL DEFAULT '[]',
  checkpoint json,
  result json,
  error text,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  finished_at timestamptz,
  seconds double precision NOT NULL DEFAULT 0,
  step integer NOT NULL DEFAULT 0,
  steps integer,
  PRIMARY KEY (sweep, number)
);
CREATE TABLE IF NOT EXISTS tilegrad.piece (
  sweep uuid NOT NULL,
  trial integer NOT NULL,
  attempt integer NOT NULL,
  digest text NOT NULL,
  part integer NOT NULL,
  data bytea NOT NULL,
  PRIMARY KEY (sweep, trial, attempt, digest, part),
  FOREIGN KEY (sweep, trial) REFERENCES tilegrad.trial ON DELETE CASCADE
);
CREATE TABLE IF NOT EXISTS tilegrad.worker (
  name text PRIMARY KEY,
  host text NOT NULL,
  pid integer NOT NULL,
  adapter text NOT NULL,
  sweep uuid,
  trial integer,
  paused boolean NOT NULL DEFAULT false,
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_at timestamptz NOT NULL DEFAULT now()
);
COMMIT;`

/** Makes the tables where they are missing. Throws a UserError if another version of tilegrad made them. */
export async function createTables(database: Database): Promise<void> {
  const found = await versionOf(database)
  if (found === undefined) await database.executeSql(TABLES)
  else if (found !== VERSION)
    throw new UserError(`${database.place} has sweeps of another version of tilegrad, in tables of version ${found}`)
}

/** Undefined where there are no tables. */
async function versionOf(database: Database): Promise<number | undefined> {
  const { rows } = await database.executeSql(`SELECT to_regclass('tilegrad.version') IS NOT NULL AS found`)
  if (rows[0]?.found !== true) return undefined
  const [row] = (await database.executeSql('SELECT version FROM tilegrad.version')).rows
  return Number(row.version)
}
