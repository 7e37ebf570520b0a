// The command line of `tilegrad fine-tune` and of its preset, `node train/imdb.ts`: one table with every option, what
// it takes and its default. Nothing is read or written here: paths and names are checked by those who open them.
import { UserError } from '../../../engine/errors.ts'
import { TUNING_MODES } from '../../../engine/tune.ts'
import { MAX_ALPHA, parseTargets } from '../../../models/lora.ts'
import { TARGET_WORDS } from '../../../models/model.ts'
import { MODELS } from '../../baseline/model.ts'
import { SCHEDULES } from '../../schedules.ts'
import { TASK_NAMES } from '../../tasks/infer.ts'
import {
  type Given,
  type Kind,
  type Setting,
  type ValuesOf,
  argumentsOf,
  count,
  factor,
  factorOrZero,
  flag,
  flagsOf,
  helpOf,
  nearest,
  number,
  oneOf,
  optional,
  parseTable,
  settingsOf,
  several,
  text,
  valued,
} from './table.ts'
import { encoding, labelSeparator, share, temperature, tensorboard, window } from './kinds.ts'
import { IMDB, TILEGRAD } from '../package.ts'

/** Target words or a regular expression, as `parseTargets` reads them; a misspelt word is refused. */
const targets: Kind<string> = {
  shown: 'LIST|REGEXP',
  expects: `any of ${TARGET_WORDS.join(',')}, or a regular expression over parameter names`,
  read: value => {
    try {
      const [target] = parseTargets(value)
      const plain = typeof target !== 'string' && /^[a-z,\s]*$/i.test(value)
      return plain && (value.includes(',') || nearest(value, TARGET_WORDS)) ? undefined : value
    } catch {
      return undefined
    }
  },
}

/** The scale of adapters: as far as `models/lora.ts` goes. */
const alpha: Kind<number> = number(
  `a number from 1e-30 to ${MAX_ALPHA.toExponential().replace('+', '')}`,
  value => value >= 1e-30 && value <= MAX_ALPHA,
)

/** `balanced`, or a list of numbers. */
const classWeights: Kind<string> = {
  shown: 'balanced|A,B,…',
  expects: 'balanced, or a number of at least 0 for each class, separated by commas',
  read: value =>
    value === 'balanced' || value.split(',').every(part => /^\s*(\d+\.?\d*|\.\d+)\s*$/.test(part)) ? value : undefined,
}

/** What `--compare-with` measures: the same training from random weights, and the models of `tilegrad baseline`. */
export const REFERENCES = ['random', ...MODELS] as const
export type ReferenceName = (typeof REFERENCES)[number]

/** A reference that is measured, rather than read from a run's folder. */
export const isReferenceName = (name: string): name is ReferenceName => REFERENCES.some(known => known === name)

const references: Kind<string> = {
  shown: 'A,B,…',
  expects: `any of ${REFERENCES.join(', ')} and runs' folders, separated by commas`,
  read: value => {
    const names = value.split(',').map(name => name.trim())
    return names.includes('') ? undefined : [...new Set(names)].join()
  },
}

/** What a run is to be compared with: names of references and runs' folders. */
export const referencesOf = ({ compareWith }: Pick<Options, 'compareWith'>): readonly string[] =>
  compareWith === undefined ? [] : compareWith.split(',')

/** Longest text in tokens when no length is given and the model takes as many. */
const LONGEST = 256

/** Peak learning rates when none is given: a few trained parameters bear a larger one than all of them do. */
export const DEFAULT_RATES = { lora: 5e-4, head: 5e-4, full: 2e-5 } as const

/**
 * Whose defaults: `imdb`, those of the study (`node train/imdb.ts`), or `tilegrad`, those of the field (`tilegrad
 * fine-tune`). A run keeps the preset that it began with.
 */
export type Preset = 'imdb' | 'tilegrad'

/** What the presets disagree on. */
const PRESETS = {
  imdb: { alpha: (_rank: number) => 1, alphaSays: '1', trainsHead: false },
  tilegrad: { alpha: (rank: number) => 2 * rank, alphaSays: '2 × rank', trainsHead: true },
} as const satisfies Record<Preset, { alpha: (rank: number) => number; alphaSays: string; trainsHead: boolean }>

