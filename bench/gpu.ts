// `npm run bench:gpu`: everything that needs a real GPU, in one command. Products against the measured peak, f16 against f32,
// DistilBERT's LoRA step with the share of time in which the GPU is busy, and where its time goes.
import { parseArgs } from 'node:util'
import { type KernelTime, UserError, compile, currentDevice } from '../engine/index.ts'
import { Console, percent, table } from '../train/node/cli/console.ts'
import { byLabel } from '../train/node/jobs/profile.ts'
import { openTimedDevice, tuningMode } from './adapter.ts'
import { type Ceilings, measureCeilings, shareOf } from './ceilings.ts'
import { runBench } from './command.ts'
import { Held } from './held.ts'
import { host } from './host.ts'
import { type Effort, type Timing, measure, measureKernels, sumOf, wake } from './measure.ts'
import { Progress } from './progress.ts'
import { dropResults, saveResults, settingOf } from './results.ts'
import { giga, megabytes, ms } from './text.ts'
import { type Bar, type Context, bar, barText } from './topic.ts'
import { prepareTraining, published } from './training.ts'

const usage = `usage: npm run bench:gpu -- [options]

Measures what only a real GPU shows: large products against its peak, f16 against f32, DistilBERT's LoRA step at batch 32.
Refuses a software adapter. The results are kept in bench/results/, those of a run that is cut short as gpu-partial-….

  --adapter <name>    part of a WebGPU adapter's name (default: TILEGRAD_ADAPTER, else the best)
  --smoke             the smallest sizes on any adapter, not kept: to see that it works
  --tune-kernels <m>  full: every candidate is measured first (default); cached or off, as in \`npm run bench\`
  --tune-seconds <n>  measures candidates for so long in all, and goes by guesses from there on (default: no end)
  --json              one JSON object as the last line on stdout; tables go to stderr
  --help              this`

/** What one run does. */
interface Sizes {
  readonly products: readonly number[]
  readonly batch: number
  readonly sequences: readonly number[]
  readonly model: string
  readonly effort: Effort
}

const REAL: Sizes = {
  products: [1024, 2048, 4096], batch: 32, sequences: [256, 512], model: 'distilbert-base-uncased', effort: { calls: 15, repeats: 5 },
}
const SMOKE: Sizes = {
  products: [128], batch: 1, sequences: [16], model: 'google/bert_uncased_L-2_H-128_A-2', effort: { calls: 3, repeats: 1 },
}
/** Kernels of a step that the table shows. */
const SHOWN = 14

type Float = 'f32' | 'f16'

interface ProductRow {
  readonly size: number
  readonly dtype: Float
  readonly kernels: readonly string[]
  readonly time: Timing
  readonly operations: number
  /** Of f32 multiply-adds in registers, whatever the dtype: matrix units pass it. */
  readonly share: number
}

async function products({ products: sizes, effort }: Sizes, dtypes: readonly Float[], ceilings: Ceilings): Promise<ProductRow[]> {
  const rows: ProductRow[] = []
  for (const size of sizes) {
    for (const dtype of dtypes) {
      const held = new Held()
      const [a, b] = [(await held.floats([size, size], dtype)).tensor, (await held.floats([size, size], dtype)).tensor]
      const fn = compile(() => ({ y: a.matmul(b) }))
      await wake(await currentDevice(), () => fn.profile())
      const time = await measureKernels(fn, effort)
      const { kernels } = await fn.profile()
      const operations = sumOf(kernels, kernel => kernel.operations ?? 0)
      const share = shareOf(ceilings, operations, 0, time.median)
      rows.push({ size, dtype, kernels: kernels.map(({ label }) => label), time, operations, share })
      held.release()
    }
  }
  return rows
}

interface StepRow {
  readonly batch: number
  readonly sequence: number
  readonly precision: Float
  /** Making the plan: choosing its kernels, by measuring where they are not known, and compiling them; then the first step. Milliseconds. */
  readonly planning: number
  readonly first: number
  readonly time: Timing
  /** Milliseconds of kernels in a step, by timestamps, each alone. */
  readonly kernelTime: number
  /** Of the step's wall time; more than 1 where kernels overlap when they aren't timed. */
  readonly busy: number
  readonly dispatches: number
  readonly peakBytes: number
  readonly loss: number
  readonly kernels: ReturnType<typeof byLabel>
}

