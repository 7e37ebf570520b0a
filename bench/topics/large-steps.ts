// DistilBERT's LoRA step at the batch sizes of real runs: how much of it the GPU computes, and which kernels take the
// time.
import { type KernelTime, UserError, currentDevice } from '../../engine/index.ts'
import { type Ceilings, shareOf, wake } from '../../engine/runtime/ceilings.ts'
import { percent } from '../../train/node/cli/console.ts'
import { byLabel } from '../../train/node/jobs/profile.ts'
import { type Timing, measure, sumOf } from '../measure.ts'
import { giga, megabytes, ms } from '../text.ts'
import {
  type Context,
  type Findings,
  type Float,
  type Scale,
  type Section,
  type Topic,
  bar,
  floatsOf,
} from '../topic.ts'
import { prepareTraining, published } from '../training.ts'

interface Sizes {
  readonly model: string
  readonly batch: number
  readonly sequences: readonly number[]
}

const SIZES: Readonly<Record<Scale, Sizes>> = {
  quick: { model: 'google/bert_uncased_L-2_H-128_A-2', batch: 1, sequences: [16] },
  reduced: { model: 'google/bert_uncased_L-2_H-256_A-4', batch: 4, sequences: [64] },
  full: { model: 'distilbert-base-uncased', batch: 32, sequences: [256, 512] },
}
/** Kernels of a step that its table shows. */
const SHOWN = 14

interface Row {
  readonly batch: number
  readonly sequence: number
  readonly precision: Float
  /**
   * Milliseconds to make the plan (choosing its kernels, by measuring unless they are known, and compiling them), then
   * of the first step.
   */
  readonly planning: number
  readonly first: number
  readonly time: Timing
  /** Milliseconds of a step's kernels by timestamps, each timed alone. */
  readonly kernelTime: number
  /** Kernel time as a share of the step's wall time; above 1 if kernels overlap when they are not timed. */
  readonly busy: number
  readonly dispatches: number
  readonly peakBytes: number
  readonly loss: number
  readonly kernels: ReturnType<typeof byLabel>
}

export const largeSteps: Topic = {
  title: 'LoRA steps of large batches, wall time; rank 8 on query, value and MLP',
  async run(context): Promise<Findings> {
    const { model, batch, sequences } = SIZES[context.scale]
    const points = sequences.flatMap(sequence => floatsOf(context.device).map(precision => ({ sequence, precision })))
    const rows: Row[] = []
    const failed: Record<string, string> = {}
    for (const [i, { sequence, precision }] of points.entries()) {
      context.progress(`${model}, ${batch} × ${sequence}, ${precision}`, i, points.length)
      try {
        rows.push(await timeStep(context, model, batch, sequence, precision))
      } catch (error) {
        // A step that doesn't fit the adapter must not end the others.
        if (!(error instanceof UserError)) throw error
        failed[`${batch} × ${sequence} ${precision}`] = error.message
      }
      await context.savePart({ rows })
    }
    const ceilings = await context.ceilings()
    return {
      rows: stepTable(rows),
      notes: [],
      more: rows.map(row => kernelSection(row, ceilings)),
      bars:
        context.scale !== 'full'
          ? []
          : rows.map(({ batch, sequence, precision, busy }) =>
              bar(`${batch} × ${sequence} ${precision}: time in which the GPU is idle`, 100 * (1 - busy), 10, '%'),
            ),
      data: { rows },
      failed,
    }
  },
}

async function timeStep(
  { effort }: Context,
  model: string,
  batch: number,
  sequence: number,
  precision: Float,
): Promise<Row> {
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
      batch,
      sequence,
      precision,
      planning,
      first,
      time,
      kernelTime,
      busy: kernelTime / time.median,
      dispatches,
      peakBytes,
      loss,
      kernels: byLabel(kernels),
    }
  } finally {
    training.release()
  }
}

function stepTable(rows: readonly Row[]): string[][] {
  return [
    [
      'LoRA step',
      'ms',
      'tokens/s',
      'examples/s',
      'kernels ms',
      'GPU busy',
      'dispatches',
      'peak MB',
      'planning ms',
      'first ms',
      'loss',
    ],
    ...rows.map(
      ({ batch, sequence, precision, time, kernelTime, busy, dispatches, peakBytes, planning, first, loss }) => [
        `${batch} × ${sequence} ${precision}`,
        ms(time.median),
        ((1000 * batch * sequence) / time.median).toFixed(0),
        ((1000 * batch) / time.median).toFixed(1),
        ms(kernelTime),
        percent(busy),
        `${dispatches}`,
        megabytes(peakBytes),
        ms(planning),
        ms(first),
        loss.toFixed(4),
      ],
    ),
  ]
}

/** Where a step's time goes. */
function kernelSection({ batch, sequence, precision, kernels, kernelTime }: Row, ceilings: Ceilings): Section {
  return {
    title: `${batch} × ${sequence} ${precision}: the longest of ${kernels.length} kernels`,
    rows: [
      ['kernel', 'count', 'ms', 'share', 'GFLOP/s', 'GB/s', 'of ceiling'],
      ...kernels.slice(0, SHOWN).map(({ label, count, nanoseconds, operations, bytes }) => {
        const time = nanoseconds / 1e6
        return [
          label,
          `${count}`,
          ms(time),
          percent(time / kernelTime),
          giga(operations, time),
          giga(bytes, time),
          percent(shareOf(ceilings, operations, bytes, time)),
        ]
      }),
    ],
  }
}