/** Where examples come from and how they are read, and the model that they are for. */
export const dataAndModel = {
  data: optional(
    text('PATH|NAME', 'a path or the name of a Hub dataset'),
    'texts: a Hub dataset, a folder in the layout of one, aclImdb or its .tar.gz, .csv, .tsv, .json, .jsonl, .parquet',
    'IMDb if there is a GPU and it can be loaded from the cache or the Hub, else the bundled reviews',
  ),
  model: optional(
    text('PATH|NAME', 'a folder or the name of a Hub model'),
    'BERT or DistilBERT: a Hub model, or a folder with config.json and model.safetensors; or a run or an adapter to continue from',
    'distilbert-base-uncased under the same conditions as for --data, else the bundled model',
  ),
  tokenizer: optional(
    text('PATH', 'a tokenizer.json, a vocab.txt, or a folder with one'),
    'tokenizer.json, vocab.txt, or a folder with one',
    "the model's own",
  ),
  init: valued(oneOf('pretrained', 'random'), 'pretrained', 'random: fresh weights in the architecture of --model'),
  task: optional(
    oneOf(...TASK_NAMES),
    'one label for each text, several labels, a number, or a label for each word',
    'inferred from the labels',
  ),
  labels: optional(
    text('A,B,…', 'names separated by commas'),
    'names of the classes, in the order of their numbers',
    "the file's own, else the model's if they fit, else the labels themselves, sorted",
  ),
  'text-column': optional(
    text('NAME', 'the name of a column'),
    'the column of texts',
    'text, review, sentence or the like',
  ),
  'pair-column': optional(
    text('NAME', 'the name of a column'),
    'the column of second texts',
    'sentence2, hypothesis or the like, if its first column exists',
  ),
  'label-column': optional(
    text('NAME', 'the name of a column'),
    'the column of labels',
    'label, sentiment, class or the like',
  ),
  'label-separator': labelSeparator,
  encoding: optional(
    encoding,
    'encoding of text files, such as windows-1252 or utf-16le',
    'UTF-8, unless a byte order mark says otherwise',
  ),
  'skip-bad-rows': flag('leave out unusable rows (no text, no label, not UTF-8), and report how many'),
  'minus-one': valued(
    oneOf('unlabelled', 'label'),
    'unlabelled',
    'what a label of -1 means: no label, or a class of its own',
  ),
  'limit-train': optional(count(1), 'number of training examples, drawn with the seed, balanced by class', 'all'),
  'limit-test': optional(count(1), 'number of test examples, balanced by class, the same ones for every --seed', 'all'),
  'val-split': valued(
    number(
      'a count of examples or a fraction below 1',
      value => value >= 0 && (value < 1 || Number.isSafeInteger(value)),
    ),
    0.1,
    'part of the training examples held out for validation: a count or a fraction; 0 for none',
  ),
  'max-length': {
    ...valued(count(4), LONGEST, 'longest text in tokens; longer ones are cut, or read in windows with --window'),
    defaultSays: `as the model was trained, else ${LONGEST}, or the model's maximum if that is less`,
  },
  window: optional(
    window,
    'read all of a longer text, in windows of --max-length tokens of which neighbours share N, and average their scores; off: cut it',
    'off, or as the model was trained',
  ),
}

/** How many texts a batch takes. */
export const batching = {
  'batch-size': valued(count(1), 16, 'examples per batch'),
  'batch-tokens': optional(
    count(16),
    'tokens per batch, padding included, instead of --batch-size: short texts make larger batches',
    'off',
  ),
}

/** What everything random is drawn by. */
export const seed = valued(
  number('a whole number from 0 to 4294967295', value => Number.isInteger(value) && value >= 0 && value < 2 ** 32, 'N'),
  42,
  'seeds everything random: training samples, validation splits, shuffles, fresh weights, dropout',
)