async function step({ model, batch, effort }: Sizes, sequence: number, precision: Float): Promise<StepRow> {
  const training = await prepareTraining({ config: published(model), tuning: 'lora', batch, sequence, precision })
  try {
    let start = performance.now()
    const { dispatches, peakBytes } = await training.plan()
    const planning = performance.now() - start
    start = performance.now()
    const loss = await training.loss()
    const first = performance.now() - start
    await wake(await currentDevice(), () => training.step())
    const time = await measure(() => training.step(), effort)
    const profiles: (readonly KernelTime[])[] = []
    for (let i = 0; i < 3; i++) profiles.push(await training.profile())
    const total = (kernels: readonly KernelTime[]): number => sumOf(kernels, kernel => kernel.nanoseconds) / 1e6
    const [, kernels] = profiles.sort((a, b) => total(a) - total(b))
    const kernelTime = total(kernels)
    return {
      batch, sequence, precision, planning, first, time, kernelTime, busy: kernelTime / time.median, dispatches, peakBytes, loss,
      kernels: byLabel(kernels),
    }
  } finally {
    training.release()
  }
}

function productTable(rows: readonly ProductRow[]): string {
  const reference = (size: number): number | undefined => rows.find(row => row.size === size && row.dtype === 'f32')?.time.median
  return table([
    ['product', 'ms', 'GFLOP/s', 'of f32 peak', 'f32 ÷ this', 'kernels'],
    ...rows.map(({ size, dtype, kernels, time, operations, share }) => [
      `${size}³ ${dtype}`, ms(time.median), giga(operations, time.median), percent(share),
      `${((reference(size) ?? NaN) / time.median).toFixed(2)}×`, kernels.join(' + '),
    ]),
  ])
}

function stepTable(rows: readonly StepRow[]): string {
  return table([
    ['LoRA step', 'ms', 'tokens/s', 'examples/s', 'kernels ms', 'GPU busy', 'dispatches', 'peak MB', 'planning ms', 'first ms', 'loss'],
    ...rows.map(({ batch, sequence, precision, time, kernelTime, busy, dispatches, peakBytes, planning, first, loss }) => [
      `${batch} × ${sequence} ${precision}`, ms(time.median), (1000 * batch * sequence / time.median).toFixed(0),
      (1000 * batch / time.median).toFixed(1), ms(kernelTime), percent(busy), `${dispatches}`, megabytes(peakBytes), ms(planning), ms(first),
      loss.toFixed(4),
    ]),
  ])
}

/** What the product promises of a GPU: products near the peak, f16 by matrix units, no waiting for the host. */
function productBars(rows: readonly ProductRow[], matrices: boolean): Bar[] {
  const of = (dtype: Float): ProductRow | undefined => rows.filter(row => row.dtype === dtype).at(-1)
  const [single, half] = [of('f32'), of('f16')]
  return [
    ...(single ? [bar(`${single.size}³ f32: time, of what it takes at the measured peak`, 1 / single.share, 1 / 0.6, '×')] : []),
    ...(single && half && matrices ? [bar(`${half.size}³ f16 by matrix units: time, of that in f32`, half.time.median / single.time.median, 1 / 3, '×')] : []),
  ]
}

const stepBars = (rows: readonly StepRow[]): Bar[] => rows.map(({ batch, sequence, precision, busy }) =>
  bar(`${batch} × ${sequence} ${precision}: time in which the GPU has nothing to do`, 100 * (1 - busy), 10, '%'))

