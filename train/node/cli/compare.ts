// `tilegrad compare`: finished runs against each other, in the terminal and as a page.
import { dirname } from 'node:path'
import { showBytes } from '../../../engine/bytes.ts'
import { UserError } from '../../../engine/errors.ts'
import { exists, readText, writeAtomic } from '../../../models/node/files.ts'
import { type Comparison, type Entry, compareRuns } from '../../compare/compare.ts'
import { differenceOf, nameOf } from '../../compare/names.ts'
import {
  type Forgotten,
  lossChange,
  forgettingOf,
  showChange,
  showChanges,
  showTexts,
} from '../../compare/forgetting.ts'
import { showFigure } from '../../metrics/summary.ts'
import { type OpenedRun, openRuns } from '../jobs/compare.ts'
import type { Measured } from '../jobs/forgetting.ts'
import { TILEGRAD } from '../package.ts'
import { refuseUnwritable } from '../run/folder.ts'
import { Console, percent, table } from './console.ts'
import { adapterOption } from './kinds.ts'
import { finishPrinting, print } from './output.ts'
import { Progress, showDuration } from './progress.ts'
import { shellLine } from './shell.ts'
import { type ValuesOf, count, flag, helpOf, optional, parseTable, text, valued } from './table.ts'

const groups = {
  Options: {
    metric: optional(
      text('NAME', 'the name of a metric'),
      'the metric to compare by, as --best-metric takes it',
      'accuracy; for labels f1_micro, for numbers mse, for words f1',
    ),
    out: valued(text('FILE', 'a file'), 'compare.html', 'the page; an older one of a comparison is replaced'),
    json: flag('print one JSON object as the last line on stdout; everything else goes to stderr'),
    help: flag('print this help and exit'),
  },
  Forgetting: {
    forgetting: flag(
      'also measure what fine-tuned runs forgot of the task of their base, where it has a masked-language head: ' +
        "loss and accuracy at masked tokens, of the base and of the run. The results are kept in the runs' folders",
    ),
    data: optional(
      text('PATH|NAME', 'a path or the name of a Hub dataset'),
      'the texts whose tokens are masked: a table (.csv, .tsv, .json, .jsonl, .parquet), a folder of them, or a Hub dataset',
      'the test texts of the first run',
    ),
    split: optional(text('NAME', 'the name of a split'), 'the split of --data to take', 'the only one'),
    'text-column': optional(
      text('NAME', 'the name of a column'),
      'the column of texts in --data',
      'text, review, sentence or the like',
    ),
    texts: valued(count(1), 500, 'number of texts to take; they and their masks are the same each time'),
    adapter: adapterOption,
  },
}

const INTRODUCTION = `Compares finished runs that were tested on the same texts: how good, whether the differences are more than
chance, at what cost, and which settings made the difference. Each path is a run's folder (of fine-tune or baseline), one
that evaluate --out wrote, a sweep's, or a folder that contains them. Of a folder's runs, those with another task or
other labels than most are left out. Runs that differ in their seed alone are averaged.`

const parse = (argv: readonly string[]) => parseTable(groups, argv, { positionals: true })

/** Entries that the terminal shows. */
const MOST_SHOWN = 30

/** Runs the command. Gives the exit status. Throws a UserError on runs that cannot be compared. */
export async function compare(argv: readonly string[]): Promise<number> {
  const options = parse(argv)
  const { positionals: paths, metric, out } = options
  if (options.help) {
    await print(helpOf(groups, `${TILEGRAD} compare <run|evaluation|sweep|folder> … [options]`, INTRODUCTION))
    return 0
  }
  if (paths.length === 0) throw new UserError('compare needs the folders of runs, baselines, evaluations or sweeps')
  refuseIdle(options)
  await refuseOther(out)
  const { runs, notes } = await openRuns(paths)
  const comparison = compareRuns(runs, { metric })
  const measured = options.forgetting ? await measure(runs, options) : undefined
  const forgotten = measured?.forgotten
  const all = [...notes, ...comparison.notes, ...(measured?.notes ?? [])]
  const console = new Console(options.json)
  console.say(shown(comparison))
  if (forgotten) console.say(`\n${shownForgetting(comparison, forgotten)}`)
  for (const note of all) console.say(`\n${note}`)
  // Loaded only here: the charts' library takes longer to load than all else.
  const { renderComparison } = await import('../report/comparison/page.ts')
  const command = shellLine(`${TILEGRAD} compare`, ...argv)
  await writeAtomic(
    out,
    renderComparison({
      comparison,
      runs,
      forgotten,
      notes: all,
      command,
      createdAt: new Date().toISOString(),
    }),
  )
  console.say(`\nPage: ${out}`)
  console.result({
    ...resultOf(comparison),
    ...(measured && forgettingResult(comparison, forgotten)),
    notes: all,
    page: out,
  })
  await finishPrinting()
  return 0
}

