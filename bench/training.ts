// A training step of a whole model as the trainer makes it, on random tokens and weights, for benches.
import type { KernelTime, PlanSummary } from '../engine/index.ts'
import {
  attachLora,
  createModel,
  publishedConfig,
  setTuning,
  type LoraOptions,
  type ModelConfig,
} from '../models/index.ts'
import { AdamW } from '../train/optimizers/adamw.ts'
import type { Batch } from '../train/task.ts'
import { classesTask } from '../train/tasks/classes.ts'
import { TrainingSteps } from '../train/steps.ts'
import { fillNoise } from './held.ts'

/** As the IMDb job has it. */
export const LORA: LoraOptions = { rank: 8, alpha: 1, dropout: 0, targets: ['query', 'value', 'mlp'] }

export interface TrainingCase {
  readonly config: ModelConfig
  /** LoRA as the IMDb job has it: rank 8 on query, value and MLP; or every parameter. */
  readonly tuning: 'lora' | 'full'
  readonly batch: number
  /** Tokens in a row; none of them padding. */
  readonly sequence: number
  readonly precision: 'f32' | 'f16'
}

export interface Training {
  /** Queues a step. Waits if more than three are queued. */
  step(): Promise<void>
  /** Runs a step and waits for its loss, which a trainer reads some steps later. */
  loss(): Promise<number>
  profile(): Promise<readonly KernelTime[]>
  /** Compiles without running. */
  plan(): Promise<PlanSummary>
  release(): void
}

/** A published architecture by its name. */
export function published(name: string): ModelConfig {
  const config = publishedConfig(name)
  if (!config) throw new Error(`${name} is not a published architecture`)
  return config
}

/** Prepares one. Weights take memory when something runs; without `fill` they stay zero, which is enough for a plan. */
export async function prepareTraining(
  { config, tuning, batch, sequence, precision }: TrainingCase,
  fill = true,
): Promise<Training> {
  const model = createModel(config)
  if (tuning === 'lora') attachLora(model, LORA)
  else setTuning(model, 'full')
  if (precision === 'f16') model.storeFrozenAs('f16')
  const parameters = model.trainable()
  const optimizer = await AdamW.over(parameters, {
    weightDecay: 0.01,
    clip: 1,
  })
  const steps = await TrainingSteps.over(model, classesTask(), parameters, optimizer, {
    seed: 0,
    accumulate: 1,
    scaleLoss: precision === 'f16',
  })
  if (fill) {
    for (const parameter of model.parameters()) {
      const isScale = parameter.role === 'norm' && parameter.name.endsWith('.weight')
      await fillNoise((data, at) => parameter.write(data, at), parameter.size, 0.07, isScale ? 1 : 0)
    }
  }
  const made = batchOf(batch, sequence, config.vocabSize)
  let t = 0
  const next = (): [readonly Batch[], number, number, number] => [[made], t, ++t, 1e-5]
  return {
    async step() {
      await steps.run(...next())
    },
    async loss() {
      return (await (await steps.run(...next())).parts[0].data())[0]
    },
    async profile() {
      return (await steps.profile(...next())).kernels ?? []
    },
    plan: () => steps.prepare(made),
    release() {
      for (const { variable } of [...optimizer.state(), ...steps.state()]) variable.release()
      for (const parameter of model.parameters()) if (!parameter.trainable) parameter.variable?.release()
    },
  }
}

function batchOf(batch: number, sequence: number, vocabulary: number): Batch {
  const tokens = batch * sequence
  return {
    ids: Int32Array.from({ length: tokens }, () => Math.floor(Math.random() * vocabulary)),
    typeIds: new Int32Array(tokens),
    mask: new Int32Array(tokens).fill(1),
    arrays: { labels: { data: Int32Array.from({ length: batch }, (_, i) => i % 2), shape: [batch] } },
    weight: batch,
    count: batch,
    rows: batch,
    batch,
    windows: batch,
    starts: Array.from({ length: batch }, (_, i) => i),
    sequence,
    tokens,
  }
}
