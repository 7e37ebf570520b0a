// JSON Lines (one object per line) and JSON (a list of objects), read in pieces: no file is ever one string or one
// value.
import { UserError } from '../../engine/errors.ts'
import { type ByteStream, type Record, RecordBuffer, asUtf8, decodeUtf8, linesOf, notUtf8 } from './bytes.ts'
import { type Cell, type Place, type Table, lookUp, placeOf, showCell } from './table.ts'

/** Rows of the file's start whose keys are taken for its columns. */
const SAMPLE_ROWS = 100
/** Deepest nesting of a value: such JSON costs far more memory than its text. */
const MAX_DEPTH = 100

/**
 * Opens a file of JSON objects. `kind` says whether each line is one, or whether the file may also be a list of them. A
 * row is an object; its keys are columns. Throws a UserError, naming `file`, where the file is empty or not such JSON.
 */
export async function openJson(
  bytes: ByteStream,
  file: string,
  kind: 'lines' | 'any',
  encoding?: string,
): Promise<Table> {
  const { stream, skipped } = await asUtf8(bytes, file, encoding)
  const unit = kind === 'any' && (await isList(stream)) ? 'element' : 'line'
  const records = unit === 'element' ? elementsOf : linesOf
  async function* read(): AsyncGenerator<{ place: Place; object: JsonObject | Problem }> {
    let number = 0
    for await (const record of records(stream(), file)) {
      number++
      const text = decodeUtf8(record.bytes)
      const place: Place = { file, unit, number: unit === 'line' ? record.line : number }
      if (typeof text !== 'string') {
        yield { place, object: new Problem(notUtf8(skipped + record.offset + text.invalidAt)) }
      } else if (text.trim() !== '')
        yield { place, object: parseObject(text, unit === 'element' ? record.line : undefined) }
    }
  }
  const names = new Set<string>()
  let rows = 0
  let problem: string | undefined
  for await (const { place, object } of read()) {
    if (object instanceof Problem) problem ??= `${placeOf(place)}: ${object.text}`
    else Object.keys(object).forEach(name => names.add(name))
    if (++rows === SAMPLE_ROWS) break
  }
  if (rows === 0) throw new UserError(`${file} is empty`)
  if (names.size === 0) throw new UserError(problem ?? `${file} has no columns: its objects are empty`)
  return {
    source: file,
    file,
    columns: Array.from(names, name => ({ name })),
    columnsVary: true,
    async *rows(columns) {
      for await (const { place, object } of read()) {
        if (object instanceof Problem) yield { ...place, cells: [], problem: object.text }
        else yield { ...place, cells: columns.map(column => lookUp(object, column)) }
      }
    },
  }
}

type JsonObject = { readonly [name: string]: Cell }

/** Why a row cannot be used. */
class Problem {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** `line` is where the text of a list's element begins in its file: after the comma before it. */
function parseObject(json: string, line?: number): JsonObject | Problem {
  if (nestsDeeper(json, MAX_DEPTH)) return new Problem(`nests more than ${MAX_DEPTH} deep`)
  try {
    // Only such text can have a whole number whose digits a JavaScript number does not keep.
    const value: unknown = /\d{16}/.test(json) ? JSON.parse(json, keepDigits) : JSON.parse(json)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  } catch {
    // Said below.
  }
  const begins = line === undefined ? 1 : line + breaksIn(json.slice(0, json.search(/\S/)))
  const within = begins > 1 ? ` (it begins in line ${begins})` : ''
  const word = notJson(json)
  if (word === undefined) return new Problem(`not a JSON object${within}: ${showCell(json.trim())}`)
  const before = json.slice(0, word.at)
  const at = line === undefined ? '' : `line ${line + breaksIn(before)}, `
  return new Problem(
    `${word.text} is not JSON (${at}column ${word.at - before.lastIndexOf('\n')}): write null, or leave the row out`,
  )
}

const breaksIn = (text: string): number => text.split('\n').length - 1

/** A reviver that gives whole numbers beyond 2^53 as strings of their digits. */
function keepDigits(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  return context?.source !== undefined && /^-?\d+$/.test(context.source) ? context.source : value
}

/** The first NaN or Infinity outside of strings, as Python writes them; and where. */
function notJson(json: string): { readonly text: string; readonly at: number } | undefined {
  const found = json.matchAll(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g).find(([text]) => !text.startsWith('"'))
  return found && { text: found[0], at: found.index }
}

function nestsDeeper(json: string, limit: number): boolean {
  let depth = 0
  let quoted = false
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i)
    if (quoted) {
      if (code === BACKSLASH) i++
      else if (code === QUOTE) quoted = false
    } else if (code === QUOTE) quoted = true
    else if (code === OPEN_LIST || code === OPEN_OBJECT) {
      if (++depth > limit) return true
    } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth--
  }
  return false
}

const [QUOTE, COMMA, OPEN_LIST, BACKSLASH, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [...'",[\\]{}'].map(one =>
  one.charCodeAt(0),
)
const isSpace = (byte: number): boolean => byte === 32 || byte === 9 || byte === 10 || byte === 13

/** Whether the first character of the file opens a list. */
async function isList(stream: ByteStream): Promise<boolean> {
  for await (const chunk of stream()) {
    const first = chunk.find(byte => !isSpace(byte))
    if (first !== undefined) return first === OPEN_LIST
  }
  return false
}

/**
 * The elements of a JSON list. Only what separates them is looked at: brackets, commas and strings. Throws a UserError,
 * naming `where`, on an element that is too long, and where the list is not closed or something follows it.
 */
export async function* elementsOf(chunks: AsyncIterable<Uint8Array>, where: string): AsyncGenerator<Record> {
  const buffer = new RecordBuffer(where)
  let opened = false
  let closed = false
  let depth = 0
  let quoted = false
  let escaped = false
  let number = 0
  let [line, offset, position] = [1, 0, 0]
  let lineOfElement = 1
  const damaged = (what: string): UserError => new UserError(`${where} is not a JSON list: line ${line}: ${what}`)
  for await (const chunk of chunks) {
    let start = 0
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]
      if (byte === 10) line++
      if (quoted) {
        if (escaped) escaped = false
        else if (byte === BACKSLASH) escaped = true
        else if (byte === QUOTE) quoted = false
        continue
      }
      if (!opened || closed) {
        if (isSpace(byte)) continue
        if (closed) throw damaged('something follows the list')
        if (byte !== OPEN_LIST) throw damaged('does not begin with [')
        opened = true
        start = i + 1
        offset = position + start
        lineOfElement = line
      } else if (depth === 0 && (byte === COMMA || byte === CLOSE_LIST)) {
        buffer.push(chunk.subarray(start, i), lineOfElement)
        const bytes = buffer.take()
        const blank = bytes.every(isSpace)
        if (blank && !(number === 0 && byte === CLOSE_LIST)) throw damaged(`element ${number + 1} is missing`)
        if (!blank) {
          number++
          yield { bytes, line: lineOfElement, offset }
        }
        closed = byte === CLOSE_LIST
        start = i + 1
        offset = position + start
        lineOfElement = line
      } else if (byte === QUOTE) quoted = true
      else if (byte === OPEN_LIST || byte === OPEN_OBJECT) depth++
      else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) {
        depth--
        if (depth < 0) throw damaged('a bracket closes that was never opened')
      }
    }
    if (opened && !closed) buffer.push(chunk.subarray(start), lineOfElement)
    position += chunk.length
  }
  if (!closed) throw damaged(`the file ends inside element ${number + 1}`)
}
