// `npm run bench:peers`: the same work in tilegrad, jax-js and TensorFlow.js, each in a process of its own on the same
// adapter, taking turns call by call. Times are medians of wall time with the result read back; inputs are resident;
// first calls are reported separately. Answers must agree.
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type AdapterInfo, UserError } from '../../engine/index.ts'
import { Console, table } from '../../train/node/cli/console.ts'
import { runBench } from '../command.ts'
import { type Timing, timingOf } from '../measure.ts'
import { Progress } from '../progress.ts'
import { saveResults, settingOf } from '../results.ts'
import { ms } from '../text.ts'
import { type Agreement, agreement } from './agree.ts'
import { type Answers, TUNING } from './engine.ts'
import { PROBLEMS, operationsOf } from './problems.ts'
import type { Reply, Request } from './worker.ts'

const ENGINES = ['tilegrad', 'jax-js', 'tfjs']
const PACKAGES = [
  'node_modules/webgpu',
  ...['@jax-js/jax', '@tensorflow/tfjs', '@tensorflow/tfjs-backend-webgpu'].map(
    name => `bench/peers/node_modules/${name}`,
  ),
]
/** Largest difference of two engines' answers, of the largest number in them. */
const TOLERANCE = 1e-4
/**
 * Calls shorter than this many milliseconds are timed three times as often: reading back makes them as unsteady as
 * others are long.
 */
const SHORT = 50
/** A call that takes longer has hung. */
const LIMIT_SECONDS = 300
const COLD_PROBLEM = 'LoRA step'

const usage = `usage: npm run bench:peers -- [options]

Times the same work in tilegrad, jax-js and TensorFlow.js on one adapter and checks that their answers agree. A complete
run is kept in bench/results/.

  --only <parts>      only work whose name contains one of these, comma-separated
  --engines <names>   of ${ENGINES.join(', ')} (default: all)
  --rounds <n>        timed calls of each, at least 5 (default 7); three times as many where all take less than ${SHORT} ms
  --adapter <name>    part of a WebGPU adapter's name (default: TILEGRAD_ADAPTER, else the best)
  --no-cold           leaves out the cold starts
  --json              one JSON object as the last line on stdout; the table goes to stderr
  --help              this`

/** One engine's process. */
class Worker {
  readonly name: string
  readonly adapter: Promise<AdapterInfo>
  readonly #child: ChildProcess
  readonly #waiting = new Map<
    number,
    { resolve(reply: { milliseconds: number; answers?: Answers }): void; reject(error: Error): void }
  >()
  #next = 0

  constructor(name: string, adapter: string) {
    this.name = name
    this.#child = start([name, adapter])
    this.adapter = new Promise((resolve, reject) => {
      this.#child.on('message', (reply: Reply) => {
        if ('ready' in reply) return resolve(reply.adapter)
        if ('refused' in reply) return reject(reply.isUsers ? new UserError(reply.refused) : new Error(reply.refused))
        const waiting = this.#waiting.get(reply.id)
        this.#waiting.delete(reply.id)
        if ('error' in reply) waiting?.reject(new Error(reply.error))
        else waiting?.resolve(reply)
      })
      this.#child.on('exit', (code, signal) => {
        const gone = new Error(`the process of ${name} ended (${signal ?? `status ${code}`})`)
        reject(gone)
        for (const { reject } of this.#waiting.values()) reject(gone)
      })
    })
  }

  async call(problem: string, what: Request['what']): Promise<{ milliseconds: number; answers?: Answers }> {
    const id = this.#next++
    const request: Request = { id, problem, what }
    const reply = new Promise<{ milliseconds: number; answers?: Answers }>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#child.send(request, error => {
        if (error) reject(error)
      })
    })
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        this.#child.kill('SIGKILL')
        reject(new Error(`no answer in ${LIMIT_SECONDS} s`))
      }, LIMIT_SECONDS * 1000)
    })
    try {
      return await Promise.race([reply, late])
    } finally {
      clearTimeout(timer)
    }
  }

  end(): void {
    if (this.#child.connected) this.#child.disconnect()
  }
}

