// Measures what the first run says before it has measured anything (`settle.ts`): how long it takes, and what the same
// training gives from random weights. To be run again, on a machine that does nothing else, whenever the bundled model, the
// reviews or the options for them change:
//
//   node train/node/bundled/recorded/record.ts --where 'two cores with SwiftShader' --adapter SwiftShader
import { spawn } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { UserError } from '../../../../engine/errors.ts'
import { readJson, writeAtomic } from '../../../../models/node/files.ts'
import { adapterOption } from '../../cli/kinds.ts'
import { runCommand } from '../../cli/main.ts'
import { helpOf, flag, optional, parseTable, text } from '../../cli/table.ts'
import { print } from '../../cli/output.ts'

const groups = {
  Options: {
    where: optional(text('WORDS', 'a few words'), 'what the machine is, in a few words', 'required'),
    adapter: adapterOption,
    help: flag('print this and stop'),
  },
}

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const FOLDER = 'from-random-weights'

/** The arguments of the run, and those by which it is repeated on any machine. */
const ARGUMENTS = ['--bundled', '--compare-with=random']

const resultSchema = z.object({ compared_with: z.tuple([z.looseObject({ value: z.number(), seconds: z.number() })]) })
const configSchema = z.looseObject({
  options: z.looseObject({}),
  model: z.looseObject({}),
  data: z.looseObject({ labels: z.array(z.string()), test: z.looseObject({ rows: z.number() }) }),
})

async function main(argv: readonly string[]): Promise<number> {
  const { help, where, adapter } = parseTable(groups, argv)
  if (help) {
    const says = 'Records how long the first run takes, and what the same training gives from random weights.'
    await print(helpOf(groups, 'node train/node/bundled/recorded/record.ts [options]', says))
    return 0
  }
  if (where === undefined) throw new UserError('--where is missing')
  const folder = await mkdtemp(join(tmpdir(), 'tilegrad-record-'))
  try {
    const run = join(folder, 'run')
    const began = performance.now()
    await train([...ARGUMENTS, `--out=${run}`, ...(adapter === undefined ? [] : [`--adapter=${adapter}`])])
    const all = (performance.now() - began) / 1000
    const [{ value, seconds }] = resultSchema.parse(await readJson(join(run, 'result.json'))).compared_with
    await keep(join(run, FOLDER))
    await writeJson('time.json', { seconds: Math.round(all - seconds), where })
    await print(`${Math.round(all - seconds)} s; from random weights ${(100 * value).toFixed(2)} %\n`)
    return 0
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Runs the documented command, its output on the terminal. */
async function train(args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [at('../../../imdb.ts'), ...args], { stdio: 'inherit' })
  const status = await new Promise<number | null>((done, failed) => child.once('error', failed).once('close', done))
  if (status !== 0) throw new UserError(`the run ended with status ${String(status)}`)
}

/** Copies a run's folder, without what only holds on the machine where it was made. */
async function keep(from: string): Promise<void> {
  const { options, model, data, ...config } = configSchema.parse(await readJson(join(from, 'config.json')))
  const { data: _data, model: _model, out: _out, compareWith: _compareWith, ...settings } = options
  await mkdir(at(FOLDER), { recursive: true })
  await writeJson(`${FOLDER}/config.json`, {
    ...config,
    arguments: ARGUMENTS,
    options: settings,
    model: { ...model, name: 'bundled' },
    data: { task: data.task, labels: data.labels, test: data.test },
  })
  for (const name of ['result.json', 'predictions.jsonl']) await copyFile(join(from, name), at(`${FOLDER}/${name}`))
}

const writeJson = (path: string, value: object): Promise<void> =>
  writeAtomic(at(path), `${JSON.stringify(value, null, 2)}\n`)

await runCommand(main)