/** Where a step's time goes. */
function kernelTable({ kernels, kernelTime }: StepRow, ceilings: Ceilings): string {
  return table([
    ['kernel', 'count', 'ms', 'share', 'GFLOP/s', 'GB/s', 'of ceiling'],
    ...kernels.slice(0, SHOWN).map(({ label, count, nanoseconds, operations, bytes }) => {
      const time = nanoseconds / 1e6
      return [
        label, `${count}`, ms(time), percent(time / kernelTime), giga(operations, time), giga(bytes, time),
        percent(shareOf(ceilings, operations, bytes, time)),
      ]
    }),
  ])
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      adapter: { type: 'string' }, 'tune-kernels': { type: 'string' }, 'tune-seconds': { type: 'string' },
      smoke: { type: 'boolean', default: false }, json: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) {
    process.stdout.write(`${usage}\n`)
    return
  }
  const console = new Console(values.json)
  const tuning = tuningMode(values['tune-kernels'] ?? (values.smoke ? 'cached' : 'full'))
  const seconds = values['tune-seconds'] === undefined ? undefined : Number(values['tune-seconds'].trim() || NaN)
  if (seconds !== undefined && !(seconds >= 0)) throw new UserError(`--tune-seconds takes a number, not '${values['tune-seconds']}'`)
  const device = await openTimedDevice(values.adapter, tuning, seconds)
  const { info, traits } = device
  if (traits.cpu && !values.smoke) {
    device.close()
    throw new UserError(`${info.name} computes on the CPU, and this is for real GPUs: \`npm run bench\` measures any adapter`)
  }
  const sizes = values.smoke ? SMOKE : REAL
  const progress = new Progress()
  const show = (text: string): void => progress.show(text)
  const dtypes: readonly Float[] = traits.f16 ? ['f32', 'f16'] : ['f32']
  const matrix = traits.subgroupMatrix
  const [half, subgroups] = [traits.f16 ? 'yes' : 'no', traits.subgroupSize || 'varying size']
  const matrices = matrix ? `of ${matrix.m}×${matrix.n}×${matrix.k}` : 'none'
  console.say(`${info.name}${info.driver ? `, ${info.driver}` : ''}: f16 ${half}, subgroups of ${subgroups}, subgroup matrices ${matrices}`)

  show('ceilings')
  const ceilings = await measureCeilings(device)
  const ofHalf = ceilings.halfOperations ? `, ${giga(ceilings.halfOperations, 1000)} of f16` : ''
  console.say(`Measured here: ${giga(ceilings.operations, 1000)} GFLOP/s of f32 multiply-adds in registers${ofHalf}, `
    + `${giga(ceilings.bytes, 1000)} GB/s copied.`)
  show('products')
  const productRows = await products(sizes, dtypes, ceilings)
  progress.clear()
  console.say(`\n${productTable(productRows)}`)

  const stepRows: StepRow[] = []
  const failed: Record<string, string> = {}
  const setting = await settingOf(info, ['node_modules/webgpu'])
  const found = { tune_kernels: tuning, subgroup_matrix: matrix ?? null, ceilings, products: productRows, steps: stepRows, failed }
  // A long run may be cut short: what was measured so far is on disk.
  const savePart = async (): Promise<void> => { if (!values.smoke) await saveResults('gpu-partial', setting, found) }
  await savePart()
  for (const sequence of sizes.sequences) {
    for (const precision of dtypes) {
      show(`${sizes.model}, ${sizes.batch} × ${sequence}, ${precision}`)
      try {
        stepRows.push(await step(sizes, sequence, precision))
      } catch (error) {
        // What the adapter can't hold must not cost the rest.
        if (!(error instanceof UserError)) throw error
        failed[`${sizes.batch} × ${sequence} ${precision}`] = error.message
        process.exitCode = 1
      }
      await savePart()
    }
  }
  progress.clear()
  console.say(`\n${stepTable(stepRows)}`)
  for (const [step, reason] of Object.entries(failed)) console.say(`${step} failed: ${reason}`)
  for (const row of stepRows) {
    console.say(`\n${row.batch} × ${row.sequence} ${row.precision}, the longest of ${row.kernels.length} kernels:\n${kernelTable(row, ceilings)}`)
  }

  const context: Context = {
    device, scale: values.smoke ? 'quick' : 'full', effort: sizes.effort, ceilings: async () => ceilings,
    progress: what => show(`the host's work ${what}`),
  }
  const hostFound = await host.run(context)
  progress.clear()
  console.say(`\n${host.title}\n${table(hostFound.rows)}`)

  const bars = values.smoke ? hostFound.bars : [...productBars(productRows, matrix !== undefined), ...stepBars(stepRows), ...hostFound.bars]
  console.say()
  for (const bar of bars) console.say(barText(bar))
  const results = { ...found, bars, host: hostFound.data }
  if (values.smoke) console.say('\nNot saved: the sizes were the smallest.')
  else if (Object.keys(failed).length > 0) console.say(`\nNot all of it could be measured: kept as ${await saveResults('gpu-partial', setting, results)}.`)
  else {
    console.say(`\nSaved as ${await saveResults('gpu', setting, results)}.`)
    await dropResults('gpu-partial', setting)
  }
  console.result({ setting, ...results })
  device.close()
}

await runBench('bench:gpu', main)