function start(args: readonly string[], env: NodeJS.ProcessEnv = process.env): ChildProcess {
  return fork(fileURLToPath(new URL('worker.ts', import.meta.url)), args, {
    serialization: 'advanced',
    env,
    // Peers print notes, and our stdout must stay machine-readable.
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
}

/** One engine on one problem. */
interface Measured {
  /** First call, in milliseconds: compiles, uploads excluded. */
  readonly first?: number
  readonly timing?: Timing
  /** Why there is no timing. */
  readonly failed?: string
}

interface Row {
  readonly problem: string
  readonly operations: number | undefined
  readonly engines: Readonly<Record<string, Measured>>
  /** Each peer's largest difference from tilegrad's answers, and where. */
  readonly differences: Readonly<Record<string, Agreement>>
}

async function compare(
  problem: string,
  workers: readonly Worker[],
  rounds: number,
  progress: (text: string) => void,
): Promise<Row> {
  const measured = new Map<string, { first?: number; samples: number[]; answers?: Answers; failed?: string }>()
  const each = async (what: string, action: (worker: Worker) => Promise<void>): Promise<void> => {
    for (const worker of workers) {
      const entry = measured.get(worker.name) ?? { samples: [] }
      measured.set(worker.name, entry)
      if (entry.failed) continue
      progress(`${problem}: ${worker.name}, ${what}`)
      await action(worker).catch(error => {
        entry.failed = error instanceof Error ? error.message : String(error)
      })
    }
  }
  const of = (worker: Worker): { first?: number; samples: number[]; answers?: Answers } =>
    measured.get(worker.name) ?? { samples: [] }
  await each('first call', async worker => {
    await worker.call(problem, 'load')
    of(worker).first = (await worker.call(problem, 'run')).milliseconds
  })
  let longest = 0
  await each('warming up', async worker => {
    longest = Math.max(longest, (await worker.call(problem, 'run')).milliseconds)
  })
  const calls = longest < SHORT ? 3 * rounds : rounds
  for (let round = 1; round <= calls; round++) {
    await each(`call ${round} of ${calls}`, async worker => {
      of(worker).samples.push((await worker.call(problem, 'run')).milliseconds)
    })
  }
  await each('answers', async worker => {
    of(worker).answers = (await worker.call(problem, 'answers')).answers
  })
  for (const worker of workers) await worker.call(problem, 'dispose').catch(() => undefined)

  const ours = measured.get('tilegrad')?.answers
  const differences = Object.fromEntries(
    [...measured].flatMap(([name, { answers }]) =>
      ours && answers && name !== 'tilegrad' ? [[name, agreement(ours, answers)] as const] : [],
    ),
  )
  const engines = Object.fromEntries(
    [...measured].map(([name, { first, samples, failed }]) => [
      name,
      failed ? { failed } : { first, timing: timingOf(samples) },
    ]),
  )
  return { problem, operations: operationsOf(PROBLEMS[problem]), engines, differences }
}

/**
 * Milliseconds from a process's start to its first step done: once with the driver's shader cache empty, then with it
 * filled.
 */
async function coldStart(engine: string, adapter: string): Promise<{ empty: number; filled: number }> {
  const cache = await mkdtemp(join(tmpdir(), 'tilegrad-cold-'))
  const env = { ...process.env, MESA_SHADER_CACHE_DIR: cache, __GL_SHADER_DISK_CACHE_PATH: cache }
  const one = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const began = performance.now()
      const child = start([engine, adapter, COLD_PROBLEM], env)
      const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_SECONDS * 1000)
      child.on('message', (reply: Reply) => {
        if ('refused' in reply) reject(new Error(reply.refused))
        else resolve(performance.now() - began)
        child.disconnect()
      })
      child.on('exit', (code, signal) => {
        clearTimeout(timer)
        reject(new Error(`the process of ${engine} ended (${signal ?? `status ${code}`})`))
      })
    })
  try {
    const empty = await one()
    return { empty, filled: timingOf([await one(), await one(), await one()]).median }
  } finally {
    await rm(cache, { recursive: true, force: true })
  }
}

