// Large square matmuls in f32 and f16, compared with the measured f32 peak.
import { compile, currentDevice } from '../../engine/index.ts'
import { shareOf, wake } from '../../engine/runtime/ceilings.ts'
import { percent } from '../../train/node/cli/console.ts'
import { Held } from '../held.ts'
import { type Timing, measureKernels, sumOf } from '../measure.ts'
import { ceilingsText, giga, ms } from '../text.ts'
import { type Bar, type Context, type Findings, type Float, type Scale, type Topic, bar, floatsOf } from '../topic.ts'

const SIZES: Readonly<Record<Scale, readonly number[]>> = {
  quick: [128],
  reduced: [256, 512],
  full: [1024, 2048, 4096],
}

interface Row {
  readonly size: number
  readonly dtype: Float
  readonly kernels: readonly string[]
  /** Milliseconds. */
  readonly time: Timing
  readonly operations: number
  /** Of f32 multiply-adds in registers, whatever the dtype: matrix units exceed it. */
  readonly share: number
}

export const products: Topic = {
  title: 'Products of square matrices: device time by timestamps',
  async run(context): Promise<Findings> {
    const points = SIZES[context.scale].flatMap(size => floatsOf(context.device).map(dtype => ({ size, dtype })))
    const rows: Row[] = []
    for (const [i, { size, dtype }] of points.entries()) {
      context.progress(`${size}³ ${dtype}`, i, points.length)
      rows.push(await timeProduct(context, size, dtype))
    }
    const f32Of = (size: number): number | undefined =>
      rows.find(row => row.size === size && row.dtype === 'f32')?.time.median
    return {
      rows: [
        ['product', 'ms', 'GFLOP/s', 'of f32 peak', 'f32 ÷ this', 'kernels'],
        ...rows.map(({ size, dtype, kernels, time, operations, share }) => [
          `${size}³ ${dtype}`,
          ms(time.median),
          giga(operations, time.median),
          percent(share),
          `${((f32Of(size) ?? NaN) / time.median).toFixed(2)}×`,
          kernels.join(' + '),
        ]),
      ],
      notes: [ceilingsText(await context.ceilings())],
      bars: context.scale === 'full' ? barsOf(rows, context.device.traits.subgroupMatrix !== undefined) : [],
      data: { rows },
    }
  },
}

async function timeProduct({ effort, ceilings }: Context, size: number, dtype: Float): Promise<Row> {
  const held = new Held()
  try {
    const [a, b] = [(await held.floats([size, size], dtype)).tensor, (await held.floats([size, size], dtype)).tensor]
    const fn = compile(() => ({ y: a.matmul(b) }))
    await wake(await currentDevice(), () => fn.profile())
    const time = await measureKernels(fn, effort)
    const { kernels } = await fn.profile()
    const operations = sumOf(kernels, kernel => kernel.operations ?? 0)
    const share = shareOf(await ceilings(), operations, 0, time.median)
    return { size, dtype, kernels: kernels.map(({ label }) => label), time, operations, share }
  } finally {
    held.release()
  }
}

/** What a GPU is expected to reach: f32 near its peak, f16 three times as fast by matrix units. */
function barsOf(rows: readonly Row[], matrices: boolean): Bar[] {
  const largest = (dtype: Float): Row | undefined => rows.findLast(row => row.dtype === dtype)
  const [single, half] = [largest('f32'), largest('f16')]
  return [
    ...(single
      ? [bar(`${single.size}³ f32: time, relative to the measured peak`, 1 / single.share, 1 / 0.6, '×')]
      : []),
    ...(single && half && matrices
      ? [
          bar(
            `${half.size}³ f16 by matrix units: time, relative to f32`,
            half.time.median / single.time.median,
            1 / 3,
            '×',
          ),
        ]
      : []),
  ]
}
