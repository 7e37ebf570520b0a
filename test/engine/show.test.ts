// What a tensor is as text: its elements where they are at hand, and never a wait for a device.
import { inspect } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import { compile, currentDevice, full, scalar, tensor, variable, zeros } from '../../engine/node/index.ts'

afterAll(async () => (await currentDevice()).close())

describe('a tensor as text shows', () => {
  test('numbers from the host, in columns, nested as the axes are', () => {
    expect(String(tensor([1, -2.5, 1e-7]))).toBe('f32[3] [   1, -2.5, 1e-7]')
    expect(String(scalar(3))).toBe('f32[] 3')
    expect(
      String(
        tensor([
          [1, 20],
          [300, 4],
        ]),
      ),
    ).toBe('f32[2, 2]\n[[  1,  20],\n [300,   4]]')
    expect(
      String(
        tensor(
          [
            [[1], [2]],
            [[3], [4]],
          ],
          undefined,
          'i32',
        ),
      ),
    ).toBe('i32[2, 2, 1]\n[[[1],\n  [2]],\n\n [[3],\n  [4]]]')
  })

  test('six digits of floats and all of integers, NaN and infinities', () => {
    expect(String(tensor([0.1, 1 / 3, NaN, -Infinity]))).toBe('f32[4] [      0.1,  0.333333,       NaN, -Infinity]')
    expect(String(tensor([123456789], undefined, 'i32'))).toBe('i32[1] [123456789]')
  })

  test('views of them, and filled tensors', () => {
    expect(
      String(
        tensor([
          [1, 2],
          [3, 4],
        ]).transpose(),
      ),
    ).toBe('f32[2, 2]\n[[1, 3],\n [2, 4]]')
    expect(String(full([3], 7, 'i32'))).toBe('i32[3] [7, 7, 7]')
  })

  test('of long axes the first and last three', () => {
    const long = tensor(Float32Array.from({ length: 3000 }, (_, i) => i))
    expect(String(long)).toBe('f32[3000] [   0,    1,    2, …, 2997, 2998, 2999]')
    expect(String(long.reshape([1000, 3])).split('\n')).toEqual([
      'f32[1000, 3]',
      '[[   0,    1,    2],',
      ' [   3,    4,    5],',
      ' [   6,    7,    8],',
      ' …,',
      ' [2991, 2992, 2993],',
      ' [2994, 2995, 2996],',
      ' [2997, 2998, 2999]]',
    ])
  })

  test('no elements of what was not read, and of what is too large to be copied', () => {
    const sum = tensor([1, 2]).add(1)
    expect(String(sum)).toBe('f32[2], not read: await data()')
    expect(String(zeros([1 << 20]))).toBe('f32[1048576], not read: await data()')
    expect(String(variable({ shape: [2], dtype: 'f32' }, 'weights').tensor)).toBe('f32[2], not read: await data()')
  })

  test('what was read, whatever became of the array', async () => {
    const sum = tensor([1, 2]).add(1)
    const data = await sum.data()
    data[0] = 99
    expect(String(sum)).toBe('f32[2] [2, 3]')
    expect(inspect({ sum })).toBe('{ sum: f32[2] [2, 3] }')
  })

  test('nothing that was read of a variable, which may have changed, or of what follows from one', async () => {
    const weights = variable({ shape: [2], dtype: 'f32' }, 'weights')
    const sum = weights.tensor.add(1)
    await weights.tensor.data()
    await sum.data()
    expect([String(weights.tensor), String(sum)]).toEqual(Array(2).fill('f32[2], not read: await data()'))
    const kept = await compile(() => ({ y: weights.tensor.add(2) }))()
    await kept.y.data()
    expect(String(kept.y)).toBe('f32[2] [2, 2]')
  })

  test('that it was disposed of', () => {
    const x = tensor([1, 2])
    x[Symbol.dispose]()
    expect(String(x)).toBe('f32[2], disposed of')
  })
})