const optionsOf = (preset: Preset) => ({
  'Data and model': {
    ...dataAndModel,
    bundled: flag('take the bundled model and reviews for what is left open, even if there is a GPU'),
  },
  'What is trained': {
    tune: valued(oneOf('lora', 'full', 'head'), 'lora', 'train LoRA adapters, every parameter, or only the classifier'),
    'lora-rank': valued(count(1), 8, 'rank of the adapters'),
    'lora-alpha': optional(alpha, 'the adapters are scaled by alpha / rank', PRESETS[preset].alphaSays),
    'lora-dropout': valued(
      number('a number from 0 up to, not including, 1', value => value >= 0 && value < 1),
      0,
      'dropout on the input of the adapters',
    ),
    'lora-targets': valued(
      targets,
      'query,value,mlp',
      'any of query,key,value,projection,mlp,head, or a regular expression over parameter names',
    ),
    'train-head': {
      ...flag("train the classifier too (PEFT's modules_to_save)"),
      defaultSays: PRESETS[preset].trainsHead ? 'the default' : undefined,
    },
    'freeze-head': {
      ...flag('do not train the classifier'),
      defaultSays: PRESETS[preset].trainsHead ? undefined : 'the default',
    },
  },
  Training: {
    lr: {
      ...optional(factor, 'peak learning rate'),
      defaultSays: `${DEFAULT_RATES.lora.toExponential()}, and ${DEFAULT_RATES.full.toExponential()} with --tune full`,
    },
    schedule: valued(oneOf(...SCHEDULES), 'linear', 'how the learning rate decays after the warm-up'),
    warmup: valued(
      number(
        'a fraction below 1 or a count of steps',
        value => value >= 0 && (value < 1 || Number.isSafeInteger(value)),
      ),
      0.06,
      'warm-up: a fraction of all steps, or a count of them',
    ),
    'weight-decay': valued(factorOrZero, 0.01, 'decoupled; not applied to biases and norms'),
    epochs: valued(count(1), 3, 'passes over the training examples'),
    'class-weights': optional(classWeights, 'weights of the classes in the loss', 'all the same'),
    'label-smoothing': valued(
      number('a number from 0 up to, not including, 1', value => value >= 0 && value < 1),
      0,
      'share of each target that is spread evenly over all classes',
    ),
    'evaluate-every': optional(count(1), 'steps between evaluations on the validation set', 'an epoch'),
    patience: optional(
      count(1),
      'stop after this many evaluations in a row without improvement (at an equal metric, a lower loss is an improvement)',
      'never',
    ),
    'best-metric': optional(
      text('NAME', 'the name of a metric'),
      'which metric decides the best evaluation: loss, or one of the task, such as accuracy, f1_macro, spearman',
      'accuracy; for labels f1_micro, for numbers mse, for words f1',
    ),
    'keep-best': valued(
      count(1),
      1,
      'number of best evaluations (by --best-metric) whose values are kept; `export --step` writes any of them',
    ),
    ...batching,
    accumulate: valued(count(1), 1, 'batches per optimizer step'),
    clip: valued(factorOrZero, 1, "limit of the gradient's global norm; 0 for none"),
    'skip-bad-steps': valued(
      count(0),
      0,
      'skip up to this many steps whose loss or gradient is NaN or infinite; the next one ends the run with status 3',
    ),
    seed,
    recompute: flag(
      'recompute the activations within a layer in the backward pass: less memory for long texts, more time',
    ),
    precision: valued(
      oneOf('f32', 'f16'),
      'f32',
      'storage of frozen weights and activations, for --tune lora and head; sums are always f32',
    ),
  },
  Distillation: {
    teacher: optional(
      text('PATH|NAME', 'a run, a folder or the name of a Hub model'),
      'learn from the answers of a trained model, too: a run (also of a baseline), a model or an adapter for the same task and labels, of any size and tokenizer',
      'none',
    ),
    'distill-weight': valued(share, 0.5, "share of the teacher's answers in the loss; the rest is the labels'"),
    'distill-temperature': valued(
      temperature,
      2,
      'divides the logits of both before their probabilities are compared; not used for numbers',
    ),
    unlabelled: several(
      text('PATH|NAME', 'a path or the name of a Hub dataset'),
      'more texts to train on, of which only the answers of the teacher are learned; what `tilegrad pretrain --data` takes, ' +
        'without test and validation splits, and without texts that the run has already',
    ),
  },
  'After training': {
    'compare-with': optional(
      references,
      'show beside the result, on the same rows: random, the same training from random weights; nb, lr or nb-svm, a baseline on words; or a finished run',
      'nothing',
    ),
    try: several(
      text('TEXT', 'a text'),
      'a text to classify, with the words that decided; may be given several times',
      'four sentences if the classes are negative and positive, else the first two test texts',
    ),
  },
  'The run': {
    out: optional(text('FOLDER', 'a folder'), "the run's folder", 'runs/<date>-<name>'),
    name: optional(text('NAME', 'a name'), "the run's name", "the model's"),
    resume: optional(text('FOLDER', "a run's folder"), 'resume a run from its last checkpoint'),
    'checkpoint-every': valued(
      number('a number of seconds, 0 or more', value => value >= 0, 'SECONDS'),
      30,
      'seconds between checkpoints within an epoch; 0 for one after every step',
    ),
    merge: flag('also write the model with the adapter merged into it'),
    tensorboard,
    'no-report': flag('write no report.html, which takes a second or two'),
    'dry-run': flag('resolve all options, plan one step, print the plan and exit'),
    json: flag('print one JSON object as the last line on stdout; everything else goes to stderr'),
  },
  'The machine': {
    adapter: optional(text('NAME', "part of an adapter's name"), "part of an adapter's name", 'the fastest available'),
    'list-adapters': flag('list the adapters and exit'),
    'tune-kernels': valued(
      oneOf(...TUNING_MODES),
      'cached',
      'cached: use what was measured on this adapter before, and on a GPU spend 3 more seconds measuring; ' +
        'full: measure everything that the run needs first',
    ),
    profile: flag("time every kernel of one step: profile.txt and, for Perfetto, trace.json in the run's folder"),
  },
  Help: {
    help: flag('print this help and exit'),
    version: flag('print the version and exit'),
  },
})

