// What tensor() takes from the host, and what it refuses: numbers that a dtype can't represent, by value, index and
// dtype. No device.
import { describe, expect, test } from 'vitest'
import { type DType, type Tensor, UserError, full, scalar, tensor } from '../../engine/index.ts'
import { reference } from '../../engine/reference.ts'

const held = (t: Tensor): unknown => ({ dtype: t.dtype, shape: t.shape, numbers: [...reference([t])[0]] })
const is = (dtype: DType, shape: number[], numbers: number[]): unknown => ({ dtype, shape, numbers })

describe('a tensor is made of', () => {
  test.each<[string, () => Tensor, unknown]>([
    ['a Float64Array, rounded', () => tensor(Float64Array.of(0.1, 2)), is('f32', [2], [Math.fround(0.1), 2])],
    [
      'a Float32Array',
      () => tensor(Float32Array.of(1.5, NaN, -Infinity), [3, 1]),
      is('f32', [3, 1], [1.5, NaN, -Infinity]),
    ],
    ['a Float16Array', () => tensor(Float16Array.of(0.1)), is('f16', [1], [Float16Array.of(0.1)[0]])],
    ['an Int8Array', () => tensor(Int8Array.of(-128, 127)), is('i32', [2], [-128, 127])],
    ['an Int16Array', () => tensor(Int16Array.of(-32768)), is('i32', [1], [-32768])],
    ['an Int32Array', () => tensor(Int32Array.of(-2147483648)), is('i32', [1], [-2147483648])],
    [
      'a BigInt64Array',
      () => tensor(BigInt64Array.of(-2147483648n, 2147483647n)),
      is('i32', [2], [-2147483648, 2147483647]),
    ],
    ['a Uint8Array', () => tensor(Uint8Array.of(255)), is('u32', [1], [255])],
    ['a Uint8ClampedArray', () => tensor(Uint8ClampedArray.of(300)), is('u32', [1], [255])],
    ['a Uint16Array', () => tensor(Uint16Array.of(65535)), is('u32', [1], [65535])],
    ['a Uint32Array', () => tensor(Uint32Array.of(4294967295)), is('u32', [1], [4294967295])],
    ['a BigUint64Array', () => tensor(BigUint64Array.of(4294967295n)), is('u32', [1], [4294967295])],
    [
      'a typed array of another dtype that has its numbers',
      () => tensor(Float32Array.of(3, -0), undefined, 'i32'),
      is('i32', [2], [3, 0]),
    ],
    ['bytes as floats', () => tensor(Uint8Array.of(0, 200), [2], 'f32'), is('f32', [2], [0, 200])],
    ['a part of a buffer', () => tensor(Int16Array.of(1, 2, 3, 4).subarray(1, 3)), is('i32', [2], [2, 3])],
    ['one number', () => tensor(2.5), is('f32', [], [2.5])],
    ['nested arrays', () => tensor([[[1, 2]], [[3, 4]]]), is('f32', [2, 1, 2], [1, 2, 3, 4])],
    ['arrays of another shape', () => tensor([1, 2, 3, 4], [2, 2], 'u32'), is('u32', [2, 2], [1, 2, 3, 4])],
    ['typed arrays as rows', () => tensor([Int8Array.of(1, 2), Int8Array.of(3, 4)]), is('i32', [2, 2], [1, 2, 3, 4])],
    ['booleans', () => tensor([[true], [false]]), is('u32', [2, 1], [1, 0])],
    ['booleans as floats', () => tensor([true, false], undefined, 'f32'), is('f32', [2], [1, 0])],
    ['bigints', () => tensor([1n, -2n]), is('i32', [2], [1, -2])],
    [
      'halves, the largest and what is not finite',
      () => tensor([65519.9, NaN, Infinity], undefined, 'f16'),
      is('f16', [3], [65504, NaN, Infinity]),
    ],
  ])('%s', (_, make, wanted) => expect(held(make())).toEqual(wanted))

  test('a typed array of its dtype without a copy, with the same numbers on the device and in float64', () => {
    const data = Float32Array.of(1, 2)
    const t = tensor(data)
    data[0] = 7
    expect([...reference([t])[0]]).toEqual([7, 2])
  })
})

/** A value that the types would not let through, as JavaScript does. */
const untyped = (value: unknown): never => value as never

