// What plans of training steps cost: dispatches against the graph without fusion, memory against what must be alive at
// once. Plans are made, nothing runs.
import { type PlanSummary, UserError } from '../../engine/index.ts'
import { DistilBertForSequenceClassification, attachLora } from '../../models/index.ts'
import { percent } from '../../train/node/cli/console.ts'
import { megabytes } from '../text.ts'
import { LORA, type Training, type TrainingCase, prepareTraining, published } from '../training.ts'
import { type Bar, type Findings, type Scale, type Topic, bar, floatsOf } from '../topic.ts'
import { ElementaryStep } from './unfused.ts'

const SIZES: Readonly<Record<Scale, readonly (readonly [batch: number, sequence: number])[]>> = {
  quick: [[2, 32]],
  reduced: [
    [8, 128],
    [8, 512],
  ],
  full: [
    [8, 128],
    [8, 512],
    [32, 128],
    [32, 512],
  ],
}

interface Row extends Omit<TrainingCase, 'config'> {
  readonly model: string
  readonly plan?: PlanSummary
  readonly failed?: string
}

const DISTILBERT = 'distilbert-base-uncased'

export const memory: Topic = {
  title: 'Plans of training steps: dispatches, and memory',
  async run(context): Promise<Findings> {
    const points: Omit<Row, 'plan'>[] = SIZES[context.scale].flatMap(([batch, sequence]) => [
      ...floatsOf(context.device).map(precision => ({
        model: DISTILBERT,
        tuning: 'lora' as const,
        batch,
        sequence,
        precision,
      })),
      { model: DISTILBERT, tuning: 'full', batch, sequence, precision: 'f32' },
      { model: 'bert-base-uncased', tuning: 'lora', batch, sequence, precision: 'f32' },
    ])
    const rows: Row[] = []
    for (const [i, point] of points.entries()) {
      context.progress(
        `${point.model} ${point.tuning} ${point.precision} ${point.batch} × ${point.sequence}`,
        i,
        points.length,
      )
      rows.push(await planOf(point))
    }
    context.progress('DistilBERT in elementary operations', 0, 1)
    const elementary = await elementaryOperations()
    return {
      rows: [
        [
          'model',
          'trains',
          'batch × tokens',
          'dispatches',
          'unfused',
          'pipelines',
          'scratch MB',
          'live MB',
          'over live',
          'persistent MB',
          'peak MB',
          'over live',
        ],
        ...rows.map(({ model, tuning, precision, batch, sequence, plan, failed }) => {
          const what = [model, `${tuning} ${precision}`, `${batch} × ${sequence}`]
          if (!plan) return [...what, failed ?? 'failed']
          return [
            ...what,
            `${plan.dispatches}`,
            `${plan.unfused}`,
            `${plan.pipelines}`,
            megabytes(plan.scratchBytes),
            megabytes(plan.liveBytes),
            percent(plan.scratchBytes / plan.liveBytes - 1),
            megabytes(plan.persistentBytes),
            megabytes(plan.peakBytes),
            percent(plan.peakBytes / mustLive(plan) - 1),
          ]
        }),
      ],
      notes: [
        `DistilBERT's LoRA step is ${elementary} elementary operations (products, elementwise operations, reductions, lookups),` +
          ' each of which would be a dispatch without fusion.',
        'Unfused: dispatches with the hand-written fused kernels, but without fusion of elementwise operations.',
        'Scratch: buffers for intermediates. Live: the most bytes of them that are needed at any one step, which no plan can go below.' +
          ' Peak: scratch and what persists.',
      ],
      bars: rows.flatMap(row => barsOf(row, elementary)),
      data: { elementary_operations: elementary, rows },
    }
  },
}

/** Bytes at a step's worst moment: parameters, moments and inputs, and the intermediates that are needed then. */
const mustLive = ({ liveBytes, persistentBytes }: PlanSummary): number => liveBytes + persistentBytes

function barsOf({ model, tuning, precision, batch, sequence, plan }: Row, elementary: number): Bar[] {
  if (!plan) return []
  const what = `${model} ${tuning} ${precision} ${batch} × ${sequence}`
  return [
    ...(model === DISTILBERT && tuning === 'lora' && precision === 'f32'
      ? [
          bar(
            `${what}: dispatches, of ${elementary} without fusion`,
            plan.dispatches,
            Math.floor(elementary / 3),
            'dispatches',
          ),
        ]
      : []),
    bar(`${what}: peak memory of what must be live at the worst moment`, plan.peakBytes / mustLive(plan), 1.15, '×'),
  ]
}

/** Their number is the same for every batch. */
async function elementaryOperations(): Promise<number> {
  const model = new DistilBertForSequenceClassification(published(DISTILBERT))
  attachLora(model, LORA)
  return (await new ElementaryStep(model, { clip: 1, weightDecay: 0.01, seed: 0 }).plan(2, 32)).unfused
}

async function planOf(point: Omit<Row, 'plan'>): Promise<Row> {
  let training: Training | undefined
  try {
    training = await prepareTraining({ ...point, config: published(point.model) }, false)
    return { ...point, plan: await training.plan() }
  } catch (error) {
    if (error instanceof UserError) return { ...point, failed: error.message }
    throw error
  } finally {
    training?.release()
  }
}
