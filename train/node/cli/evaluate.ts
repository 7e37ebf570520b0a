// `tilegrad evaluate`: how good a trained model is on labelled texts.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { UserError, printableJson } from '../../../engine/errors.ts'
import { textOf } from '../../../models/classifier.ts'
import { fileError, writeAtomic } from '../../../models/node/files.ts'
import { showFigure } from '../../metrics/summary.ts'
import { type Evaluated, type Labelled, evaluateOn, openLabelled } from '../jobs/evaluate.ts'
import { jsonOf } from '../jobs/predict.ts'
import { finiteJson } from '../run/json.ts'
import { Console, table } from './console.ts'
import { finishPrinting, print } from './output.ts'
import { Progress } from './progress.ts'
import { flag, helpOf, oneOf, optional, parseTable, text, valued } from './table.ts'
import { DATA_SAYS, MODEL_SAYS, modelOf, modelOptions, openAt, tableOptions } from './trained.ts'

const groups = {
  'The data': {
    data: optional(text('PATH|NAME', 'a path or the name of a Hub dataset'), `labelled ${DATA_SAYS}`),
    ...tableOptions,
    split: optional(text('NAME', 'the name of a split'), 'the split of a data set to take', 'test, or validation if test has no labels'),
    'label-column': optional(text('NAME', 'the name of a column'), 'the column of labels', 'label, sentiment, class or the like'),
    labels: optional(text('NAME,NAME', 'names with commas between'), "what the data calls the model's labels, in the model's order", "the model's names, or their numbers"),
    'minus-one': valued(oneOf('unlabelled', 'label'), 'unlabelled', 'label: rows labelled -1 are of a class, and not rows without a label'),
  },
  'The answers': {
    out: optional(text('FOLDER', 'a folder'), 'writes result.json, and predictions.jsonl with every text and its answer'),
    json: flag('one JSON object as the last line on stdout; all else goes to stderr'),
  },
  'The model': modelOptions,
  Help: { help: flag('print this and stop') },
}

/** More classes than this make a table that nobody reads. */
const MOST_CONFUSED = 12

/** Runs the command. Gives the exit status. Throws a UserError where options, data or the model are wrong. */
export async function evaluate(argv: readonly string[]): Promise<number> {
  const options = parseTable(groups, argv, { positionals: true })
  if (options.help) {
    await print(helpOf(groups, 'npm run -s tilegrad -- evaluate <model> --data PATH [options]',
      `Compares a model's answers with labels.\n${MODEL_SAYS}`))
    return 0
  }
  const source = modelOf('evaluate', options.positionals)
  const [, stray] = options.positionals
  if (stray !== undefined) throw new UserError(`Unexpected argument ${JSON.stringify(stray)}: evaluate takes one model`)
  const { labels, ...reading } = options
  const { data, out } = reading
  if (data === undefined) throw new UserError('evaluate needs --data: labelled texts')
  if (out !== undefined) await refuseTaken(out)
  const labelled = await openLabelled(data, reading)
  const console = new Console(options.json)
  for (const note of labelled.notes) console.say(note)
  const [{ classifier }] = await openAt([source], options)
  const { temperature, thresholds, labels: names, problem } = classifier.options
  if (temperature !== undefined) console.say(`Temperature, found on the model's validation set: ${temperature.toPrecision(4)}`)
  if (thresholds) {
    const shares = thresholds.map((threshold, i) => `${names[i]} from ${(100 * threshold).toFixed(1)} %`)
    const own = problem === 'single_label_classification' ? shares.slice(1) : shares
    const more = own.length > MOST_CONFUSED ? `, and ${own.length - MOST_CONFUSED} more` : ''
    console.say(`Decision thresholds, found there too: ${own.slice(0, MOST_CONFUSED).join(', ')}${more}`)
  }
  const progress = process.stderr.isTTY ? new Progress() : undefined
  progress?.start('evaluate', labelled.examples.length)
  const spelled = labels?.split(',').map(name => name.trim())
  const evaluated = await evaluateOn(classifier, labelled, { labels: spelled }, {
    say: line => console.say(line), onProgress: done => progress?.update(done),
  }).finally(() => progress?.stop())
  const result = resultOf(evaluated, source, data)
  console.say(`\n${shown(evaluated)}`)
  if (out !== undefined) await write(out, result, evaluated, labelled)
  if (out !== undefined) console.say(`\nWritten: ${join(out, 'result.json')}, ${join(out, 'predictions.jsonl')}`)
  console.result({ ...result, ...out !== undefined && { folder: out } })
  await finishPrinting()
  return 0
}

async function refuseTaken(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw new UserError(`--out ${folder} cannot be written to: ${fileError(folder, error).message}`)
  })
  if (names.length > 0) throw new UserError(`${folder} exists and is not empty: an evaluation needs a folder of its own`)
}

/** What result.json and `--json` hold: figures by the names of `--best-metric`, null where one is not defined. */
function resultOf({ task, summary, main, interval }: Evaluated, model: string, data: string): Record<string, unknown> {
  return {
    model, data, task, rows: summary.rows,
    ...Object.fromEntries(Object.entries(summary.metrics).map(([name, value]) => [name, value ?? null])),
    interval: { metric: main, low: interval?.low ?? null, high: interval?.high ?? null },
    classes: summary.classes.map(({ rocAuc, averagePrecision, ...row }) =>
      ({ ...row, roc_auc: rocAuc ?? null, average_precision: averagePrecision ?? null })),
    ...summary.confusion && { confusion: summary.confusion },
  }
}

async function write(out: string, result: object, { inputs, scored }: Evaluated, { examples }: Labelled): Promise<void> {
  const lines = inputs.map((input, i) => `${printableJson({
    text: textOf(input), pair: typeof input !== 'string' && 'pair' in input ? input.pair : undefined,
    truth: examples[i].label, ...jsonOf(scored[i].answer),
  })}\n`)
  await writeAtomic(join(out, 'predictions.jsonl'), lines.join(''))
  await writeAtomic(join(out, 'result.json'), `${finiteJson(result, 'result.json', 2)}\n`)
}

/** Figures, scores of each class, and which classes are taken for which. */
function shown({ metrics: infos, summary, main, interval }: Evaluated): string {
  const { metrics, classes, confusion } = summary
  const figures = infos.map(info => [
    info.title, showFigure(info, metrics[info.name]),
    info.name === main && interval ? `(95 % interval ${showFigure(info, interval.low)} to ${showFigure(info, interval.high)})` : '',
  ])
  const parts = [table(figures)]
  if (classes.length > 0) {
    parts.push(table([
      ['class', 'precision', 'recall', 'F1', 'rows'],
      ...classes.map(({ name, precision, recall, f1, support }) =>
        [name, ...[precision, recall, f1].map(value => value.toFixed(4)), String(support)]),
    ]))
  }
  if (confusion && confusion.length <= MOST_CONFUSED) {
    const names = classes.map(({ name }) => name)
    parts.push(`Labels down, answers across:\n${table([['', ...names], ...confusion.map((row, i) => [names[i], ...row.map(String)])])}`)
  }
  return parts.join('\n\n')
}
