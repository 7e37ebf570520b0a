// CSV and its relatives (RFC 4180; fields separated by , ; tab or |), read in pieces. A quote counts only at the start
// of a field, as in pandas and Python's csv: 5" is text.
import { UserError } from '../../engine/errors.ts'
import { counted } from '../counts.ts'
import { type ByteStream, type Record, RecordBuffer, asUtf8, decodeUtf8, headOf, notUtf8 } from './bytes.ts'
import type { Row, Table } from './table.ts'

const DELIMITERS = [',', '\t', ';', '|'] as const
const [LF, CR, QUOTE] = [10, 13, 34]
/** Bytes of the file's start that delimiter and line ending are found from. */
const SAMPLE = 64 * 1024

interface Dialect {
  readonly delimiter: string
  /** The byte that ends a record: a line feed, or the carriage return of old Macs. */
  readonly end: number
}

/**
 * The records of a file; blank lines are left out. Throws a UserError on a record that is too long, and on a quote that
 * is never closed.
 */
export async function* csvRecords(
  chunks: AsyncIterable<Uint8Array>,
  where: string,
  { delimiter, end }: Dialect,
): AsyncGenerator<Record> {
  const separator = delimiter.charCodeAt(0)
  const buffer = new RecordBuffer(where)
  let state: 'start' | 'plain' | 'quoted' | 'closing' = 'start'
  let [line, offset, position] = [1, 0, 0]
  let lineOfRecord = 1
  let opened = 1
  for await (const chunk of chunks) {
    let start = 0
    let i = 0
    while (i < chunk.length) {
      if (state === 'quoted') {
        const quote = chunk.indexOf(QUOTE, i)
        const until = quote < 0 ? chunk.length : quote
        for (let at = chunk.indexOf(end, i); at >= 0 && at < until; at = chunk.indexOf(end, at + 1)) line++
        i = until
        if (quote < 0) break
        state = 'closing'
        i++
        continue
      }
      const byte = chunk[i++]
      if (byte === end) {
        buffer.push(chunk.subarray(start, i - 1), lineOfRecord)
        const bytes = trimmed(buffer.take())
        if (bytes.length > 0) yield { bytes, line: lineOfRecord, offset }
        line++
        lineOfRecord = line
        start = i
        offset = position + i
        state = 'start'
      } else if (byte === QUOTE && (state === 'start' || state === 'closing')) {
        if (state === 'start') opened = line
        state = 'quoted'
      } else {
        state = byte === separator ? 'start' : 'plain'
      }
    }
    buffer.push(chunk.subarray(start), lineOfRecord)
    position += chunk.length
  }
  if (state === 'quoted')
    throw new UserError(`${where} is not proper CSV: the quote that opens in line ${opened} is never closed`)
  const bytes = trimmed(buffer.take())
  if (bytes.length > 0) yield { bytes, line: lineOfRecord, offset }
}

/** Without the carriage return of a \r\n. */
function trimmed(bytes: Uint8Array): Uint8Array {
  return bytes.at(-1) === CR ? bytes.subarray(0, -1) : bytes
}

/** The fields of one record, or what is wrong with its quotes. */
export function splitRecord(record: string, delimiter: string): string[] | { readonly problem: string } {
  if (!record.includes('"')) return record.split(delimiter)
  const fields: string[] = []
  for (let i = 0; ;) {
    if (record[i] !== '"') {
      const next = record.indexOf(delimiter, i)
      fields.push(record.slice(i, next < 0 ? undefined : next))
      if (next < 0) return fields
      i = next + 1
      continue
    }
    // From quote to quote; two in a row are one of the text.
    let close = record.indexOf('"', i + 1)
    while (close >= 0 && record[close + 1] === '"') close = record.indexOf('"', close + 2)
    if (close < 0) return { problem: `the quote of field ${fields.length + 1} is never closed` }
    fields.push(record.slice(i + 1, close).replaceAll('""', '"'))
    if (close + 1 === record.length) return fields
    if (record[close + 1] !== delimiter) {
      return {
        problem: `field ${fields.length} continues after its closing quote (a quote inside a quoted field is written "")`,
      }
    }
    i = close + 2
  }
}