/** Every option under its name in camelCase, e.g. `batchSize`. Those without a default are undefined when not given. */
export type Options = Omit<ValuesOf<ReturnType<typeof optionsOf>>, 'lr' | 'loraAlpha' | 'window'> &
  Pick<Given, 'given'> & {
    readonly preset: Preset
    /** Peak learning rate: as given, else what suits `tune`. */
    readonly lr: number
    /** As given, else the preset's. */
    readonly loraAlpha: number
    /** Tokens that the windows of a longer text share; undefined where longer texts are cut. */
    readonly window: number | undefined
  }

/**
 * What may be given along with `--resume`: nothing that would change the run, but to get past a step that is not
 * finite.
 */
const resumable = new Set([
  'resume',
  'adapter',
  'checkpoint-every',
  'skip-bad-steps',
  'profile',
  'tensorboard',
  'no-report',
  'dry-run',
  'json',
  'list-adapters',
  'help',
  'version',
])
/** What only a teacher gives a meaning to. */
const teacherOnly = ['distill-weight', 'distill-temperature', 'unlabelled']
const loraOnly = ['lora-rank', 'lora-alpha', 'lora-dropout', 'lora-targets', 'train-head', 'freeze-head', 'merge']

/**
 * Reads the arguments after the script's name. Of an option given twice the last counts. Throws a UserError of one
 * line, naming the option, on an unknown option, a missing or bad value, a stray argument, and options that exclude
 * each other.
 */
export function parseOptions(argv: readonly string[], preset: Preset = 'imdb'): Options {
  const { positionals: _none, ...parsed } = parseTable(optionsOf(preset), argv)
  refuseConflicts(parsed)
  const { alpha, trainsHead } = PRESETS[preset]
  const options: Options = {
    ...parsed,
    preset,
    lr: parsed.lr ?? DEFAULT_RATES[parsed.tune],
    loraAlpha: parsed.loraAlpha ?? alpha(parsed.loraRank),
    window: parsed.window === 'off' ? undefined : parsed.window,
    // A head that gets an adapter of its own is not trained whole unless that is asked for, which is refused later.
    trainHead:
      parsed.trainHead || (trainsHead && !parsed.freezeHead && !parseTargets(parsed.loraTargets).includes('head')),
  }
  refuseDecay(options)
  return options
}

