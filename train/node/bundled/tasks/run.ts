// `npm run tasks`: fine-tunes the bundled model on each of the five small data sets, one after another. Prints the
// score of the best constant answer, the score on the test set, and that on rows made of phrases that training does not
// have. Each run leaves a report.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { UserError } from '../../../../engine/errors.ts'
import { readJson } from '../../../../models/node/files.ts'
import { showFigure } from '../../../metrics/summary.ts'
import { adapterOption } from '../../cli/kinds.ts'
import { table } from '../../cli/console.ts'
import { runCommand } from '../../cli/main.ts'
import { print } from '../../cli/output.ts'
import { count, flag, helpOf, optional, parseTable, text } from '../../cli/table.ts'
import { chooseRunFolder } from '../../run/folder.ts'
import { type BundledTask, TASKS, argumentsOf, constantScore, dataOf } from './tasks.ts'

const CLI = fileURLToPath(new URL('../../cli/tilegrad.ts', import.meta.url))

const NAMES = TASKS.map(({ name }) => name).join(', ')

const groups = {
  Options: {
    only: optional(text('A,B,…', 'names separated by commas'), `some of ${NAMES}`, 'all'),
    epochs: optional(count(1), 'passes over the training examples', 'what suits each task'),
    adapter: adapterOption,
    out: optional(text('FOLDER', 'a folder'), 'the folder for the runs', 'runs/<date>-tasks'),
    help: flag('print this and stop'),
  },
}

const resultSchema = z.object({ adapter: z.string(), test_metrics: z.record(z.string(), z.number().nullable()) })

/** One command of `tilegrad` in a process of its own. */
async function tilegrad(task: BundledTask, command: string, args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [CLI, command, ...args], { stdio: ['ignore', 'ignore', 'inherit'] })
  const status = await new Promise<number | null>((done, failed) => child.once('error', failed).once('close', done))
  if (status !== 0) throw new UserError(`${task.name}: ${command} ended with status ${String(status)}`)
}

/** Trains one in the folder `out`. Returns its result.json, and how long it took. */
async function train(
  task: BundledTask,
  out: string,
  more: readonly string[],
): Promise<{ result: z.infer<typeof resultSchema>; seconds: number }> {
  const began = performance.now()
  await tilegrad(task, 'fine-tune', argumentsOf(task, `--out=${out}`, ...more))
  const result = resultSchema.parse(await readJson(join(out, 'result.json')))
  return { result, seconds: (performance.now() - began) / 1000 }
}

/** A metric of a run on the rows made of new phrases. */
async function onNewPhrases(
  task: BundledTask,
  run: string,
  metric: string,
  more: readonly string[],
): Promise<number | undefined> {
  const out = join(run, 'new-phrases')
  await tilegrad(task, 'evaluate', [run, `--data=${task.newPhrases}`, ...task.columns, `--out=${out}`, ...more])
  const figures = z.looseObject({}).parse(await readJson(join(out, 'result.json')))
  return z.number().nullish().parse(figures[metric]) ?? undefined
}

async function main(argv: readonly string[]): Promise<number> {
  const options = parseTable(groups, argv)
  if (options.help) {
    const says = 'Fine-tunes the bundled model on each of five small data sets.'
    await print(helpOf(groups, 'npm run -s tasks -- [options]', says))
    return 0
  }
  const names = options.only?.split(',') ?? TASKS.map(({ name }) => name)
  const chosen = names.map(name => {
    const found = TASKS.find(task => task.name === name)
    if (!found) throw new UserError(`--only ${name}: there is no such task; there are ${NAMES}`)
    return found
  })
  const folder = await chooseRunFolder(options.out, 'tasks')
  const onAdapter = options.adapter === undefined ? [] : [`--adapter=${options.adapter}`]
  const more = [...(options.epochs === undefined ? [] : [`--epochs=${options.epochs}`]), ...onAdapter]
  const rows = [['data', 'task', 'train', 'test', 'metric', 'constant', 'result', 'new phrases', 'seconds']]
  let adapter = ''
  for (const task of chosen) {
    const data = await dataOf(task)
    const { metric, value } = constantScore(data)
    const run = join(folder, task.name)
    const { result, seconds } = await train(task, run, more)
    const unseen = await onNewPhrases(task, run, metric.name, onAdapter)
    adapter = result.adapter
    rows.push([
      task.name,
      data.plan.task,
      String(data.all.length),
      String(data.test.length),
      metric.title,
      showFigure(metric, value),
      showFigure(metric, result.test_metrics[metric.name] ?? undefined),
      showFigure(metric, unseen),
      seconds.toFixed(0),
    ])
  }
  await print(`${adapter}\n${table(rows)}\n\nReports: ${join(folder, '*', 'report.html')}\n`)
  return 0
}

await runCommand(main)
