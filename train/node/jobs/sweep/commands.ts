// What a trial can run, and how its options are read.
import { baselineFlags, parseBaseline } from '../../cli/baseline-options.ts'
import { type Options, flagsOfRun, parseOptions } from '../../cli/options.ts'

/** A command whose options a sweep can search. */
export interface SweptCommand {
  /** Throws a UserError that names the option. */
  readonly parse: (argv: readonly string[]) => Partial<Pick<Options, 'epochs' | 'evaluateEvery'>>
  /** Options that take no value. */
  readonly flags: readonly string[]
  /** Whether trials evaluate while they train, so that they can be stopped early. */
  readonly evaluates: boolean
}

export const COMMAND_NAMES = ['fine-tune', 'baseline'] as const
export type CommandName = (typeof COMMAND_NAMES)[number]

export const COMMANDS: Readonly<Record<CommandName, SweptCommand>> = {
  'fine-tune': { parse: argv => parseOptions(argv, 'tilegrad'), flags: flagsOfRun(), evaluates: true },
  baseline: {
    // Its options have nothing in common with those that stop a trial early.
    parse: argv => {
      parseBaseline(argv)
      return {}
    },
    flags: baselineFlags(),
    evaluates: false,
  },
}

/** Options that cannot be set for a trial, with what to use instead. */
export const RESERVED: Readonly<Record<string, string>> = {
  seed: 'use seeds',
  'best-metric': 'use metric',
  adapter: 'workers take --adapter',
  'list-adapters': 'see tilegrad adapters',
  out: "each trial has a folder inside the sweep's",
  name: 'trials have numbers',
  resume: 'see tilegrad sweep --resume',
  'dry-run': 'trials train',
  json: 'tilegrad sweep takes --json',
  ablation: 'a trial is one fit',
  help: 'see tilegrad fine-tune --help',
  version: 'see tilegrad fine-tune --version',
}
