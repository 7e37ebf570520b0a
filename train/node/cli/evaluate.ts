// `tilegrad evaluate`: how good a trained model is on labelled texts.
import { dirname, join, resolve } from 'node:path'
import { currentDevice } from '../../../engine/index.ts'
import { UserError } from '../../../engine/errors.ts'
import { textOf } from '../../../models/prediction.ts'
import { countParameters } from '../../../models/index.ts'
import { exists } from '../../../models/node/files.ts'
import { showName } from '../../data/table.ts'
import { showFigure } from '../../metrics/summary.ts'
import { type Evaluated, type Labelled, evaluateOn, openLabelled } from '../jobs/evaluate.ts'
import { writeEvaluation } from '../jobs/evaluate/folder.ts'
import { TILEGRAD, optionalDependencies, version } from '../package.ts'
import { refuseTaken, refuseUnwritable } from '../run/folder.ts'
import { classRecords, nullable } from '../run/json.ts'
import { PREDICTIONS } from '../run/predictions.ts'
import { Console, table } from './console.ts'
import { finishPrinting, print } from './output.ts'
import { labelSeparator } from './kinds.ts'
import { Progress } from './progress.ts'
import { shellLine } from './shell.ts'
import {
  type Given,
  type ValuesOf,
  argumentsOf,
  flag,
  helpOf,
  oneOf,
  optional,
  parseTable,
  settingsOf,
  text,
  valued,
} from './table.ts'
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

const groups = {
  'The data': {
    data: optional(text('PATH|NAME', 'a path or the name of a Hub dataset'), `labelled texts: ${DATA_SAYS}`),
    ...tableOptions,
    split: optional(
      text('NAME', 'the name of a split'),
      'the split of a data set to take',
      'test, or validation if test has no labels',
    ),
    'label-column': optional(
      text('NAME', 'the name of a column'),
      'the column of labels',
      'as it was trained, else label, sentiment, class or the like',
    ),
    'label-separator': labelSeparator,
    labels: optional(
      text('NAME,NAME', 'names separated by commas'),
      "what the data calls the model's labels, in the model's order",
      "the model's names, or their numbers",
    ),
    'minus-one': valued(
      oneOf('unlabelled', 'label'),
      'unlabelled',
      'what a label of -1 means: no label, or a class of its own',
    ),
  },
  'The answers': {
    out: optional(
      text('FOLDER', 'a folder'),
      'write result.json, and predictions.jsonl with the label and the answer of every row, for `tilegrad compare`',
    ),
    report: optional(
      text('FILE', 'a file'),
      'write an HTML page that shows how good the answers are and where they fail',
    ),
    json: flag('print one JSON object as the last line on stdout; everything else goes to stderr'),
  },
  'The model': modelOptions,
  Help: { help: flag('print this help and exit') },
}

/**
 * How many classes are shown: of more, no table says which are taken for which, and only the first thresholds are
 * listed.
 */
const MOST_SHOWN = 12