/** Options that mean nothing without --forgetting, and without --data. */
const FOR_FORGETTING = ['data', 'split', 'text-column', 'texts', 'adapter']
const FOR_DATA = ['split', 'text-column']

/** Throws a UserError on options that would change nothing. */
function refuseIdle({ given, forgetting, data }: ReturnType<typeof parse>): void {
  const idle = FOR_FORGETTING.find(name => given.has(name))
  if (!forgetting && idle !== undefined) throw new UserError(`--${idle} is for --forgetting`)
  const open = FOR_DATA.find(name => given.has(name))
  if (data === undefined && open !== undefined) throw new UserError(`--${open} is for --data`)
}

/** Loaded only here: nothing else of a comparison needs the engine. */
async function measure(runs: readonly OpenedRun[], options: ValuesOf<typeof groups>): Promise<Measured> {
  const { measureForgetting } = await import('../jobs/forgetting.ts')
  const progress = new Progress()
  return measureForgetting(runs, options, progress).finally(() => progress.stop())
}

/** Throws a UserError if the file could not be written, or exists and is not a page of tilegrad. */
async function refuseOther(path: string): Promise<void> {
  await refuseUnwritable(dirname(path), "the page's folder")
  if (!(await exists(path))) return
  const isOurs = (await readText(path, 2 ** 28)).includes('<meta name="generator" content="tilegrad">')
  if (!isOurs) throw new UserError(`--out ${path} exists and is not a page of tilegrad: name another file`)
}

/** The table for the terminal. */
function shown(comparison: Comparison): string {
  const { metric, entries, pairs, runs, test, tested } = comparison
  const [best] = runs
  const rows = entries.slice(0, MOST_SHOWN).map(entry => {
    const { number, runs: own, value, interval, cost } = entry
    const pair = pairs.find(({ a, b }) => a === best.name && b === own[0].name)
    const difference = differenceOf(entry, comparison)
    return [
      `${number}  ${nameOf(entry)}${difference === '' ? '' : `  (${difference})`}`,
      showFigure(metric, value),
      interval ? `${showFigure(metric, interval.low)} – ${showFigure(metric, interval.high)}` : '–',
      cost.trained?.toLocaleString('en-US', { maximumFractionDigits: 0 }) ?? '–',
      cost.seconds === undefined ? '–' : showDuration(cost.seconds),
      cost.gpuBytes === undefined ? '–' : showBytes(cost.gpuBytes),
      cost.diskBytes === undefined ? '–' : showBytes(cost.diskBytes),
      own[0].name === best.name ? '' : pair ? showP(pair.corrected) : '–',
    ]
  })
  const head = ['', metric.title, '95 % interval', 'trained', 'time', 'GPU memory', 'on disk', 'p against 1']
  const more = entries.length > MOST_SHOWN ? `\nand ${entries.length - MOST_SHOWN} more, on the page` : ''
  const hasSeeds = entries.some(({ over }) => over === 'seeds')
  const seeds = hasSeeds ? " Of several seeds: the mean, Student's interval over them, and p of the best of each." : ''
  const pairsSay = tested === 'all' ? `all ${pairs.length} pairs of runs` : `${pairs.length} runs against the best`
  const corrected = pairs.length > 1 ? `, corrected by Holm for ${pairsSay}` : ''
  const says = pairs.length === 0 ? '' : `\np: ${test} on the same test rows${corrected}.${seeds}`
  return table([head, ...rows]) + more + says
}

