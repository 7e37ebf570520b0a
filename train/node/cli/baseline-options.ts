// The command line of `tilegrad baseline`: every option, what it takes and its default.
import { UserError } from '../../../engine/errors.ts'
import { LOSSES, MODELS, type FitOptions } from '../../baseline/model.ts'
import { STOP_WORDS, type Steps } from '../../baseline/steps.ts'
import { WEIGHTINGS, type Weighting } from '../../baseline/weighting.ts'
import { dataAndModel, seed } from './options.ts'
import {
  type Given,
  type Kind,
  type Option,
  type Setting,
  type ValuesOf,
  argumentsOf,
  count,
  flag,
  flagsOf,
  helpOf,
  number,
  oneOf,
  optional,
  parseTable,
  settingsOf,
  text,
  valued,
} from './table.ts'
import { TILEGRAD } from '../package.ts'

const { model: _model, tokenizer: _tokenizer, init: _init, window: _window, ...fromFineTune } = dataAndModel
const { 'max-length': _maxLength, data, ...dataOptions } = fromFineTune

const step = (byDefault: 'on' | 'off', says: string): Option<'on' | 'off'> =>
  valued(oneOf('on', 'off'), byDefault, says)

const positive: Kind<number> = number('a number from 1e-6 to 1e6', value => value >= 1e-6 && value <= 1e6)

/** What suits each model, where nothing else is asked for: chosen on validation reviews of IMDb. */
export const MODEL_DEFAULTS = {
  nb: { features: 'presence', c: 1 },
  lr: { features: 'tfidf', c: 10 },
  'nb-svm': { features: 'presence', c: 1 },
} as const satisfies Record<(typeof MODELS)[number], { features: Weighting; c: number }>

/** Steps by their options, and the fields that they are. */
const SWITCHES: readonly (readonly [string, Exclude<keyof Steps, 'stopWords'>])[] = [
  ['strip-html', 'html'],
  ['strip-urls', 'urls'],
  ['emojis', 'emojis'],
  ['strip-punctuation', 'punctuation'],
  ['chat-words', 'chatWords'],
  ['spelling', 'spelling'],
  ['lower-case', 'lowerCase'],
  ['lemmatize', 'lemmatise'],
  ['stem', 'stem'],
]
const STEP_OPTIONS = [...SWITCHES.map(([option]) => option), 'stop-words']

/** `all`, or options of steps. */
const stepNames: Kind<string> = {
  shown: 'all|STEP,STEP',
  expects: `all, or any of ${STEP_OPTIONS.join(', ')}`,
  read: value => (value === 'all' || value.split(',').every(name => STEP_OPTIONS.includes(name)) ? value : undefined),
}

const groups = {
  Data: { data: { ...data, defaultSays: 'required' }, ...dataOptions },
  'Steps before words are counted, in this order': {
    'strip-html': step('on', 'tags become blanks, and entities such as &amp; what they stand for'),
    'strip-urls': step('on', 'addresses of pages and of mail become blanks'),
    emojis: step('on', 'emojis become their names'),
    'strip-punctuation': step('off', 'punctuation marks are dropped; otherwise each counts as a word'),
    'chat-words': step('off', 'abbreviations such as AFAIK, B4 and THX become what they stand for'),
    spelling: step('off', 'words that no English dictionary has become the nearest that one has; slow'),
    'lower-case': step('on', 'capitals become small letters'),
    'stop-words': valued(
      oneOf(...STOP_WORDS),
      'off',
      'drop words such as the and of: keep-negations keeps not, no, never and the like; all drops those too',
    ),
    lemmatize: step('off', 'words become their dictionary form: was → be, movies → movie'),
    stem: step('off', 'words become their stems (Porter 2): happily → happili'),
  },
  'Features and model': {
    model: valued(oneOf(...MODELS), 'nb-svm', 'naive Bayes, logistic regression, or NB-SVM (Wang and Manning 2012)'),
    ngrams: valued(
      number('a whole number from 1 to 5', value => Number.isInteger(value) && value >= 1 && value <= 5, 'N'),
      3,
      'words in the longest n-gram',
    ),
    features: {
      ...optional(oneOf(...WEIGHTINGS), 'what an n-gram counts for: how often it occurs, whether it does, or TF-IDF'),
      defaultSays: 'tfidf with --model lr, else presence',
    },
    sublinear: step('off', '1 + ln n in place of a count n, for --features counts and tfidf'),
    'min-df': valued(count(1), 2, 'leave out n-grams that are in fewer training texts'),
    'max-features': optional(count(1), 'keep only the n-grams that occur most often', 'all'),
    alpha: valued(positive, 1, 'smoothing of the counts of naive Bayes and of the ratios of NB-SVM'),
    c: {
      ...optional(positive, 'inverse strength of the L2 penalty, for --model lr and nb-svm'),
      defaultSays: `${MODEL_DEFAULTS.lr.c} with --model lr, ${MODEL_DEFAULTS['nb-svm'].c} with nb-svm`,
    },
    beta: valued(
      number('a number from 0 to 1', value => value >= 0 && value <= 1),
      0.25,
      'of NB-SVM: 1 for the fitted weights, 0 for naive Bayes, between them a mixture',
    ),
    loss: valued(oneOf(...LOSSES), 'logistic', 'of NB-SVM'),
    refit: step('on', 'fit once more with the validation texts that were taken from the training set'),
    seed,
  },
  'The run': {
    ablation: optional(
      stepNames,
      'also fit with each of these steps switched, and test each difference (McNemar); some minutes',
      'off',
    ),
    out: optional(text('FOLDER', 'a folder'), "the run's folder", 'runs/<date>-<name>'),
    name: optional(text('NAME', 'a name'), "the run's name", "the model's"),
    json: flag('print one JSON object as the last line on stdout; everything else goes to stderr'),
  },
  Help: { help: flag('print this help and exit') },
}

