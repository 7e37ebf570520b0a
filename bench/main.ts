// `npm run bench`: kernels, LoRA's fusion, training steps, how cost grows, the host's own work, memory. Tables on stdout, the
// same numbers as JSON in bench/results/.
import { parseArgs } from 'node:util'
import { type TuningMode, UserError } from '../engine/index.ts'
import { Console, table } from '../train/node/cli/console.ts'
import { openTimedDevice, tuningMode } from './adapter.ts'
import { type Ceilings, measureCeilings } from './ceilings.ts'
import { runBench } from './command.ts'
import { growth } from './growth.ts'
import { host } from './host.ts'
import { kernels } from './kernels.ts'
import { lora } from './lora.ts'
import type { Effort } from './measure.ts'
import { memory } from './memory.ts'
import { Progress } from './progress.ts'
import { saveResults, settingOf } from './results.ts'
import { steps } from './steps.ts'
import { type Context, type Findings, type Scale, type Topic, barText } from './topic.ts'

/** In the order in which they run. */
const TOPICS: Readonly<Record<string, Topic>> = { kernels, lora, steps, growth, host, memory }

const EFFORTS: Readonly<Record<Scale, Effort>> = {
  quick: { calls: 3, repeats: 1 },
  reduced: { calls: 5, repeats: 1 },
  full: { calls: 15, repeats: 4 },
}

/** Operations a second that a CPU adapter must reach for the reduced sizes to take minutes, not hours. */
const REDUCED_FROM = 50e9

const usage = `usage: npm run bench -- [options]

Measures tilegrad on one adapter: every kernel and the training steps. On an adapter that computes on the CPU sizes are
reduced, or the smallest where it is slow, so that it takes some minutes. A complete run that is not of the smallest is kept
in bench/results/.

  --only <topics>     some of ${Object.keys(TOPICS).join(', ')}; comma-separated
  --sizes <s>         full, reduced or quick, in place of what suits the adapter
  --quick             --sizes quick, the smallest and few calls: to see that it works, not to be believed
  --adapter <name>    part of a WebGPU adapter's name (default: TILEGRAD_ADAPTER, else the best)
  --tune-kernels <m>  cached: by what was measured on this adapter before, and on a GPU 3 seconds more (default);
                      full: everything is measured first; off: best guesses
  --json              one JSON object as the last line on stdout; tables go to stderr
  --help              this`

interface Options {
  readonly topics: readonly string[]
  /** What suits the adapter, where left out. */
  readonly sizes: Scale | undefined
  readonly adapter: string | undefined
  readonly tuning: TuningMode
  readonly json: boolean
}

function optionsFrom(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' }, quick: { type: 'boolean' }, sizes: { type: 'string' }, adapter: { type: 'string' },
      'tune-kernels': { type: 'string', default: 'cached' }, json: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) return undefined
  const names = Object.keys(TOPICS)
  const wanted = values.only === undefined ? names : values.only.split(',').map(part => part.trim())
  const unknown = wanted.find(name => !names.includes(name))
  if (unknown !== undefined) throw new UserError(`--only takes some of ${names.join(', ')}, not '${unknown}'`)
  const sizes = values.quick ? 'quick' : values.sizes
  if (sizes !== undefined && !isScale(sizes)) throw new UserError(`--sizes takes ${Object.keys(EFFORTS).join(', ')}, not '${sizes}'`)
  return {
    topics: names.filter(name => wanted.includes(name)), sizes, adapter: values.adapter,
    tuning: tuningMode(values['tune-kernels']), json: values.json,
  }
}

function isScale(text: string): text is Scale {
  return Object.hasOwn(EFFORTS, text)
}

async function main(): Promise<void> {
  const options = optionsFrom(process.argv.slice(2))
  if (!options) {
    process.stdout.write(`${usage}\n`)
    return
  }
  const { topics, sizes, adapter, tuning, json } = options
  const console = new Console(json)
  const device = await openTimedDevice(adapter, tuning)
  const progress = new Progress()
  let measured: Promise<Ceilings> | undefined
  const ceilings = (): Promise<Ceilings> => measured ??= measureCeilings(device)
  const scale = sizes ?? (!device.traits.cpu ? 'full' : (await ceilings()).operations >= REDUCED_FROM ? 'reduced' : 'quick')
  console.say(`${device.info.name}, ${scale} sizes${sizes || scale === 'full' ? '' : ': this adapter computes on the CPU'}`)
  const found: Record<string, Findings> = {}
  const failed: Record<string, string> = {}
  for (const [i, name] of topics.entries()) {
    const context: Context = {
      device, scale, effort: EFFORTS[scale],
      ceilings,
      progress: (what, done, total) => progress.show(`${i + 1} of ${topics.length} topics  ${name} ${done + 1} of ${total}: ${what}`),
    }
    try {
      const findings = await TOPICS[name].run(context)
      found[name] = findings
      progress.clear()
      console.say(`\n${TOPICS[name].title}\n\n${table(findings.rows)}`)
      for (const note of findings.notes) console.say(note)
      for (const bar of findings.bars) console.say(barText(bar))
    } catch (error) {
      // What this adapter can't do must not cost the other topics.
      if (!(error instanceof UserError)) throw error
      progress.clear()
      console.say(`\n${TOPICS[name].title}\n\nFailed: ${error.message}`)
      failed[name] = error.message
      process.exitCode = 1
    }
  }
  const setting = await settingOf(device.info, ['node_modules/webgpu'])
  const results = {
    scale, tune_kernels: tuning, ceilings: measured ? await measured : null,
    bars: Object.values(found).flatMap(({ bars }) => bars),
    results: Object.fromEntries(Object.entries(found).map(([name, { data }]) => [name, data])), failed,
  }
  const unsaved = scale === 'quick' ? 'the sizes were the smallest' : topics.length < Object.keys(TOPICS).length ? 'only a part was asked for'
    : Object.keys(failed).length > 0 ? `${Object.keys(failed).join(', ')} failed` : undefined
  console.say(`\n${unsaved === undefined ? `Saved as ${await saveResults('bench', setting, results)}` : `Not saved: ${unsaved}`}.`)
  console.result({ setting, ...results })
  device.close()
}

await runBench('bench', main)