/** Loss and accuracy at masked tokens, of each setting and of its base. */
function shownForgetting({ entries }: Comparison, forgotten: Forgotten): string {
  const rows = entries.slice(0, MOST_SHOWN).map(entry => {
    const forgetting = forgettingOf(entry, forgotten)
    const name = `${entry.number}  ${nameOf(entry)}`
    if (!forgetting) return [name, '–', '–', '–', '–', '–', '–']
    const { base, tuned, interval } = forgetting
    return [
      name,
      tuned.loss.toFixed(4),
      base.loss.toFixed(4),
      showChange(lossChange(forgetting), 4),
      showChanges(interval, 4),
      percent(tuned.accuracy, 2),
      percent(base.accuracy, 2),
    ]
  })
  const head = ['Masked tokens', 'loss', 'of the base', 'change', '95 % interval', 'accuracy', 'of the base']
  return `${table([head, ...rows])}\nLoss in nats, on ${showTexts(forgotten.texts)}.`
}

const showP = (p: number): string => (p < 1e-4 ? '< 0.0001' : p.toFixed(4))

/** What `--json` prints. */
function resultOf({ metric, task, entries, pairs, test, varying, axes, grids }: Comparison): Record<string, unknown> {
  const ends = (interval: Entry['interval']) => ({ low: interval?.low ?? null, high: interval?.high ?? null })
  return {
    task,
    metric: metric.name,
    settings: entries.map(({ number, job, runs, value, interval, over, cost, options }) => ({
      number,
      job,
      value: value ?? null,
      interval: { over, ...ends(interval) },
      trained_parameters: cost.trained ?? null,
      wall_seconds: cost.seconds ?? null,
      gpu_bytes: cost.gpuBytes ?? null,
      disk_bytes: cost.diskBytes ?? null,
      options,
      runs: runs.map(run => ({
        name: run.name,
        seed: run.seed ?? null,
        value: run.value ?? null,
        ...ends(run.interval),
      })),
    })),
    test,
    pairs: pairs.map(({ onlyA, onlyB, corrected, interval, ...pair }) => ({
      ...pair,
      ...(onlyA !== undefined && { only_a: onlyA, only_b: onlyB }),
      ...(interval && { interval }),
      p_holm: corrected,
    })),
    varying,
    effects: axes.map(({ option, values, means }) => ({
      option,
      values: values.map((value, i) => ({
        value,
        mean: means[i].mean,
        runs: means[i].runs,
        ...ends(means[i].interval),
      })),
    })),
    grids: grids.map(({ rows, columns, cells }) => ({
      rows,
      columns,
      means: cells.map(row => row.map(cell => cell?.mean ?? null)),
    })),
  }
}

/** What `--json` prints of forgetting: settings by their numbers, null for those that were not measured. */
function forgettingResult({ entries }: Comparison, forgotten: Forgotten | undefined): Record<string, unknown> {
  if (!forgotten) return { forgetting: null }
  const { texts, of, source } = forgotten.texts
  const settings = entries.map(entry => {
    const forgetting = forgettingOf(entry, forgotten)
    const change = forgetting && lossChange(forgetting)
    return {
      number: entry.number,
      loss: forgetting?.tuned.loss ?? null,
      base_loss: forgetting?.base.loss ?? null,
      loss_change: change ?? null,
      loss_change_low: forgetting?.interval?.low ?? null,
      loss_change_high: forgetting?.interval?.high ?? null,
      accuracy: forgetting?.tuned.accuracy ?? null,
      base_accuracy: forgetting?.base.accuracy ?? null,
      accuracy_change: forgetting ? forgetting.tuned.accuracy - forgetting.base.accuracy : null,
      masked_tokens: forgetting?.base.tokens ?? null,
    }
  })
  return { forgetting: { source, texts: texts.length, of, settings } }
}
