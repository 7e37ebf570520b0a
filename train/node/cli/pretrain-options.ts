// The command line of pretraining: one table with every option, what it takes and its default.
import { UserError } from '../../../engine/errors.ts'
import { adapterOption } from './adapters.ts'
import {
  type Given, type ValuesOf, argumentsOf, count, factor, factorOrZero, flag, helpOf, number, oneOf, optional,
  parseTable, text, valued,
} from './table.ts'

/** How the command is called from a checkout. */
export const PRETRAIN_COMMAND = 'npm run -s tilegrad -- pretrain'

const groups = {
  'Data and model': {
    data: optional(
      text('FOLDER', 'a folder'),
      'texts without labels: a folder with Parquet files for the splits unsupervised and test, such as IMDb\'s; '
        + 'texts that are in the test split too are left out',
    ),
    texts: valued(count(2), 50_000, 'read so many texts at most, drawn with the seed'),
    vocabulary: valued(count(8), 6000, 'tokens to learn from these texts'),
    sequence: valued(count(4), 64, 'tokens a row, [CLS] and [SEP] included'),
    'val-split': valued(
      number('a count of texts or a fraction below 1', value =>
        value >= 0 && (value < 1 || Number.isSafeInteger(value))),
      0.01,
      'part of the texts held out for validation: a count or a fraction; 0 for none',
    ),
    hidden: valued(count(1), 128, 'width of the model'),
    layers: valued(count(1), 2, 'layers of the model'),
    heads: valued(count(1), 2, 'attention heads a layer; they share the width evenly'),
  },
  Training: {
    steps: valued(count(1), 3000, 'optimizer steps'),
    'batch-size': valued(count(1), 64, 'rows a step'),
    lr: valued(factor, 1e-3, 'peak learning rate; it rises over the first 5 % of the steps and falls linearly to 0'),
    'weight-decay': valued(factorOrZero, 0.01, 'decoupled; none on biases and norms'),
    clip: valued(factorOrZero, 1, "limit of the gradient's global norm; 0 for none"),
    'evaluate-every': valued(
      count(1), 500, 'steps between evaluations on the held-out texts; the last step is always followed by one',
    ),
    'skip-bad-steps': valued(
      count(0), 0,
      'leave out up to so many steps whose loss or gradient is NaN or infinite; '
        + 'the next one ends the run with status 3',
    ),
    seed: valued(
      number('a whole number from 0 to 4294967295', value =>
        Number.isInteger(value) && value >= 0 && value < 2 ** 32, 'N'),
      42,
      'of every draw: texts, fresh weights, batches, hidden tokens',
    ),
  },
  'The run': {
    out: optional(text('FOLDER', 'a folder'), "the run's folder; the model goes to model/", 'runs/<date>-pretrain'),
    resume: optional(text('FOLDER', "a run's folder"), 'go on with a run from its last checkpoint'),
    'checkpoint-every': valued(
      number('a number of seconds, 0 or more', value => value >= 0, 'SECONDS'), 120,
      'seconds between checkpoints; 0 for one after every step',
    ),
    json: flag('one JSON object as the last line on stdout; all else goes to stderr'),
  },
  'The machine': {
    adapter: adapterOption,
    'tune-kernels': valued(
      oneOf('off', 'cached', 'full'), 'cached',
      'cached: go by what was measured on this adapter, and on a GPU measure for 3 seconds more before the first step; '
        + 'full: measure all that the run needs, before it',
    ),
  },
  Help: {
    help: flag('print this and stop'),
  },
}

/** Every option under its name in camelCase. Those without a default are undefined when not given. */
export type PretrainOptions = ValuesOf<typeof groups> & Pick<Given, 'given'>

/** What may be given with `--resume`: nothing that would change the run, but to get past a step that is not finite. */
const resumable: ReadonlySet<string> =
  new Set(['resume', 'adapter', 'checkpoint-every', 'skip-bad-steps', 'json', 'help'])

/** Reads the arguments after the script's name. Throws a UserError of one line that names the option. */
export function parsePretrainOptions(argv: readonly string[]): PretrainOptions {
  const { positionals: _none, ...options } = parseTable(groups, argv)
  const { given, hidden, heads, lr, weightDecay } = options
  const changed = given.has('resume') ? [...given].find(name => !resumable.has(name)) : undefined
  if (changed) {
    throw new UserError(`--${changed} cannot be given with --resume, which goes on with the run's own options`)
  }
  if (hidden % heads !== 0) throw new UserError(`--hidden ${hidden} does not divide into --heads ${heads}`)
  if (given.has('weight-decay') && lr * weightDecay >= 1) {
    const rates = `--weight-decay ${weightDecay} at --lr ${lr}`
    throw new UserError(`${rates} would turn the signs of weights: lr × weight-decay must be below 1`)
  }
  return options
}

/** Arguments that give these options again: those that the user gave, without `omit`, with `values` in place. */
export function pretrainArguments(
  options: PretrainOptions, changes: { omit?: readonly string[], values?: Readonly<Record<string, string>> } = {},
): string[] {
  return argumentsOf(groups, options, changes)
}

export function pretrainHelp(): string {
  return helpOf(groups, `${PRETRAIN_COMMAND} --data FOLDER [options]`,
    'Makes a small base model from texts alone: learns a WordPiece vocabulary, then trains a BERT to guess hidden\n'
      + 'tokens (Devlin et al. 2019). Defaults are in brackets.')
}