describe('an error names the number that is not representable in', () => {
  test.each<[string, () => unknown, string]>([
    ['i32, too large', () => tensor([3e9], [1], 'i32'), 'tensor: 3000000000 at [0] is not representable as i32'],
    [
      'i32, a fraction among rows',
      () =>
        tensor(
          [
            [1, 2],
            [3, 1.5],
          ],
          undefined,
          'i32',
        ),
      'tensor: 1.5 at [1, 1] is not representable as i32',
    ],
    [
      'i32, a typed array',
      () => tensor(Float64Array.of(1, 2 ** 31), undefined, 'i32'),
      'tensor: 2147483648 at [1] is not representable as i32',
    ],
    [
      'i32, NaN',
      () => tensor(Float32Array.of(NaN), undefined, 'i32'),
      'tensor: NaN at [0] is not representable as i32',
    ],
    [
      'i32, unsigned numbers',
      () => tensor(Uint32Array.of(1, 4294967295), undefined, 'i32'),
      'tensor: 4294967295 at [1] is not representable as i32',
    ],
    [
      'u32, a negative one',
      () => tensor(Int8Array.of(-1), undefined, 'u32'),
      'tensor: -1 at [0] is not representable as u32',
    ],
    ['i32, a bigint', () => tensor([0n, 2n ** 31n]), 'tensor: 2147483648 at [1] is not representable as i32'],
    [
      'i32, a BigInt64Array',
      () => tensor(BigInt64Array.of(2n ** 40n)),
      'tensor: 1099511627776 at [0] is not representable as i32',
    ],
    [
      'f32, a bigint of any length',
      () => tensor(10n ** 99n, undefined, 'f32'),
      `tensor: ${'1'.padEnd(40, '0')}… at [] is not representable as f32`,
    ],
    [
      'f32, past its largest',
      () => tensor(Float64Array.of(3.5e38)),
      'tensor: 3.5e+38 at [0] is not representable as f32',
    ],
    [
      'f16, past its largest',
      () => tensor([1, -65520], undefined, 'f16'),
      'tensor: -65520 at [1] is not representable as f16',
    ],
    [
      'f16, past its largest in single precision',
      () => tensor([65519.9999], undefined, 'f16'),
      'tensor: 65519.9999 at [0] is not representable as f16',
    ],
    [
      'f16, a typed array',
      () => tensor(Float32Array.of(70000), undefined, 'f16'),
      'tensor: 70000 at [0] is not representable as f16',
    ],
    ['a scalar', () => scalar(0.5, 'u32'), 'scalar: 0.5 is not representable as u32'],
    ['a scalar in f16', () => full([2], 7e4, 'f16'), 'scalar: 70000 is not representable as f16'],
    ['arithmetic of integers', () => tensor([1], undefined, 'i32').add(2.5), 'add: 2.5 is not representable as i32'],
    ['comparisons of integers', () => tensor([1], undefined, 'u32').less(-1), 'less: -1 is not representable as u32'],
    [
      'a choice',
      () => tensor([true]).where(tensor([1], undefined, 'i32'), NaN),
      'where: NaN is not representable as i32',
    ],
    ['padding', () => tensor([1], undefined, 'f16').pad([1], [0], 1e5), 'pad: 100000 is not representable as f16'],
  ])('%s', (_, make, message) => expect(make).toThrow(new UserError(message)))
})

describe('an error says what is wrong with arrays that are', () => {
  const endless: unknown[] = []
  endless.push(endless)
  test.each<[string, () => unknown, string]>([
    ['ragged', () => tensor([[1, 2], [3]]), 'tensor: nested arrays are ragged: [1] at [1] beside [2]'],
    ['ragged in depth', () => tensor([[1], [[2]]]), 'tensor: nested arrays are ragged: [1, 1] at [1] beside [1]'],
    ['numbers and arrays', () => tensor([[1], 2]), 'tensor: nested arrays are ragged: [] at [1] beside [1]'],
    ['full of holes', () => tensor(untyped([1, , 3])), 'tensor: nothing at [1] where a number was expected'],
    ['mixed', () => tensor([1, true]), 'tensor: a boolean at [1] among numbers'],
    ['mixed with bigints', () => tensor([[1n], [1]]), 'tensor: a number at [1, 0] among bigints'],
    ['mixed with typed ones', () => tensor([[1], Int8Array.of(1)]), 'tensor: a Int8Array at [1] among numbers'],
    ['of text', () => tensor(untyped(['\u001b[31m'])), 'tensor: one string at [0] where a number was expected'],
    ['objects', () => tensor(untyped([{}])), 'tensor: one object at [0] where a number was expected'],
    ['none at all', () => tensor(untyped(null)), 'tensor: null at [] where a number was expected'],
    [
      'views of bytes',
      () => tensor(untyped(new DataView(new ArrayBuffer(4)))),
      'tensor: one object at [] where a number was expected',
    ],
    ['within themselves', () => tensor(untyped(endless)), 'tensor: arrays are nested more than 64 deep'],
    [
      'of another size than the shape',
      () => tensor(Uint8Array.of(1, 2, 3), [2]),
      'tensor: 3 numbers do not fill the shape [2] of 2',
    ],
  ])('%s', (_, make, message) => expect(make).toThrow(new UserError(message)))
})
