// What a trainer has to know of a task: which arrays an example's target becomes, the loss and what a step tells besides
// it, and how the outputs of an evaluation are summed up. The trainer knows no labels.
import type { Tensor } from '../engine/tensor.ts'
import type { Model } from '../models/model.ts'
import type { RowLosses } from '../models/losses.ts'
import type { ForwardContext } from '../models/nn.ts'

/** One tokenised example, special tokens included, already cut to the longest length wanted. */
export interface Encoded<Target> {
  readonly ids: ArrayLike<number>
  /** Segment of each token (BERT's token types); all 0 when left out. */
  readonly typeIds?: ArrayLike<number>
  readonly target: Target
}

/** Host numbers, row-major. */
export interface HostArray {
  readonly data: Int32Array<ArrayBuffer> | Float32Array<ArrayBuffer>
  readonly shape: readonly number[]
}

/** The targets of a batch as arrays, by the names under which `forward` finds them. */
export interface Targets {
  readonly arrays: Readonly<Record<string, HostArray>>
  /** What the batch counts for beside others: the sum of its rows' weights in the loss. */
  readonly weight: number
  /** Rows (or tokens) that the loss counts: what `Forward.sums` are divided by. */
  readonly count: number
}

/** A batch as tensors: ids, mask and types i32 [batch, sequence], and what `targets` gave. */
export interface TaskInputs {
  readonly ids: Tensor
  readonly mask: Tensor
  readonly types: Tensor | undefined
  readonly targets: Readonly<Record<string, Tensor>>
}

/** What one forward pass gives. */
export interface Forward {
  readonly losses: RowLosses
  /** What an evaluation reads, f32 [batch, …]: logits or predictions. */
  readonly outputs: Tensor
  /** Sums over the batch, f32 [], by the names of `Task.sums`; divided by `Targets.count` they are means. */
  readonly sums: Readonly<Record<string, Tensor>>
}

/** An example's share of an evaluation. */
export interface ExampleOutput<Target> {
  readonly target: Target
  /** Its row of `Forward.outputs`, flattened; for labels of tokens [sequence · labels], padding included. */
  readonly output: Float32Array
}

/** An evaluation's figures by name; undefined where a metric is not defined on these examples. */
export type Figures = Readonly<Record<string, number | undefined>>

export interface Task<Target, M extends Model = Model> {
  readonly name: string
  /** What a step tells besides its loss, e.g. `accuracy`: the names of `Forward.sums`. */
  readonly sums: readonly string[]
  /** The arrays of a batch of `batch` rows of `sequence` tokens; rows past the targets fill up and must not count. */
  targets(targets: readonly Target[], shape: { readonly batch: number, readonly sequence: number }): Targets
  /** Traced: losses, outputs and sums of one batch. */
  forward(model: M, inputs: TaskInputs, context: ForwardContext): Forward
  /** Figures of all examples, in the order in which they are to be shown. */
  summarise(examples: readonly ExampleOutput<Target>[]): Figures
}
