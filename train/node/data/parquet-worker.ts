// The thread that decodes Parquet for parquet.ts. The library believes what a file says of itself, and a damaged file
// can make it loop for ever or fill memory: here it can be ended from outside. One file is open at a time; requests are
// answered in order.
import { isMainThread, parentPort } from 'node:worker_threads'
import { type FileMetaData, type SchemaElement, parquetMetadataAsync, parquetRead, parquetSchema } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { UserError } from '../../../engine/errors.ts'
import { type OpenFile, openRegularFile } from '../../../models/node/regular-file.ts'
import { decodeUtf8 } from '../../data/bytes.ts'
import type { Cell, Column } from '../../data/table.ts'
import { checkPages } from './parquet-pages.ts'

export type Request =
  | { readonly kind: 'open'; readonly path: string }
  | { readonly kind: 'group'; readonly index: number; readonly columns: readonly string[] }
  | { readonly kind: 'close' }

/** A file's columns, and its row groups: how many rows, and how many bytes are stored for them. */
export interface Opened {
  readonly columns: readonly Column[]
  readonly groups: readonly { readonly rows: number; readonly bytes: number }[]
}

/**
 * A column of texts, as UTF-8 that is handed over without being copied and is decoded by whoever asked. Text k ends
 * before byte ends[k]; row i has text number texts[i], or none where that is −1. Equal rows of a dictionary share a
 * text.
 */
export interface TextColumn {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly ends: Float64Array<ArrayBuffer>
  readonly texts: Int32Array<ArrayBuffer>
}

/**
 * A row group by column. Text inside of other values that is not UTF-8 makes its row `bad`: the place of its first
 * wrong byte.
 */
export interface Group {
  readonly columns: readonly (TextColumn | readonly Cell[])[]
  readonly bad: ReadonlyMap<number, { readonly column: string; readonly byte: number }>
}

export type Reply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'opened'; readonly opened: Opened }
  | { readonly kind: 'group'; readonly group: Group }
  | { readonly kind: 'closed' }
  /** `user` where the message is a whole one; else it says what is wrong inside the file. */
  | { readonly kind: 'failed'; readonly message: string; readonly user: boolean }