/** Every option under its name in camelCase; those that depend on the model as they are in effect. */
export type BaselineOptions = Omit<ValuesOf<typeof groups>, 'features' | 'c'> &
  Pick<Given, 'given'> & { readonly features: Weighting; readonly c: number }

/** Options that mean nothing for some models, with those that they are for. */
const FOR_MODELS: readonly (readonly [string, readonly (typeof MODELS)[number][]])[] = [
  ['alpha', ['nb', 'nb-svm']],
  ['c', ['lr', 'nb-svm']],
  ['beta', ['nb-svm']],
  ['loss', ['nb-svm']],
]

/** Reads the arguments. Throws a UserError of one line, naming the option. */
export function parseBaseline(argv: readonly string[]): BaselineOptions {
  const { positionals: _none, ...parsed } = parseTable(groups, argv)
  const { model, given } = parsed
  const options: BaselineOptions = {
    ...parsed,
    features: parsed.features ?? MODEL_DEFAULTS[model].features,
    c: parsed.c ?? MODEL_DEFAULTS[model].c,
  }
  if (options.help) return options
  const idle = FOR_MODELS.find(([name, models]) => given.has(name) && !models.includes(model))
  if (idle) throw new UserError(`--${idle[0]} has no effect with --model ${model}; it is for ${idle[1].join(' and ')}`)
  if (given.has('sublinear') && options.features === 'presence')
    throw new UserError('--sublinear has no effect with --features presence; it is for counts and tfidf')
  if (options.data === undefined) throw new UserError('baseline needs --data: labelled texts')
  return options
}

/** Options that take no value. */
export const baselineFlags = (): readonly string[] => flagsOf(groups)

export const baselineHelp = (): string =>
  helpOf(
    groups,
    `${TILEGRAD} baseline --data PATH|NAME [options]`,
    'Fits a light model on words and n-grams, on the CPU, and tests it. The run has the files of every other run, and\n' +
      '`predict` and `evaluate` take its folder.',
  )

/** Arguments that give these options again. */
export const baselineArguments = (
  options: BaselineOptions,
  changes: { omit?: readonly string[]; values?: Readonly<Record<string, string>> } = {},
): string[] => argumentsOf(groups, options, changes)

/** The settings by their names on the command line. */
export const baselineSettings = (options: BaselineOptions): Setting[] =>
  settingsOf(groups, options, {
    omit: ['out', 'name', 'json', 'help'],
    defaults: { features: MODEL_DEFAULTS[options.model].features, c: MODEL_DEFAULTS[options.model].c },
  })

/** The steps that the options ask for. */
export const stepsOf = (options: BaselineOptions): Steps => ({
  html: options.stripHtml === 'on',
  urls: options.stripUrls === 'on',
  emojis: options.emojis === 'on',
  punctuation: options.stripPunctuation === 'on',
  chatWords: options.chatWords === 'on',
  spelling: options.spelling === 'on',
  lowerCase: options.lowerCase === 'on',
  stopWords: options.stopWords,
  lemmatise: options.lemmatize === 'on',
  stem: options.stem === 'on',
})

/** How the options want a model fitted. */
export const fitOptionsOf = (options: BaselineOptions): FitOptions => ({
  model: options.model,
  ngrams: options.ngrams,
  minDocuments: options.minDf,
  maxFeatures: options.maxFeatures,
  weighting: options.features,
  sublinear: options.sublinear === 'on',
  smoothing: options.alpha,
  c: options.c,
  beta: options.beta,
  loss: options.loss,
})

/** One step switched to another value than it has, under its name on the command line. */
export interface Switched {
  readonly option: string
  readonly value: string
  readonly steps: Steps
}

/** The steps with one of those that `--ablation` names switched, in each way. */
export function switchedSteps(options: BaselineOptions): Switched[] {
  const steps = stepsOf(options)
  const names = options.ablation === 'all' ? STEP_OPTIONS : (options.ablation ?? '').split(',')
  const switched: Switched[] = [
    ...SWITCHES.map(([option, key]) => ({
      option,
      value: steps[key] ? 'off' : 'on',
      steps: { ...steps, [key]: !steps[key] },
    })),
    ...STOP_WORDS.filter(value => value !== steps.stopWords).map(value => ({
      option: 'stop-words',
      value,
      steps: { ...steps, stopWords: value },
    })),
  ]
  return switched.filter(({ option }) => names.includes(option))
}