/** The dialect that makes the records of a sample most alike; of equals the one with more fields. */
export async function findDialect(sample: Uint8Array, prefer?: string): Promise<Dialect> {
  const end = endOf(sample)
  let best = { delimiter: prefer ?? ',', alike: 0, fields: 1 }
  for (const delimiter of prefer === undefined ? DELIMITERS : [prefer, ...DELIMITERS.filter(one => one !== prefer)]) {
    const counts: number[] = []
    try {
      for await (const { bytes } of csvRecords(once(sample), '', { delimiter, end })) {
        const fields = splitRecord(new TextDecoder().decode(bytes), delimiter)
        counts.push(Array.isArray(fields) ? fields.length : 0)
        if (counts.length === 100) break
      }
    } catch {
      // The sample ends inside of quotes: what was read before counts.
    }
    const [fields = 0] = counts
    // The last record may be cut by the sample's end.
    const whole = counts.length > 2 ? counts.slice(0, -1) : counts
    const alike = whole.filter(count => count === fields).length / Math.max(1, whole.length)
    if (fields > 1 && (alike > best.alike || (alike === best.alike && fields > best.fields)))
      best = { delimiter, alike, fields }
  }
  return { delimiter: best.delimiter, end }
}

/** Carriage returns end records only where no line feed follows the first of them outside of quotes. */
function endOf(sample: Uint8Array): number {
  let quoted = false
  for (let i = 0; i < sample.length; i++) {
    if (sample[i] === QUOTE) quoted = !quoted
    else if (quoted) continue
    else if (sample[i] === LF) return LF
    else if (sample[i] === CR) return i + 1 < sample.length && sample[i + 1] !== LF ? CR : LF
  }
  return LF
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

export interface CsvOptions {
  /** As for `asUtf8`. */
  readonly encoding?: string
  /** Tried first, such as the tab of a .tsv file. */
  readonly delimiter?: string
}

/**
 * Opens a CSV file: its first record names the columns. Throws a UserError that names `file` if it is empty or its
 * header can't be read. A row with too few or too many fields is reported as a problem of that row.
 */
export async function openCsv(
  bytes: ByteStream,
  file: string,
  { encoding, delimiter }: CsvOptions = {},
): Promise<Table> {
  const { stream, skipped, recoded } = await asUtf8(bytes, file, encoding)
  const dialect = await findDialect(await headOf(stream, SAMPLE), delimiter)
  let header: string[] | undefined
  for await (const record of csvRecords(stream(), file, dialect)) {
    const text = decodeUtf8(record.bytes)
    if (typeof text !== 'string')
      throw new UserError(`${file}, header: ${notUtf8(skipped + record.offset + text.invalidAt)}`)
    const fields = splitRecord(text, dialect.delimiter)
    if (!Array.isArray(fields)) throw new UserError(`${file} is not proper CSV: header: ${fields.problem}`)
    header = fields
    break
  }
  if (!header) throw new UserError(`${file} is empty`)
  const names = header
  return {
    source: file,
    file,
    columns: names.map(name => ({ name })),
    columnsVary: false,
    async *rows(columns) {
      const indices = columns.map(column => names.indexOf(column))
      let number = -1
      for await (const record of csvRecords(stream(), file, dialect)) {
        number++
        if (number === 0) continue
        const place = { file, unit: 'data row' as const, number }
        const text = decodeUtf8(record.bytes)
        if (typeof text !== 'string') {
          // Text that was another encoding is UTF-8 by now.
          yield bad(place, recoded ? 'not text' : notUtf8(skipped + record.offset + text.invalidAt))
          continue
        }
        const fields = splitRecord(text, dialect.delimiter)
        if (!Array.isArray(fields)) yield bad(place, `not proper CSV: line ${record.line}: ${fields.problem}`)
        else if (fields.length !== names.length) {
          yield bad(
            place,
            `not proper CSV: line ${record.line} has ${counted(fields.length, 'field')}, the header ${names.length}`,
          )
        } else yield { ...place, cells: indices.map(index => fields[index]) }
      }
    },
  }
}

function bad(place: Omit<Row, 'cells' | 'problem'>, problem: string): Row {
  return { ...place, cells: [], problem }
}

/** A field as it is written (RFC 4180); with blanks at an end in quotes, since some readers trim what is not. */
export const csvField = (text: string): string =>
  /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