/** Runs the command. Gives the exit status. Throws a UserError if options, data or the model are wrong. */
export async function evaluate(argv: readonly string[]): Promise<number> {
  const options = parseTable(groups, argv, { positionals: true })
  if (options.help) {
    await print(
      helpOf(
        groups,
        `${TILEGRAD} evaluate <model> --data PATH [options]`,
        `Compares a model's answers with labels.\n${MODEL_SAYS}`,
      ),
    )
    return 0
  }
  const source = modelOf('evaluate', options.positionals)
  const [, stray] = options.positionals
  if (stray !== undefined) throw new UserError(`Unexpected argument ${JSON.stringify(stray)}: evaluate takes one model`)
  const { labels, ...reading } = options
  const { data, out, report } = reading
  if (data === undefined) throw new UserError('evaluate needs --data: labelled texts')
  if (out !== undefined) {
    await refuseTaken(out, 'an evaluation')
    await refuseUnwritable(out, 'the folder')
  }
  if (report !== undefined) {
    if (await exists(report)) throw new UserError(`--report ${report} exists: name another file`)
    await refuseUnwritable(dirname(report), "the report's folder")
  }
  const began = performance.now()
  const labelled = await openLabelled(data, { ...reading, like: await trainedColumns(source) })
  const console = new Console(options.json)
  for (const note of labelled.notes) console.say(note)
  const [opened] = await openAt([source], options)
  sayPairs(opened, labelled.facts.columns.pair !== undefined)
  const { temperature, thresholds, labels: names, problem } = opened.classifier.options
  if (temperature !== undefined)
    console.say(`Probabilities use temperature ${temperature.toPrecision(4)} (fitted on the model's validation set)`)
  if (thresholds) {
    const shares = thresholds.map((threshold, i) => `${showName(names[i])} from ${(100 * threshold).toFixed(1)} %`)
    const own = problem === 'single_label_classification' ? shares.slice(1) : shares
    const more = own.length > MOST_SHOWN ? `, and ${own.length - MOST_SHOWN} more` : ''
    console.say(`Decision thresholds (chosen on the same set): ${own.slice(0, MOST_SHOWN).join(', ')}${more}`)
  }
  const progress = process.stderr.isTTY ? new Progress() : undefined
  progress?.start('evaluate', labelled.examples.length)
  const spelled = labels?.split(',').map(name => name.trim())
  const evaluated = await evaluateOn(
    opened.classifier,
    labelled,
    { labels: spelled },
    {
      say: line => console.say(line),
      onProgress: done => progress?.update(done),
    },
  ).finally(() => progress?.stop())
  const seconds = (performance.now() - began) / 1000
  const calibrated = temperature !== undefined || thresholds !== undefined
  const result = resultOf(evaluated, { model: source, data, calibrated })
  console.say(`\n${shown(evaluated)}`)
  const reported = { evaluated, opened, labelled, source, argv, options, seconds }
  if (out !== undefined) {
    await write(out, result, reported)
    console.say(`\nWritten: ${join(out, 'result.json')}, ${join(out, PREDICTIONS)}`)
  }
  sayCut(opened)
  if (report !== undefined) {
    await writeReport(report, reported)
    console.say(`\nReport: ${report}`)
  }
  console.result({ ...result, ...(out !== undefined && { folder: out }), ...(report !== undefined && { report }) })
  await finishPrinting()
  return 0
}

interface Reported {
  readonly evaluated: Evaluated
  readonly opened: Opened
  readonly labelled: Labelled
  readonly source: string
  readonly argv: readonly string[]
  readonly options: ValuesOf<typeof groups> & Given
  readonly seconds: number
}

/** Writes the page, from the answers that were evaluated. */
async function writeReport(
  path: string,
  { evaluated, opened, labelled, source, argv, options, seconds }: Reported,
): Promise<void> {
  const { plan, metrics, interval, targets, outputs, inputs, scored } = evaluated
  const { temperature, thresholds } = opened.classifier.options
  const reading = { ...(temperature !== undefined && { temperature }), ...(thresholds && { thresholds }) }
  const [metric] = metrics
  const { adapter, parameters, gpuBytes } = await costOf(opened)
  // Loaded only here: the charts' library takes longer to load than all else.
  const [{ writeEvaluationReport }, { taggedWords, testedOf }, { explained }] = await Promise.all([
    import('../report/write.ts'),
    import('../report/tested.ts'),
    import('../report/explained.ts'),
  ])
  const examples = inputs.map((input, i) => ({
    text: textOf(input),
    target: targets[i],
    ...(typeof input !== 'string' && 'pair' in input && { pair: input.pair }),
    ...(typeof input !== 'string' && 'words' in input && { words: input.words }),
  }))
  const texts = examples.map(({ text, pair, words, target }, i) => ({
    text,
    pair,
    ...(words && typeof target !== 'number' && { words: taggedWords(words, target, scored[i].firstOf ?? []) }),
  }))
  const tested = testedOf(
    {
      task: plan.task,
      labels: plan.labels,
      outputs,
      texts,
      reading,
      applied: true,
      metric,
      name: 'the evaluated data',
      basis: { targets, name: 'the evaluated data' },
    },
    { interval },
  )
  await writeEvaluationReport(path, {
    model: source,
    plan,
    examples,
    notes: labelled.notes,
    settings: settingsOf(groups, options, { omit: ['help', 'json'] }),
    adapter,
    createdAt: new Date().toISOString(),
    versions: { tilegrad: version, Node: process.version, webgpu: optionalDependencies.webgpu },
    tested: opened.kind === 'baseline' ? tested : await explained(tested, opened.classifier),
    cost: {
      parameters: { total: parameters },
      seconds,
      textsPerSecond: inputs.length / seconds,
      gpuBytes,
    },
    command: shellLine(`${TILEGRAD} evaluate`, ...argv),
  })
}

