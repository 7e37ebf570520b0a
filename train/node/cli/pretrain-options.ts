// The command line of pretraining: one table with every option, what it takes and its default.
import { UserError } from '../../../engine/errors.ts'
import { TUNING_MODES } from '../../../engine/tune.ts'
import { SCHEDULES } from '../../schedules.ts'
import { adapterOption, encoding, share, temperature, tensorboard } from './kinds.ts'
import {
  type Given,
  type Kind,
  type ValuesOf,
  argumentsOf,
  count,
  factor,
  factorOrZero,
  flag,
  helpOf,
  number,
  oneOf,
  optional,
  parseTable,
  several,
  text,
  valued,
} from './table.ts'
import { TILEGRAD } from '../package.ts'

/** How the command is called from here: a checkout or an installed package. */
export const PRETRAIN_COMMAND = `${TILEGRAD} pretrain`

/** Peak learning rates when none is given. */
const RATES = { fresh: 1e-3, continued: 1e-4 } as const

/** What an existing model has already. */
const SIZES = ['vocabulary', 'cased', 'hidden', 'layers', 'heads', 'embeddings']

/** What only a teacher gives a meaning to. */
const TEACHER_ONLY = ['distill-weight', 'distill-temperature', 'distill-hidden']

const fraction = (of: string): Kind<number> =>
  number(`a count of ${of} or a fraction below 1`, value => value >= 0 && (value < 1 || Number.isSafeInteger(value)))

const groups = {
  Data: {
    data: several(
      text('PATH|NAME', 'a path or the name of a Hub dataset'),
      'texts: a .txt file, a table (.csv, .tsv, .json, .jsonl, .parquet), a folder of either, aclImdb or its .tar.gz, or a ' +
        'Hub dataset; may be given several times. A line of a .txt file is a text; in a file with blank lines, each block between them is. ' +
        'Test and validation splits are not trained on, nor are texts that are also in one',
      'required',
    ),
    split: optional(
      text('A,B,…', 'names separated by commas'),
      'the splits to train on, such as unsupervised',
      'all but test and validation',
    ),
    exclude: several(
      text('PATH|NAME', 'a path or the name of a Hub dataset'),
      'leave out the texts of these data, too',
    ),
    'text-column': optional(
      text('NAME', 'the name of a column'),
      'the column of texts in tables',
      'text, review, sentence or the like',
    ),
    encoding: optional(
      encoding,
      'encoding of text files, such as windows-1252 or utf-16le',
      'UTF-8, unless a byte order mark says otherwise',
    ),
    'skip-bad-rows': flag('leave out rows without a text, and report how many'),
    texts: optional(count(2), 'number of texts to take, drawn with the seed', 'all'),
    'val-split': valued(fraction('texts'), 0.01, 'part of the texts held out for validation; 0 for none'),
  },
  Model: {
    tokenizer: optional(
      text('PATH', 'a tokenizer.json, a vocab.txt, or a folder with one'),
      'an existing vocabulary: tokenizer.json, vocab.txt, or a folder with one',
      'learned from the texts',
    ),
    vocabulary: valued(count(8), 6000, 'size of the vocabulary learned from the texts'),
    cased: flag('learn a vocabulary that keeps capitals and accents'),
    sequence: valued(count(4), 64, 'longest row in tokens, [CLS] and [SEP] included; longer texts become several rows'),
    hidden: valued(count(1), 128, 'width of the model'),
    layers: valued(count(1), 2, 'layers of the model'),
    heads: valued(count(1), 2, 'attention heads per layer; they divide the width evenly'),
    embeddings: valued(
      oneOf('random', 'ppmi'),
      'random',
      'how word embeddings begin; ppmi: by which tokens stand near each other, and by which in the same text (factors ' +
        'of their positive pointwise mutual information)',
    ),
    model: optional(
      text('PATH|NAME', 'a folder or the name of a Hub model'),
      'continue pretraining a BERT or DistilBERT, a folder or a Hub model, with its sizes and vocabulary',
      'a new model',
    ),
  },
  Training: {
    steps: valued(count(1), 3000, 'optimizer steps'),
    'batch-size': valued(
      count(1),
      64,
      'rows of --sequence tokens per step; of shorter ones a step takes more, up to as many tokens',
    ),
    lr: {
      ...optional(factor, 'peak learning rate'),
      defaultSays: `${RATES.fresh}, and ${RATES.continued} with --model`,
    },
    schedule: valued(oneOf(...SCHEDULES), 'linear', 'how the learning rate decays after the warm-up'),
    warmup: valued(fraction('steps'), 0.05, 'warm-up, during which the learning rate rises'),
    dropout: valued(
      number('a number from 0 up to, not including, 1', value => value >= 0 && value < 1),
      0,
      'rate of dropout; useful only if texts are seen many times',
    ),
    'text-loss': valued(
      factorOrZero,
      0,
      'weight of a second loss: all tokens of a text predicted from its pooled output alone, which trains the pooler ' +
        'that classifiers start from; 0 for none',
    ),
    'weight-decay': valued(factorOrZero, 0.01, 'decoupled; not applied to biases and norms'),
    clip: valued(factorOrZero, 1, "limit of the gradient's global norm; 0 for none"),
    precision: valued(
      oneOf('f32', 'f16'),
      'f32',
      'f16: activations, and the weights that they are multiplied by, in half precision; sums and master weights in f32; ' +
        'the loss scaled dynamically',
    ),
    'evaluate-every': valued(
      count(1),
      500,
      'steps between evaluations on the held-out texts; the last step is always followed by one',
    ),
    'skip-bad-steps': valued(
      count(0),
      0,
      'skip up to this many steps whose loss or gradient is NaN or infinite; ' +
        'the next one ends the run with status 3',
    ),
    seed: valued(
      number(
        'a whole number from 0 to 4294967295',
        value => Number.isInteger(value) && value >= 0 && value < 2 ** 32,
        'N',
      ),
      42,
      'seeds everything random: texts, fresh weights, batches, masked tokens',
    ),
  },
  Distillation: {
    teacher: optional(
      text('PATH|NAME', 'a run, a folder or the name of a Hub model'),
      'learn from a larger pretrained model, too: a pretraining run, or a BERT or DistilBERT with a masked-language head; ' +
        'a new model takes its vocabulary',
      'none',
    ),
    'distill-weight': valued(
      share,
      0.7,
      "share of the teacher's predictions in the loss; the rest is the masked tokens themselves",
    ),
    'distill-temperature': valued(temperature, 2, 'divides the logits of both before their probabilities are compared'),
    'distill-hidden': valued(
      factorOrZero,
      0.15,
      'factor of the distance between hidden states, which is added to the loss: 1 - cosine, or with a teacher of another ' +
        'width the squared difference after a learned projection; 0 for none',
    ),
  },
  'The run': {
    out: optional(text('FOLDER', 'a folder'), "the run's folder; the model goes to model/", 'runs/<date>-pretrain'),
    resume: optional(text('FOLDER', "a run's folder"), 'resume a run from its last checkpoint'),
    'checkpoint-every': valued(
      number('a number of seconds, 0 or more', value => value >= 0, 'SECONDS'),
      120,
      'seconds between checkpoints; 0 for one after every step',
    ),
    tensorboard,
    json: flag('print one JSON object as the last line on stdout; everything else goes to stderr'),
  },
  'The machine': {
    adapter: adapterOption,
    'tune-kernels': valued(
      oneOf(...TUNING_MODES),
      'cached',
      'cached: use what was measured on this adapter before, and on a GPU spend 3 more seconds measuring; ' +
        'full: measure everything that the run needs first',
    ),
  },
  Help: {
    help: flag('print this help and exit'),
  },
}

