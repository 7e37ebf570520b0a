// What a trainer has to know of a task: how examples become a batch, the loss and what a step tells besides it, and how the
// outputs of an evaluation are summed up. The trainer knows no labels.
import type { Tensor } from '../engine/tensor.ts'
import type { Model } from '../models/model.ts'
import type { RowLosses } from '../models/losses.ts'
import type { ForwardContext } from '../models/nn.ts'
import type { Random } from './random.ts'

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

/** Rows and tokens that a batch is made for, whatever it holds, so that few plans are compiled. */
export interface BatchSize {
  readonly batch: number
  readonly sequence: number
  /** Id of the padding token. */
  readonly padId: number
}

/** The texts of a batch, row-major [batch, sequence]. */
export interface TextArrays {
  readonly ids: Int32Array<ArrayBuffer>
  readonly typeIds: Int32Array<ArrayBuffer>
  /** 1 where a token stands, 0 on padding. */
  readonly mask: Int32Array<ArrayBuffer>
  /** How many rows are examples; the rest only fill the batch up and must not count. */
  readonly rows: number
  readonly batch: number
  readonly sequence: number
  /** Tokens that are no padding. */
  readonly tokens: number
}

/** A batch of a task: texts, and arrays of its own by the names under which `forward` finds them. */
export interface Batch extends TextArrays {
  readonly arrays: Readonly<Record<string, HostArray>>
  /** What the batch counts for beside others: the sum of its rows' weights in the loss. */
  readonly weight: number
  /** Rows (or tokens) that the loss counts: what `Forward.sums` are divided by. */
  readonly count: number
}

/** A batch as tensors: ids, mask and types i32 [batch, sequence], and the task's arrays. */
export interface TaskInputs {
  readonly ids: Tensor
  readonly mask: Tensor
  readonly types: Tensor | undefined
  readonly arrays: Readonly<Record<string, Tensor>>
}

/** What one forward pass gives. */
export interface Forward {
  readonly losses: RowLosses
  /** What an evaluation reads, f32 [batch, …]: logits or predictions. */
  readonly outputs: Tensor
  /** Sums over the batch, f32 [], by the names of `Task.sums`; divided by `Batch.count` they are means. */
  readonly sums: Readonly<Record<string, Tensor>>
}

/** An example's share of an evaluation. */
export interface ExampleOutput<Target> {
  readonly target: Target
  /** Its row of `Forward.outputs`, flattened; for labels of tokens [sequence · labels], padding included. */
  readonly output: Float32Array
}

/** Figures by name; undefined where one is not defined on these examples. */
export type Figures = Readonly<Record<string, number | undefined>>

export interface Task<Target, M extends Model = Model> {
  readonly name: string
  /** What a step tells besides its loss, e.g. `accuracy`: the names of `Forward.sums`. */
  readonly sums: readonly string[]
  /**
   * The arrays of one batch. `random` is for tasks that draw anew each time, such as the masked tokens of pretraining.
   * @throws RangeError on more examples than rows, and on one that is longer than the batch
   */
  collate(examples: readonly Encoded<Target>[], size: BatchSize, random: Random): Batch
  /** Traced: losses, outputs and sums of one batch. */
  forward(model: M, inputs: TaskInputs, context: ForwardContext): Forward
  /**
   * Figures of all examples, in the order in which they are to be shown. `means` are those of `sums` over the evaluation, for
   * tasks whose outputs say nothing.
   */
  summarise(examples: readonly ExampleOutput<Target>[], means: Figures): Figures
  /** The figure that the best evaluation is best at, unless told otherwise. */
  readonly bestMetric: string
  /** Figures of which less is better, besides the loss. */
  readonly lessIsBetter?: readonly string[]
}

/** The texts of a batch, padded to `sequence` tokens and `batch` rows. Throws a RangeError as `collate` does. */
export function collateTexts(examples: readonly Pick<Encoded<unknown>, 'ids' | 'typeIds'>[], size: BatchSize): TextArrays {
  const { batch, sequence, padId } = size
  if (examples.length > batch) throw new RangeError(`${examples.length} rows do not fit a batch of ${batch}`)
  const ids = new Int32Array(batch * sequence).fill(padId)
  const typeIds = new Int32Array(batch * sequence)
  const mask = new Int32Array(batch * sequence)
  let tokens = 0
  examples.forEach((text, row) => {
    const length = text.ids.length
    if (length > sequence) throw new RangeError(`Text ${row} of the batch has ${length} tokens; it holds ${sequence}`)
    ids.set(text.ids, row * sequence)
    if (text.typeIds) typeIds.set(text.typeIds, row * sequence)
    mask.fill(1, row * sequence, row * sequence + length)
    tokens += length
  })
  return { ids, typeIds, mask, rows: examples.length, batch, sequence, tokens }
}
