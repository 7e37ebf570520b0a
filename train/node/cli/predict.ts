// `tilegrad predict`: answers for texts from the command line, from standard input or from a file.
import { UserError, printableLine } from '../../../engine/errors.ts'
import type { TextInput } from '../../../models/prediction.ts'
import { type Named, type PredictionFormat, chunksOf, isEmpty, lineChunks, predictions } from '../jobs/predict.ts'
import type { Texts } from '../jobs/texts.ts'
import { finishPrinting, print } from './output.ts'
import { flag, helpOf, optional, parseTable, text } from './table.ts'
import {
  DATA_SAYS,
  MODEL_SAYS,
  type Opened,
  modelOf,
  modelOptions,
  openAt,
  sayCut,
  sayPairs,
  tableOptions,
  trainedColumns,
} from './trained.ts'
import { TILEGRAD } from '../package.ts'

const groups = {
  'The texts': {
    data: optional(
      text('PATH|NAME', 'a path or the name of a Hub dataset'),
      `texts: the lines of a .txt file, ${DATA_SAYS}`,
      'lines of standard input',
    ),
    ...tableOptions,
    pair: optional(text('TEXT', 'a text'), 'the second text of a pair whose first is on the command line'),
  },
  'The answers': {
    json: flag('print one object per line: text, label, probability and the probabilities of all labels'),
    csv: flag('print the same as CSV with a header'),
    explain: flag('name the words that decided each answer: + for it, − against it (gradient × input)'),
  },
  'The model': {
    also: optional(
      text('RUN,RUN', 'runs, adapters or models separated by commas'),
      'more models, each with its own answer; a base that they share is loaded once',
    ),
    ...modelOptions,
  },
  Help: { help: flag('print this help and exit') },
}

type Options = ReturnType<typeof parse>
const parse = (argv: readonly string[]) => parseTable(groups, argv, { positionals: true })

/** Runs the command. Gives the exit status. Throws a UserError if options, texts or the model are wrong. */
export async function predict(argv: readonly string[]): Promise<number> {
  const options = parse(argv)
  if (options.help) {
    await print(
      helpOf(
        groups,
        `${TILEGRAD} predict <model> [text …] [options]`,
        'Labels texts: those of the command line, of --data, or the lines of standard input. Empty texts are answered too,\n' +
          `and counted at the end.\n${MODEL_SAYS}`,
      ),
    )
    return 0
  }
  const source = modelOf('predict', options.positionals)
  const given = options.positionals.slice(1)
  refuseConflicts(options, given)
  // Loaded only here: readers of tables take longer to load than all that one text needs.
  const table =
    options.data === undefined
      ? undefined
      : await (
          await import('../jobs/texts.ts')
        ).openTexts(options.data, { ...options, like: await trainedColumns(source) })
  const classifiers = await openAt([source, ...namesIn(options.also)], options)
  const format: PredictionFormat = options.json ? 'json' : options.csv ? 'csv' : 'text'
  const pairs = table?.pairs ?? options.pair !== undefined
  for (const opened of classifiers) sayPairs(opened, pairs)
  const progress = progressOf(table)
  const chunks = table
    ? chunksOf(table.texts)
    : given.length > 0
      ? chunksOf(pairsOf(given, options.pair))
      : standardInput(options.encoding)
  const answering = options.explain ? await explaining(classifiers) : classifiers
  for await (const answers of predictions(answering, progress.count(chunks), { format, pairs })) {
    // Nobody reads them any more: that is not an error, as with any command before `| head`.
    if (!(await print(answers))) break
  }
  progress.end()
  for (const opened of classifiers) sayCut(opened, classifiers.length > 1)
  await finishPrinting()
  return 0
}

/** The classifiers with what explains their answers. Throws a UserError where one has no word's share to tell. */
export async function explaining(classifiers: readonly Opened[]): Promise<Named[]> {
  // Loaded only here: most answers need no gradient.
  const { attributor } = await import('../../../models/attribution.ts')
  return classifiers.map(opened => {
    const { name, classifier } = opened
    if (opened.kind === 'baseline') throw new UserError(`--explain is for transformers, and ${name} is a baseline`)
    if (classifier.options.problem === 'token_classification')
      throw new UserError(`--explain is for answers on whole texts, and ${name} labels each word`)
    return { name, classifier, explain: attributor(opened.classifier) }
  })
}

function refuseConflicts({ data, pair, json, csv, given: options }: Options, texts: readonly string[]): void {
  if (json && csv) throw new UserError('--json and --csv exclude each other')
  if (data !== undefined && texts.length > 0)
    throw new UserError('texts are given both on the command line and with --data')
  if (pair !== undefined && texts.length !== 1) {
    throw new UserError(
      `--pair is the second text of one pair, whose first is on the command line; there ${texts.length === 1 ? 'is 1 text' : `are ${texts.length} texts`}`,
    )
  }
  const idle = (['split', 'text-column', 'pair-column', 'skip-bad-rows'] as const).find(name => options.has(name))
  if (data === undefined && idle !== undefined) throw new UserError(`--${idle} requires --data`)
}

/** The names in a list with commas between. */
const namesIn = (list = ''): string[] =>
  list
    .split(',')
    .map(name => name.trim())
    .filter(name => name !== '')

function pairsOf(texts: readonly string[], pair: string | undefined): readonly TextInput[] {
  return pair === undefined ? texts : texts.map(text => ({ text, pair }))
}

function standardInput(encoding: string | undefined): AsyncIterable<readonly string[]> {
  if (process.stdin.isTTY) process.stderr.write('Enter one text per line; Ctrl-D ends.\n')
  return lineChunks(process.stdin, { encoding })
}

/**
 * A count on stderr while a table is read, where a person watches and the answers go elsewhere; and what was empty or
 * left out.
 */
function progressOf(table: Texts | undefined) {
  const shown = table !== undefined && process.stderr.isTTY && !process.stdout.isTTY
  const began = performance.now()
  let done = 0
  let empty = 0
  return {
    async *count(chunks: AsyncIterable<readonly TextInput[]>): AsyncGenerator<readonly TextInput[]> {
      for await (const chunk of chunks) {
        yield chunk
        done += chunk.length
        empty += chunk.filter(isEmpty).length
        const rate = (1000 * done) / (performance.now() - began)
        if (shown) process.stderr.write(`\r\x1b[K${done.toLocaleString('en-US')} texts, ${rate.toFixed(0)} per second`)
      }
    },
    end() {
      if (shown) process.stderr.write('\n')
      if (empty > 0) {
        const share = `${empty.toLocaleString('en-US')} of ${done.toLocaleString('en-US')} texts`
        process.stderr.write(
          `tilegrad: ${share} ${empty === 1 ? 'was' : 'were'} empty: the model saw no word of ${empty === 1 ? 'it' : 'them'}\n`,
        )
      }
      const skipped = table?.skipped() ?? 0
      if (skipped === 0) return
      process.stderr.write(
        `${printableLine(`tilegrad: ${skipped} ${skipped === 1 ? 'row' : 'rows'} of ${table?.source} left out`)}\n`,
      )
    },
  }
}