/**
 * Arguments that give these options again: those that the user gave, less what `omit` names, with `values` in place.
 */
export function toArguments(
  options: Options,
  changes: { omit?: readonly string[]; values?: Readonly<Record<string, string | readonly string[]>> } = {},
): string[] {
  const held = { ...options, window: options.window ?? 'off' }
  return argumentsOf(optionsOf(options.preset), held, changes)
}

/** Options of a run that take no value. */
export const flagsOfRun = (): readonly string[] => flagsOf(optionsOf('tilegrad'))

/** Options that say nothing of what a run computes. */
const NO_SETTINGS =
  'out name resume tensorboard no-report dry-run json list-adapters help version bundled compare-with try'.split(' ')

/** A run's settings by their names on the command line. */
export function settingsOfRun(options: Options): Setting[] {
  const { preset, tune, loraRank, teacher } = options
  const defaults = { lr: DEFAULT_RATES[tune], 'lora-alpha': PRESETS[preset].alpha(loraRank) }
  const idle = [...(tune === 'lora' ? [] : loraOnly), ...(teacher === undefined ? teacherOnly : [])]
  return settingsOf(optionsOf(preset), options, { omit: [...NO_SETTINGS, ...idle], defaults })
}

function refuseConflicts({
  tune,
  precision,
  init,
  given,
  compareWith,
}: Pick<Options, 'tune' | 'precision' | 'init' | 'given' | 'compareWith'>): void {
  const changed = given.has('resume') ? [...given].find(name => !resumable.has(name)) : undefined
  if (changed) throw new UserError(`--${changed} cannot be given with --resume, which uses the run's own options`)
  const idle = tune === 'lora' ? undefined : loraOnly.find(name => given.has(name))
  if (given.has('train-head') && given.has('freeze-head')) {
    throw new UserError('--train-head and --freeze-head exclude each other')
  }
  if (idle) throw new UserError(`--${idle} requires --tune lora; it has no effect with --tune ${tune}`)
  const untaught = given.has('teacher') ? undefined : teacherOnly.find(name => given.has(name))
  if (untaught) throw new UserError(`--${untaught} requires --teacher`)
  if (given.has('bundled') && given.has('data') && given.has('model'))
    throw new UserError('--bundled has no effect with both --data and --model')
  if (init === 'random' && referencesOf({ compareWith }).includes('random'))
    throw new UserError('--compare-with random trains from random weights, which --init random does already')
  if (tune === 'full' && precision === 'f16')
    throw new UserError('--precision f16 stores frozen weights in half precision; --tune full has none')
}

/**
 * A step multiplies weights by 1 − lr · decay: what is 0 or below wipes them out or turns their signs. The default is
 * left alone.
 */
function refuseDecay({ lr, weightDecay, given }: Options): void {
  if (!given.has('weight-decay') || lr * weightDecay < 1) return
  throw new UserError(
    `--weight-decay ${weightDecay} at --lr ${lr} would flip the signs of weights: lr × weight-decay must be below 1`,
  )
}

/** How each preset is called from here: a checkout or an installed package. */
export const COMMANDS: Readonly<Record<Preset, string>> = {
  imdb: IMDB,
  tilegrad: `${TILEGRAD} fine-tune`,
}

const EXIT_STATUSES = [
  ['0', 'the run is done'],
  ['2', 'a mistake in options, files or data, or something missing on this machine'],
  ['3', 'NaN or infinite numbers: the last checkpoint is kept, and no trained model was saved'],
  ['129, 130, 143', 'stopped by a signal, with a checkpoint'],
] as const

/** Help with every option and its default, and what the exit status says. */
export function helpText(preset: Preset = 'imdb'): string {
  const statuses = ['Exit status:', ...EXIT_STATUSES.map(([status, means]) => `  ${status.padEnd(28)}${means}`)].join(
    '\n',
  )
  const options = helpOf(
    optionsOf(preset),
    `${COMMANDS[preset]} [options]`,
    'Fine-tunes BERT or DistilBERT on labelled texts. Without --data and --model it chooses both\n' +
      'to suit the machine. Defaults are in brackets.',
  )
  return `${options}\n${statuses}\n`
}
