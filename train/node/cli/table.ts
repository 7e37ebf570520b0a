// A command line as a table: every option, what it takes and its default. Parsing, help and errors all follow from it.
import { parseArgs } from 'node:util'
import { UserError } from '../../../engine/errors.ts'

/** How one kind of value is read: `read` gives undefined on a text that is none. */
export interface Kind<T> {
  /** In the help, e.g. `N`. */
  readonly shown: string
  /** In errors, after "takes". */
  readonly expects: string
  readonly read: (text: string) => T | undefined
}

/** One option. Without a kind it is a flag. */
export interface Option<T> {
  readonly kind?: Kind<T>
  readonly byDefault: T
  readonly says: string
  /** The default in words, where the value does not speak for itself. */
  readonly defaultSays?: string
  /** Whether the value is a list, which grows each time that the option is given. */
  readonly repeats?: boolean
}

/** Numbers as people write them, `1e-4` and `.5` too; no hexadecimal, no blanks, no infinity. */
function readNumber(text: string): number {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN
}

export const number = (expects: string, fits: (value: number) => boolean, shown = 'X'): Kind<number> => ({
  shown,
  expects,
  read: text => {
    const value = readNumber(text)
    return Number.isFinite(value) && fits(value) ? value : undefined
  },
})

export const count = (least: number): Kind<number> =>
  number(`a whole number of at least ${least}`, value => Number.isSafeInteger(value) && value >= least, 'N')

/**
 * Ends of a factor of training. The GPU computes in f32, from 1.2e-38 to 3.4e38, and AdamW multiplies and divides a
 * rate by up to 1e8 (1 − β, √v̂ + ε) before it meets a weight: beyond these ends a factor can only vanish or overflow.
 */
const FACTOR = { least: 1e-30, most: 1e30 } as const
const isFactor = (value: number): boolean => value >= FACTOR.least && value <= FACTOR.most
const FACTOR_RANGE = `from ${FACTOR.least} to ${FACTOR.most.toExponential().replace('+', '')}`

/** A positive number that a training step multiplies others with: a learning rate, LoRA's alpha. */
export const factor: Kind<number> = number(`a number ${FACTOR_RANGE}`, isFactor)
export const factorOrZero: Kind<number> = number(
  `0 or a number ${FACTOR_RANGE}`,
  value => value === 0 || isFactor(value),
)

export const oneOf = <T extends string>(...words: readonly T[]): Kind<T> => ({
  shown: words.join('|'),
  expects: words.length > 1 ? `${words.slice(0, -1).join(', ')} or ${words[words.length - 1]}` : `${words[0]} only`,
  read: text => words.find(word => word === text),
})

export const text = (shown: string, expects: string): Kind<string> => ({
  shown,
  expects,
  read: value => (value.trim() === '' ? undefined : value),
})

export const valued = <T>(kind: Kind<T>, byDefault: NoInfer<T>, says: string): Option<T> => ({ kind, byDefault, says })
export const optional = <T>(kind: Kind<T>, says: string, defaultSays?: string): Option<T | undefined> => ({
  kind,
  byDefault: undefined,
  says,
  defaultSays,
})
/** An option that may be given several times; the values in their order, none by default. */
export const several = <T>(kind: Kind<T>, says: string, defaultSays?: string): Option<readonly T[]> => ({
  kind: { ...kind, read: value => one(kind.read(value)) },
  byDefault: [],
  says,
  defaultSays: defaultSays ?? 'none',
  repeats: true,
})
const one = <T>(value: T | undefined): readonly T[] | undefined => (value === undefined ? undefined : [value])
export const flag = (says: string): Option<boolean> => ({ byDefault: false, says })

/** Options by the title under which the help shows them. */
export type Groups = Readonly<Record<string, Readonly<Record<string, Option<unknown>>>>>

type UnionToIntersection<U> = (U extends unknown ? (member: U) => void : never) extends (all: infer I) => void
  ? I
  : never
