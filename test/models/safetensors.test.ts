// The safetensors format: what is written is read back, bit for bit, and every lie in a header is named.
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { NonFinite, UserError } from '../../engine/errors.ts'
import {
  bytesSource,
  intoMemory,
  openTensors,
  parseHeader,
  serialize,
  serializeInPieces,
  toBytes,
  toFloats,
} from '../../models/safetensors.ts'
import type { TensorToWrite } from '../../models/safetensors.ts'

/** A file from a header object (or raw header text) and a count of data bytes. */
function file(header: unknown, dataBytes: number): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header))
  const out = new Uint8Array(8 + json.length + dataBytes)
  new DataView(out.buffer).setBigUint64(0, BigInt(json.length), true)
  out.set(json, 8)
  return out
}

const openBytes = (bytes: Uint8Array<ArrayBuffer>) => openTensors(bytesSource(bytes), 'some.safetensors')

const text = fc.string({ maxLength: 12, unit: 'binary' }).filter(text => text.isWellFormed())
const name = text.filter(text => text !== '' && text !== '__metadata__')
const shape = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 })
const tensors: fc.Arbitrary<TensorToWrite[]> = fc.uniqueArray(
  fc.record({ name, dtype: fc.constantFrom('F32' as const, 'F16' as const), shape }).chain(spec => {
    const size = spec.shape.reduce((a, b) => a * b, 1)
    // What the dtype can hold: anything else is refused.
    const most = spec.dtype === 'F32' ? 3.4028234663852886e38 : 65504
    const values = { minLength: size, maxLength: size, noNaN: true, noDefaultInfinity: true, min: -most, max: most }
    return fc.float32Array(values).map(data => ({ ...spec, data }))
  }),
  { selector: tensor => tensor.name, maxLength: 5 },
)
const metadata = fc.dictionary(
  name.filter(key => key !== '__proto__'),
  text,
  { maxKeys: 3 },
)

describe('a written file', () => {
  test('reads back with the same names, shapes, metadata and values', async () => {
    await fc.assert(
      fc.asyncProperty(tensors, metadata, async (written, notes) => {
        const read = await openBytes(serialize(written, notes))
        expect(read.names().sort()).toEqual(written.map(tensor => tensor.name).sort())
        expect({ ...read.metadata }).toEqual({ ...notes })
        for (const { name, dtype, shape, data } of written) {
          expect(read.info(name)).toEqual({ dtype, shape })
          const expected = dtype === 'F32' ? data : Float32Array.from(data, Math.f16round)
          expect(await read.read(name)).toEqual(expected)
        }
      }),
      { numRuns: 150 },
    )
  })

  test('has the same bytes whatever the order of its tensors, written whole or piece by piece', async () => {
    await fc.assert(
      fc.asyncProperty(tensors, metadata, async (written, notes) => {
        const whole = serialize(written, notes)
        const reversedNotes = Object.fromEntries(Object.entries(notes).reverse())
        expect(serialize([...written].reverse(), reversedNotes)).toEqual(whole)
        const lazy = written.map(({ data, ...spec }) => ({ ...spec, read: async () => data }))
        const pieces: number[] = []
        for await (const piece of serializeInPieces(lazy, notes)) pieces.push(...piece)
        expect(Uint8Array.from(pieces)).toEqual(whole)
      }),
      { numRuns: 50 },
    )
  })

  test('lays wide dtypes first, then names, under a header padded with spaces to 8 bytes', () => {
    const one = (name: string, dtype: 'F32' | 'F16'): TensorToWrite => ({
      name,
      dtype,
      shape: [1],
      data: Float32Array.of(1),
    })
    const bytes = serialize([one('b', 'F16'), one('1', 'F32'), one('a', 'F16'), one('c', 'F32')], {
      z: 'last',
      a: 'first',
    })
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true))
    const header = new TextDecoder().decode(bytes.subarray(8, 8 + length))
    expect(length % 8).toBe(0)
    expect(header.trimEnd()).toBe(
      '{"__metadata__":{"a":"first","z":"last"},' +
        '"1":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"c":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},' +
        '"a":{"dtype":"F16","shape":[1],"data_offsets":[8,10]},"b":{"dtype":"F16","shape":[1],"data_offsets":[10,12]}}',
    )
  })

  test('is refused when a name comes twice, is reserved, or a shape disagrees with its values', () => {
    const tensor: TensorToWrite = { name: 'w', dtype: 'F32', shape: [2], data: new Float32Array(2) }
    expect(() => serialize([tensor, tensor])).toThrow('"w" is taken')
    expect(() => serialize([{ ...tensor, name: '__metadata__' }])).toThrow('"__metadata__" is taken')
    expect(() => serialize([{ ...tensor, data: new Float32Array(3) }])).toThrow(
      '"w" is [2], 2 values, but 3 were given',
    )
  })
})

