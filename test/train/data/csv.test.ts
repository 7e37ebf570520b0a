// CSV: the same records as another parser's wherever the pieces of a file end, delimiters found, and rows that are
// wrong named.
import { parse } from 'csv-parse/sync'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ByteStream } from '../../../train/data/bytes.ts'
import { csvField, csvRecords, findDialect, openCsv, splitRecord } from '../../../train/data/csv.ts'
import type { Row } from '../../../train/data/table.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)

/** The bytes in pieces of the given size. */
function inPieces(bytes: Uint8Array, size: number): ByteStream {
  return async function* () {
    for (let i = 0; i < bytes.length; i += size) yield bytes.slice(i, i + size)
  }
}

async function rowsOf(
  text: string | Uint8Array,
  encoding?: string,
  size = 7,
): Promise<{ columns: string[]; rows: Row[] }> {
  const table = await openCsv(inPieces(typeof text === 'string' ? encode(text) : text, size), 'x.csv', { encoding })
  const columns = table.columns.map(({ name }) => name)
  return { columns, rows: await Array.fromAsync(table.rows(columns)) }
}
const cellsOf = async (text: string | Uint8Array, encoding?: string) =>
  (await rowsOf(text, encoding)).rows.map(({ cells }) => cells)

describe('records', () => {
  const field = fc
    .array(fc.constantFrom('a', 'é', '🎬', '"', ',', '\n', '\r\n', ' ', ';'), { maxLength: 6 })
    .map(parts => parts.join(''))
  const record = fc.array(field, { minLength: 2, maxLength: 4 })

  test('are those of csv-parse, whatever is quoted and wherever pieces end', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(record, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 9 }),
        fc.boolean(),
        fc.constantFrom('\n', '\r\n'),
        async (records, size, always, end) => {
          const quote = (text: string): string => (always ? `"${text.replaceAll('"', '""')}"` : csvField(text))
          const text = records.map(one => one.map(quote).join(',')).join(end) + end
          const found: string[][] = []
          for await (const { bytes, offset } of csvRecords(inPieces(encode(text), size)(), 'x', {
            delimiter: ',',
            end: 10,
          })) {
            const fields = splitRecord(new TextDecoder().decode(bytes), ',')
            if (!Array.isArray(fields)) throw new Error(fields.problem)
            expect(encode(text).slice(offset, offset + bytes.length)).toEqual(Uint8Array.from(bytes))
            found.push(fields)
          }
          const expected: string[][] = parse(text, {
            relax_column_count: true,
            skip_empty_lines: true,
            record_delimiter: [end],
          })
          expect(found).toEqual(expected)
        },
      ),
      { numRuns: 300 },
    )
  })

  test('end with \\n, \\r\\n or a lone \\r, and keep quotes inside of plain text', async () => {
    for (const end of ['\n', '\r\n', '\r']) {
      expect(await cellsOf(['text,label', '5" wide,1', '"a\nb",0', ''].join(end))).toEqual([
        ['5" wide', '1'],
        ['a\nb', '0'],
      ])
    }
  })
})

describe('a table', () => {
  test.each([',', ';', '\t', '|'])(
    'separated by %j is seen to be so, whatever the texts have in them',
    async delimiter => {
      const rows = [
        ['text', 'label'],
        ['a, b; c | d', '0'],
        ['one, two, three', '1'],
        ['x;y', '1'],
      ]
      const text = rows.map(row => row.map(cell => `"${cell}"`).join(delimiter)).join('\n')
      expect((await findDialect(encode(text))).delimiter).toBe(delimiter)
      expect(await cellsOf(text)).toEqual(rows.slice(1))
    },
  )

  test('may have a byte order mark, or be UTF-16 with one', async () => {
    const text = 'text;label\ncafé 🎬;1\n'
    expect(await rowsOf(`\ufeff${text}`)).toMatchObject({
      columns: ['text', 'label'],
      rows: [{ cells: ['café 🎬', '1'] }],
    })
    const little = new Uint8Array(Buffer.from(`\ufeff${text}`, 'utf16le'))
    expect(await cellsOf(little)).toEqual([['café 🎬', '1']])
    expect(await cellsOf(new Uint8Array(Buffer.from(little).swap16()))).toEqual([['café 🎬', '1']])
  })

  test('that is not UTF-8 says so with row and byte, and is read when its encoding is named', async () => {
    const latin = Uint8Array.from('text,label\nfine,1\ncaf\xe9,0\nna\xefve,1\n', character => character.charCodeAt(0))
    const { rows } = await rowsOf(latin)
    expect(rows.map(({ number, problem }) => [number, problem?.slice(0, 23)])).toEqual([
      [1, undefined],
      [2, 'byte 21 is not UTF-8; i'],
      [3, 'byte 27 is not UTF-8; i'],
    ])
    expect(latin[21]).toBe(0xe9)
    expect(await cellsOf(latin, 'latin1')).toEqual([
      ['fine', '1'],
      ['café', '0'],
      ['naïve', '1'],
    ])
    await expect(rowsOf(latin, 'utf-17')).rejects.toThrow('Unknown encoding "utf-17"')
    const kanji = Uint8Array.from([...encode('text,label\nab,1\n'), 0x93, 0xfa, 0x96, 0x7b, 0x2c, 0x30, 10])
    expect(await cellsOf(kanji, 'shift_jis')).toEqual([
      ['ab', '1'],
      ['日本', '0'],
    ])
    const broken = Uint8Array.from([...encode('text,label\nab,1\n'), 0xff, 0x2c, 0x30, 10])
    await expect(rowsOf(broken, 'shift_jis')).rejects.toThrow('x.csv, line 3: byte 16 is not shift_jis')
  })

  test('names the rows whose fields are too many, too few or wrongly quoted', async () => {
    const { rows } = await rowsOf('text,label\na\nb,1,2\n"c"d,1\n"e",1\n')
    expect(rows.map(({ problem }) => problem)).toEqual([
      'not proper CSV: line 2 has 1 field, the header 2',
      'not proper CSV: line 3 has 3 fields, the header 2',
      'not proper CSV: line 4: field 1 continues after its closing quote (a quote inside a quoted field is written "")',
      undefined,
    ])
    await expect(rowsOf('text,label\na,1\n"b,0\nc,1\n')).rejects.toThrow(
      'x.csv is not proper CSV: the quote that opens in line 3 is never closed',
    )
  })
})
