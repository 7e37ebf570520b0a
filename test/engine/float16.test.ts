// Half precision on the host, bit by bit, and through the device where it has shader-f16.
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type * as float16 from '../../engine/float16.ts'
import { halfBits, halfValue, toFloat16, toFloat32 } from '../../engine/float16.ts'
import { type Device, currentDevice, readAll, tensor, variable } from '../../engine/node/index.ts'

describe('half precision on the host', () => {
  test('every half is the number that Float16Array says', () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i)
    const expected = new Float16Array(bits.buffer)
    for (let i = 0; i < 65536; i++)
      if (!Object.is(halfValue(i), expected[i]))
        throw new Error(`${i.toString(16)}: ${halfValue(i)}, not ${expected[i]}`)
    expect(toFloat32(bits)).toEqual(Float32Array.from(expected))
    // A view of part of a buffer converts only that part.
    expect(toFloat32(bits.subarray(1, 3))).toEqual(Float32Array.of(2 ** -24, 2 ** -23))
  })

  test('every half converts back, and midpoints round to even', () => {
    const one = new Float16Array(1)
    const word = new Uint16Array(one.buffer)
    for (let i = 0; i < 0x7c00; i++) {
      for (const number of [halfValue(i), (halfValue(i) + halfValue(i + 1)) / 2]) {
        for (const signed of [number, -number]) {
          one[0] = signed
          if (halfBits(signed) !== word[0])
            throw new Error(`${signed}: ${halfBits(signed).toString(16)}, not ${word[0].toString(16)}`)
        }
      }
    }
  })

  test('any single-precision number rounds as Float16Array rounds it', () => {
    fc.assert(
      fc.property(fc.float(), number => {
        const [expected] = new Uint16Array(new Float16Array([number]).buffer)
        expect(halfBits(number)).toBe(Number.isNaN(number) ? 0x7e00 : expected)
      }),
      { numRuns: 3000 },
    )
    expect([...toFloat16(new Float32Array([65504, 65519.996, 65520, -1e9, 2 ** -25, 2 ** -24]))]).toEqual([
      0x7bff, 0x7bff, 0x7c00, 0xfc00, 0, 1,
    ])
  })

  test('arrays convert alike where JavaScript has no Float16Array', async () => {
    vi.stubGlobal('Float16Array', undefined)
    // The module looks for it once, when it is loaded.
    const another = '../../engine/float16.ts?without=Float16Array'
    const without = (await import(another).finally(() => vi.unstubAllGlobals())) as typeof float16
    expect(without.toFloat16).not.toBe(toFloat16)
    const halves = Uint16Array.from({ length: 65536 }, (_, i) => i)
    expect(without.toFloat32(halves)).toEqual(toFloat32(halves))
    const values = Float32Array.of(0, -0, 1 / 3, 65519, 65520, -1e9, 2 ** -25, 3 * 2 ** -25, NaN, 1e-30)
    expect(without.toFloat16(values)).toEqual(toFloat16(values))
  })
})

describe('half precision on the device', () => {
  let device: Device
  beforeAll(async () => {
    device = await currentDevice()
  })
  afterAll(() => device.close())

  test('variables hold the nearest halves, at any length and even offset', async () => {
    const v = variable({ shape: [7], dtype: 'f16' }, 'v')
    await v.write(new Float32Array([0.1, 1 / 3, -2, 65504, 1e-7, 5, 6]))
    await v.write(new Float32Array([0.7, 0.8, 0.9]), 4)
    const expected = Float32Array.from(new Float16Array([0.1, 1 / 3, -2, 65504, 0.7, 0.8, 0.9]))
    expect(await v.read()).toEqual(expected)
    expect(await v.read(3, 3)).toEqual(expected.slice(3, 6))
  })

  test('constants read back as the device holds them', async () => {
    expect(await tensor([0.1, 0.2, 0.3], [3], 'f16').data()).toEqual(
      Float32Array.from(new Float16Array([0.1, 0.2, 0.3])),
    )
  })

  test('casts to half and back round to the nearest', async ({ skip }) => {
    skip(!device.traits.f16, `${device.info.name} has no shader-f16`)
    const x = tensor(Float32Array.from({ length: 33 }, (_, i) => Math.sin(i) * 10 ** (i % 4)))
    const [half, back] = await readAll([x.cast('f16'), x.cast('f16').add(0).cast('f32')])
    const expected = Float32Array.from(new Float16Array((await x.data()) as Float32Array))
    expect(half).toEqual(expected)
    expect(back).toEqual(expected)
  })
})
