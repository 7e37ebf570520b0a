// `tilegrad overview`: what a data set is, before anything is trained on it. Opens no adapter.
import { dirname } from 'node:path'
import { UserError } from '../../../engine/errors.ts'
import { exists, writeAtomic } from '../../../models/node/files.ts'
import { MAX_LENGTHS, overviewOf } from '../jobs/overview.ts'
import { describeOverview } from '../jobs/overview/describe.ts'
import { openOverview } from '../jobs/overview/open.ts'
import { setsOf } from '../jobs/overview/scan.ts'
import { taskText } from '../jobs/fine-tune/describe.ts'
import { TILEGRAD, version } from '../package.ts'
import { refuseUnwritable } from '../run/folder.ts'
import { Console } from './console.ts'
import { type Options, batching, dataAndModel, parseOptions, seed } from './options.ts'
import { finishPrinting, print } from './output.ts'
import { Progress, downloadsOn } from './progress.ts'
import { shellLine } from './shell.ts'
import { type Kind, argumentsOf, flag, helpOf, optional, parseTable, text } from './table.ts'

/** Whole numbers in ascending order, each once. */
const lengths: Kind<readonly number[]> = {
  shown: 'N,N,…',
  expects: 'whole numbers of at least 4, separated by commas',
  read: value => {
    const parts = value.split(',').map(part => part.trim())
    const numbers = parts.map(Number)
    if (!parts.every(part => /^\d+$/.test(part)) || !numbers.every(one => Number.isSafeInteger(one) && one >= 4))
      return undefined
    return [...new Set(numbers)].sort((a, b) => a - b)
  },
}

const {
  task,
  labels,
  'text-column': textColumn,
  'pair-column': pairColumn,
  'label-column': labelColumn,
  'label-separator': labelSeparator,
  encoding,
  'skip-bad-rows': skipBadRows,
  'minus-one': minusOne,
  'limit-train': limitTrain,
  'limit-test': limitTest,
  model,
  tokenizer,
} = dataAndModel

const groups = {
  'The data': {
    data: { ...dataAndModel.data, defaultSays: 'the argument' },
    task,
    labels,
    'text-column': textColumn,
    'pair-column': pairColumn,
    'label-column': labelColumn,
    'label-separator': labelSeparator,
    encoding,
    'skip-bad-rows': {
      ...skipBadRows,
      says: 'accepted as by fine-tune; overview always leaves out unusable rows and counts them',
    },
    'minus-one': minusOne,
    'limit-train': limitTrain,
    'limit-test': limitTest,
    seed,
  },
  'Lengths in tokens': {
    model: {
      ...model,
      says: 'whose tokenizer and widths to use: a Hub model, a folder, a run or an adapter',
      defaultSays: "distilbert-base-uncased if its tokenizer is in the Hub's cache, else the bundled model's tokenizer",
    },
    tokenizer,
    'max-length': optional(
      lengths,
      'longest texts to compare: how many texts each cuts, and what it costs',
      `those of ${MAX_LENGTHS.join(',')} that the model takes`,
    ),
    ...batching,
  },
  'The answer': {
    out: optional(text('FILE.html', 'a file'), 'also write the overview as an HTML page; the file must not exist yet'),
    json: flag('print one JSON object as the last line on stdout; everything else goes to stderr'),
  },
  Help: { help: flag('print this help and exit') },
}

/** Options that fine-tuning does not have, or not so. */
const OWN = ['data', 'max-length', 'out', 'json', 'help']

/** Runs the command. Gives the exit status. Throws a UserError if options or data are wrong. */
export async function overview(argv: readonly string[]): Promise<number> {
  const options = parseTable(groups, argv, { positionals: true })
  if (options.help) {
    await print(
      helpOf(
        groups,
        `${TILEGRAD} overview <data> [options]`,
        'Says what a data set is, as training would read it: rows, lengths, what each --max-length cuts and costs,\n' +
          'duplicates, odd rows, the words that tell the classes apart. A table that training refuses (too few rows, one\n' +
          'class, no labels) is described too, with the reason. Needs no adapter.',
      ),
    )
    return 0
  }
  const { out } = options
  const data = dataOf(options)
  if (out !== undefined) {
    if (await exists(out)) throw new UserError(`--out ${out} exists: name another file`)
    await refuseUnwritable(dirname(out), "the page's folder")
  }
  const full = parseOptions([...argumentsOf(groups, options, { omit: OWN }), `--data=${data}`], 'tilegrad')
  const console = new Console(options.json)
  const began = performance.now()
  const progress = new Progress()
  const { opened, result } = await look(full, options.maxLength, progress).finally(() => progress.stop())
  console.say(`Data: ${opened.data.source}`)
  if (result.refused !== undefined) console.say(`Not to be trained on as it is: ${result.refused}`)
  console.say(`${result.task === null ? `Task: none; ${result.why}` : taskText(opened.data, result.sets.train)}\n`)
  console.say(describeOverview(result))
  if (out !== undefined) {
    // Loaded only here: the charts' library takes longer to load than all else.
    const { renderOverview } = await import('../report/overview.ts')
    const command = shellLine(`${TILEGRAD} overview`, ...argv)
    await writeAtomic(
      out,
      renderOverview({ overview: result, name: data, createdAt: new Date().toISOString(), version, command }),
    )
    console.say(`\nPage: ${out}`)
  }
  const seconds = (performance.now() - began) / 1000
  console.result({ ...result, seconds, ...(out !== undefined && { page: out }) })
  await finishPrinting()
  return 0
}

/** What the command line names as the data: an argument, or `--data`. */
function dataOf({ data, positionals: [first, second] }: { data?: string; positionals: readonly string[] }): string {
  if (second !== undefined)
    throw new UserError(`Unexpected argument ${JSON.stringify(second)}: overview takes one data set`)
  if (first !== undefined && data !== undefined)
    throw new UserError(`Unexpected argument ${JSON.stringify(first)}: the data is named by --data already`)
  const named = first ?? data
  if (named === undefined) throw new UserError('overview needs data: a file, a folder, or the name of a Hub dataset')
  return named
}

async function look(full: Options, asked: readonly number[] | undefined, progress: Progress) {
  const opened = await openOverview(full, downloadsOn(progress))
  const { positions, name } = opened.tokenizer.model
  const tooLong = asked?.find(length => length > positions)
  if (tooLong !== undefined)
    throw new UserError(`--max-length ${tooLong} is more than the ${positions} positions of ${name}`)
  const usual = MAX_LENGTHS.filter(length => length <= positions)
  const lengths =
    asked ?? (positions < MAX_LENGTHS[MAX_LENGTHS.length - 1] ? [...new Set([...usual, positions])] : usual)
  const texts = setsOf(opened.data).reduce((sum, { examples }) => sum + examples.length, 0)
  progress.start('read texts', texts)
  return { opened, result: await overviewOf(opened, full, lengths, done => progress.update(done)) }
}