describe('chunks', () => {
  test('cover a tensor in order, none larger than asked, in every float dtype', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('F32', 'F16', 'BF16'),
        fc.integer({ min: 0, max: 40 }),
        fc.integer({ min: 1, max: 64 }),
        async (dtype, count, bytesPerChunk) => {
          const width = dtype === 'F32' ? 4 : 2
          const bytes = file({ x: { dtype, shape: [count], data_offsets: [0, count * width] } }, count * width)
          bytes.fill(1, bytes.length - count * width)
          const source = await openBytes(bytes)
          const all: number[] = []
          for await (const { elementOffset, data } of source.chunks('x', bytesPerChunk)) {
            expect(elementOffset).toBe(all.length)
            expect(data.length * width).toBeLessThanOrEqual(Math.max(bytesPerChunk, width))
            all.push(...data)
          }
          expect(Float32Array.from(all)).toEqual(await source.read('x'))
          expect(all.length).toBe(count)
        },
      ),
      { numRuns: 100 },
    )
  })
})

describe('tensors in memory', () => {
  test('are those of the file, which is read once and closed; NaN throws when it is used', async () => {
    const bytes = serialize(
      [
        { name: 'good', dtype: 'F32', shape: [2], data: Float32Array.of(1.5, -2) },
        { name: 'bad', dtype: 'F32', shape: [1], data: Float32Array.of(3) },
      ],
      {},
    )
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(bytes.length - 12, 0x7fc00000, true)
    const source = bytesSource(bytes)
    const close = vi.spyOn(source, 'close')
    const kept = await intoMemory(await openTensors(source, 'some.safetensors'))
    expect(close).toHaveBeenCalledOnce()
    bytes.fill(0)
    const first = await kept.read('good')
    expect([...first]).toEqual([1.5, -2])
    first.fill(0)
    for await (const { elementOffset, data } of kept.chunks('good')) {
      expect([elementOffset, ...data]).toEqual([0, 1.5, -2])
    }
    expect(kept.info('good').shape).toEqual([2])
    await expect(kept.read('bad')).rejects.toThrow('some.safetensors: tensor "bad" has NaN as element 0')
    await kept.close()
    expect(close).toHaveBeenCalledOnce()
  })
})

describe('conversions', () => {
  const bits = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0]

  test('bf16 is the upper half of an f32, for every one of its 65,536 patterns', () => {
    const halves = Uint16Array.from({ length: 65536 }, (_, i) => i)
    const floats = toFloats(new Uint8Array(halves.buffer), 'BF16')
    const words = new Uint32Array(floats.buffer)
    expect(words.every((word, i) => word >>> 16 === i && (word & 0xffff) === 0)).toBe(true)
  })

  test('f16 values survive the way to f32 and back, for every one of their patterns but NaN', () => {
    const halves = Uint16Array.from({ length: 65536 }, (_, i) => i)
    const floats = toFloats(new Uint8Array(halves.buffer), 'F16')
    const back = toBytes(floats, 'F16')
    const again = new Uint16Array(back.buffer, back.byteOffset, 65536)
    expect(halves.filter((half, i) => !Number.isNaN(floats[i]) && again[i] !== half)).toHaveLength(0)
    expect(floats[0x3c01]).toBe(1 + 2 ** -10)
    expect(floats[1]).toBe(2 ** -24)
    expect(floats[0xfc00]).toBe(-Infinity)
  })

  test('f32 bits are kept as they are, NaN payloads included, wherever the bytes lie', () => {
    for (let shift = 0; shift < 4; shift++) {
      const buffer = new Uint8Array(12)
      const bytes = buffer.subarray(shift, shift + 8)
      new DataView(buffer.buffer, shift).setUint32(0, 0x7fc12345, true)
      new DataView(buffer.buffer, shift).setFloat32(4, 1.5, true)
      const floats = toFloats(bytes, 'F32')
      expect(new Uint32Array(floats.buffer, floats.byteOffset)[0]).toBe(0x7fc12345)
      expect(bits(floats[1])).toBe(bits(1.5))
    }
  })
})

