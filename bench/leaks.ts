// `npm run bench:leaks`: what thousands of calls leave behind once garbage is collected: GPU buffers and their bytes,
// the JavaScript heap, the process's memory. The first calls fill caches and do not count.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Device, UserError, compile, openDevice, tensor, useDevice, variable } from '../engine/node/index.ts'
import { openAdapter } from '../engine/node/adapters.ts'
import { collectGarbage } from '../engine/runtime/garbage.ts'
import type { Tensor } from '../engine/tensor.ts'
import { Console, table } from '../train/node/cli/console.ts'
import { runBench } from './command.ts'
import { Progress } from './progress.ts'
import { type Bar, bar, barText } from './topic.ts'

const usage = `usage: npm run bench:leaks -- [options]

Calls the engine some thousands of times, as a long program would, and shows what is left of it after a garbage collection.
Exit status 1 where anything grows.

  --calls <n>         calls of each kind, at least 100 (default 5000)
  --adapter <name>    part of a WebGPU adapter's name (default: TILEGRAD_ADAPTER, else the best)
  --json              one JSON object as the last line on stdout; the table goes to stderr
  --help              this`

/** One kind of call; `i` counts up. */
type Call = (i: number) => Promise<unknown>

/** What the process holds. */
interface Held {
  /** GPU buffers in use; free ones wait for reuse, a bounded number of them. */
  readonly buffers: number
  /** Of all buffers. */
  readonly gpuBytes: number
  readonly heap: number
  readonly rss: number
}

interface Row {
  readonly what: string
  readonly calls: number
  readonly perSecond: number
  readonly before: Held
  readonly after: Held
  /** From round to round: the medians. What leaks grows in all of them; what an allocator keeps comes once. */
  readonly growth: Held
}

/** Rounds that the calls are made in, each ending with a collection. */
const ROUNDS = 5

/** More than there are plans kept for eager calls. */
const SHAPES = 150
/** Calls that fill caches, at least. */
const WARMING = 160

/** What may come in a round for reasons other than a leak: free buffers, optimised code, allocators' pages. */
const MOST: Held = { buffers: 2, gpuBytes: 2 ** 19, heap: 5e5, rss: 4e6 }

const kinds = (variables: readonly Tensor[]): Readonly<Record<string, Call>> => ({
  'eager, other numbers': i => variables[0].mul(i).add(1).tanh().sum().item(),
  'eager, other small host data': i => tensor([i, 1, 2, 3]).mul(2).add(i).sum().item(),
  'eager, 1 MiB of host data': i =>
    tensor(new Float32Array(1 << 18).fill(i))
      .add(1)
      .sum()
      .item(),
  'eager, other shapes': i =>
    tensor(new Float32Array(1 + (i % SHAPES)))
      .add(1)
      .sum()
      .item(),
  'compiled functions, forgotten': i => compiledOnce(i, x => x.mul(variables[0]).add(i).sum()),
  'one compiled function, results unread': i => kept(tensor([i])),
  'variables, forgotten': i => variable({ shape: [256], dtype: 'f32' }, 'v').write(Float32Array.of(i)),
})

const compiledOnce = async (i: number, fn: (x: Tensor) => Tensor): Promise<number> =>
  (await compile(fn)(tensor([i]))).item()
const kept = compile((x: Tensor) => x.mul(2).add(1))

async function held({ buffers }: Device): Promise<Held> {
  await collectGarbage()
  await collectGarbage()
  const { heapUsed, external, rss } = process.memoryUsage()
  return { buffers: buffers.live, gpuBytes: buffers.bytes, heap: heapUsed + external, rss }
}

async function measure(device: Device, what: string, calls: number, call: Call, progress: Progress): Promise<Row> {
  const round = async (count: number): Promise<number> => {
    const start = performance.now()
    for (let i = 0; i < count; i++) {
      if (i % 100 === 0) progress.show(`${what}: ${i} of ${count}`)
      await call(i)
    }
    return (1000 * count) / (performance.now() - start)
  }
  await round(Math.max(WARMING, Math.ceil(calls / 2)))
  const all = [await held(device)]
  const rates: number[] = []
  for (let i = 0; i < ROUNDS; i++) {
    rates.push(await round(Math.ceil(calls / ROUNDS)))
    all.push(await held(device))
  }
  const grown = (key: keyof Held): number => median(all.slice(1).map((one, i) => one[key] - all[i][key]))
  return {
    what,
    calls,
    perSecond: median(rates),
    before: all[0],
    after: all[ROUNDS],
    growth: { buffers: grown('buffers'), gpuBytes: grown('gpuBytes'), heap: grown('heap'), rss: grown('rss') },
  }
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]

const mega = (bytes: number): string => (bytes / 1e6).toFixed(1)

function barsOf({ what, growth }: Row): Bar[] {
  return [
    bar(`${what}: buffers more a round`, growth.buffers, MOST.buffers, 'buffers'),
    ...(
      [
        ['gpuBytes', 'GPU memory'],
        ['heap', 'heap'],
        ['rss', 'process memory'],
      ] as const
    ).map(([key, shown]) => bar(`${what}: ${shown} more a round`, growth[key] / 1e6, MOST[key] / 1e6, 'MB')),
  ]
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      calls: { type: 'string', default: '5000' },
      adapter: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) {
    process.stdout.write(`${usage}\n`)
    return
  }
  const calls = Number(values.calls)
  if (!Number.isInteger(calls) || calls < 100)
    throw new UserError(`--calls takes a whole number of at least 100, not '${values.calls}'`)
  const { adapter, info } = await openAdapter({ name: values.adapter })
  const device = await openDevice(adapter, info)
  useDevice(device)
  const console = new Console(values.json)
  const progress = new Progress()
  const resident = variable({ shape: [256], dtype: 'f32' }, 'resident')
  const rows: Row[] = []
  for (const [what, call] of Object.entries(kinds([resident.tensor])))
    rows.push(await measure(device, what, calls, call, progress))
  progress.clear()
  device.close()
  console.say(`${info.name}: ${calls} calls of each kind`)
  console.say(
    table([
      ['before → after', 'calls/s', 'buffers in use', 'GPU MB', 'heap MB', 'process MB'],
      ...rows.map(({ what, perSecond, before, after }) => [
        what,
        perSecond.toFixed(0),
        `${before.buffers} → ${after.buffers}`,
        `${mega(before.gpuBytes)} → ${mega(after.gpuBytes)}`,
        `${mega(before.heap)} → ${mega(after.heap)}`,
        `${mega(before.rss)} → ${mega(after.rss)}`,
      ]),
    ]),
  )
  const bars = rows.flatMap(barsOf)
  const missed = bars.filter(({ met }) => !met)
  for (const one of missed) console.say(barText(one))
  console.say(missed.length === 0 ? 'Nothing grows.' : `${missed.length} of ${bars.length} grow.`)
  console.result({ adapter: info, rows, bars })
  if (missed.length > 0) process.exitCode = 1
}

/**
 * Stops allocators from growing independently of leaks: V8's young generation doubles, glibc has an arena per thread.
 */
async function inProcessOfItsOwn(): Promise<void> {
  const child = spawn(
    process.execPath,
    ['--max-semi-space-size=1', fileURLToPath(import.meta.url), ...process.argv.slice(2)],
    {
      stdio: 'inherit',
      env: { ...process.env, MALLOC_ARENA_MAX: '1' },
    },
  )
  const [status] = (await once(child, 'exit')) as [number | null]
  process.exitCode = status ?? 1
}

await runBench('bench:leaks', process.env.MALLOC_ARENA_MAX === '1' ? main : inProcessOfItsOwn)
