// The search on the command line of `tilegrad sweep`: options with the names of a spec's fields, `--vary` for each
// parameter, and after `--` the options that all trials share.
import { UserError } from '../../../engine/errors.ts'
import type { Value } from '../../search/types.ts'
import type { Path, Source } from '../jobs/sweep/source.ts'
import { COMMAND_NAMES } from '../jobs/sweep/commands.ts'
import { type Kind, type ValuesOf, count, number, oneOf, optional, several, text } from './table.ts'

const seeds: Kind<readonly number[]> = {
  shown: 'A,B,…',
  expects: 'seeds separated by commas, each a whole number from 0 to 4294967295',
  read: given => {
    const numbers = given.split(',').flatMap(part => count(0).read(part.trim()) ?? NaN)
    return numbers.every(one => one < 2 ** 32) ? numbers : undefined
  },
}

/** Options of `tilegrad sweep` that say what is searched. */
export const searchOptions = {
  command: optional(oneOf(...COMMAND_NAMES), 'what each trial runs', 'fine-tune'),
  search: optional(oneOf('grid', 'random', 'tpe'), 'how settings are chosen', 'grid'),
  vary: several(
    text('OPTION=VALUES', 'an option with values, such as lr=1e-4,3e-4'),
    'an option to search, given once for each: lr=1e-4,3e-4 (values; separated by ; if they have commas), lr=1e-5..1e-3:log, dropout=0..0.5:0.1 (in steps), lora-rank=1..64:log:integer',
  ),
  settings: optional(count(1), 'settings to try, for --search random and tpe; each is one trial per seed'),
  seeds: optional(seeds, 'seeds of the trials of each setting', '42'),
  'search-seed': optional(
    number('a whole number of at least 0', value => Number.isSafeInteger(value) && value >= 0, 'N'),
    'seeds the choice of settings',
    '0',
  ),
  metric: optional(text('NAME', 'the name of a metric'), 'metric of the validation set that decides', 'accuracy'),
  direction: optional(oneOf('maximize', 'minimize'), 'which way the metric is better', 'as is usual for the metric'),
  halving: optional(
    {
      shown: 'GRACE,FACTOR',
      expects: 'the evaluations before the first decision and the factor, such as 1,3',
      read: (given: string) => {
        const [grace, factor, ...rest] = given.split(',').map(part => count(1).read(part.trim()))
        return grace === undefined || factor === undefined || rest.length > 0 ? undefined : { grace, factor }
      },
    },
    'stop trials early: after GRACE, GRACE × FACTOR, … evaluations only the best 1 / FACTOR continue (ASHA)',
    'never',
  ),
}
export type SearchOptions = ValuesOf<{ Search: typeof searchOptions }>

/** Separates the command's own arguments from those after `--`, which are options of every trial. */
export function splitArguments(argv: readonly string[]): { own: readonly string[]; shared: readonly string[] } {
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length
  return { own: argv.slice(0, end), shared: argv.slice(end + 1) }
}

/** A number where the text is one, true and false, else the text. */
function valueOf(written: string): Value {
  if (written === 'true' || written === 'false') return written === 'true'
  return number('a number', () => true).read(written) ?? written
}

/** `1e-5..1e-3:log`, `0..0.5:0.1`, `1..64:log:integer`; undefined if the text is not a range. */
function rangeOf(written: string): object | undefined {
  const [ends, ...rules] = written.split(':')
  const found = /^(.+?)\.\.(.+)$/.exec(ends)?.slice(1).map(valueOf)
  if (!found) return undefined
  const range: Record<string, unknown> = { min: found[0], max: found[1] }
  for (const rule of rules) {
    if (rule === 'log' || rule === 'linear') range.scale = rule
    else if (rule === 'integer') range.integer = true
    else range.step = valueOf(rule)
  }
  return range
}

/** `lr=1e-4,3e-4`, as a parameter of a spec. */
function parameterOf(written: string): readonly [name: string, parameter: unknown] {
  const [, name, values] = /^([^=]+)=(.*)$/s.exec(written) ?? []
  if (name === undefined)
    throw new UserError(`--vary takes an option with values, such as lr=1e-4,3e-4; got ${JSON.stringify(written)}`)
  const separator = values.includes(';') ? ';' : ','
  return [name.trim(), rangeOf(values) ?? values.split(separator).map(one => valueOf(one.trim()))]
}

/** Arguments as options; those without a value as flags. */
function optionsIn(argv: readonly string[]): Record<string, Value> {
  const options: Record<string, Value> = {}
  for (let i = 0; i < argv.length; i++) {
    const [, name, inline] = /^--([^=]+)(?:=(.*))?$/s.exec(argv[i]) ?? []
    if (name === undefined)
      throw new UserError(
        `After --, options of every trial are expected, such as --epochs 1; got ${JSON.stringify(argv[i])}`,
      )
    const isFlag = inline === undefined && (i + 1 === argv.length || argv[i + 1].startsWith('--'))
    options[name] = inline ?? (isFlag ? true : argv[++i])
  }
  return options
}

/** Options whose field has another name. */
const FIELDS = { 'search-seed': 'seed' } as const

/**
 * The command line as a source of a spec; `shared` are the arguments after `--`. Throws a UserError if a `--vary` has no
 * values, or an argument in `shared` is not an option.
 */
export function commandLineSource(options: SearchOptions, shared: readonly string[]): Source {
  const { command, search, vary, settings, seeds, searchSeed, metric, direction, halving } = options
  const parameters = vary.map(parameterOf)
  const twice = parameters.find(([name], i) => parameters.findIndex(([other]) => other === name) < i)
  if (twice) throw new UserError(`--vary ${twice[0]} is given twice`)
  const fields = {
    command,
    search,
    settings,
    seeds,
    seed: searchSeed,
    metric,
    direction,
    halving,
    parameters: parameters.length > 0 ? Object.fromEntries(parameters) : undefined,
    options: shared.length > 0 ? optionsIn(shared) : undefined,
  }
  return { value: Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)), where }
}

/** The option that a field of the command line came from. */
function where([field, name]: Path): string {
  if (field === undefined) return 'The command line'
  if (field === 'options') return name === undefined ? 'After --' : `After --, --${String(name)}`
  if (field === 'parameters') return name === undefined ? '--vary' : `--vary ${String(name)}`
  const option = Object.entries(FIELDS).find(([, given]) => given === field)?.[0] ?? String(field)
  return `--${option}`
}
