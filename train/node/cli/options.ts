// The command line of `node train/imdb.ts`: one table with every option, what it takes and its default; parsing, help
// and errors all follow from it. Nothing is read or written here: paths and names are checked by those who open them.
import { parseArgs } from 'node:util'
import { UserError } from '../../../engine/errors.ts'
import { parseTargets } from '../../../models/lora.ts'
import { TARGET_WORDS } from '../../../models/model.ts'
import { SCHEDULES } from '../../schedules.ts'

/** How one kind of value is read: `read` gives undefined on a text that is none. */
interface Kind<T> {
  /** In the help, e.g. `N`. */
  readonly shown: string
  /** In errors, after "takes". */
  readonly expects: string
  readonly read: (text: string) => T | undefined
}

/** One option. Without a kind it is a flag. */
interface Option<T> {
  readonly kind?: Kind<T>
  readonly byDefault: T
  readonly says: string
  /** The default in words, where the value does not speak for itself. */
  readonly defaultSays?: string
}

/** Numbers as people write them, `1e-4` and `.5` too; no hexadecimal, no blanks, no infinity. */
function readNumber(text: string): number {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN
}

const number = (expects: string, fits: (value: number) => boolean, shown = 'X'): Kind<number> => ({
  shown,
  expects,
  read: (text) => {
    const value = readNumber(text)
    return Number.isFinite(value) && fits(value) ? value : undefined
  },
})

const count = (least: number): Kind<number> =>
  number(`a whole number of at least ${least}`, (value) => Number.isSafeInteger(value) && value >= least, 'N')

const oneOf = <T extends string>(...words: readonly T[]): Kind<T> => ({
  shown: words.join('|'),
  expects: words.length > 1 ? `${words.slice(0, -1).join(', ')} or ${words[words.length - 1]}` : `${words[0]} only`,
  read: (text) => words.find((word) => word === text),
})

const text = (shown: string, expects: string): Kind<string> => ({
  shown,
  expects,
  read: (value) => (value.trim() === '' ? undefined : value),
})

/** Target words or a regular expression, as `parseTargets` reads it; what is all but a word is refused as a misspelt one. */
const targets: Kind<string> = {
  shown: 'LIST|REGEXP',
  expects: `any of ${TARGET_WORDS.join(',')}, or a regular expression over parameter names`,
  read: (value) => {
    try {
      const [target] = parseTargets(value)
      const plain = typeof target !== 'string' && /^[a-z,\s]*$/i.test(value)
      return plain && (value.includes(',') || nearest(value, TARGET_WORDS)) ? undefined : value
    } catch {
      return undefined
    }
  },
}

const valued = <T>(kind: Kind<T>, byDefault: NoInfer<T>, says: string): Option<T> => ({ kind, byDefault, says })
const optional = <T>(kind: Kind<T>, says: string, defaultSays?: string): Option<T | undefined> => ({
  kind,
  byDefault: undefined,
  says,
  defaultSays,
})
const flag = (says: string): Option<boolean> => ({ byDefault: false, says })

/** Peak learning rates when none is given: a few trained parameters bear a larger one than all of them do. */
export const DEFAULT_RATES = { lora: 5e-4, head: 5e-4, full: 2e-5 } as const

