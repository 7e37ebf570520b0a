// What an overview says, as `--json` prints it, and as the terminal and the page show it.
import type { Lost } from '../../../overview/cuts.ts'
import type { Repeated } from '../../../overview/duplicates.ts'
import type { WordOdds } from '../../../overview/log-odds.ts'
import type { Oddity } from '../../../overview/odd-rows.ts'
import type { TaskName } from '../../../tasks/infer.ts'
import type { LabelledData } from '../../data/labelled.ts'
import type { Histogram, SetFacts, TextStatistics } from '../../data/statistics.ts'
import type { TokenizerFor } from './open.ts'

/** Rows of a kind that are shown. */
export const SHOWN = 5

/** A row that is shown. */
export interface ShownRow {
  readonly set: string
  /** Its number in the set, from 0, as in predictions.jsonl. */
  readonly row: number
  readonly label: string
  readonly text: string
  readonly pair?: string
}

export interface SetOverview extends SetFacts {
  /** Of second texts, in characters. */
  readonly pair_length?: TextStatistics
  /** Special tokens included; of a pair, of both texts together. */
  readonly token_length: TextStatistics
  /** Texts by their length in characters, of pairs of both together, and in tokens. */
  readonly characters: Histogram
  readonly tokens: Histogram
  /** Of labels that are numbers. */
  readonly numbers?: TextStatistics
}

/** What becomes of the texts at a longest text. */
export interface MaxLengthRow {
  readonly max_length: number
  /** By set. */
  readonly cut: Readonly<Record<string, Lost>>
  /** Of an epoch over the training texts, cut: batches, tokens, and tokens with padding. */
  readonly batches: number
  readonly tokens: number
  readonly padded: number
  /** Estimated time of an epoch, as a multiple of that at the length `reference`. */
  readonly time: number
}

/** Rows of set `to` whose text is also in set `from`. */
export interface SharedRows {
  readonly texts: number
  readonly rows: number
  /** Rows for which `from` has the text with another label. */
  readonly conflicting: number
  readonly row_numbers: readonly number[]
  readonly conflicting_rows: readonly number[]
}

export interface NearRows {
  readonly similarity: number
  readonly first: ShownRow
  readonly second: ShownRow
}

export interface DuplicatesOverview {
  /** By set; `near` counts rows that nearly equal an earlier one of the set. */
  readonly within: Readonly<Record<string, { exact: Repeated; normalised: Repeated; near: number }>>
  readonly between: readonly {
    readonly from: string
    readonly to: string
    readonly exact: SharedRows
    readonly normalised: SharedRows
    /** Rows of `to` that nearly equal one of `from`. */
    readonly near: number
  }[]
  /** Some of the texts that occur with different labels: their rows. */
  readonly conflicts: readonly (readonly ShownRow[])[]
  /** Some of the pairs that are nearly equal. */
  readonly near: readonly NearRows[]
}

export interface OddRows {
  readonly kind: Oddity
  readonly says: string
  /** Rows of each set. */
  readonly rows: Readonly<Record<string, number>>
  readonly examples: readonly ShownRow[]
}

export interface ShownExample extends ShownRow {
  readonly group: string
  readonly kind: 'shortest' | 'typical'
}

/** Everything that an overview says, as `--json` prints it. */
export interface Overview {
  readonly source: string
  /** Why no run would train on the data; left out if one would. */
  readonly refused?: string
  /** Null where the labels are not taken. */
  readonly task: TaskName | null
  readonly why: string
  readonly labels: readonly string[]
  readonly columns: LabelledData['columns']
  readonly unlabelled: number
  readonly left_out: LabelledData['leftOut']
  readonly tokenizer: { readonly name: string; readonly why?: string; readonly vocabulary: number }
  readonly sets: Readonly<Record<string, SetOverview>>
  readonly max_length: {
    readonly batch_size: number
    readonly batch_tokens?: number
    readonly model: TokenizerFor['model']
    readonly reference: number
    readonly lengths: readonly MaxLengthRow[]
  }
  readonly duplicates: DuplicatesOverview
  readonly odd: readonly OddRows[]
  /** Of the training texts. */
  readonly words: readonly { readonly group: string; readonly words: readonly WordOdds[] }[]
  readonly examples: readonly ShownExample[]
}
