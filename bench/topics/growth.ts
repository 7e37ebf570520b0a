// Cost grows as it should: time per token flat in batch size, time linear in depth, attention's memory linear in the
// sequence.
import { attention, compile, grad, scalar, variable } from '../../engine/index.ts'
import { ratioAtOnePace, samplesInTurns, timingOf, wallTime } from '../measure.ts'
import { megabytes, ms } from '../text.ts'
import { type Training, type TrainingCase, prepareTraining, published } from '../training.ts'
import { type Bar, type Context, type Findings, type Scale, type Topic, bar } from '../topic.ts'

interface Sizes {
  readonly model: string
  readonly batch: number
  readonly sequence: number
  readonly batches: readonly number[]
  readonly depths: readonly number[]
  /** Lengths at which attention is planned; nothing of these runs. */
  readonly sequences: readonly number[]
}

const SIZES: Readonly<Record<Scale, Sizes>> = {
  quick: {
    model: 'google/bert_uncased_L-2_H-128_A-2',
    batch: 1,
    sequence: 16,
    batches: [1, 2],
    depths: [1, 2],
    sequences: [32, 64],
  },
  reduced: {
    model: 'google/bert_uncased_L-2_H-256_A-4',
    batch: 4,
    sequence: 64,
    batches: [1, 2, 4, 8, 16],
    depths: [1, 2, 4, 8],
    sequences: [64, 128, 256, 512, 1024, 2048],
  },
  full: {
    model: 'bert-base-uncased',
    batch: 16,
    sequence: 128,
    batches: [1, 2, 4, 8, 16, 32, 64],
    depths: [1, 2, 4, 8, 12],
    sequences: [128, 256, 512, 1024, 2048, 4096],
  },
}
/** Steps of each size that are timed: differences of times are less steady than times. */
const ROUNDS = 15
/** Heads of a base model. */
const HEADS = 12
const HEAD_SIZE = 64

interface Row {
  readonly grows: 'batch' | 'depth' | 'sequence'
  readonly size: number
  /** Milliseconds a step, or bytes of intermediates. */
  readonly cost: number
  /** Cost per token, per layer or per token. */
  readonly each: number
}

export const growth: Topic = {
  title:
    "How cost grows: a LoRA step with batch and depth; attention's memory (forward and backward) with the sequence",
  async run(context): Promise<Findings> {
    const { model, batch, sequence, batches, depths, sequences } = SIZES[context.scale]
    const config = published(model)
    const trained = { tuning: 'lora', batch, sequence, precision: 'f32' } as const
    const rows: Row[] = []
    const ofBatches = await timesOf(
      context,
      batches.map(size => ({ ...trained, config, batch: size })),
      text => context.progress(`batch: ${text}`, 0, 3),
    )
    batches.forEach((size, i) =>
      rows.push({ grows: 'batch', size, cost: ofBatches[i], each: ofBatches[i] / size / sequence }),
    )
    // A step has embeddings, head and optimizer at any depth, so a layer's cost is a difference.
    const deepened = depths.map(layers => ({ ...trained, config: { ...config, layers } }))
    const ofDepths = await timesOf(context, deepened, text => context.progress(`depth: ${text}`, 1, 3))
    depths.forEach((size, i) =>
      rows.push({
        grows: 'depth',
        size,
        cost: ofDepths[i],
        each: i === 0 ? ofDepths[i] / size : (ofDepths[i] - ofDepths[i - 1]) / (size - depths[i - 1]),
      }),
    )
    context.progress('attention', 2, 3)
    for (const size of sequences) {
      const cost = await attentionBytes(size)
      rows.push({ grows: 'sequence', size, cost, each: cost / size })
    }
    const units = {
      batch: ['sequences', 'µs per token'],
      depth: ['layers', 'ms a further layer'],
      sequence: ['tokens', 'bytes per token'],
    }
    const each = { batch: (x: number) => (1000 * x).toFixed(1), depth: ms, sequence: (x: number) => x.toFixed(0) }
    return {
      rows: [
        ['grows', 'to', 'cost', 'each'],
        ...rows.map(row => [
          row.grows,
          `${row.size} ${units[row.grows][0]}`,
          row.grows === 'sequence' ? `${megabytes(row.cost)} MB` : `${ms(row.cost)} ms`,
          `${each[row.grows](row.each)} ${units[row.grows][1]}`,
        ]),
      ],
      notes: [
        `Steps: ${model}, LoRA f32, ${batch} × ${sequence} tokens where these don't grow. Attention: ${HEADS} heads of ${HEAD_SIZE}, one sequence.`,
      ],
      bars: context.scale === 'quick' ? [] : barsOf(rows),
      data: { model, batch, sequence, rows },
    }
  },
}

function barsOf(rows: readonly Row[]): Bar[] {
  const each = (grows: Row['grows']): number[] => rows.filter(row => row.grows === grows).map(row => row.each)
  const [tokens, layers, memory] = [each('batch'), each('depth').slice(1), each('sequence')]
  return [
    // Small batches leave an adapter idle and may cost more per token; large ones must not.
    bar(
      'time per token at the largest batch, of that at the best',
      tokens[tokens.length - 1] / Math.min(...tokens),
      1.25,
      '×',
    ),
    bar(
      'time of a further layer, of the last and the first, the longer of the shorter',
      apart(layers[0], layers[layers.length - 1]),
      1.25,
      '×',
    ),
    bar(
      'attention memory per token, at the longest of the shortest sequence',
      memory[memory.length - 1] / memory[0],
      1.1,
      '×',
    ),
  ]
}

/** The ratio of the larger to the smaller; infinite unless both are positive. */
const apart = (a: number, b: number): number => (a > 0 && b > 0 ? Math.max(a / b, b / a) : Infinity)

/**
 * Milliseconds per step of each case, in turns: the median of the first, and its product with the others' ratios to it.
 */
async function timesOf(
  { effort, scale }: Context,
  cases: readonly TrainingCase[],
  progress: (text: string) => void,
): Promise<number[]> {
  const held: Training[] = []
  try {
    for (const [i, one] of cases.entries()) {
      progress(`preparing ${i + 1} of ${cases.length}`)
      held.push(await prepareTraining(one))
    }
    progress(`${cases.length} steps in turns`)
    const samples = await samplesInTurns(
      held.map(training => () => wallTime(() => training.step(), effort.repeats)),
      scale === 'quick' ? effort.calls : ROUNDS,
    )
    const { median } = timingOf(samples[0])
    return samples.map(times => median * ratioAtOnePace([samples[0], times]))
  } finally {
    for (const training of held) training.release()
  }
}

/** Bytes of intermediates of attention's forward and backward pass over one sequence. */
async function attentionBytes(sequence: number): Promise<number> {
  const [q, k, v] = ['q', 'k', 'v'].map(
    name => variable({ shape: [1, sequence, HEADS, HEAD_SIZE], dtype: 'f32' }, name).tensor,
  )
  const step = scalar(1, 'u32')
  const plan = compile(() => {
    const y = attention(q, k, v, { dropout: { rate: 0.1, stream: 0, step, seed: 0 } })
    return { gradients: grad(y.square().sum(), [q, k, v]) }
  })
  return (await plan.prepare()).scratchBytes
}