/** Text as it stands in the file. */
class Text {
  readonly bytes: Uint8Array
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

const parsers = { stringFromBytes: (bytes: Uint8Array | undefined): Text | undefined => bytes && new Text(bytes) }

interface Source {
  readonly byteLength: number
  readonly slice: (start: number, end?: number) => Promise<ArrayBuffer>
}

let current: { readonly file: OpenFile; readonly source: Source; readonly metadata: FileMetaData } | undefined

async function close(): Promise<void> {
  const handle = current?.file.handle
  current = undefined
  await handle?.close()
}

async function open(path: string): Promise<Opened> {
  await close()
  const file = await openRegularFile(path)
  try {
    const source = sourceOf(file)
    if (file.size === 0) throw new UserError(`${path} is empty`)
    const metadata = await parquetMetadataAsync(source, { geoparquet: false })
    const opened = describe(metadata, file.size)
    current = { file, source, metadata }
    return opened
  } catch (error) {
    await file.handle.close()
    throw error
  }
}

function sourceOf({ handle, size }: OpenFile): Source {
  return {
    byteLength: size,
    async slice(start, end = size) {
      if (!(start >= 0 && start <= end && end <= size))
        throw new RangeError(`bytes ${start} to ${end} of ${size} are referred to`)
      const bytes = new Uint8Array(end - start)
      for (let done = 0; done < bytes.length;) {
        const { bytesRead } = await handle.read(bytes, done, bytes.length - done, start + done)
        if (bytesRead === 0) throw new RangeError('the file has become shorter')
        done += bytesRead
      }
      return bytes.buffer
    },
  }
}

/** Checks the counts of the metadata against one another and the file's size, and gives what a table needs of it. */
function describe(metadata: FileMetaData, size: number): Opened {
  checkTree(metadata.schema)
  const names = namesOfClasses(metadata)
  const columns = parquetSchema(metadata).children.map(({ element: { name } }) => ({
    name,
    classNames: names.get(name),
  }))
  const groups = metadata.row_groups.map(({ num_rows, columns: chunks }) => ({
    rows: Number(num_rows),
    bytes: chunks.reduce((sum, { meta_data }) => sum + Number(meta_data?.total_compressed_size ?? 0), 0),
  }))
  // Equal rows cost next to nothing in a file, but a lot once they are read.
  const most = 1_000_000 + 8 * size
  const rows = groups.reduce((sum, group) => sum + group.rows, 0)
  if (groups.some(group => !(group.rows >= 0 && group.bytes >= 0)) || rows !== Number(metadata.num_rows)) {
    throw new RangeError(`its row groups have ${rows} rows together, not ${metadata.num_rows}`)
  }
  if (rows > most) throw new RangeError(`it claims ${rows} rows in ${size} bytes`)
  return { columns, groups }
}

/** The schema is a tree written depth first: each element says how many children follow. */
function checkTree(schema: readonly SchemaElement[]): void {
  if (schema.length === 0) throw new RangeError('the schema is empty')
  const open: number[] = []
  for (const [index, { num_children: children = 0 }] of schema.entries()) {
    if (index > 0) {
      if (open.length === 0) throw new RangeError('the schema has several roots')
      open[open.length - 1]--
    }
    if (!(children >= 0 && children < schema.length))
      throw new RangeError(`the schema has an element with ${children} children`)
    if (children > 0) open.push(children)
    while (open.at(-1) === 0) open.pop()
    if (open.length > 64) throw new RangeError('the schema nests more than 64 deep')
  }
  if (open.length > 0) throw new RangeError('the schema lacks elements')
}

/** The names that the Hub's libraries write beside a column of class labels, or of lists of them. */
function namesOfClasses({ key_value_metadata: pairs = [] }: FileMetaData): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>()
  const text = pairs.find(({ key }) => key === 'huggingface')?.value
  const features = at(at(parseJson(text), 'info'), 'features')
  if (typeof features !== 'object' || features === null) return found
  for (const [column, feature] of Object.entries(features) as [string, unknown][]) {
    const label = at(feature, '_type') === 'ClassLabel' ? feature : at(feature, 'feature')
    const names = at(label, '_type') === 'ClassLabel' ? at(label, 'names') : undefined
    if (Array.isArray(names) && names.every(name => typeof name === 'string')) found.set(column, names)
  }
  return found
}

function at(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? Object.entries(value).find(([name]) => name === key)?.[1]
    : undefined
}

function parseJson(text: unknown): unknown {
  try {
    return typeof text === 'string' ? JSON.parse(text) : undefined
  } catch {
    // Names that cannot be read are none: the file is one of numbers then.
    return undefined
  }
}

