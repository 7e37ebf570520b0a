// Writes small Parquet files with one row group, uncompressed, a page a column, whose headers may claim what they like.

/** A field of a Thrift struct in the compact protocol: its type and its bytes. */
type Field = readonly [type: number, bytes: readonly number[]]

const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))]
const zigzag = (value: number): number[] => varint(value >= 0 ? 2 * value : -2 * value - 1)
const i32 = (value: number): Field => [5, zigzag(value)]
const i64 = (value: number): Field => [6, zigzag(value)]
const bool = (value: boolean): Field => [value ? 1 : 2, []]
const binary = (text: string): Field => {
  const bytes = [...new TextEncoder().encode(text)]
  return [8, [...varint(bytes.length), ...bytes]]
}
const list = (type: number, items: readonly (readonly number[])[]): Field => [
  9,
  [
    items.length < 15 ? (items.length << 4) | type : 0xf0 | type,
    ...(items.length < 15 ? [] : varint(items.length)),
    ...items.flat(),
  ],
]
const structs = (items: readonly Field[]): Field =>
  list(
    12,
    items.map(([, bytes]) => bytes),
  )

function struct(fields: Readonly<Record<number, Field | undefined>>): Field {
  const bytes: number[] = []
  let last = 0
  for (const [key, field] of Object.entries(fields)) {
    if (!field) continue
    const [type, value] = field
    const id = Number(key)
    bytes.push(((id - last) << 4) | type, ...value)
    last = id
  }
  return [12, [...bytes, 0]]
}

export const ENCODINGS = { plain: 0, rle: 3, deltaBinary: 5, deltaLength: 6, deltaBytes: 7, dictionary: 8 } as const
const TYPES = { boolean: 0, int32: 1, int64: 2, double: 5, bytes: 6 } as const

export interface ParquetColumn {
  readonly name: string
  readonly type: keyof typeof TYPES
  /** The page's bytes. A column is REQUIRED, so that no levels precede its values. */
  readonly page: readonly number[]
  readonly encoding?: keyof typeof ENCODINGS
  /** The dictionary page's values, PLAIN, and how many. */
  readonly dictionary?: { readonly page: readonly number[]; readonly values: number }
  /** Headers of the second kind (DATA_PAGE_V2). */
  readonly second?: boolean
}

/** Values of type bytes as PLAIN has them. */
export function plainTexts(texts: readonly string[]): number[] {
  return texts.flatMap(text => {
    const bytes = [...new TextEncoder().encode(text)]
    return [bytes.length & 255, (bytes.length >> 8) & 255, 0, 0, ...bytes]
  })
}

export function parquetFile(
  rows: number,
  columns: readonly ParquetColumn[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const bytes = [...new TextEncoder().encode('PAR1')]
  const chunks: Field[] = []
  for (const { name, type, page, encoding = 'plain', dictionary, second = false } of columns) {
    const start = bytes.length
    if (dictionary) {
      const { page: values, values: count } = dictionary
      bytes.push(
        ...struct({
          1: i32(2),
          2: i32(values.length),
          3: i32(values.length),
          7: struct({ 1: i32(count), 2: i32(0) }),
        })[1],
        ...values,
      )
    }
    const data = bytes.length
    const size = { 2: i32(page.length), 3: i32(page.length) }
    const header = second
      ? struct({
          1: i32(3),
          ...size,
          8: struct({
            1: i32(rows),
            2: i32(0),
            3: i32(rows),
            4: i32(ENCODINGS[encoding]),
            5: i32(0),
            6: i32(0),
            7: bool(false),
          }),
        })
      : struct({ 1: i32(0), ...size, 5: struct({ 1: i32(rows), 2: i32(ENCODINGS[encoding]), 3: i32(3), 4: i32(3) }) })
    bytes.push(...header[1], ...page)
    const length = bytes.length - start
    chunks.push(
      struct({
        2: i64(start),
        3: struct({
          1: i32(TYPES[type]),
          2: list(5, [zigzag(ENCODINGS[encoding])]),
          3: list(8, [binary(name)[1]]),
          4: i32(0),
          5: i64(rows),
          6: i64(length),
          7: i64(length),
          9: i64(data),
          11: dictionary && i64(start),
        }),
      }),
    )
  }
  const schema = [
    struct({ 4: binary('schema'), 5: i32(columns.length) }),
    ...columns.map(({ name, type }) => struct({ 1: i32(TYPES[type]), 3: i32(0), 4: binary(name) })),
  ]
  const pairs = Object.entries(metadata).map(([key, value]) => struct({ 1: binary(key), 2: binary(value) }))
  const footer = struct({
    1: i32(1),
    2: structs(schema),
    3: i64(rows),
    4: structs([struct({ 1: structs(chunks), 2: i64(bytes.length), 3: i64(rows) })]),
    5: pairs.length > 0 ? structs(pairs) : undefined,
  })[1]
  const length = [0, 8, 16, 24].map(shift => (footer.length >> shift) & 255)
  return Uint8Array.from([...bytes, ...footer, ...length, ...new TextEncoder().encode('PAR1')])
}
