// Whole training steps: DistilBERT and BERT-base, tokens per second by sequence length and batch size, and memory.
import type { PlanSummary } from '../../engine/index.ts'
import { UserError } from '../../engine/index.ts'
import { type Timing, measure } from '../measure.ts'
import { megabytes, ms } from '../text.ts'
import { type Training, type TrainingCase, prepareTraining, published } from '../training.ts'
import type { Context, Findings, Scale, Topic } from '../topic.ts'

const MODELS = ['distilbert-base-uncased', 'bert-base-uncased']

/** Sequence lengths and batch sizes, every one with every other, as far as their tokens go. */
const GRIDS: Readonly<
  Record<
    Scale,
    { readonly sequences: readonly number[]; readonly batches: readonly number[]; readonly mostTokens: number }
  >
> = {
  quick: { sequences: [16], batches: [1], mostTokens: 16 },
  reduced: { sequences: [64, 128], batches: [1, 2], mostTokens: 256 },
  full: { sequences: [64, 128, 256, 512], batches: [1, 2, 4, 8, 16, 32], mostTokens: 32 * 512 },
}
/** Batch and sequence at which the other ways to train are measured. */
const OTHERS: Readonly<Record<Scale, readonly [batch: number, sequence: number]>> = {
  quick: [1, 16],
  reduced: [2, 64],
  full: [32, 128],
}

interface StepRow extends Omit<TrainingCase, 'config'> {
  readonly model: string
  /** None where the adapter can't hold the step: `failed` says why. */
  readonly time?: Timing
  readonly plan?: PlanSummary
  /** Bytes of all buffers on the device, those for reuse included. */
  readonly deviceBytes?: number
  readonly failed?: string
}

export const steps: Topic = {
  title: 'Training steps (forward, backward, AdamW), wall time; LoRA: rank 8 on query, value and MLP; dropout on',
  async run(context): Promise<Findings> {
    const { sequences, batches, mostTokens } = GRIDS[context.scale]
    const [otherBatch, otherSequence] = OTHERS[context.scale]
    const half = context.device.traits.f16 && context.scale === 'full'
    const points = MODELS.flatMap(model => [
      ...sequences.flatMap(sequence =>
        batches
          .map(batch => ({ model, tuning: 'lora' as const, batch, sequence, precision: 'f32' as const }))
          .filter(({ batch }) => batch * sequence <= mostTokens),
      ),
      // Some GB of moments and gradients, which a slow adapter takes a minute for.
      ...(context.scale === 'quick'
        ? []
        : [{ model, tuning: 'full' as const, batch: otherBatch, sequence: otherSequence, precision: 'f32' as const }]),
      ...(half
        ? [{ model, tuning: 'lora' as const, batch: otherBatch, sequence: otherSequence, precision: 'f16' as const }]
        : []),
    ])
    const rows: StepRow[] = []
    for (const [i, point] of points.entries()) {
      context.progress(
        `${point.model} ${point.tuning} ${point.precision}, ${point.batch} × ${point.sequence} tokens`,
        i,
        points.length,
      )
      rows.push(await timeStep(context, point))
    }
    return { rows: stepTable(rows), notes: [], bars: [], data: { rows } }
  },
}

function stepTable(rows: readonly StepRow[]): string[][] {
  return [
    [
      'model',
      'trains',
      'batch × tokens',
      'ms per step',
      'tokens/s',
      'examples/s',
      'dispatches',
      'peak MB',
      'on device MB',
    ],
    ...rows.map(({ model, tuning, precision, batch, sequence, time, plan, deviceBytes, failed }) => {
      const what = [model, `${tuning} ${precision}`, `${batch} × ${sequence}`]
      if (!time || !plan) return [...what, failed ?? 'failed']
      const perSecond = (count: number): string => ((1000 * count) / time.median).toFixed(count > batch ? 0 : 1)
      return [
        ...what,
        ms(time.median),
        perSecond(batch * sequence),
        perSecond(batch),
        `${plan.dispatches}`,
        megabytes(plan.peakBytes),
        megabytes(deviceBytes ?? 0),
      ]
    }),
  ]
}

/** A step that the adapter can't hold is a row that says so. */
async function timeStep(
  { device, effort }: Pick<Context, 'device' | 'effort'>,
  point: Omit<StepRow, 'time'>,
): Promise<StepRow> {
  let training: Training | undefined
  try {
    training = await prepareTraining({ ...point, config: published(point.model) })
    const plan = await training.plan()
    const { step } = training
    const time = await measure(step, effort)
    return { ...point, time, plan, deviceBytes: device.buffers.bytes }
  } catch (error) {
    if (error instanceof UserError) return { ...point, failed: error.message }
    throw error
  } finally {
    training?.release()
  }
}
