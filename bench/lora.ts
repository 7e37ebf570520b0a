// LoRA's fused linear layer against the same as separate products, forward and backward.
import { compile, grad, loraLinear } from '../engine/index.ts'
import type { Tensor } from '../engine/tensor.ts'
import { shareOf } from './ceilings.ts'
import { Held } from './held.ts'
import { type Profiled, type Timing, deviceTime, measureInTurns, sumOf } from './measure.ts'
import { giga, ms, percent } from './text.ts'
import type { Context, Findings, Scale, Topic } from './topic.ts'

const SHAPES = [[768, 768], [768, 3072], [3072, 768]] as const
const RANKS = [4, 8, 16, 64]
const TOKENS: Readonly<Record<Scale, number>> = { quick: 32, reduced: 256, full: 4096 }
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
    const ratios = rows.map(({ fused, separate }) => separate.time.median / fused.time.median)
    return {
      rows: [
        ['size', 'rank', 'pass', 'fused ms', 'separate ms', 'separate ÷ fused', 'dispatches', 'GFLOP/s', 'of ceiling'],
        ...rows.map(({ size, rank, pass, fused, separate }, i) => [
          size, `${rank}`, pass, ms(fused.time.median), ms(separate.time.median), `${ratios[i].toFixed(2)}×`,
          `${fused.dispatches} / ${separate.dispatches}`, giga(fused.operations, fused.time.median), percent(fused.share),
        ]),
      ],
      notes: [], bars: [],
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
    const compare = async (made: (layer: Layer) => Profiled): Promise<Pick<Row, 'fused' | 'separate'>> => {
      const fns = [made(loraLinear), made(separate)]
      const [fused, apart] = await measureInTurns(fns.map(fn => () => deviceTime(fn)), context.effort.calls)
      const measured = async (fn: Profiled, time: Timing): Promise<Measured> => {
        const { kernels } = await fn.profile()
        const operations = sumOf(kernels, kernel => kernel.operations ?? 0)
        return { time, dispatches: kernels.length, operations, share: shareOf(ceilings, operations, sumOf(kernels, kernel => kernel.bytes), time.median) }
      }
      return { fused: await measured(fns[0], fused), separate: await measured(fns[1], apart) }
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
