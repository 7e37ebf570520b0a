// Texts without labels from any kind of data, one after another: a table is never whole in memory.
import { UserError } from '../../../engine/errors.ts'
import type { TextInput } from '../../../models/prediction.ts'
import { isFolder } from '../../../models/node/files.ts'
import { resolveDataset } from '../../../models/node/hub.ts'
import { type ColumnOptions, chooseColumns } from '../../data/columns.ts'
import { reader } from '../../data/examples.ts'
import { openLines } from '../../data/plain-text.ts'
import { type Cell, placeOf, showCell } from '../../data/table.ts'
import { fileStream, isTable, isText, openTable } from '../data/files.ts'
import { type Splits, findSplits, tableOf } from '../data/layout.ts'
import { isOnDisk } from './named.ts'

/** Which rows of what lies at a path, and which columns of them. */
export interface TextOptions extends Pick<ColumnOptions, 'like'> {
  readonly split?: string
  readonly textColumn?: string
  readonly pairColumn?: string
  readonly encoding?: string
  readonly skipBadRows?: boolean
}

export interface Texts {
  /** Whether each text has a second one. */
  readonly pairs: boolean
  /** Where they come from, in a few words. */
  readonly source: string
  readonly texts: AsyncIterable<TextInput>
  /** How many rows were left out so far. */
  readonly skipped: () => number
}

/**
 * What lies at a path or under a Hub name. A table that is named is that table and no other, also where it lies among
 * the splits of a data set: those are for training. Throws a UserError on what is neither, and as `findSplits` does.
 */
export async function splitsAt(data: string, encoding: string | undefined): Promise<Splits> {
  const path = (await isOnDisk(data)) ? data : (await resolveDataset(data)).folder
  if (!isTable(path) || (await isFolder(path))) return findSplits(path, { encoding })
  return { splits: new Map(), whole: await openTable(path, encoding), source: path }
}

/** A .txt file, of which each line is a text; undefined if it is anything else. */
async function linesAt(data: string, encoding: string | undefined): Promise<Splits | undefined> {
  if (!isText(data) || !(await isOnDisk(data)) || (await isFolder(data))) return undefined
  return { splits: new Map(), whole: await openLines(fileStream(data), data, encoding), source: data }
}

/**
 * Opens the texts at a path or of a Hub dataset, without reading them. An empty string is a text, too; a row without
 * one is refused when it comes, or left out.
 * @throws UserError on a path that leads nowhere, and if there is no column of texts
 */
export async function openTexts(data: string, options: TextOptions): Promise<Texts> {
  const { skipBadRows, ...columns } = options
  const found = (await linesAt(data, options.encoding)) ?? (await splitsAt(data, options.encoding))
  const table = tableOf(found, data, options.split)
  const taken = chooseColumns(table, { ...columns, labelColumn: null })
  let skipped = 0
  async function* texts(): AsyncGenerator<TextInput> {
    const { wanted, take } = reader(table, taken, { ...columns, labelColumn: null })
    for await (const row of table.rows(wanted)) {
      const { text, pair } = row.problem === undefined ? take(row) : { text: undefined, pair: undefined }
      const input = row.problem === undefined ? inputOf(text, pair, taken.pair !== undefined) : undefined
      if (input !== undefined) yield input
      else if (skipBadRows) skipped++
      else {
        const problem = row.problem ?? `no text, but ${showCell(typeof text === 'string' ? pair : text)}`
        throw new UserError(`${placeOf(row)}: ${problem} (--skip-bad-rows leaves such rows out)`)
      }
    }
  }
  const says =
    taken.pair === undefined
      ? `texts from column ${showCell(taken.text)}`
      : `pairs from columns ${showCell(taken.text)} and ${showCell(taken.pair)}`
  return { pairs: taken.pair !== undefined, source: `${table.source}, ${says}`, texts: texts(), skipped: () => skipped }
}

function inputOf(text: Cell, pair: Cell, pairs: boolean): TextInput | undefined {
  if (Array.isArray(text)) {
    const words = text.filter(word => typeof word === 'string')
    return words.length === text.length && !pairs ? { words } : undefined
  }
  if (typeof text !== 'string') return undefined
  if (!pairs) return text
  return typeof pair === 'string' ? { text, pair } : undefined
}