function comparisonTable(rows: readonly Row[], engines: readonly string[]): string {
  const peers = engines.filter(name => name !== 'tilegrad')
  return table([
    ['median ms (first call)', ...engines, 'GFLOP/s', 'best peer ÷ ours', 'difference'],
    ...rows.map(({ problem, operations, engines: measured, differences }) => {
      const ours = measured.tilegrad?.timing?.median
      const times = peers.flatMap(name => measured[name]?.timing?.median ?? [])
      const worst = Math.max(...Object.values(differences).map(({ difference }) => difference))
      return [
        problem,
        ...engines.map(name => {
          const { first, timing, failed } = measured[name] ?? {}
          return failed ? 'failed' : timing && first ? `${ms(timing.median)} (${ms(first)})` : '–'
        }),
        operations && ours ? (operations / ours / 1e6).toFixed(1) : '–',
        ours && times.length > 0 ? `${(Math.min(...times) / ours).toFixed(2)}×` : '–',
        Object.keys(differences).length > 0 ? worst.toExponential(1) : '–',
      ]
    }),
  ])
}

/** Small expressions by how many are evaluated and read per second. */
function eagerTable(rows: readonly Row[], engines: readonly string[]): string | undefined {
  const shown = rows.flatMap(({ problem, engines: measured }) => {
    const { [problem]: work } = PROBLEMS
    if (work.kind !== 'eager') return []
    const rateOf = (name: string): number => {
      const median = measured[name]?.timing?.median
      return median ? (1000 * work.calls) / median : 0
    }
    const best = Math.max(...engines.filter(name => name !== 'tilegrad').map(rateOf))
    const ours = rateOf('tilegrad')
    return [
      [
        problem,
        ...engines.map(name => (rateOf(name) > 0 ? rateOf(name).toFixed(0) : '–')),
        ours && best ? `${(ours / best).toFixed(2)}×` : '–',
      ],
    ]
  })
  return shown.length > 0 ? table([['evaluations per second', ...engines, 'ours ÷ best peer'], ...shown]) : undefined
}

/** Lines about what did not work: runs that failed, and answers that are apart. */
function complaints(rows: readonly Row[]): { failures: string[]; disagreements: string[] } {
  const failures = rows.flatMap(({ problem, engines }) =>
    Object.entries(engines).flatMap(([name, { failed }]) => (failed ? [`${problem}: ${name} failed: ${failed}`] : [])),
  )
  const disagreements = rows.flatMap(({ problem, differences }) =>
    Object.entries(differences)
      .filter(([, { difference }]) => !(difference <= TOLERANCE))
      .map(
        ([name, { difference, where }]) =>
          `${problem}: ${name} differs from tilegrad by ${difference.toExponential(1)} in ${where}`,
      ),
  )
  return { failures, disagreements }
}

interface Options {
  readonly problems: readonly string[]
  /** Everything was asked for, so that the results are worth keeping. */
  readonly whole: boolean
  readonly engines: readonly string[]
  readonly rounds: number
  readonly adapter: string
  readonly cold: boolean
  readonly json: boolean
}

function optionsFrom(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      engines: { type: 'string' },
      rounds: { type: 'string' },
      adapter: { type: 'string' },
      cold: { type: 'boolean', default: true },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h' },
    },
    allowNegative: true,
  })
  if (values.help) return undefined
  const list = (text: string): string[] =>
    text
      .split(',')
      .map(part => part.trim())
      .filter(part => part !== '')
  const parts = list(values.only ?? '')
  const problems = Object.keys(PROBLEMS).filter(
    name => parts.length === 0 || parts.some(part => name.toLowerCase().includes(part.toLowerCase())),
  )
  if (problems.length === 0)
    throw new UserError(`--only ${values.only} names none of: ${Object.keys(PROBLEMS).join(', ')}`)
  const engines = values.engines === undefined ? ENGINES : list(values.engines)
  const unknown = engines.find(name => !ENGINES.includes(name))
  if (unknown !== undefined || engines.length === 0)
    throw new UserError(`--engines takes some of ${ENGINES.join(', ')}, not '${unknown ?? ''}'`)
  const rounds = Number(values.rounds ?? 7)
  if (!Number.isInteger(rounds) || rounds < 5)
    throw new UserError(`--rounds takes a whole number of at least 5, not '${values.rounds}'`)
  const whole = problems.length === Object.keys(PROBLEMS).length && engines.length === ENGINES.length && values.cold
  return {
    problems,
    whole,
    engines,
    rounds,
    adapter: values.adapter ?? process.env.TILEGRAD_ADAPTER ?? '',
    cold: values.cold,
    json: values.json,
  }
}

