// What each command of the runner measures: the topics, how kernels are chosen unless told otherwise, and the shape of
// the results.
import type { TuningMode } from '../engine/index.ts'
import type { SubgroupMatrix } from '../shaders/kernel.ts'
import type { Ceilings } from '../engine/runtime/ceilings.ts'
import type { Bar, Scale, Topic } from './topic.ts'
import { growth } from './topics/growth.ts'
import { host } from './topics/host.ts'
import { kernels } from './topics/kernels.ts'
import { largeSteps } from './topics/large-steps.ts'
import { lora } from './topics/lora.ts'
import { memory } from './topics/memory.ts'
import { products } from './topics/products.ts'
import { steps } from './topics/steps.ts'

export interface Preset {
  /** The npm script, which error messages begin with. */
  readonly command: string
  /** What the files in bench/results/ are called, before the adapter's name. */
  readonly file: string
  /** What --help says first. */
  readonly introduction: string
  /** In the order in which they run. */
  readonly topics: Readonly<Record<string, Topic>>
  readonly tuning: TuningMode
  /** Refuses an adapter that computes on the CPU, unless sizes are given. */
  readonly needsGpu: boolean
  /** The JSON, without its setting. */
  layout(found: Found): object
}

/** What has been measured so far. */
export interface Found {
  readonly scale: Scale
  readonly tuning: TuningMode
  /** Undefined if no topic asked for them. */
  readonly ceilings: Ceilings | undefined
  readonly matrix: SubgroupMatrix | undefined
  readonly bars: readonly Bar[]
  /** By topic. */
  readonly data: Readonly<Record<string, object>>
  /** What failed, with the reason. */
  readonly failed: Readonly<Record<string, string>>
}

export const PRESETS: Readonly<Record<'all' | 'gpu', Preset>> = {
  all: {
    command: 'bench',
    file: 'bench',
    tuning: 'cached',
    needsGpu: false,
    introduction: `Measures tilegrad on one adapter: every kernel and the training steps. An adapter that computes on the CPU gets reduced
sizes, or the smallest if it is slow, so that a run takes some minutes.`,
    topics: { kernels, lora, steps, growth, host, memory },
    layout: ({ scale, tuning, ceilings, bars, data, failed }) => ({
      scale,
      tune_kernels: tuning,
      ceilings: ceilings ?? null,
      bars,
      results: data,
      failed,
    }),
  },
  gpu: {
    command: 'bench:gpu',
    file: 'gpu',
    tuning: 'full',
    needsGpu: true,
    introduction: `Measures what only a real GPU shows: large products against its peak, f16 against f32, DistilBERT's LoRA step at batch 32.
Refuses an adapter that computes on the CPU unless sizes are given.`,
    topics: { products, steps: largeSteps, host },
    layout: ({ tuning, matrix, ceilings, bars, data, failed }) => ({
      tune_kernels: tuning,
      subgroup_matrix: matrix ?? null,
      ceilings: ceilings ?? null,
      products: rowsOf(data.products),
      steps: rowsOf(data.steps),
      failed,
      bars,
      host: data.host ?? null,
    }),
  },
}

function rowsOf(data: object | undefined): unknown {
  return data && 'rows' in data ? data.rows : []
}