async function readGroup(index: number, columns: readonly string[]): Promise<Group> {
  if (!current) throw new Error('no file is open')
  const { source, metadata } = current
  const group = metadata.row_groups[index]
  const rows = Number(group.num_rows)
  const tree = parquetSchema(metadata)
  const read = new Map<string, ArrayBuffer>()
  for (const { meta_data: claims } of group.columns) {
    if (!claims) throw new RangeError('a column lacks its metadata')
    const [root] = claims.path_in_schema
    if (!columns.includes(root)) continue
    const element = tree.children.find(child => child.element.name === root)
    const flat = claims.path_in_schema.length === 1 && element?.element.repetition_type !== 'REPEATED'
    const values = Number(claims.num_values)
    // Of a list there may be any number of values; as many as rows are bounded by is plenty.
    if (!(values >= 0 && values <= 1_000_000 + 8 * source.byteLength))
      throw new RangeError(`a column claims ${values} values`)
    const start = Number(claims.dictionary_page_offset || claims.data_page_offset)
    const bytes = await source.slice(start, start + Number(claims.total_compressed_size))
    checkPages(new Uint8Array(bytes), { values, rows: flat ? rows : undefined })
    read.set(`${start} ${start + bytes.byteLength}`, bytes)
  }
  // What was checked is not read again where the library asks for just that.
  const file: Source = {
    ...source,
    slice: async (start, end = source.byteLength) => read.get(`${start} ${end}`) ?? source.slice(start, end),
  }
  const pieces = new Map<string, { readonly start: number; readonly data: ArrayLike<unknown> }[]>(
    columns.map(name => [name, []]),
  )
  if (rows > 0) {
    await parquetRead({
      file,
      metadata: { ...metadata, num_rows: group.num_rows, row_groups: [group] },
      columns: [...columns],
      compressors,
      parsers,
      onChunk: ({ columnName, columnData, rowStart }) => {
        pieces.get(columnName)?.push({ start: rowStart, data: columnData })
      },
    })
  }
  const bad = new Map<number, { column: string; byte: number }>()
  const decoded = columns.map(column => {
    const values: unknown[] = []
    for (const { data } of pieces.get(column)?.sort((a, b) => a.start - b.start) ?? []) {
      for (let i = 0; i < data.length && values.length < rows; i++) values.push(data[i])
    }
    if (values.length !== rows) throw new RangeError(`${values.length} of ${rows} rows could be read`)
    if (values.every(value => value instanceof Text || value === undefined || value === null)) return packTexts(values)
    return values.map((value, i) => cellOf(value, byte => bad.set(i, { column, byte })))
  })
  return { columns: decoded, bad }
}

function packTexts(values: readonly unknown[]): TextColumn {
  const numbers = new Map<Text, number>()
  const texts = Int32Array.from(values, value => {
    if (!(value instanceof Text)) return -1
    const number = numbers.get(value) ?? numbers.size
    numbers.set(value, number)
    return number
  })
  const ends = new Float64Array(numbers.size)
  let length = 0
  for (const [{ bytes }, number] of numbers) ends[number] = length += bytes.length
  const bytes = new Uint8Array(length)
  for (const [text, number] of numbers) bytes.set(text.bytes, ends[number] - text.bytes.length)
  return { bytes, ends, texts }
}

/** A value as a table has it. Text that is not UTF-8 is null, and told to `bad`. */
function cellOf(value: unknown, bad: (byte: number) => void, depth = 0): Cell {
  if (value === undefined || value === null) return null
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
  if (value instanceof Text) {
    const text = decodeUtf8(value.bytes)
    if (typeof text === 'string') return text
    bad(text.invalidAt)
    return null
  }
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (depth > 64) throw new RangeError('a value nests more than 64 deep')
  if (value instanceof Uint8Array) return { bytes: value.length }
  if (Array.isArray(value)) return value.map(one => cellOf(one, bad, depth + 1))
  if (ArrayBuffer.isView(value)) return null
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, cellOf(one, bad, depth + 1)]))
}

async function answer(request: Request): Promise<Reply> {
  try {
    if (request.kind === 'open') return { kind: 'opened', opened: await open(request.path) }
    if (request.kind === 'group') return { kind: 'group', group: await readGroup(request.index, request.columns) }
    await close()
    return { kind: 'closed' }
  } catch (error) {
    // Whatever the library stumbles over is the file's fault.
    return {
      kind: 'failed',
      message: error instanceof Error ? error.message : String(error),
      user: error instanceof UserError,
    }
  }
}

if (!isMainThread && parentPort) {
  const port = parentPort
  const reply = (message: Reply): void => {
    const columns = message.kind === 'group' ? message.group.columns : []
    port.postMessage(
      message,
      columns.flatMap(column => ('bytes' in column ? [column.bytes.buffer] : [])),
    )
  }
  // The library reads columns side by side; when one fails, the failures of the others reach nobody. The first is
  // answered.
  process.on('unhandledRejection', () => {})
  let last = Promise.resolve()
  port.on('message', (request: Request) => {
    last = last.then(async () => reply(await answer(request)))
  })
  reply({ kind: 'ready' })
}
