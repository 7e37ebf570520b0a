// What plans of training steps cost: dispatches against the graph without fusion, memory against what must be alive at once.
// Plans are made, nothing runs.
import { type PlanSummary, UserError } from '../engine/index.ts'
import { megabytes, percent } from './text.ts'
import { type TrainingCase, prepareTraining, published } from './training.ts'
import { type Bar, type Findings, type Scale, type Topic, bar } from './topic.ts'

const SIZES: Readonly<Record<Scale, readonly (readonly [batch: number, sequence: number])[]>> = {
  quick: [[2, 32]],
  reduced: [[8, 128], [8, 512]],
  full: [[8, 128], [8, 512], [32, 128], [32, 512]],
}

interface Row extends Omit<TrainingCase, 'config'> {
  readonly model: string
  readonly plan?: PlanSummary
  readonly failed?: string
}

export const memory: Topic = {
  title: 'Plans of training steps: dispatches, and memory',
  async run(context): Promise<Findings> {
    const half = context.device.traits.f16 ? ['f32', 'f16'] as const : ['f32'] as const
    const points: Omit<Row, 'plan'>[] = SIZES[context.scale].flatMap(([batch, sequence]) => [
      ...half.map(precision => ({ model: 'distilbert-base-uncased', tuning: 'lora' as const, batch, sequence, precision })),
      { model: 'distilbert-base-uncased', tuning: 'full', batch, sequence, precision: 'f32' },
      { model: 'bert-base-uncased', tuning: 'lora', batch, sequence, precision: 'f32' },
    ])
    const rows: Row[] = []
    for (const [i, point] of points.entries()) {
      context.progress(`${point.model} ${point.tuning} ${point.precision} ${point.batch} × ${point.sequence}`, i, points.length)
      rows.push(await planOf(point))
    }
    return {
      rows: [
        ['model', 'trains', 'batch × tokens', 'dispatches', 'unfused', 'pipelines', 'scratch MB', 'live MB', 'over live', 'persistent MB', 'peak MB'],
        ...rows.map(({ model, tuning, precision, batch, sequence, plan, failed }) => {
          const what = [model, `${tuning} ${precision}`, `${batch} × ${sequence}`]
          if (!plan) return [...what, failed ?? 'failed']
          return [
            ...what, `${plan.dispatches}`, `${plan.unfused}`, `${plan.pipelines}`, megabytes(plan.scratchBytes), megabytes(plan.liveBytes),
            percent(plan.scratchBytes / plan.liveBytes - 1), megabytes(plan.persistentBytes), megabytes(plan.peakBytes),
          ]
        }),
      ],
      notes: ['Scratch: buffers for intermediates. Live: the most bytes of them that are needed at any one step, which no plan can go below.'],
      bars: rows.flatMap(barsOf),
      data: { rows },
    }
  },
}

function barsOf({ model, tuning, precision, batch, sequence, plan }: Row): Bar[] {
  if (!plan) return []
  const what = `${model} ${tuning} ${precision} ${batch} × ${sequence}`
  return [
    ...(model.startsWith('distilbert') && tuning === 'lora' && precision === 'f32'
      ? [bar(`${what}: dispatches, of ${plan.unfused} without fusion`, plan.dispatches, Math.floor(plan.unfused / 3), 'dispatches')] : []),
    bar(`${what}: scratch memory of what must be live`, plan.scratchBytes / plan.liveBytes, 1.15, '×'),
  ]
}

async function planOf(point: Omit<Row, 'plan'>): Promise<Row> {
  const training = await prepareTraining({ ...point, config: published(point.model) }, false)
  try {
    return { ...point, plan: await training.plan() }
  } catch (error) {
    if (error instanceof UserError) return { ...point, failed: error.message }
    throw error
  } finally {
    training.release()
  }
}