const groups = {
  'Data and model': {
    data: optional(
      text('PATH|NAME', 'a path or the name of a Hub dataset'),
      'reviews: a Hub dataset, a folder in the layout of one, aclImdb or its .tar.gz, .csv, .jsonl',
      'IMDb where there is a GPU and it is in the cache or the Hub can be reached, else the bundled reviews',
    ),
    model: optional(
      text('PATH|NAME', 'a folder or the name of a Hub model'),
      'BERT or DistilBERT: a Hub model, or a folder with config.json and model.safetensors',
      'distilbert-base-uncased where there is a GPU, as with --data, else the bundled model',
    ),
    tokenizer: optional(
      text('PATH', 'a tokenizer.json, a vocab.txt, or a folder with one'),
      'tokenizer.json, vocab.txt, or a folder with one',
      "the model's own",
    ),
    init: valued(
      oneOf('pretrained', 'random'),
      'pretrained',
      'random: the architecture of --model with fresh weights',
    ),
    'limit-train': optional(count(1), 'train on so many examples, drawn with the seed, balanced', 'all'),
    'limit-test': optional(count(1), 'test on so many examples, drawn with the seed, balanced', 'all'),
    'val-split': valued(
      number(
        'a count of examples or a fraction below 1',
        (value) => value >= 0 && (value < 1 || Number.isSafeInteger(value)),
      ),
      0.1,
      'part of the training examples held out for validation: a count or a fraction; 0 for none',
    ),
    'max-length': valued(count(4), 256, 'longest text in tokens; longer ones are cut'),
  },
  'What is trained': {
    tune: valued(oneOf('lora', 'full', 'head'), 'lora', 'adapters, every parameter, or the classifier alone'),
    'lora-rank': valued(count(1), 8, 'rank of the adapters'),
    'lora-alpha': valued(
      number('a number above 0', (value) => value > 0),
      1,
      'their scale is alpha / rank',
    ),
    'lora-dropout': valued(
      number('a number from 0 up to, not including, 1', (value) => value >= 0 && value < 1),
      0,
      'dropout on their input',
    ),
    'lora-targets': valued(
      targets,
      'query,value,mlp',
      'any of query,key,value,projection,mlp,head, or a regular expression over parameter names',
    ),
    'train-head': flag("train the classifier too (PEFT's modules_to_save)"),
  },
  Training: {
    lr: {
      ...optional(
        number('a number above 0', (value) => value > 0),
        'peak learning rate',
      ),
      defaultSays: `${DEFAULT_RATES.lora.toExponential()}, and ${DEFAULT_RATES.full.toExponential()} with --tune full`,
    },
    schedule: valued(oneOf(...SCHEDULES), 'linear', 'how the rate falls after the warm-up'),
    warmup: valued(
      number(
        'a fraction below 1 or a count of steps',
        (value) => value >= 0 && (value < 1 || Number.isSafeInteger(value)),
      ),
      0.06,
      'warm-up: a fraction of all steps, or a count of them',
    ),
    'weight-decay': valued(
      number('a number of at least 0', (value) => value >= 0),
      0.01,
      'decoupled; none on biases and norms',
    ),
    epochs: valued(count(1), 3, 'passes over the training examples'),
    'batch-size': valued(count(1), 16, 'examples a batch'),
    accumulate: valued(count(1), 1, 'batches an optimizer step'),
    clip: valued(
      number('a number of at least 0', (value) => value >= 0),
      1,
      "limit of the gradient's global norm; 0 for none",
    ),
    seed: valued(
      number(
        'a whole number from 0 to 4294967295',
        (value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32,
        'N',
      ),
      42,
      'of every draw: samples, splits, shuffles, fresh weights, dropout',
    ),
    recompute: flag('keep no activations within a layer: less memory for long texts, and more time'),
    precision: valued(oneOf('f32', 'f16'), 'f32', 'storage of frozen weights and activations, for --tune lora and head; sums are always f32'),
  },
  'The run': {
    out: optional(text('FOLDER', 'a folder'), "the run's folder", 'runs/<date>-<name>'),
    name: optional(text('NAME', 'a name'), "the run's name", "the model's"),
    resume: optional(text('FOLDER', "a run's folder"), 'go on with a run from its last checkpoint'),
    'checkpoint-every': valued(
      number('a number of seconds, 0 or more', (value) => value >= 0, 'SECONDS'),
      30,
      'seconds between checkpoints within an epoch; 0 for one after every step',
    ),
    merge: flag('write the model with the adapter merged into it, too'),
    'dry-run': flag('resolve everything, plan one step, print, train nothing'),
    json: flag('one JSON object as the last line on stdout; all else goes to stderr'),
  },
  'The machine': {
    adapter: optional(text('NAME', "part of an adapter's name"), "part of an adapter's name", 'the fastest there is'),
    'list-adapters': flag('print the adapters and stop'),
    'tune-kernels': valued(
      oneOf('off', 'cached', 'full'),
      'cached',
      'cached: go by what was measured on this adapter, and on a GPU measure for 3 seconds more before the first step; '
        + 'full: measure all that the run needs, before it',
    ),
    profile: flag("time every kernel of one step: profile.txt and, for Perfetto, trace.json in the run's folder"),
  },
  Help: {
    help: flag('print this and stop'),
    version: flag('print the version and stop'),
  },
}

type Groups = typeof groups
type Table = UnionToIntersection<Groups[keyof Groups]>
type UnionToIntersection<U> = (U extends unknown ? (member: U) => void : never) extends (all: infer I) => void
  ? I
  : never
type Camel<S> = S extends `${infer Head}-${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S
type ValueOf<O> = O extends { readonly byDefault: infer T } ? T : never

/** Every option under its name in camelCase, e.g. `batchSize`. Those without a default are undefined when not given. */
export type Options = {
  readonly [Name in Exclude<keyof Table, 'lr'> as Camel<Name>]: ValueOf<Table[Name]>
} & {
  /** Peak learning rate: as given, else what suits `tune`. */
  readonly lr: number
  /** The names of the options that the user gave, e.g. `batch-size`; the others hold their defaults. */
  readonly given: ReadonlySet<string>
}

const table: ReadonlyMap<string, Option<unknown>> = new Map(
  Object.values(groups).flatMap((group) => Object.entries(group)),
)

/** What may be given along with `--resume`: nothing that would change the run. */
const resumable = new Set([
  'resume',
  'adapter',
  'checkpoint-every',
  'profile',
  'dry-run',
  'json',
  'list-adapters',
  'help',
  'version',
])
const loraOnly = ['lora-rank', 'lora-alpha', 'lora-dropout', 'lora-targets', 'train-head', 'merge']

/**
 * Reads the arguments after the script's name. Of an option given twice the last counts. Throws a UserError of one
 * line, naming the option, on an unknown option, a missing or bad value, a stray argument, and options that exclude
 * each other.
 */
export function parseOptions(argv: readonly string[]): Options {
  const values: Record<string, unknown> = {}
  for (const [name, { byDefault }] of table) values[camelCase(name)] = byDefault
  const given = new Set<string>()
  for (const token of tokenize(argv)) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') {
      throw new UserError(
        `Unexpected argument ${JSON.stringify(token.value)}: every value follows its option, see --help`,
      )
    }
    const option = table.get(token.name)
    if (!option || !token.rawName.startsWith('--')) throw unknownOption(token.rawName)
    values[camelCase(token.name)] = valueOf(token.name, option, token)
    given.add(token.name)
  }
  // The table says each value's type, which the compiler cannot follow through a map of mixed ones.
  const options = { ...values, given } as unknown as Omit<Options, 'lr'> & { lr: number | undefined }
  refuseConflicts(options, given)
  return { ...options, lr: options.lr ?? DEFAULT_RATES[options.tune] }
}

/** Arguments that give these options again: those that the user gave, less what `omit` names, with `values` in place. */
export function toArguments(
  options: Options,
  { omit = [], values = {} }: { omit?: readonly string[]; values?: Readonly<Record<string, string>> } = {},
): string[] {
  const held: Readonly<Record<string, unknown>> = options
  return [...options.given]
    .filter((name) => !omit.includes(name))
    .map((name) => (table.get(name)?.kind ? `--${name}=${values[name] ?? String(held[camelCase(name)])}` : `--${name}`))
}

function tokenize(argv: readonly string[]) {
  const options: Record<string, { type: 'string' | 'boolean' }> = {}
  for (const [name, { kind }] of table) options[name] = { type: kind ? 'string' : 'boolean' }
  const args = argv.map((argument) => (argument === '-h' ? '--help' : argument))
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

function unknownOption(rawName: string): UserError {
  const meant = nearest(rawName.replace(/^-+/, ''), [...table.keys()])
  const shown = JSON.stringify(rawName).slice(1, -1)
  return new UserError(
    `Unknown option ${shown}: ${meant ? `did you mean --${meant}?` : 'see --help for all of them'}`,
  )
}

function refuseConflicts({ tune, precision }: Pick<Options, 'tune' | 'precision'>, given: ReadonlySet<string>): void {
  const changed = given.has('resume') ? [...given].find((name) => !resumable.has(name)) : undefined
  if (changed)
    throw new UserError(`--${changed} cannot be given with --resume, which goes on with the run's own options`)
  const idle = tune === 'lora' ? undefined : loraOnly.find((name) => given.has(name))
  if (idle) throw new UserError(`--${idle} is for --tune lora; it means nothing with --tune ${tune}`)
  if (tune === 'full' && precision === 'f16') throw new UserError('--precision f16 is for frozen weights; --tune full has none')
}

