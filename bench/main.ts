// The runner of `npm run bench` and `npm run bench:gpu` (`main.ts gpu`): runs the topics of a preset one after another
// and prints their tables on stdout. A complete run writes the same numbers as JSON to bench/results/.
import { parseArgs } from 'node:util'
import { type Device, type TuningMode, UserError } from '../engine/index.ts'
import { type Ceilings, measureCeilings } from '../engine/runtime/ceilings.ts'
import { Console, table } from '../train/node/cli/console.ts'
import { openTimedDevice, tuningMode } from './adapter.ts'
import { runBench } from './command.ts'
import type { Effort } from './measure.ts'
import { PRESETS, type Preset } from './presets.ts'
import { Progress } from './progress.ts'
import { dropResults, saveResults, settingOf } from './results.ts'
import { type Bar, type Context, type Findings, type Scale, barText } from './topic.ts'

const EFFORTS: Readonly<Record<Scale, Effort>> = {
  quick: { calls: 3, repeats: 1 },
  reduced: { calls: 5, repeats: 1 },
  full: { calls: 15, repeats: 4 },
}

/** Operations per second that a CPU adapter must reach for the reduced sizes to take minutes, not hours. */
const REDUCED_FROM = 50e9

const usageOf = ({
  command,
  introduction,
  topics,
  tuning,
  needsGpu,
}: Preset): string => `usage: npm run ${command} -- [options]

${introduction} A complete run of more than the smallest sizes is kept in bench/results/; what
a run has measured when it is interrupted, or when part of it fails, is kept there as …-partial-….

  --only <topics>     some of ${Object.keys(topics).join(', ')}; comma-separated
  --sizes <s>         full, reduced or quick (default: ${needsGpu ? 'full' : 'what suits the adapter'})
  --quick, --smoke    --sizes quick: the smallest sizes and few calls, to see that everything works
  --adapter <name>    part of a WebGPU adapter's name (default: TILEGRAD_ADAPTER, else the best)
  --tune-kernels <m>  cached: kernels as measured on this adapter before, and on a GPU 3 more seconds of measuring;
                      full: measure every candidate first; off: best guesses (default: ${tuning}${tuning === 'full' ? '; with --quick cached' : ''})
  --tune-seconds <n>  measure candidates for at most this many seconds in all
  --json              one JSON object as the last line on stdout; tables go to stderr
  --help              this`

interface Options {
  readonly topics: readonly string[]
  /** Undefined for what suits the adapter. */
  readonly sizes: Scale | undefined
  readonly adapter: string | undefined
  readonly tuning: TuningMode
  readonly tuningSeconds: number | undefined
  readonly json: boolean
}

function optionsFrom(preset: Preset, args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      quick: { type: 'boolean' },
      smoke: { type: 'boolean' },
      sizes: { type: 'string' },
      adapter: { type: 'string' },
      'tune-kernels': { type: 'string' },
      'tune-seconds': { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) return undefined
  const names = Object.keys(preset.topics)
  const wanted = values.only === undefined ? names : values.only.split(',').map(part => part.trim())
  const unknown = wanted.find(name => !names.includes(name))
  if (unknown !== undefined) throw new UserError(`--only takes some of ${names.join(', ')}, not '${unknown}'`)
  const sizes = values.quick || values.smoke ? 'quick' : values.sizes
  if (sizes !== undefined && !isScale(sizes))
    throw new UserError(`--sizes takes ${Object.keys(EFFORTS).join(', ')}, not '${sizes}'`)
  const seconds = values['tune-seconds']
  const tuningSeconds = seconds === undefined ? undefined : Number(seconds.trim() || NaN)
  if (tuningSeconds !== undefined && !(tuningSeconds >= 0))
    throw new UserError(`--tune-seconds takes a number, not '${seconds}'`)
  const tuning = tuningMode(values['tune-kernels'] ?? (sizes === 'quick' ? 'cached' : preset.tuning))
  return {
    topics: names.filter(name => wanted.includes(name)),
    sizes,
    adapter: values.adapter,
    tuning,
    tuningSeconds,
    json: values.json,
  }
}

function isScale(text: string): text is Scale {
  return Object.hasOwn(EFFORTS, text)
}

