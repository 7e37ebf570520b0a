// What a trial can run, and how its options are read.
import { type Options, flagsOfRun, parseOptions } from '../../cli/options.ts'

/** A command whose options a sweep can search. */
export interface SweptCommand {
  /** Throws a UserError that names the option. */
  readonly parse: (argv: readonly string[]) => Pick<Options, 'given'> & Partial<Options>
  /** Options that take no value. */
  readonly flags: readonly string[]
  /** Whether trials evaluate while they train, so that they can be stopped early. */
  readonly evaluates: boolean
}

export const COMMANDS = {
  'fine-tune': { parse: argv => parseOptions(argv, 'tilegrad'), flags: flagsOfRun(), evaluates: true },
} as const satisfies Readonly<Record<string, SweptCommand>>

export type CommandName = keyof typeof COMMANDS
export const COMMAND_NAMES: readonly [CommandName, ...CommandName[]] = ['fine-tune']

/** Options that are none of a trial, with what there is instead. */
export const RESERVED: Readonly<Record<string, string>> = {
  seed: 'seeds has the seeds of each setting',
  'best-metric': 'metric says by what trials are compared',
  adapter: 'workers have --adapter',
  'list-adapters': 'see tilegrad adapters',
  out: 'trials have folders in that of the sweep',
  name: 'trials have numbers',
  resume: 'see tilegrad sweep --resume',
  'dry-run': 'trials train',
  json: 'tilegrad sweep has --json',
  help: 'see tilegrad fine-tune --help',
  version: 'see tilegrad fine-tune --version',
}
