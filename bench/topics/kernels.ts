// Every kernel, forward and backward: device time, operations and bytes per second, and the share of what the adapter
// can do.
import { compile, grad } from '../../engine/index.ts'
import { percent } from '../../train/node/cli/console.ts'
import { type CaseSizes, type KernelCase, kernelCases } from './kernel-cases.ts'
import { shareOf } from '../../engine/runtime/ceilings.ts'
import { Held } from '../held.ts'
import { type Profiled, type Timing, measureKernels, sumOf } from '../measure.ts'
import { ceilingsText, giga, ms } from '../text.ts'
import { type Context, type Findings, type Scale, type Topic, floatsOf } from '../topic.ts'

const SIZES: Readonly<Record<Scale, Omit<CaseSizes, 'dtypes'>>> = {
  quick: { batch: 1, sequence: 32, long: { batch: 1, sequence: 64 }, squares: [128] },
  reduced: { batch: 2, sequence: 128, long: { batch: 1, sequence: 512 }, squares: [256, 512, 1024] },
  full: { batch: 32, sequence: 128, long: { batch: 32, sequence: 512 }, squares: [1024, 2048, 4096] },
}

interface Row {
  readonly kernel: string
  readonly size: string
  readonly pass: 'forward' | 'forward + backward'
  readonly dispatches: number
  /** Milliseconds. */
  readonly time: Timing
  readonly operations: number
  readonly bytes: number
  /** Of the ceiling nearer to it. */
  readonly share: number
}

export const kernels: Topic = {
  title: 'Kernels: device time by timestamps',
  async run(context): Promise<Findings> {
    const sizes = SIZES[context.scale]
    const cases = kernelCases({ ...sizes, dtypes: context.scale === 'quick' ? ['f32'] : floatsOf(context.device) })
    const rows: Row[] = []
    for (const [i, one] of cases.entries()) {
      context.progress(`${one.kernel} ${one.size}`, i, cases.length)
      rows.push(...(await timeCase(one, context)))
    }
    return {
      rows: [
        ['kernel', 'size', 'pass', 'dispatches', 'ms', 'GFLOP/s', 'GB/s', 'of ceiling'],
        ...rows.map(({ kernel, size, pass, dispatches, time, operations, bytes, share }) => [
          kernel,
          size,
          pass,
          `${dispatches}`,
          ms(time.median),
          giga(operations, time.median),
          giga(bytes, time.median),
          percent(share),
        ]),
      ],
      notes: [
        ceilingsText(await context.ceilings()),
        'Sums of f16 kernels are in f32, so their ceiling is that of f32. Data that fits a cache may exceed the ceiling of a copy that does not.',
      ],
      bars: [],
      data: { rows },
    }
  },
}

async function timeCase({ kernel, size, make }: KernelCase, { effort, ceilings }: Context): Promise<Row[]> {
  const held = new Held()
  try {
    const { forward, wrt, forwardBytes } = await make(held)
    const limits = await ceilings()
    const row = async (pass: Row['pass'], fn: Profiled, known?: number): Promise<Row> => {
      const { kernels } = await fn.profile()
      const operations = sumOf(kernels, one => one.operations ?? 0)
      const bytes = known ?? sumOf(kernels, one => one.bytes)
      const time = await measureKernels(fn, effort)
      return {
        kernel,
        size,
        pass,
        dispatches: kernels.length,
        time,
        operations,
        bytes,
        share: shareOf(limits, operations, bytes, time.median),
      }
    }
    const rows = [
      await row(
        'forward',
        compile(() => ({ y: forward() ?? null })),
        forwardBytes,
      ),
    ]
    const y = wrt.length > 0 ? forward() : undefined
    if (!y) return rows
    // In one plan, as in training, so that the backward pass can use results of the forward pass.
    const upstream = (await held.floats(y.shape)).tensor
    rows.push(
      await row(
        'forward + backward',
        compile(() => {
          const y = forward()
          if (!y) throw new Error(`${kernel} gave nothing the second time`)
          return { y, gradients: grad(y.mul(upstream).sum(), [...wrt]) }
        }),
      ),
    )
    return rows
  } finally {
    held.release()
  }
}
