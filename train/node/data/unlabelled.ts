// Texts without labels, for pretraining: of text files, tables, and folders of either. What a model will be tested on is
// left out.
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { UserError } from '../../../engine/errors.ts'
import { chooseColumns } from '../../data/columns.ts'
import { reader } from '../../data/examples.ts'
import { openPlainText } from '../../data/plain-text.ts'
import { type Cell, type Table, concatenate, isList, placeOf, showCell } from '../../data/table.ts'
import { fileStream, isText, stem } from './files.ts'
import { NoData, type Splits, findSplits, splitName } from './layout.ts'

export interface UnlabelledOptions {
  /** The column of texts in tables; `text`, `review` or the like when left out. */
  readonly textColumn?: string
  /** Of text files that are not UTF-8: a label of the Encoding Standard. */
  readonly encoding?: string
  /** Rows without a text are left out and counted. Otherwise the first one is an error. */
  readonly skipBadRows?: boolean
  /** The splits to take; all but test and validation when left out. */
  readonly splits?: readonly string[]
  /** Paths all of whose texts are left out. */
  readonly exclude?: readonly string[]
  /** Called with the number of texts read so far, after each. */
  readonly onRead?: (count: number) => void
}

export interface Unlabelled {
  readonly texts: string[]
  /** Texts that were left out: they are also in a test or validation split, or in `exclude`. */
  readonly dropped: number
  /** Rows that could not be used. */
  readonly skipped: number
  /** Where they come from, in a few words. */
  readonly source: string
}

/** The splits that a model is judged by. */
const HELD_OUT: ReadonlySet<string> = new Set(['test', 'validation'])

/**
 * Loads the texts at `paths`, except those that are also in a test or validation split of any of them: a model must not
 * be pretrained on what it will be tested on. A path is what `findSplits` takes, a .txt file (see `openPlainText`), or a
 * folder with such files in it or below it, which may be called after splits.
 * @throws UserError, naming file and row, on anything that cannot be read, and where there is nothing to train on
 */
export async function loadUnlabelled(paths: readonly string[], options: UnlabelledOptions = {}): Promise<Unlabelled> {
  const sources: string[] = []
  const tables: Table[] = []
  const held: Table[] = []
  for (const path of paths) {
    const { splits, whole, source } = await splitsAt(path, options.encoding)
    const isWanted = (name: string): boolean => options.splits?.includes(name) ?? !HELD_OUT.has(name)
    const taken = [...splits].filter(([name]) => isWanted(name))
    if (!whole && taken.length === 0) {
      const names = [...splits.keys()].join(', ')
      throw new UserError(
        options.splits
          ? `${path} has no split ${options.splits.join(' or ')}; its splits: ${names}`
          : `${path} has only splits that are held out: ${names}`,
      )
    }
    tables.push(...(whole ? [whole] : taken.map(([, table]) => table)))
    held.push(...[...splits].flatMap(([name, table]) => (HELD_OUT.has(name) && !isWanted(name) ? [table] : [])))
    sources.push(whole ? source : `${source}, ${taken.map(([name]) => name).join(' and ')}`)
  }
  for (const path of options.exclude ?? []) {
    const { splits, whole } = await splitsAt(path, options.encoding)
    held.push(...(whole ? [whole] : splits.values()))
  }
  const excluded = new Set<string>()
  let [dropped, skipped] = [0, 0]
  const skip = (): void => {
    skipped++
  }
  let read = 0
  for (const table of held) {
    for await (const text of textsOf(table, options, skip)) {
      options.onRead?.(++read)
      excluded.add(text)
    }
  }
  const texts: string[] = []
  for (const table of tables) {
    for await (const text of textsOf(table, options, skip)) {
      options.onRead?.(++read)
      if (excluded.has(text)) dropped++
      else if (text !== '') texts.push(text)
    }
  }
  return { texts, dropped, skipped, source: sources.join('; ') }
}

async function splitsAt(path: string, encoding: string | undefined): Promise<Splits> {
  if (isText(path)) return { splits: new Map(), whole: await openText(path, encoding), source: path }
  try {
    return await findSplits(path, { encoding })
  } catch (error) {
    const found = error instanceof NoData ? await textFiles(path, encoding) : undefined
    if (!found) throw error
    return found
  }
}

const openText = (path: string, encoding: string | undefined): Promise<Table> =>
  openPlainText(fileStream(path), path, encoding)

/** The .txt files of a folder and of those in it, by split; undefined if there are none. */
async function textFiles(folder: string, encoding: string | undefined): Promise<Splits | undefined> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries
    .filter(entry => entry.isFile() && isText(entry.name) && !entry.name.startsWith('.'))
    .map(({ parentPath, name }) => join(parentPath, name))
    .sort()
  if (files.length === 0) return undefined
  const bySplit = new Map<string, Table[]>()
  for (const file of files) {
    const split = HELD_OUT.has(splitName(stem(file))) ? splitName(stem(file)) : 'train'
    bySplit.set(split, [...(bySplit.get(split) ?? []), await openText(file, encoding)])
  }
  const splits = new Map(
    Array.from(bySplit, ([split, tables]) => [split, concatenate(tables, `${folder}, ${split}`)] as const),
  )
  const named = files.length > 3 ? `${files.length} text files` : files.map(file => basename(file)).join(', ')
  return { splits, source: `${folder} (${named})` }
}

async function* textsOf(table: Table, options: UnlabelledOptions, skip: () => void): AsyncGenerator<string> {
  const textColumn = isText(table.file) ? undefined : options.textColumn
  const columns = { textColumn, pairColumn: null, labelColumn: null }
  const { wanted, take } = reader(table, chooseColumns(table, columns), columns)
  for await (const row of table.rows(wanted)) {
    const cell = row.problem === undefined ? take(row).text : undefined
    const text = row.problem === undefined ? textOf(cell) : undefined
    if (text !== undefined) yield text
    else if (options.skipBadRows) skip()
    else {
      const problem = row.problem ?? `no text, but ${showCell(cell)}`
      throw new UserError(`${placeOf(row)}: ${problem} (--skip-bad-rows leaves such rows out)`)
    }
  }
}

/** A text, or the words of one. */
function textOf(cell: Cell): string | undefined {
  if (typeof cell === 'string') return cell.trim()
  if (!isList(cell)) return undefined
  const words = cell.filter(word => typeof word === 'string')
  return words.length === cell.length ? words.join(' ') : undefined
}
