// LoRA's fused linear layer against the same as separate products, forward and backward.
import { compile, grad, loraLinear } from '../../engine/index.ts'
import type { Tensor } from '../../engine/tensor.ts'
import { percent } from '../../train/node/cli/console.ts'
import { shareOf } from '../../engine/runtime/ceilings.ts'
import { Held } from '../held.ts'
import {
  type Profiled,
  type Timing,
  deviceTime,
  isSettled,
  ratioAtOnePace,
  samplesInTurns,
  sumOf,
  timingOf,
} from '../measure.ts'
import { giga, ms } from '../text.ts'
import { type Context, type Findings, type Scale, type Topic, bar } from '../topic.ts'

const SHAPES = [
  [768, 768],
  [768, 3072],
  [3072, 768],
] as const
const RANKS = [4, 8, 16, 64]
/** Reduced: one row of tiles, so that calls are shorter than the time over which a CPU's speed is steady. */
const TOKENS: Readonly<Record<Scale, number>> = { quick: 32, reduced: 16, full: 4096 }
/**
 * On a CPU the two differ by some hundredths, and so does the same plan compiled twice, since the addresses of its
 * buffers affect how well its caches work. So the rounds are split into sittings with new buffers. While it is not
 * clear which of the two is faster, as many sittings follow, at most MOST_TIMES in all.
 */
const MOST_TIMES = 4
const SITTINGS: Readonly<Record<Scale, number>> = { quick: 1, reduced: 16, full: 3 }
const ROUNDS: Readonly<Record<Scale, number>> = { quick: 3, reduced: 15, full: 15 }
const ALPHA = 16

const PASSES = ['forward', 'forward + backward'] as const

/** Fused and separate. */
type Pair = readonly [Profiled, Profiled]

interface Measured {
  readonly time: Timing
  readonly dispatches: number
  readonly operations: number
  readonly share: number
}

interface Row {
  readonly size: string
  readonly rank: number
  readonly pass: (typeof PASSES)[number]
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
    for (const [
      i,
      {
        shape: [inputs, outputs],
        rank,
      },
    ] of chosen.entries()) {
      context.progress(`${inputs}→${outputs} rank ${rank}`, i, chosen.length)
      rows.push(...(await timePoint(context, tokens, inputs, outputs, rank)))
    }
    const worst = Math.min(...rows.map(({ ratio }) => ratio))
    return {
      rows: [
        ['size', 'rank', 'pass', 'fused ms', 'separate ms', 'separate ÷ fused', 'dispatches', 'GFLOP/s', 'of ceiling'],
        ...rows.map(({ size, rank, pass, fused, separate, ratio }) => [
          size,
          `${rank}`,
          pass,
          ms(fused.time.median),
          ms(separate.time.median),
          `${ratio.toFixed(2)}×`,
          `${fused.dispatches} / ${separate.dispatches}`,
          giga(fused.operations, fused.time.median),
          percent(fused.share),
        ]),
      ],
      notes: [
        'Times are medians; separate ÷ fused is the median over rounds in which both ran, at one pace, on buffers made anew every few rounds.',
      ],
      bars:
        context.scale === 'quick'
          ? []
          : [bar('LoRA fused, at its worst, of the same in separate products', 1 / worst, 1, '×')],
      data: { tokens, rows },
    }
  },
}

async function timePoint(
  context: Context,
  tokens: number,
  inputs: number,
  outputs: number,
  rank: number,
): Promise<Row[]> {
  const size = `${tokens}×${inputs}→${outputs}`
  const ceilings = await context.ceilings()
  // All are held to the end: the next sitting would get the same buffers if they were released.
  const held = new Held()
  try {
    const sittings: Pair[][] = []
    const samples = PASSES.map((): [number[], number[]] => [[], []])
    for (let time = 0; time < MOST_TIMES && (time === 0 || !samples.every(isSettled)); time++) {
      const fresh: Pair[][] = []
      for (let i = 0; i < SITTINGS[context.scale]; i++)
        fresh.push(await compilePasses(held, tokens, inputs, outputs, rank))
      for (const pairs of fresh) {
        for (const [i, fns] of pairs.entries()) {
          const sat = await samplesInTurns(
            fns.map(fn => () => deviceTime(fn)),
            ROUNDS[context.scale],
          )
          samples[i].forEach((all, k) => all.push(...sat[k]))
        }
      }
      sittings.push(...fresh)
    }
    const rows: Row[] = []
    for (const [i, pass] of PASSES.entries()) {
      const measured = await Promise.all(
        sittings[0][i].map(async (fn, k): Promise<Measured> => {
          const time = timingOf(samples[i][k])
          const { kernels } = await fn.profile()
          const operations = sumOf(kernels, kernel => kernel.operations ?? 0)
          return {
            time,
            dispatches: kernels.length,
            operations,
            share: shareOf(
              ceilings,
              operations,
              sumOf(kernels, kernel => kernel.bytes),
              time.median,
            ),
          }
        }),
      )
      rows.push({ size, rank, pass, fused: measured[0], separate: measured[1], ratio: ratioAtOnePace(samples[i]) })
    }
    return rows
  } finally {
    held.release()
  }
}

/** The layer fused and in separate products, for each pass, on inputs of their own. */
async function compilePasses(
  held: Held,
  tokens: number,
  inputs: number,
  outputs: number,
  rank: number,
): Promise<Pair[]> {
  const floats = async (...shape: number[]): Promise<Tensor> => (await held.floats(shape)).tensor
  const [x, weight, bias] = [await floats(tokens, inputs), await floats(outputs, inputs), await floats(outputs)]
  const [a, b, upstream] = [await floats(rank, inputs), await floats(outputs, rank), await floats(tokens, outputs)]
  return PASSES.map(pass => {
    const made = (layer: Layer): Profiled =>
      compile(() => {
        const y = layer(x, weight, bias, a, b, ALPHA / rank)
        return pass === 'forward' ? { y } : { y, gradients: grad(y.mul(upstream).sum(), [x, a, b]) }
      })
    return [made(loraLinear), made(separate)]
  })
}