/** What the model took: a baseline computes on no adapter. */
async function costOf({
  kind,
  classifier,
}: Opened): Promise<{ adapter: string; parameters: number; gpuBytes?: number }> {
  if (kind === 'baseline') return { adapter: 'CPU', parameters: classifier.parameters }
  const { info, buffers } = await currentDevice()
  return { adapter: info.name, parameters: countParameters(classifier.model).total, gpuBytes: buffers.bytes }
}

/** What result.json and `--json` hold: figures by the names of `--best-metric`, null where one is not defined. */
function resultOf(
  { task, summary, main, interval }: Evaluated,
  { model, data, calibrated }: { model: string; data: string; calibrated: boolean },
): Record<string, unknown> {
  return {
    model,
    data,
    calibrated,
    task,
    rows: summary.rows,
    ...nullable(summary.metrics),
    interval: { metric: main, low: interval?.low ?? null, high: interval?.high ?? null },
    classes: classRecords(summary.classes),
    ...(summary.confusion && { confusion: summary.confusion }),
  }
}

/** Writes the folder of `--out`. */
async function write(
  out: string,
  result: Readonly<Record<string, unknown>>,
  { evaluated, opened, labelled, source, seconds, options }: Reported,
): Promise<void> {
  const { data, positionals: _model, out: _out, report: _report, json: _json, help: _help, ...rest } = options
  const values: Record<string, string> = {}
  for (const name of ['data', 'base'] as const) {
    const path = options[name]
    if (path !== undefined && (await exists(path))) values[name] = resolve(path)
  }
  await writeEvaluation(out, result, evaluated, {
    model: source,
    arguments: argumentsOf(groups, options, { omit: ['out', 'report', 'json'], values }),
    options: { ...rest, data },
    columns: labelled.facts.columns,
    seconds,
    ...(await costOf(opened)),
  })
}

/** Figures, scores of each class, and which classes are taken for which. */
function shown({ metrics: infos, summary, main, interval }: Evaluated): string {
  const { metrics, classes, confusion } = summary
  const figures = infos.map(info => [
    info.title,
    showFigure(info, metrics[info.name]),
    info.name === main && interval
      ? `(95 % interval ${showFigure(info, interval.low)} to ${showFigure(info, interval.high)})`
      : '',
  ])
  const parts = [table(figures)]
  if (classes.length > 0) {
    parts.push(
      table([
        ['class', 'precision', 'recall', 'F1', 'rows'],
        ...classes.map(({ name, precision, recall, f1, support }) => [
          showName(name),
          ...[precision, recall, f1].map(value => value.toFixed(4)),
          String(support),
        ]),
      ]),
    )
  }
  if (confusion && confusion.length <= MOST_SHOWN) {
    const names = classes.map(({ name }) => showName(name))
    parts.push(
      `Labels down, answers across:\n${table([['', ...names], ...confusion.map((row, i) => [names[i], ...row.map(String)])])}`,
    )
  }
  return parts.join('\n\n')
}
