// What an engine under comparison is to the process that times it.
import type { TuningMode } from '../../engine/index.ts'
import type { Problem } from './problems.ts'

/** How tilegrad chooses its kernels: as every user's first run does, measuring for 3 s at most, on a GPU. */
export const TUNING: TuningMode = 'cached'

/** Named results, row-major, in PyTorch's layouts. */
export type Answers = { readonly [name: string]: Float32Array }

/** The name among the answers of a weight after the steps of a training. */
export const trained = (name: string): string => `${name} (trained)`

/** A problem with its inputs on the device. */
export interface Loaded {
  /** Does the work once, waits for all of it and copies to the host what its user would read. */
  run(): Promise<void>
  /** Everything that it computes (for a training step: the losses so far and the trained weights), to be compared. */
  answers(): Promise<Answers>
  /** Gives its memory back. */
  dispose(): void
}

export interface Engine {
  readonly name: string
  load(problem: Problem): Promise<Loaded>
}

/** Starts an engine on an adapter, named as in TILEGRAD_ADAPTER. */
export type Open = (adapter: string | undefined) => Promise<Engine>
