// Plain text as a table of one column, `text`: its documents, or its lines. A document is a line, or, if blank lines stand
// between the lines of a file, all lines from one blank line to the next.
import { UserError } from '../../engine/errors.ts'
import { type ByteStream, MAX_RECORD_BYTES, asUtf8, decodeUtf8, linesOf, notUtf8 } from './bytes.ts'
import type { Place, Row, Table } from './table.ts'

/** What a line is: its text, or why it has none. */
type Line = Place & ({ readonly text: string } | { readonly problem: string })

/** Opens a text file, which is read a first time for its blank lines. Throws a UserError, naming `file`, if it is empty. */
export async function openPlainText(bytes: ByteStream, file: string, encoding?: string): Promise<Table> {
  const lines = await linesIn(bytes, file, encoding, text => text.trim())
  const separated = await hasBlocks(lines(), file)
  return tableOf(file, () => (separated ? blocksOf(lines()) : lines()))
}

/** Opens a text file of which every line is a row, a blank one too. */
export async function openLines(bytes: ByteStream, file: string, encoding?: string): Promise<Table> {
  return tableOf(file, await linesIn(bytes, file, encoding, text => text.replace(/\r$/, '')))
}

/** The lines of a file, each time from its start. */
async function linesIn(
  bytes: ByteStream,
  file: string,
  encoding: string | undefined,
  cleaned: (text: string) => string,
): Promise<() => AsyncGenerator<Line>> {
  const { stream, skipped } = await asUtf8(bytes, file, encoding)
  return async function* () {
    for await (const record of linesOf(stream(), file)) {
      const place: Place = { file, unit: 'line', number: record.line }
      const text = decodeUtf8(record.bytes)
      if (typeof text === 'string') yield { ...place, text: cleaned(text) }
      else yield { ...place, problem: notUtf8(skipped + record.offset + text.invalidAt) }
    }
  }
}

const tableOf = (file: string, documents: () => AsyncGenerator<Line>): Table => ({
  source: file,
  file,
  columns: [{ name: 'text' }],
  columnsVary: false,
  async *rows(columns) {
    for await (const document of documents()) yield rowOf(document, columns)
  },
})

function rowOf(document: Line, columns: readonly string[]): Row {
  const { file, unit, number } = document
  if ('problem' in document) return { file, unit, number, cells: [], problem: document.problem }
  return { file, unit, number, cells: columns.map(name => (name === 'text' ? document.text : undefined)) }
}

const isBlank = (line: Line): boolean => 'text' in line && line.text === ''

/** Whether a blank line stands between two that are not. Throws a UserError if no line has text. */
async function hasBlocks(lines: AsyncIterable<Line>, file: string): Promise<boolean> {
  let [begun, apart] = [false, false]
  for await (const line of lines) {
    if (isBlank(line)) apart = begun
    else if (apart) return true
    else begun = true
  }
  if (!begun) throw new UserError(`${file} holds no text`)
  return false
}

/** Documents of several lines, each at the place of its first. One line that cannot be read spoils its document. */
async function* blocksOf(lines: AsyncIterable<Line>): AsyncGenerator<Line> {
  let open: Line | undefined
  for await (const line of lines) {
    if (isBlank(line)) {
      if (open) yield open
      open = undefined
    } else open = open ? joined(open, line) : line
  }
  if (open) yield open
}

function joined(document: Line, line: Line): Line {
  if ('problem' in document) return document
  if ('problem' in line) return line
  const text = `${document.text}\n${line.text}`
  if (text.length > MAX_RECORD_BYTES) return { ...document, problem: `more than ${MAX_RECORD_BYTES / 2 ** 20} MB` }
  return { ...document, text }
}