/** Every option under its name in camelCase. Those without a default are undefined when not given. */
export type PretrainOptions = Omit<ValuesOf<typeof groups>, 'lr'> & Pick<Given, 'given'> & { readonly lr: number }

/** What may be given with `--resume`: nothing that would change the run, but to get past a step that is not finite. */
const resumable: ReadonlySet<string> = new Set([
  'resume',
  'adapter',
  'checkpoint-every',
  'skip-bad-steps',
  'tensorboard',
  'json',
  'help',
])

/** Reads the arguments after the script's name. Throws a UserError of one line that names the option. */
export function parsePretrainOptions(argv: readonly string[]): PretrainOptions {
  const { positionals: _none, ...parsed } = parseTable(groups, argv)
  const options = { ...parsed, lr: parsed.lr ?? (parsed.model === undefined ? RATES.fresh : RATES.continued) }
  const { given, hidden, heads, lr, weightDecay } = options
  const changed = given.has('resume') ? [...given].find(name => !resumable.has(name)) : undefined
  if (changed) {
    throw new UserError(`--${changed} cannot be given with --resume, which uses the run's own options`)
  }
  const size = SIZES.find(name => given.has('model') && given.has(name))
  if (size) throw new UserError(`--${size} is for a new model, and --model continues an existing one`)
  const [vocabulary] = ['tokenizer', 'teacher'].filter(name => given.has(name))
  const learning = ['vocabulary', 'cased'].find(name => vocabulary !== undefined && given.has(name))
  if (learning) throw new UserError(`--${learning} is for a vocabulary that is learned, and --${vocabulary} gives one`)
  const untaught = given.has('teacher') ? undefined : TEACHER_ONLY.find(name => given.has(name))
  if (given.has('teacher') && options.textLoss > 0) throw new UserError('--text-loss and --teacher exclude each other')
  if (untaught) throw new UserError(`--${untaught} requires --teacher`)
  if (hidden % heads !== 0) throw new UserError(`--hidden ${hidden} does not divide into --heads ${heads}`)
  if (given.has('weight-decay') && lr * weightDecay >= 1) {
    const rates = `--weight-decay ${weightDecay} at --lr ${lr}`
    throw new UserError(`${rates} would flip the signs of weights: lr × weight-decay must be below 1`)
  }
  return options
}

/** Arguments that give these options again: those that the user gave, without `omit`, with `values` in place. */
export function pretrainArguments(
  options: PretrainOptions,
  changes: { omit?: readonly string[]; values?: Readonly<Record<string, string | readonly string[]>> } = {},
): string[] {
  return argumentsOf(groups, options, changes)
}

export function pretrainHelp(): string {
  return helpOf(
    groups,
    `${PRETRAIN_COMMAND} --data PATH|NAME [options]`,
    'Makes a base model from unlabelled texts: learns a WordPiece vocabulary, then trains a BERT to predict masked tokens\n' +
      '(Devlin et al. 2019); or adapts an existing one to such texts. Defaults are in brackets.',
  )
}
