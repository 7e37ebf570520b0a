// `npm run tasks`: fine-tunes the bundled model on each of the five small data sets, one after another, and prints for each the best
// constant answer, the validation score (phrases that training has) and the test score (new phrases). Each run leaves a report.
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { UserError } from '../../../../engine/errors.ts'
import { showFigure } from '../../../metrics/summary.ts'
import { table } from '../../cli/console.ts'
import { runCommand } from '../../cli/main.ts'
import { print } from '../../cli/output.ts'
import { count, flag, helpOf, optional, parseTable, text } from '../../cli/table.ts'
import { chooseRunFolder } from '../../run/folder.ts'
import { type BundledTask, TASKS, argumentsOf, constantAnswer, dataOf } from './tasks.ts'

const CLI = fileURLToPath(new URL('../../cli/tilegrad.ts', import.meta.url))

const groups = {
  Options: {
    only: optional(text('A,B,…', 'names separated by commas'), `some of ${TASKS.map(({ name }) => name).join(', ')}`, 'all'),
    epochs: optional(count(1), 'passes over the training examples', 'what suits each task'),
    adapter: optional(text('NAME', "part of an adapter's name"), "part of an adapter's name", 'the fastest there is'),
    out: optional(text('FOLDER', 'a folder'), 'the folder for the runs', 'runs/<date>-tasks'),
    help: flag('print this and stop'),
  },
}

const resultSchema = z.object({
  adapter: z.string(), val_score: z.number().nullable(), test_metrics: z.record(z.string(), z.number().nullable()),
})

/** Trains one in a process of its own. Gives what its result says, and its seconds from start to end. */
async function train(task: BundledTask, out: string, more: readonly string[]): Promise<{ result: z.infer<typeof resultSchema>, seconds: number }> {
  const began = performance.now()
  const child = spawn(process.execPath, [CLI, 'fine-tune', ...argumentsOf(task, `--out=${out}`, ...more)], { stdio: ['ignore', 'ignore', 'inherit'] })
  const status = await new Promise<number | null>((done, failed) => child.once('error', failed).once('close', done))
  if (status !== 0) throw new UserError(`${task.name}: fine-tuning ended with status ${String(status)}`)
  const result = resultSchema.parse(JSON.parse(await readFile(join(out, 'result.json'), 'utf8')))
  return { result, seconds: (performance.now() - began) / 1000 }
}

async function main(argv: readonly string[]): Promise<number> {
  const options = parseTable(groups, argv)
  if (options.help) {
    await print(helpOf(groups, 'npm run -s tasks -- [options]', 'Fine-tunes the bundled model on each of five small data sets.'))
    return 0
  }
  const names = options.only?.split(',') ?? TASKS.map(({ name }) => name)
  const chosen = names.map(name => {
    const found = TASKS.find(task => task.name === name)
    if (!found) throw new UserError(`--only ${name}: there is no such task; there are ${TASKS.map(task => task.name).join(', ')}`)
    return found
  })
  const folder = await chooseRunFolder(options.out, 'tasks')
  const more = [...options.epochs === undefined ? [] : [`--epochs=${options.epochs}`], ...options.adapter === undefined ? [] : [`--adapter=${options.adapter}`]]
  const rows = [['data', 'task', 'train', 'test', 'metric', 'constant', 'validation', 'result', 'seconds']]
  let adapter = ''
  for (const task of chosen) {
    const data = await dataOf(task)
    const { metric, value } = constantAnswer(data)
    const { result, seconds } = await train(task, join(folder, task.name), more)
    adapter = result.adapter
    rows.push([
      task.name, data.plan.task, String(data.all.length), String(data.test.length), metric.title, showFigure(metric, value),
      showFigure(metric, result.val_score ?? undefined), showFigure(metric, result.test_metrics[metric.name] ?? undefined),
      seconds.toFixed(0),
    ])
  }
  await print(`${adapter}\n${table(rows)}\n\nReports: ${join(folder, '*', 'report.html')}\n`)
  return 0
}

await runCommand(main)
