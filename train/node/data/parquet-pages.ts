// What a Parquet file claims about its pages, checked before any of them is decoded: hyparquet allocates and loops by
// these numbers. Page headers are structs in Thrift's compact protocol, parquet-format's parquet.thrift.

/** Largest page, in bytes as it is decoded. Writers make pages of 1 MB; 256 MB is what one row of any use may take. */
export const MAX_PAGE_BYTES = 256 * 1024 * 1024
/** Deepest nesting of Thrift structs and lists; page headers use 3. */
const MAX_DEPTH = 16

type Value = number | boolean | Struct | undefined
type Struct = ReadonlyMap<number, Value>

/** Reads Thrift's compact protocol, and only keeps numbers and booleans. Throws a RangeError beyond the end. */
class ThriftReader {
  readonly #view: DataView
  offset = 0

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  struct(depth = 0): Struct {
    if (depth > MAX_DEPTH) throw new RangeError('nested too deeply')
    const fields = new Map<number, Value>()
    let id = 0
    for (;;) {
      const head = this.#byte()
      const type = head & 15
      if (type === 0) return fields
      id = head >> 4 === 0 ? this.#zigzag() : id + (head >> 4)
      fields.set(id, this.#value(type, depth))
    }
  }

  #value(type: number, depth: number): Value {
    if (type === 1 || type === 2) return type === 1
    if (type === 3) return this.#byte()
    if (type >= 4 && type <= 6) return this.#zigzag()
    if (type === 7) return this.#skip(8)
    if (type === 8) return this.#skip(this.#varint())
    if (type === 9 || type === 10) return this.#list(depth)
    if (type === 12) return this.struct(depth + 1)
    throw new RangeError(`unknown Thrift type ${type}`)
  }

  #list(depth: number): undefined {
    if (depth > MAX_DEPTH) throw new RangeError('nested too deeply')
    const head = this.#byte()
    const size = head >> 4 === 15 ? this.#varint() : head >> 4
    const element = head & 15
    // Each element takes at least a byte, so the end of the bytes ends the loop.
    for (let i = 0; i < size; i++) {
      if (element === 1 || element === 2) this.#byte()
      else this.#value(element, depth + 1)
    }
    return undefined
  }

  #byte(): number {
    return this.#view.getUint8(this.offset++)
  }

  #skip(count: number): undefined {
    if (count > this.#view.byteLength - this.offset) throw new RangeError('a value is longer than the file')
    this.offset += count
    return undefined
  }

  #varint(): number {
    let value = 0
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#byte()
      value += (byte & 127) * 2 ** shift
      if (byte < 128) return value
    }
    throw new RangeError('a number is longer than 64 bits')
  }

  #zigzag(): number {
    const value = this.#varint()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }
}

/** What the metadata says of one column of a row group. */
export interface ChunkClaims {
  readonly values: number
  /** Rows of the row group, for a column without nesting: it has a value for each. */
  readonly rows: number | undefined
}

/**
 * Checks every page header of a column chunk against the chunk: sizes within its bytes, counts within its values, and
 * no more plain values than their bytes can hold. Throws a RangeError that says what is wrong.
 */
export function checkPages(chunk: Uint8Array, { values, rows }: ChunkClaims): void {
  if (rows !== undefined && values !== rows) throw new RangeError(`a column has ${values} values for ${rows} rows`)
  let seen = 0
  for (let offset = 0; seen < values;) {
    if (offset >= chunk.length) throw new RangeError(`a column ends after ${seen} of ${values} values`)
    const reader = new ThriftReader(chunk.subarray(offset))
    const header = reader.struct()
    const type = count(header, 1, 'page type')
    const decoded = count(header, 2, 'page size')
    const stored = count(header, 3, 'page size')
    offset += reader.offset + stored
    if (offset > chunk.length) throw new RangeError('a page extends beyond its column')
    if (decoded > MAX_PAGE_BYTES)
      throw new RangeError(`a page has ${decoded} bytes; at most ${MAX_PAGE_BYTES} are read`)
    if (type === 1) continue
    const details = header.get(type === 0 ? 5 : type === 2 ? 7 : 8)
    if (!isStruct(details)) throw new RangeError('a page header lacks its counts')
    const found = count(details, 1, 'count of values')
    // Booleans are the smallest: eight in a byte.
    if (type === 2) {
      if (found > 8 * decoded) throw new RangeError(`a dictionary of ${decoded} bytes has ${found} values`)
      continue
    }
    const missing = type === 3 ? count(details, 2, 'count of nulls') : 0
    const levels = type === 3 ? count(details, 5, 'size of levels') + count(details, 6, 'size of levels') : 0
    if (missing > found || levels > stored || levels > decoded)
      throw new RangeError('the counts of a page contradict each other')
    seen += found
    if (seen > values) throw new RangeError(`a column has more than its ${values} values`)
  }
}

const isStruct = (value: Value): value is Struct => typeof value === 'object'

function count(struct: Struct, field: number, what: string): number {
  const value = struct.get(field)
  if (typeof value !== 'number' || value < 0) throw new RangeError(`a ${what} is missing or negative`)
  return value
}