describe('a header that lies is refused by name', () => {
  const f32 = (shape: unknown, offsets: unknown, dtype: unknown = 'F32') => ({ dtype, shape, data_offsets: offsets })
  const cases: [why: string, bytes: Uint8Array<ArrayBuffer>, message: string][] = [
    ['an empty file', new Uint8Array(0), 'has 0 bytes, fewer than the 8'],
    ['seven bytes', new Uint8Array(7), 'has 7 bytes, fewer than the 8'],
    ['an absurd header length', new Uint8Array(8).fill(0xff), 'promise a header of 18446744073709552000 bytes'],
    ['a header of no bytes', new Uint8Array(16), 'its header has 0 bytes'],
    ['a header cut short', file({ x: f32([1], [0, 4]) }, 4).slice(0, 20), 'is truncated: its header should have'],
    ['no JSON', file('not json', 0), 'the header is not JSON'],
    [
      'a longer header than any model has',
      file('{}'.padEnd(16 * 1024 * 1024 + 1), 0),
      'promise a header of 16777217 bytes',
    ],
    ['deep nesting', file('['.repeat(1_000_000), 0), 'the header nests lists and objects more than 100 deep'],
    [
      'a dtype that is deep and long',
      file({ x: f32([1], [0, 4], Array(50).fill('y'.repeat(1_000))) }, 4),
      'has an unknown dtype',
    ],
    ['bytes that are no UTF-8', file({ x: f32([1], [0, 4]) }, 4).with(10, 0xff), 'the header is not JSON'],
    ['a list', file([], 0), 'JSON, but no object'],
    ['metadata that are not an object', file({ __metadata__: 'pt' }, 0), '__metadata__ is not an object'],
    [
      'metadata that are no strings',
      file({ __metadata__: { format: 1 } }, 0),
      '__metadata__ entry "format" is not a string',
    ],
    ['a tensor that is not an object', file({ x: 3 }, 0), 'tensor "x" is not described by an object'],
    ['an unknown dtype', file({ x: f32([1], [0, 4], 'F33') }, 4), 'tensor "x" has an unknown dtype: "F33"'],
    [
      'a dtype from Object',
      file({ x: f32([1], [0, 4], 'toString') }, 4),
      'tensor "x" has an unknown dtype: "toString"',
    ],
    [
      'a negative length',
      file({ x: f32([-1], [0, 4]) }, 4),
      'tensor "x" has a shape that is not a list of lengths: [-1]',
    ],
    ['a fractional length', file({ x: f32([0.5], [0, 2]) }, 2), 'tensor "x" has a shape that is not a list of lengths'],
    [
      'a shape that is not a list',
      file({ x: f32(4, [0, 4]) }, 4),
      'tensor "x" has a shape that is not a list of lengths: 4',
    ],
    ['one offset', file({ x: f32([1], [4]) }, 4), 'tensor "x" has data_offsets that are no pair'],
    ['no offsets', file({ x: { dtype: 'F32', shape: [1] } }, 4), 'tensor "x" has data_offsets that are no pair'],
    [
      'offsets that run backwards',
      file({ x: f32([1], [4, 0]) }, 4),
      'tensor "x" has data_offsets that run backwards: 4 to 0',
    ],
    [
      'too wide a span',
      file({ x: f32([1], [0, 8]) }, 8),
      'tensor "x" is F32 [1], 4 bytes, but its data_offsets span 8',
    ],
    ['too narrow a span', file({ x: f32([2, 3], [0, 8]) }, 8), 'tensor "x" is F32 [2, 3], 24 bytes, but its data'],
    ['a product past 2⁵³', file({ x: f32([2 ** 52, 2 ** 52], [0, 8]) }, 8), 'tensor "x" is F32 [4503599627370496'],
    ['an overlap', file({ x: f32([2], [0, 8]), y: f32([2], [4, 12]) }, 12), 'tensor "y" overlaps "x" by 4 bytes'],
    [
      'two tensors in one place',
      file({ x: f32([1], [0, 4]), y: f32([1], [0, 4]) }, 4),
      'tensor "y" overlaps "x" by 4 bytes',
    ],
    [
      'a hole',
      file({ x: f32([1], [0, 4]), y: f32([1], [8, 12]) }, 12),
      '4 bytes before tensor "y" belong to no tensor',
    ],
    ['a hole at the start', file({ x: f32([1], [4, 8]) }, 8), '4 bytes before tensor "x" belong to no tensor'],
    ['missing data', file({ x: f32([2], [0, 8]) }, 5), 'is truncated: tensor "x" ends at byte'],
    ['data left over', file({ x: f32([1], [0, 4]) }, 7), '3 bytes after the last tensor belong to no tensor'],
  ]
  test.each(cases)('%s', async (_, bytes, message) => {
    const failure = await openBytes(bytes).then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(failure).toBeInstanceOf(UserError)
    const text = String(failure)
    expect(text).toContain('some.safetensors')
    expect(text.length).toBeLessThan(500)
    expect(text).toContain(message)
    expect(text).not.toContain('\n')
  })

  test('a good file cut anywhere is refused as a user error', async () => {
    const whole = serialize([
      { name: 'a', dtype: 'F32', shape: [3], data: Float32Array.of(1, 2, 3) },
      { name: 'b', dtype: 'F16', shape: [2], data: Float32Array.of(4, 5) },
    ])
    for (let length = 0; length < whole.length; length++) {
      await expect(openBytes(whole.slice(0, length))).rejects.toBeInstanceOf(UserError)
    }
  })

  test('any byte of a header changed either reads or is refused as a user error', async () => {
    const whole = serialize([{ name: 'a', dtype: 'F32', shape: [3], data: Float32Array.of(1, 2, 3) }], { format: 'pt' })
    const inHeader = fc.integer({ min: 0, max: whole.length - 13 })
    await fc.assert(
      fc.asyncProperty(inHeader, fc.integer({ min: 0, max: 255 }), async (at, byte) => {
        const failure = await openBytes(whole.with(at, byte)).then(
          () => undefined,
          (error: unknown) => error,
        )
        if (failure !== undefined) expect(failure).toBeInstanceOf(UserError)
      }),
      { numRuns: 300 },
    )
  })

  test('a header shorter than its length says is refused', () => {
    const bytes = file({}, 0)
    expect(() => parseHeader(bytes.subarray(0, 8), bytes.subarray(8, 9), bytes.length, 'x')).toThrow('is truncated')
  })
})

