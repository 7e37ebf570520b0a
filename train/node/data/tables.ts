// Labelled reviews from tables: CSV, JSON Lines and Parquet files with a column of texts and a column of labels.
import { createReadStream } from 'node:fs'
import { basename, extname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { CsvError, parse } from 'csv-parse'
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { UserError } from '../../../engine/errors.ts'
import { fileError } from '../../../models/node/files.ts'
import { parseLabel } from './examples.ts'
import type { Example } from './examples.ts'

/** The columns that are looked for, in any case; the first that is there counts. */
const TEXT_COLUMNS = ['text', 'review'] as const
const LABEL_COLUMNS = ['label', 'sentiment'] as const

/** The endings of the files that `readTable` reads. */
export const TABLE_ENDINGS = ['.csv', '.jsonl', '.parquet'] as const

/** Examples in the order of the rows, and how many rows had no label (−1) and were left out. */
export interface Table {
  readonly examples: Example[]
  readonly unlabelled: number
}

/** One row as the file has it; `place` says where, for errors. */
interface Row {
  readonly text: unknown
  readonly label: unknown
  readonly place: string
}

/** Whether the path ends like a table. */
export function isTable(path: string): boolean {
  return TABLE_ENDINGS.some((ending) => extname(path).toLowerCase() === ending)
}

/**
 * Reads a table by its ending. Rows labelled −1 are unlabelled and left out. Throws a UserError, naming the file and
 * the row, on a missing column, an unknown label, a row without text, a file without rows, and a damaged file.
 */
export async function readTable(path: string): Promise<Table> {
  const ending = extname(path).toLowerCase()
  const read = ending === '.csv' ? csvRows : ending === '.jsonl' ? jsonRows : parquetRows
  const rows = await read(path).catch((error: unknown) => {
    throw fileError(path, error)
  })
  if (rows.length === 0) throw new UserError(`${path} has no rows`)
  const examples: Example[] = []
  for (const { text, label: cell, place } of rows) {
    const label = parseLabel(cell)
    if (label === undefined) {
      throw new UserError(
        `${path}, ${place}: unknown label ${show(cell)}; expected 0 or 1, neg or pos, negative or positive`,
      )
    }
    if (typeof text !== 'string' || text.trim() === '')
      throw new UserError(`${path}, ${place}: no text, but ${show(text)}`)
    if (label !== -1) examples.push({ text, label })
  }
  if (examples.length === 0) throw new UserError(`${path} has no labelled rows: all ${rows.length} are labelled -1`)
  return { examples, unlabelled: rows.length - examples.length }
}

/** Only the texts of a Parquet file. Throws a UserError as `readTable` does. */
export async function readParquetTexts(path: string): Promise<string[]> {
  const rows = await readParquet(path, (columns) => [pickColumn(path, columns, TEXT_COLUMNS, 'text')])
  return rows.map(([text], i) => {
    if (typeof text !== 'string') throw new UserError(`${path}, row ${i + 1}: no text, but ${show(text)}`)
    return text
  })
}

async function csvRows(path: string): Promise<Row[]> {
  const rows: Row[] = []
  const collect = async (records: AsyncIterable<string[]>): Promise<void> => {
    let columns: { text: number; label: number } | undefined
    for await (const record of records) {
      if (columns) {
        rows.push({ text: record[columns.text], label: record[columns.label], place: `data row ${rows.length + 1}` })
        continue
      }
      columns = {
        text: record.indexOf(pickColumn(path, record, TEXT_COLUMNS, 'text')),
        label: record.indexOf(pickColumn(path, record, LABEL_COLUMNS, 'label')),
      }
    }
    if (!columns) throw new UserError(`${path} is empty`)
  }
  try {
    await pipeline(createReadStream(path), parse({ bom: true, skip_empty_lines: true }), collect)
  } catch (error) {
    // Its messages name the line, but may go on over several with the row's text.
    if (error instanceof CsvError)
      throw new UserError(`${path} is no proper CSV: ${error.message.split('\n')[0].slice(0, 200)}`)
    throw error
  }
  return rows
}

async function jsonRows(path: string): Promise<Row[]> {
  const rows: Row[] = []
  let lineNumber = 0
  for await (const line of linesOf(path)) {
    lineNumber++
    const json = lineNumber === 1 ? line.replace(/^\ufeff/, '') : line
    if (json.trim() === '') continue
    const place = `line ${lineNumber}`
    const row = parseObject(json)
    if (!row) throw new UserError(`${path}, ${place}: not a JSON object: ${show(json)}`)
    const columns = Object.keys(row)
    const text = pickColumn(`${path}, ${place}`, columns, TEXT_COLUMNS, 'text')
    const label = pickColumn(`${path}, ${place}`, columns, LABEL_COLUMNS, 'label')
    rows.push({ text: row[text], label: row[label], place })
  }
  if (rows.length === 0) throw new UserError(`${path} is empty`)
  return rows
}

/**
 * The lines of a UTF-8 file. Only \n ends one, and JSON takes the \r before it for white space: Node's own readline also
 * breaks at U+2028 and U+2029, which may stand in a JSON string as they are.
 */
async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = ''
  for await (const piece of createReadStream(path, 'utf8')) {
    const [first, ...others] = String(piece).split('\n')
    rest += first
    for (const line of others) {
      yield rest
      rest = line
    }
  }
  if (rest !== '') yield rest
}

function parseObject(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined
  } catch {
    return undefined
  }
}

async function parquetRows(path: string): Promise<Row[]> {
  const rows = await readParquet(path, (columns) => [
    pickColumn(path, columns, TEXT_COLUMNS, 'text'),
    pickColumn(path, columns, LABEL_COLUMNS, 'label'),
  ])
  return rows.map(([text, label], i) => ({ text, label, place: `row ${i + 1}` }))
}

/** All rows of the columns that `pick` chooses. Whatever the reader stumbles over becomes a UserError. */
async function readParquet(path: string, pick: (columns: string[]) => string[]): Promise<unknown[][]> {
  const file = await asyncBufferFromFile(path)
  if (file.byteLength === 0) throw new UserError(`${path} is empty`)
  try {
    const metadata = await parquetMetadataAsync(file)
    const [root] = metadata.schema
    // Leaves of the root only: a nested field is no column of ours.
    const columns = pick(metadata.schema.slice(1, 1 + (root.num_children ?? 0)).map(({ name }) => name))
    const rows = await parquetReadObjects({ file, metadata, columns, compressors })
    if (rows.length !== Number(metadata.num_rows)) {
      throw new RangeError(`${rows.length} of ${metadata.num_rows} rows could be read`)
    }
    return rows.map((row) => columns.map((column) => row[column]))
  } catch (error) {
    if (error instanceof UserError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new UserError(`${path} is no Parquet file, or is cut short or damaged: ${reason.split('\n')[0]}`)
  }
}

/** The column of the header that has one of the names. */
function pickColumn(where: string, columns: readonly string[], names: readonly string[], what: string): string {
  for (const name of names) {
    const found = columns.find((column) => column.trim().toLowerCase() === name)
    if (found !== undefined) return found
  }
  const listed = columns.slice(0, 8).map((column) => JSON.stringify(column.slice(0, 40)))
  const expected = names.map((name) => JSON.stringify(name)).join(' or ')
  throw new UserError(`${where} has no ${what} column: expected ${expected}, found ${listed.join(', ') || 'none'}`)
}

/** A value as an error shows it: short and on one line. */
function show(value: unknown): string {
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? String(value))
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

/** The name of a table without its folder and ending: `train` for `reviews/train.csv`. */
export function stem(path: string): string {
  return basename(path, extname(path))
}
