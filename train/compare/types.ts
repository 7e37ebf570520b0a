// What is compared: finished runs, as their folders describe them.
import type { Figure } from '../metrics/values.ts'
import type { TaskName } from '../tasks/infer.ts'

/** What an option takes. */
export type Value = string | number | boolean

/** An answer to one test row. */
export interface Answer {
  /** A hash of the text. */
  readonly text: string
  /** A class; a number; names of labels; a tag for each word. */
  readonly label: string | number | readonly string[]
  readonly predicted: string | number | readonly string[]
  /** Of classes, in the order of the run's labels. */
  readonly probabilities?: readonly number[]
}

/** An evaluation while a run trained. */
export interface Evaluated {
  readonly step: number
  /** Since the run began. */
  readonly seconds: number | undefined
  /** Metrics and the loss, by name. */
  readonly values: Readonly<Record<string, number>>
}

/** What a run took; undefined where it is not known. */
export interface RunCost {
  readonly trained: number | undefined
  readonly total: number | undefined
  readonly seconds: number | undefined
  /** The most GPU memory that was held. */
  readonly gpuBytes: number | undefined
  /** Of what was trained. */
  readonly diskBytes: number | undefined
}

export interface ComparedRun {
  /** Unique among the compared runs. */
  readonly name: string
  /** The command that made it, such as `fine-tune` or `baseline`. */
  readonly job: string
  readonly task: TaskName
  /** Names of the classes or labels; empty for other tasks. */
  readonly labels: readonly string[]
  /** Test rows. */
  readonly rows: number
  /** Metrics on the test set, by name. */
  readonly metrics: Readonly<Record<string, Figure>>
  /** To the test set; undefined if the run has no predictions.jsonl. */
  readonly answers: readonly Answer[] | undefined
  readonly cost: RunCost
  /** On the validation set. */
  readonly evaluations: readonly Evaluated[]
  /** What the run computes depends on these, seed aside; by their names on the command line. */
  readonly options: Readonly<Record<string, Value>>
  readonly seed: number | undefined
}