describe('numbers that are not finite', () => {
  test.each([
    ['F32', NaN],
    ['F32', Infinity],
    ['F16', -Infinity],
    ['BF16', NaN],
  ])('are refused when read, wherever they stand: %s %d', async (dtype, value) => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 40 }),
        fc.nat(),
        fc.integer({ min: 1, max: 64 }),
        async (count, place, step) => {
          const at = place % count
          const width = dtype === 'F32' ? 4 : 2
          const bytes = file({ x: { dtype, shape: [count], data_offsets: [0, count * width] } }, count * width)
          const data = new DataView(bytes.buffer, bytes.length - count * width)
          if (dtype === 'F32') data.setFloat32(at * 4, value, true)
          else data.setUint16(at * 2, dtype === 'F16' ? 0xfc00 : 0x7fc0, true)
          const source = await openBytes(bytes)
          const message = `some.safetensors: tensor "x" has ${value} as element ${at}`
          await expect(source.read('x')).rejects.toThrow(new UserError(message))
          const chunks = async () => {
            for await (const { data } of source.chunks('x', step)) expect(data.every(Number.isFinite)).toBe(true)
          }
          await expect(chunks()).rejects.toThrow(new UserError(message))
          // Their bytes can still be had, to hash or copy.
          const stored: number[] = []
          for await (const piece of source.bytes('x')) stored.push(...piece)
          expect(Uint8Array.from(stored)).toEqual(bytes.slice(-count * width))
        },
      ),
      { numRuns: 20 },
    )
  })

  test.each([
    ['F32', NaN],
    ['F32', Infinity],
    ['F32', -Infinity],
    ['F16', NaN],
    ['F16', 65520],
    ['F16', -70000],
  ] as const)('are refused when written, also where only the dtype makes them so: %s %d', async (dtype, value) => {
    const data = new Float32Array(10_000)
    data[9_999] = value
    const message = `tensor "w" is not saved: its element 9999 is ${value}, which ${dtype} has no finite number for`
    expect(() => serialize([{ name: 'w', dtype, shape: [10_000], data }])).toThrow(new NonFinite(message))
    const pieces = async () => {
      for await (const _ of serializeInPieces([{ name: 'w', dtype, shape: [10_000], read: async () => data }]));
    }
    await expect(pieces()).rejects.toThrow(new NonFinite(message))
    data[9_999] = 65519
    expect(await (await openBytes(serialize([{ name: 'w', dtype, shape: [10_000], data }]))).read('w')).toHaveLength(
      10_000,
    )
  })
})

describe('tensors that are no floats', () => {
  test('are listed, and refused only when read', async () => {
    const file64 = await openBytes(file({ ids: { dtype: 'I64', shape: [1, 2], data_offsets: [0, 16] } }, 16))
    expect(file64.info('ids')).toEqual({ dtype: 'I64', shape: [1, 2] })
    await expect(file64.read('ids')).rejects.toThrow('tensor "ids" is I64; only F32, F16, BF16 can be read as numbers')
    await expect(file64.read('nothing')).rejects.toThrow('some.safetensors has no tensor "nothing"')
  })
})
