// JSON: lists and lines give the same rows, read in pieces of any size; what is wrong is said with its place.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { invalidUtf8 } from '../../../train/data/bytes.ts'
import { openJson } from '../../../train/data/json.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const open = (text: string | Uint8Array, kind: 'lines' | 'any' = 'any', size = 5) => {
  const bytes = typeof text === 'string' ? encode(text) : text
  return openJson(
    async function* () {
      for (let i = 0; i < bytes.length; i += size) yield bytes.slice(i, i + size)
    },
    'x.json',
    kind,
  )
}

describe('a file of JSON objects', () => {
  const text = fc
    .array(fc.constantFrom('a', '"', '\\', '[', ']', '{', '}', ',', '\n', 'é', '🎬', '\u2028'), { maxLength: 8 })
    .map(parts => parts.join(''))

  test('gives the same rows as a list, indented or not, and as lines, wherever its pieces end', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ text, label: fc.oneof(fc.integer(), fc.boolean(), fc.array(text, { maxLength: 2 })) }), {
          minLength: 1,
          maxLength: 5,
        }),
        fc.integer({ min: 1, max: 9 }),
        async (objects, size) => {
          const expected = objects.map(object => [object.text, object.label])
          for (const json of [
            JSON.stringify(objects),
            JSON.stringify(objects, undefined, 2),
            objects.map(one => JSON.stringify(one)).join('\r\n'),
          ]) {
            const table = await open(json, 'any', size)
            const rows = await Array.fromAsync(table.rows(['text', 'label']))
            expect(rows.map(({ cells }) => cells)).toEqual(expected)
          }
        },
      ),
      { numRuns: 150 },
    )
  })

  test('has fields of objects under names with dots, and no inherited ones', async () => {
    const table = await open('[{"a": {"b": {"c": 1}}, "a.b": 2, "__proto__": {"d": 3}}]')
    const [row] = await Array.fromAsync(table.rows(['a.b', 'a.b.c', 'toString', '__proto__.d', 'd']))
    expect(row.cells).toEqual([2, 1, undefined, 3, undefined])
  })

  test('keeps the digits of whole numbers that a number cannot hold', async () => {
    const table = await open(
      '[{"label": 9007199254740993, "s": "9007199254740993"}, {"label": 9007199254740992}, {"label": 12345678901234567890.5}]',
    )
    const rows = await Array.fromAsync(table.rows(['label', 's']))
    expect(rows.map(({ cells }) => cells[0])).toEqual([
      '9007199254740993',
      '9007199254740992',
      Number('12345678901234567890.5'),
    ])
  })

  test('says which word is not JSON, and in which line a broken element begins', async () => {
    const problems = async (json: string, kind?: 'lines') =>
      (await Array.fromAsync((await open(json, kind)).rows(['a']))).flatMap(({ problem = [] }) => problem)
    expect(await problems('{"a": 1}\n{"b": "NaN", "a": NaN}', 'lines')).toEqual([
      'NaN is not JSON (column 19): write null, or leave the row out',
    ])
    expect(await problems('[{"a": 1},\n{"b": 2,\n "a": -Infinity}]')).toEqual([
      '-Infinity is not JSON (line 3, column 7): write null, or leave the row out',
    ])
    expect(await problems('[{"a": 1},\n\n{"a":\n tru}\n]')).toEqual([
      'not a JSON object (it begins in line 3): "{\\"a\\":\\n tru}"',
    ])
  })

  test('says which element or line is wrong', async () => {
    const problems = async (json: string | Uint8Array, kind?: 'lines') =>
      (await Array.fromAsync((await open(json, kind)).rows(['a']))).map(
        ({ unit, number, problem }) => problem && `${unit} ${number}: ${problem}`,
      )
    expect(await problems('[{"a": 1}, 7, {"a": tru}]')).toEqual([
      undefined,
      'element 2: not a JSON object: "7"',
      'element 3: not a JSON object: "{\\"a\\": tru}"',
    ])
    expect(await problems('{"a": 1}\n\n{"a"', 'lines')).toEqual([undefined, 'line 3: not a JSON object: "{\\"a\\""'])
    expect(await problems(Uint8Array.from([...encode('{"a": 1}\n{"a": "'), 0xe9, 0x22, 0x7d]), 'lines')).toEqual([
      undefined,
      expect.stringContaining('line 2: byte 16 is not UTF-8'),
    ])
    expect(await problems(`{"a": 1}\n{"a": ${'['.repeat(200)}${']'.repeat(200)}}`, 'lines')).toEqual([
      undefined,
      'line 2: nests more than 100 deep',
    ])
    for (const [json, message] of [
      ['[{"a": 1}', 'the file ends inside element 1'],
      ['[{"a": 1}] x', 'something follows the list'],
      ['[{"a": 1},]', 'element 2 is missing'],
      ['[}', 'a bracket closes'],
    ]) {
      await expect(open(json)).rejects.toThrow(message)
    }
    await expect(open('  ')).rejects.toThrow('x.json is empty')
    await expect(open('[]')).rejects.toThrow('x.json is empty')
    await expect(open('[3]')).rejects.toThrow('x.json, element 1: not a JSON object: "3"')
  })
})

test('the first byte that is not UTF-8 is where a decoder that is told the place would stop', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.constantFrom(0x41, 0x7f, 0x80, 0xbf, 0xc1, 0xc3, 0xa9, 0xe0, 0xa0, 0xed, 0x9f, 0xf0, 0x90, 0xf4, 0x8f, 0xf5),
        { maxLength: 12 },
      ),
      values => {
        const bytes = Uint8Array.from(values)
        const isGood = (length: number): boolean => {
          try {
            new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, length))
            return true
          } catch {
            return false
          }
        }
        const at = invalidUtf8(bytes)
        if (at < 0) return isGood(bytes.length)
        // What precedes it is whole, and no longer start is.
        for (let length = at + 1; length <= bytes.length; length++) if (isGood(length)) return false
        return isGood(at)
      },
    ),
    { numRuns: 2000 },
  )
})