/** Help with every option and its default. */
export function helpText(): string {
  const sections = Object.entries(groups).map(([title, group]) => {
    const lines = Object.entries<Option<unknown>>(group).map(([name, { kind, byDefault, says, defaultSays }]) => {
      const left = `  --${name}${kind ? ` ${kind.shown}` : ''}`
      const shown = defaultSays ?? (kind && byDefault !== undefined ? String(byDefault) : undefined)
      const right = wrap(shown === undefined ? says : `${says} [${shown}]`, 84).join(`\n${' '.repeat(30)}`)
      return left.length < 29 ? `${left.padEnd(30)}${right}` : `${left}\n${' '.repeat(30)}${right}`
    })
    return [`${title}:`, ...lines].join('\n')
  })
  return (
    [
      'Usage: npx node train/imdb.ts [options]',
      'Fine-tunes BERT or DistilBERT on labelled reviews. With neither --data nor --model it does the best that the\n' +
        'machine allows. Defaults are in brackets.',
      ...sections,
    ].join('\n\n') + '\n'
  )
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
function nearest(typed: string, words: readonly string[]): string | undefined {
  const begins = typed.length > 2 ? words.find((word) => word.startsWith(typed)) : undefined
  if (begins) return begins
  const distances = words.map((word) => ({ word, distance: editDistance(typed, word) }))
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
