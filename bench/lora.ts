// LoRA's fused linear layer against the same as separate products, forward and backward.
import { compile, grad, loraLinear } from '../engine/index.ts'
import type { Tensor } from '../engine/tensor.ts'
import { shareOf } from './ceilings.ts'
import { Held } from './held.ts'
import { type Profiled, type Timing, deviceTime, medianRatio, samplesInTurns, sumOf, timingOf } from './measure.ts'
import { giga, ms, percent } from './text.ts'
import { type Context, type Findings, type Scale, type Topic, bar } from './topic.ts'

const SHAPES = [[768, 768], [768, 3072], [3072, 768]] as const
const RANKS = [4, 8, 16, 64]
const TOKENS: Readonly<Record<Scale, number>> = { quick: 32, reduced: 64, full: 4096 }
/** Many: on a CPU the two differ by some hundredths, and a clock that changes its pace by more than that. */
const ROUNDS: Readonly<Record<Scale, number>> = { quick: 3, reduced: 41, full: 41 }
const ALPHA = 16

interface Measured {
  readonly time: Timing
  readonly dispatches: number
  readonly operations: number
  readonly share: number
}

interface Row {
  readonly size: string
  readonly rank: number
  readonly pass: 'forward' | 'forward + backward'
  readonly fused: Measured
  readonly separate: Measured
  /** Time of the separate products, of that of the fused: the median over rounds. */
  readonly ratio: number
}

/** x·Wᵀ + b + scale·(x·Aᵀ)·Bᵀ. */
type Layer = (x: Tensor, weight: Tensor, bias: Tensor, a: Tensor, b: Tensor, scale: number) => Tensor

const separate: Layer = (x, weight, bias, a, b, scale) =>
  x.matmul(weight.transpose()).add(bias).add(x.matmul(a.transpose()).matmul(b.transpose()).mul(scale))

export const lora: Topic = {
  title: 'LoRA linear: fused against separate products (W frozen; gradients of x, A and B)',
  async run(context): Promise<Findings> {
    const tokens = TOKENS[context.scale]
    const points = SHAPES.flatMap(shape => RANKS.map(rank => ({ shape, rank })))
    const chosen = context.scale === 'quick' ? points.slice(1, 2) : points
    const rows: Row[] = []
    for (const [i, { shape: [inputs, outputs], rank }] of chosen.entries()) {
      context.progress(`${inputs}→${outputs} rank ${rank}`, i, chosen.length)
      rows.push(...await timePoint(context, tokens, inputs, outputs, rank))
    }
    return {
      rows: [
        ['size', 'rank', 'pass', 'fused ms', 'separate ms', 'separate ÷ fused', 'dispatches', 'GFLOP/s', 'of ceiling'],
        ...rows.map(({ size, rank, pass, fused, separate, ratio }) => [
          size, `${rank}`, pass, ms(fused.time.median), ms(separate.time.median), `${ratio.toFixed(2)}×`,
          `${fused.dispatches} / ${separate.dispatches}`, giga(fused.operations, fused.time.median), percent(fused.share),
        ]),
      ],
      notes: ['Times are medians; separate ÷ fused is the median over rounds in which both ran.'],
      bars: context.scale === 'quick' ? [] : [bar('LoRA fused, at its worst, of the same in separate products', 1 / Math.min(...rows.map(({ ratio }) => ratio)), 1, '×')],
      data: { tokens, rows },
    }
  },
}

async function timePoint(context: Context, tokens: number, inputs: number, outputs: number, rank: number): Promise<Row[]> {
  const held = new Held()
  try {
    const [x, weight] = [(await held.floats([tokens, inputs])).tensor, (await held.floats([outputs, inputs])).tensor]
    const [a, b] = [(await held.floats([rank, inputs])).tensor, (await held.floats([outputs, rank])).tensor]
    const bias = (await held.floats([outputs])).tensor
    const upstream = (await held.floats([tokens, outputs])).tensor
    const ceilings = await context.ceilings()
    const compare = async (made: (layer: Layer) => Profiled): Promise<Pick<Row, 'fused' | 'separate' | 'ratio'>> => {
      const fns = [made(loraLinear), made(separate)]
      const samples = await samplesInTurns(fns.map(fn => () => deviceTime(fn)), ROUNDS[context.scale])
      const measured = async (fn: Profiled, times: readonly number[]): Promise<Measured> => {
        const time = timingOf(times)
        const { kernels } = await fn.profile()
        const operations = sumOf(kernels, kernel => kernel.operations ?? 0)
        return { time, dispatches: kernels.length, operations, share: shareOf(ceilings, operations, sumOf(kernels, kernel => kernel.bytes), time.median) }
      }
      return { fused: await measured(fns[0], samples[0]), separate: await measured(fns[1], samples[1]), ratio: medianRatio(samples) }
    }
    const forward = (layer: Layer) => compile(() => ({ y: layer(x, weight, bias, a, b, ALPHA / rank) }))
    const both = (layer: Layer) => compile(() => {
      const y = layer(x, weight, bias, a, b, ALPHA / rank)
      return { y, gradients: grad(y.mul(upstream).sum(), [x, a, b]) }
    })
    const size = `${tokens}×${inputs}→${outputs}`
    return [
      { size, rank, pass: 'forward', ...await compare(forward) },
      { size, rank, pass: 'forward + backward', ...await compare(both) },
    ]
  } finally {
    held.release()
  }
}