async function main(): Promise<void> {
  const options = optionsFrom(process.argv.slice(2))
  if (!options) {
    process.stdout.write(`${usage}\n`)
    return
  }
  const { problems, whole, engines, rounds, adapter, cold, json } = options
  const console = new Console(json)
  const progress = new Progress()
  const workers = engines.map(name => new Worker(name, adapter))
  const rows: Row[] = []
  const coldStarts: Record<string, { empty: number; filled: number } | { failed: string }> = {}
  const unstarted: string[] = []
  let info: AdapterInfo
  try {
    const infos: AdapterInfo[] = []
    const started = await Promise.allSettled(workers.map(worker => worker.adapter))
    started.forEach((one, i) => {
      if (one.status === 'fulfilled') infos.push(one.value)
      else if (one.reason instanceof UserError) throw one.reason
      else unstarted.push(`${workers[i].name} does not start: ${one.reason.message}`)
    })
    if (infos.length === 0) throw new UserError(unstarted[0])
    info = infos[0]
    const other = infos.find(({ name }) => name !== info.name)
    if (other) throw new UserError(`the engines found different adapters: ${info.name} and ${other.name}`)
    console.say(`${info.name}: ${rounds} calls each (${3 * rounds} of short ones), taking turns`)
    for (const [i, problem] of problems.entries()) {
      rows.push(
        await compare(problem, workers, rounds, text => progress.show(`${i + 1} of ${problems.length}  ${text}`)),
      )
    }
  } finally {
    for (const worker of workers) worker.end()
  }
  for (const engine of cold ? engines : []) {
    progress.show(`cold starts: ${engine}`)
    coldStarts[engine] = await coldStart(engine, adapter).catch((error: Error) => ({ failed: error.message }))
  }
  progress.clear()
  console.say(comparisonTable(rows, engines))
  const eager = eagerTable(rows, engines)
  if (eager) console.say(`\n${eager}`)
  if (cold) {
    console.say()
    console.say(
      table([
        [`process start to first ${COLD_PROBLEM}, ms`, ...engines],
        ...(['empty', 'filled'] as const).map(cache => [
          `driver's cache ${cache}`,
          ...engines.map(name => {
            const time = coldStarts[name]
            return 'failed' in time ? 'failed' : ms(time[cache])
          }),
        ]),
      ]),
    )
  }
  const { failures, disagreements } = complaints(rows)
  failures.unshift(...unstarted)
  for (const [engine, start] of Object.entries(coldStarts))
    if ('failed' in start) failures.push(`cold start: ${engine} failed: ${start.failed}`)
  for (const line of [...failures, ...disagreements]) console.say(line)
  const compared = rows.flatMap(({ differences }) => Object.keys(differences)).length
  const verdict = disagreements.length > 0 ? 'DISAGREE' : 'agree'
  console.say(
    compared > 0
      ? `Answers ${verdict} (${compared} compared, to ${TOLERANCE} of the largest number).`
      : 'No answers were compared.',
  )
  const results = { rounds, tolerance: TOLERANCE, tune_kernels: TUNING, rows, cold_starts: coldStarts }
  const setting = await settingOf(info, PACKAGES)
  const unsaved = !whole
    ? 'only a part was asked for'
    : failures.length > 0
      ? 'something failed'
      : disagreements.length > 0
        ? 'answers disagree'
        : undefined
  console.say(
    unsaved === undefined ? `Saved as ${await saveResults('peers', setting, results)}.` : `Not saved: ${unsaved}.`,
  )
  console.result({ setting, ...results })
  if (failures.length + disagreements.length > 0) process.exitCode = 1
}

await runBench('bench:peers', main)