/** The adapter and what it offers, in one line. */
function describe({ info, traits }: Device): string {
  const { subgroupMatrix: matrix } = traits
  return (
    `${info.name}${info.driver ? `, ${info.driver}` : ''}: f16 ${traits.f16 ? 'yes' : 'no'}, ` +
    `subgroups of ${traits.subgroupSize || 'varying size'}, subgroup matrices ${matrix ? `of ${matrix.m}×${matrix.n}×${matrix.k}` : 'none'}`
  )
}

async function main(preset: Preset, args: readonly string[]): Promise<void> {
  const options = optionsFrom(preset, args)
  if (!options) {
    process.stdout.write(`${usageOf(preset)}\n`)
    return
  }
  const { topics, sizes, tuning, json } = options
  const console = new Console(json)
  const device = await openTimedDevice(options.adapter, tuning, options.tuningSeconds)
  const { info, traits } = device
  if (preset.needsGpu && traits.cpu && sizes === undefined) {
    device.close()
    throw new UserError(
      `${info.name} computes on the CPU, and this is for real GPUs: \`npm run bench\` measures any adapter`,
    )
  }
  const progress = new Progress()
  let measured: Ceilings | undefined
  const ceilings = async (): Promise<Ceilings> => (measured ??= await measureCeilings(device))
  const scale = sizes ?? (!traits.cpu ? 'full' : (await ceilings()).operations >= REDUCED_FROM ? 'reduced' : 'quick')
  console.say(describe(device))
  console.say(`${scale} sizes${sizes || scale === 'full' ? '' : ': this adapter computes on the CPU'}`)

  const data: Record<string, object> = {}
  const bars: Bar[] = []
  const failed: Record<string, string> = {}
  const setting = await settingOf(info, ['node_modules/webgpu'])
  const results = (): object =>
    preset.layout({ scale, tuning, ceilings: measured, matrix: traits.subgroupMatrix, bars, data, failed })
  const unkept =
    scale === 'quick'
      ? 'the sizes were the smallest'
      : topics.length < Object.keys(preset.topics).length
        ? 'only a part was asked for'
        : undefined
  const partial = `${preset.file}-partial`
  for (const [i, name] of topics.entries()) {
    const topic = preset.topics[name]
    const context: Context = {
      device,
      scale,
      effort: EFFORTS[scale],
      ceilings,
      progress: (what, done, total) =>
        progress.show(`${i + 1} of ${topics.length} topics  ${name} ${done + 1} of ${total}: ${what}`),
      async savePart(part) {
        data[name] = part
        if (unkept === undefined) await saveResults(partial, setting, results())
      },
    }
    try {
      const findings = await topic.run(context)
      progress.clear()
      show(console, topic.title, findings)
      bars.push(...findings.bars)
      Object.assign(failed, findings.failed)
      await context.savePart(findings.data)
    } catch (error) {
      // A topic that this adapter can't run must not end the others.
      if (!(error instanceof UserError)) throw error
      progress.clear()
      console.say(`\n${topic.title}\n\nFailed: ${error.message}`)
      failed[name] = error.message
    }
  }
  const failures = Object.keys(failed)
  if (failures.length > 0) process.exitCode = 1
  if (unkept !== undefined) console.say(`\nNot saved: ${unkept}.`)
  else if (failures.length > 0)
    console.say(
      `\n${failures.join(', ')} failed; the rest is saved as ${await saveResults(partial, setting, results())}.`,
    )
  else {
    console.say(`\nSaved as ${await saveResults(preset.file, setting, results())}.`)
    await dropResults(partial, setting)
  }
  console.result({ setting, ...results() })
  device.close()
}

function show(console: Console, title: string, { rows, notes, more = [], bars, failed = {} }: Findings): void {
  console.say(`\n${title}\n\n${table(rows)}`)
  for (const note of notes) console.say(note)
  for (const section of more) console.say(`\n${section.title}\n\n${table(section.rows)}`)
  for (const [what, reason] of Object.entries(failed)) console.say(`${what} failed: ${reason}`)
  for (const bar of bars) console.say(barText(bar))
}

const isGpu = process.argv[2] === 'gpu'
const preset = isGpu ? PRESETS.gpu : PRESETS.all
await runBench(preset.command, () => main(preset, process.argv.slice(isGpu ? 3 : 2)))