type Camel<S> = S extends `${infer Head}-${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S
type ValueOf<O> = O extends { readonly byDefault: infer T } ? T : never
type Table<G extends Groups> = UnionToIntersection<G[keyof G]>

/** Every option under its name in camelCase, e.g. `batchSize`. Those without a default are undefined when not given. */
export type ValuesOf<G extends Groups> = {
  readonly [Name in keyof Table<G> as Camel<Name>]: ValueOf<Table<G>[Name]>
}

/** What every parsed command line says besides its values. */
export interface Given {
  /** The names of the options that the user gave, e.g. `batch-size`; the others hold their defaults. */
  readonly given: ReadonlySet<string>
  /** Arguments that are not options. */
  readonly positionals: readonly string[]
}

const tableOf = (groups: Groups): ReadonlyMap<string, Option<unknown>> =>
  new Map(Object.values(groups).flatMap(group => Object.entries(group)))

/** Names of the options that take no value. */
export const flagsOf = (groups: Groups): readonly string[] =>
  [...tableOf(groups)].filter(([, { kind }]) => kind === undefined).map(([name]) => name)

/**
 * Reads arguments by a table. Of an option given twice the last counts, unless it repeats. Throws a UserError on an
 * unknown option, a missing or bad value, and a positional argument if `positionals` are not taken.
 */
export function parseTable<G extends Groups>(
  groups: G,
  argv: readonly string[],
  { positionals: takesPositionals = false } = {},
): ValuesOf<G> & Given {
  const table = tableOf(groups)
  const values: Record<string, unknown> = {}
  for (const [name, { byDefault }] of table) values[camelCase(name)] = byDefault
  const given = new Set<string>()
  const positionals: string[] = []
  for (const token of tokenize(table, argv)) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') {
      if (!takesPositionals) {
        throw new UserError(
          `Unexpected argument ${JSON.stringify(token.value)}: every value follows its option, see --help`,
        )
      }
      positionals.push(token.value)
      continue
    }
    const option = table.get(token.name)
    if (!option || !token.rawName.startsWith('--')) throw unknownOption(table, token.rawName)
    const value = valueOf(token.name, option, token)
    const before = values[camelCase(token.name)]
    values[camelCase(token.name)] = option.repeats ? [before, value].flat() : value
    given.add(token.name)
  }
  // The table says each value's type, which the compiler cannot follow through a map of mixed ones.
  return { ...values, given, positionals } as unknown as ValuesOf<G> & Given
}

/**
 * Arguments that give these options again: those that the user gave, less what `omit` names, with `values` in place.
 */
export function argumentsOf(
  groups: Groups,
  options: object & Pick<Given, 'given'>,
  { omit = [], values = {} }: { omit?: readonly string[]; values?: Readonly<Record<string, Values>> } = {},
): string[] {
  const table = tableOf(groups)
  const held: Readonly<Record<string, unknown>> = { ...options }
  return [...options.given]
    .filter(name => !omit.includes(name))
    .flatMap(name =>
      table.get(name)?.kind
        ? [values[name] ?? held[camelCase(name)]].flat().map(value => `--${name}=${value}`)
        : [`--${name}`],
    )
}

/** A value of an option, or those of one that repeats. */
type Values = string | readonly string[]

/** One option of a command as it was in effect. */
export interface Setting {
  /** As on the command line, without the dashes. */
  readonly name: string
  readonly value: string
  /** Whether it was given, and is not the default. */
  readonly differs: boolean
}

/**
 * All options with their values; `defaults` holds those that depend on other options, and `omit` names some to leave
 * out.
 */
export function settingsOf(
  groups: Groups,
  options: object & Pick<Given, 'given'>,
  { omit = [], defaults = {} }: { omit?: readonly string[]; defaults?: Readonly<Record<string, unknown>> } = {},
): Setting[] {
  const held: Readonly<Record<string, unknown>> = { ...options }
  return [...tableOf(groups)]
    .filter(([name]) => !omit.includes(name))
    .map(([name, { kind, byDefault, defaultSays }]) => {
      const value = held[camelCase(name)]
      const shown =
        kind === undefined
          ? value === true
            ? 'yes'
            : 'no'
          : value === undefined
            ? (defaultSays ?? 'none')
            : Array.isArray(value)
              ? value.join(', ') || (defaultSays ?? 'none')
              : String(value)
      return { name, value: shown, differs: options.given.has(name) && value !== (defaults[name] ?? byDefault) }
    })
}

function tokenize(table: ReadonlyMap<string, Option<unknown>>, argv: readonly string[]) {
  const options: Record<string, { type: 'string' | 'boolean' }> = {}
  for (const [name, { kind }] of table) options[name] = { type: kind ? 'string' : 'boolean' }
  const args = argv.map(argument => (argument === '-h' ? '--help' : argument))
  // Not strict: its errors are long, name no default, and take `--epochs -1` for two options.
  return parseArgs({ args, options, strict: false, allowPositionals: true, tokens: true }).tokens
}

function valueOf(name: string, option: Option<unknown>, token: { value?: string; inlineValue?: boolean }): unknown {
  const { kind } = option
  if (!kind) {
    if (token.value !== undefined) throw new UserError(`--${name} takes no value; got ${JSON.stringify(token.value)}`)
    return true
  }
  // `--lr --seed 3` forgot a value; one that really begins with dashes can be given as `--lr=--seed`.
  if (token.value === undefined || (!token.inlineValue && token.value.startsWith('--'))) {
    throw new UserError(`--${name} takes ${kind.expects}; got nothing`)
  }
  const value = kind.read(token.value)
  if (value === undefined) throw new UserError(`--${name} takes ${kind.expects}; got ${JSON.stringify(token.value)}`)
  return value
}

function unknownOption(table: ReadonlyMap<string, Option<unknown>>, rawName: string): UserError {
  const meant = nearest(rawName.replace(/^-+/, ''), [...table.keys()])
  const shown = JSON.stringify(rawName).slice(1, -1)
  return new UserError(`Unknown option ${shown}: ${meant ? `did you mean --${meant}?` : 'see --help for all of them'}`)
}

/** Help with every option and its default, below a usage line and an introduction. */
export function helpOf(groups: Groups, usage: string, introduction: string): string {
  const sections = Object.entries(groups).map(([title, group]) => {
    const lines = Object.entries<Option<unknown>>(group).map(([name, { kind, byDefault, says, defaultSays }]) => {
      const left = `  --${name}${kind ? ` ${kind.shown}` : ''}`
      const shown = defaultSays ?? (kind && byDefault !== undefined ? String(byDefault) : undefined)
      const right = wrap(shown === undefined ? says : `${says} [${shown}]`, 84).join(`\n${' '.repeat(30)}`)
      return left.length < 29 ? `${left.padEnd(30)}${right}` : `${left}\n${' '.repeat(30)}${right}`
    })
    return [`${title}:`, ...lines].join('\n')
  })
  return [`Usage: ${usage}`, introduction, ...sections].join('\n\n') + '\n'
}

function wrap(words: string, width: number): string[] {
  const lines: string[] = []
  for (const word of words.split(' ')) {
    const last = lines.length - 1
    if (last >= 0 && lines[last].length + 1 + word.length <= width) lines[last] += ` ${word}`
    else lines.push(word)
  }
  return lines
}

function camelCase(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
}

/** The word that was meant: one that begins so, else the nearest by edits, if at most a third of its letters differ. */
export function nearest(typed: string, words: readonly string[]): string | undefined {
  const begins = typed.length > 2 ? words.find(word => word.startsWith(typed)) : undefined
  if (begins) return begins
  const distances = words.map(word => ({ word, distance: editDistance(typed, word) }))
  const [best] = distances.sort((a, b) => a.distance - b.distance)
  return best.distance <= Math.max(1, Math.floor(best.word.length / 3)) ? best.word : undefined
}

/** Insertions, deletions, substitutions and swaps of neighbours (Damerau, 1964, in its restricted form). */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)
      row[j] = Math.min(rows[i - 1][j] + 1, row[j - 1] + 1, change)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        row[j] = Math.min(row[j], rows[i - 2][j - 2] + 1)
    }
    rows.push(row)
  }
  return rows[a.length][b.length]
}
