// Where a trainer keeps its checkpoints: an interface, so that the trainer knows no files. Under Node a run's folder
// implements it (`node/run/checkpoints.ts`).
import type { StateEntry, ValueEntry } from './state.ts'

/** The best evaluation of a run, or one of the best. */
export interface Best {
  readonly step: number
  /** Epochs that were begun by then. */
  readonly epoch: number
  /** The metric that it is best at. */
  readonly score: number
  readonly loss: number
}

/** Where in the run a checkpoint stands. */
export interface Position {
  /** Optimizer steps done. */
  readonly step: number
  /** Epochs done. */
  readonly epoch: number
  /** Optimizer steps done of the epoch that is under way. */
  readonly stepInEpoch: number
  /** Batches done, over all: dropout's number for the next. */
  readonly batches: number
  /** Steps of these that were left out because they were not finite; none where left out. */
  readonly skipped?: number
  /** Evaluations since the best one; 0 where left out. */
  readonly stale?: number
  /** The best evaluation so far. */
  readonly best: Best | null
  /** The next best whose values are kept, in order; left out if there are none. */
  readonly runnersUp?: readonly Best[]
}

/** What the positions of a run fit. */
export interface RunShape {
  /** Batches of each epoch. */
  readonly batches: readonly number[]
  /** Batches an optimizer step; the last step of an epoch may have fewer. */
  readonly accumulate: number
}

/** Where values are among those that evaluated best: `place` 0 for the best, of at most `most`. */
export interface Ranking {
  readonly place: number
  readonly most: number
}

/** Keeps the state of a run: the latest checkpoints, and the values that evaluated best. */
export interface CheckpointStore {
  /** Writes a checkpoint. Saving the same step again has no effect: the state is the same. */
  save(position: Position, entries: readonly StateEntry[]): Promise<void>
  /** Restores the state that was saved at `position`. */
  load(position: Position, entries: readonly StateEntry[]): Promise<void>
  /**
   * Keeps these values among the best so far, in front of those at their place; beyond `most`, the last one is dropped.
   */
  saveBest(entries: readonly ValueEntry[], ranking: Ranking): Promise<void>
  /** Restores the best values. */
  loadBest(entries: readonly ValueEntry[]): Promise<void>
}
