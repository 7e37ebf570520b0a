// What a trainer has to know of a task: how examples become a batch, the loss and what else a step reports, and how the
// outputs of an evaluation are summed up. The trainer knows no labels.
import { needArray, needObjects } from '../engine/options.ts'
import { type Tensor, needTensors } from '../engine/tensor.ts'
import type { Model } from '../models/model.ts'
import type { RowLosses } from '../models/losses.ts'
import type { ForwardContext, Module } from '../models/nn.ts'
import { windowsOf } from '../models/windows.ts'
import type { Random } from './random.ts'

/** Tokens that go into one row of a batch, special tokens included, no more than the longest length wanted. */
export interface EncodedWindow {
  readonly ids: ArrayLike<number>
  /** Segment of each token (BERT's token types); all 0 when left out. */
  readonly typeIds?: ArrayLike<number>
}

/** One tokenised example: a window, which holds all of it or what is left after a cut, or the first of several. */
export interface Encoded<Target> extends EncodedWindow {
  /** The windows after the first, where the text is read in several. */
  readonly further?: readonly EncodedWindow[]
  /** Of labels of tokens those of all windows, one after another. */
  readonly target: Target
  /**
   * What a teacher answers, before any softmax: [labels], or for labels of tokens [tokens · labels], all windows one
   * after another, NaN where it says nothing of a token.
   */
  readonly taught?: ArrayLike<number>
  /** Whether it has no label, so that only a teacher's answer can be learned; `target` is any then. */
  readonly unlabelled?: boolean
}

/** Host numbers, row-major. */
export interface HostArray {
  readonly data: Int32Array<ArrayBuffer> | Float32Array<ArrayBuffer>
  readonly shape: readonly number[]
}

/** Rows and tokens that a batch is made for, whatever it holds, so that few plans are compiled. */
export interface BatchSize {
  /** Texts. */
  readonly batch: number
  readonly sequence: number
  /** Rows for windows, if a text has several; one per text when left out. */
  readonly windows?: number
  /** Id of the padding token. */
  readonly padId: number
}

/** The texts of a batch, row-major [windows, sequence]. */
export interface TextArrays {
  readonly ids: Int32Array<ArrayBuffer>
  readonly typeIds: Int32Array<ArrayBuffer>
  /** 1 where a token stands, 0 on padding. */
  readonly mask: Int32Array<ArrayBuffer>
  /** How many of `batch` are examples; the rest only fill the batch up and must not count. */
  readonly rows: number
  readonly batch: number
  /** Rows of windows; `batch` where each text has one. */
  readonly windows: number
  /** The row of each example's first window. */
  readonly starts: readonly number[]
  /**
   * Where texts have several windows, f32 [batch, windows]: its product with the windows' scores is each text's mean.
   */
  readonly pooling?: HostArray
  readonly sequence: number
  /** Tokens that are not padding. */
  readonly tokens: number
}

/** A batch of a task: texts, and arrays of its own by the names under which `forward` finds them. */
export interface Batch extends TextArrays {
  readonly arrays: Readonly<Record<string, HostArray>>
  /** More of them that are tensors already. */
  readonly tensors?: Readonly<Record<string, Tensor>>
  /** What the batch counts for beside others: the sum of its rows' weights in the loss. */
  readonly weight: number
  /** Rows (or tokens) that the loss counts: what `Forward.sums` are divided by. */
  readonly count: number
  /** The same of some of the sums, where they are over other rows. */
  readonly counts?: Readonly<Record<string, number>>
}

/** A batch as tensors: ids, mask and types i32 [windows, sequence], and the task's arrays. */
export interface TaskInputs {
  readonly ids: Tensor
  readonly mask: Tensor
  readonly types: Tensor | undefined
  /** As in the batch. */
  readonly pooling?: Tensor
  readonly arrays: Readonly<Record<string, Tensor>>
}

/** What one forward pass gives. */
export interface Forward {
  readonly losses: RowLosses
  /** What an evaluation reads, f32 [batch, …], or for labels of tokens [windows, …]: logits or predictions. */
  readonly outputs: Tensor
  /** Sums over the batch, f32 [], by the names of `Task.sums`; divided by `Batch.count` they are means. */
  readonly sums: Readonly<Record<string, Tensor>>
}

/** An example's share of an evaluation. */
export interface ExampleOutput<Target> {
  readonly target: Target
  /**
   * Its row of `Forward.outputs`; for labels of tokens [tokens · labels], one window after another, without padding.
   */
  readonly output: Float32Array
}

/** Figures by name; undefined where one is not defined on these examples. */
export type Figures = Readonly<Record<string, number | undefined>>

export interface Task<Target, M extends Module = Model> {
  readonly name: string
  /** What a step reports besides its loss, e.g. `accuracy`: the names of `Forward.sums`. */
  readonly sums: readonly string[]
  /** Whether a batch can't be made of no examples, to plan a step before there are any. */
  readonly needsExamples?: boolean
  /** Whether it scores every token of every window, and not a text as a whole. */
  readonly scoresTokens?: boolean
  /**
   * The arrays of one batch. `random` is for tasks that draw anew each time, such as the masked tokens of pretraining.
   * @throws RangeError on more examples than rows, and on one that is longer than the batch
   */
  collate(examples: readonly Encoded<Target>[], size: BatchSize, random: Random): Batch
  /** Traced: losses, outputs and sums of one batch. */
  forward(model: M, inputs: TaskInputs, context: ForwardContext): Forward
  /**
   * Figures of all examples, in the order in which they are to be shown. `means` are those of `sums` over the
   * evaluation, for tasks whose outputs say nothing.
   */
  summarise(examples: readonly ExampleOutput<Target>[], means: Figures): Figures
  /** The figure that decides the best evaluation, unless told otherwise. */
  readonly bestMetric: string
  /** Figures of which less is better, besides the loss. */
  readonly lessIsBetter?: readonly string[]
}

/**
 * The texts of a batch, padded to `sequence` tokens, and to `windows` rows where it has them, else to `batch`. Throws a
 * RangeError as `collate` does.
 */
export function collateTexts(
  examples: readonly (EncodedWindow & Pick<Encoded<unknown>, 'further'>)[],
  size: BatchSize,
): TextArrays {
  needArray('collateTexts', examples, 'examples')
  needObjects('collateTexts', { size })
  const { batch, sequence, windows, padId } = size
  const all = examples.map(example => windowsOf<EncodedWindow>(example))
  const rows = windows ?? batch
  const used = all.reduce((sum, { length }) => sum + length, 0)
  if (examples.length > batch) throw new RangeError(`${examples.length} rows do not fit a batch of ${batch}`)
  if (used > rows) throw new RangeError(`${used} windows do not fit a batch of ${rows}`)
  const ids = new Int32Array(rows * sequence).fill(padId)
  const typeIds = new Int32Array(rows * sequence)
  const mask = new Int32Array(rows * sequence)
  const means = new Float32Array(windows === undefined ? 0 : batch * rows)
  const starts: number[] = []
  let [row, tokens] = [0, 0]
  all.forEach((parts, text) => {
    starts.push(row)
    if (windows !== undefined) means.fill(1 / parts.length, text * rows + row, text * rows + row + parts.length)
    for (const part of parts) {
      const { length } = part.ids
      if (length > sequence)
        throw new RangeError(`Text ${text} of the batch has ${length} tokens; it holds ${sequence}`)
      ids.set(part.ids, row * sequence)
      if (part.typeIds) typeIds.set(part.typeIds, row * sequence)
      mask.fill(1, row * sequence, row * sequence + length)
      tokens += length
      row++
    }
  })
  return {
    ids,
    typeIds,
    mask,
    rows: examples.length,
    batch,
    windows: rows,
    starts,
    sequence,
    tokens,
    ...(windows !== undefined && { pooling: { data: means, shape: [batch, rows] } }),
  }
}

/** Scores of texts, f32 [batch, labels], from those of their windows, f32 [windows, labels]: of each text the mean. */
export function poolWindows(scores: Tensor, pooling: Tensor | undefined): Tensor {
  needTensors('poolWindows', { scores, ...(pooling === undefined ? {} : { pooling }) })
  return pooling?.matmul(scores) ?? scores
}
