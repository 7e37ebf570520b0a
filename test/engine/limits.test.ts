// What graphs must not hold: invalid shapes, numbers that a dtype can't represent, arguments of another call, memory
// that was released, more elements than an index can count; and what half precision and NaN do inside an expression.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Device,
  UserError,
  compile,
  currentDevice,
  full,
  range,
  tensor,
  variable,
  zeros,
} from '../../engine/node/index.ts'
import type { Tensor } from '../../engine/tensor.ts'

let device: Device
beforeAll(async () => {
  device = await currentDevice()
})
afterAll(() => device.close())

const list = async (t: Tensor): Promise<number[]> => [...(await t.data())]

describe('a shape', () => {
  test.each([
    ['zeros([-3])', () => zeros([-3])],
    ['zeros([2.5])', () => zeros([2.5])],
    ['range(-2)', () => range(-2)],
    ['range(2.5)', () => range(2.5)],
  ])('only has integers of at least 0: %s', (_, make) => {
    expect(make).toThrow(UserError)
    expect(make).toThrow(/0 or positive integers, not (-2|-3|2\.5) in/)
  })
})

describe('a number', () => {
  test.each([
    ['full u32', () => full([2], -1, 'u32')],
    ['full i32', () => full([2], 1.5, 'i32')],
    ['pad i32', () => tensor(Int32Array.of(1)).pad([1], [0], 0.7)],
  ])("that an integer dtype can't represent is rejected: %s", (_, make) => expect(make).toThrow(UserError))

  test('that it can represent is accepted everywhere', async () => {
    expect(await list(full([2], 4294967295, 'u32'))).toEqual([4294967295, 4294967295])
    expect(await list(tensor(Int32Array.of(1)).pad([1], [1], -7))).toEqual([-7, 1, -7])
  })
})

describe('a tensor of an earlier trace', () => {
  test('is rejected in the next trace of the function, and in another function', async () => {
    let kept: Tensor | undefined
    const fn = compile((x: Tensor) => {
      kept ??= x.mul(2)
      return x.add(kept)
    })
    expect(await list(await fn(tensor([1])))).toEqual([3])
    await expect(fn(tensor([10, 20]))).rejects.toThrow('another call')
    const other = compile((a: Tensor, b: Tensor) => a.add(b).add(kept ?? a))
    await expect(other(tensor([100]), tensor([200]))).rejects.toThrow('another call')
    await expect(kept?.data()).rejects.toThrow(UserError)
    expect(await list(await fn(tensor([5])))).toEqual([15])
  })
})

test('a released variable is rejected, also in functions compiled before', async () => {
  const v = variable({ shape: [2], dtype: 'f32' }, 'the weights')
  await v.write(Float32Array.of(3, 4))
  const doubled = compile(() => v.tensor.mul(2))
  expect(await list(await doubled())).toEqual([6, 8])
  v.release()
  await expect(doubled()).rejects.toThrow('the weights was released')
  await expect(v.read()).rejects.toThrow(UserError)
  await expect(v.write(Float32Array.of(1, 2))).rejects.toThrow(UserError)
})

test('a sum over too many elements is rejected', async () => {
  const [column, row] = [zeros([65536, 1]), zeros([1, 65536])]
  const a = variable({ shape: [65536, 1], dtype: 'f32' }, 'a').tensor
  await expect(a.add(column).sub(row).square().sum().data()).rejects.toThrow(/a reduction takes at most \d+ elements/)
})

describe('half precision', () => {
  const values = [70000, 1e-9, 1 / 3, -2049, 3e-5, -65519, 65520, 6.1e-5, NaN]
  const rounded = Array.from(Float16Array.from(values))

  test('rounds within an expression as it does in memory', async () => {
    const x = tensor(values)
    expect(await list(x.cast('f16').cast('f32').mul(1))).toEqual(rounded)
    expect(await list(x.cast('f16').isFinite())).toEqual(rounded.map(value => (Number.isFinite(value) ? 1 : 0)))
    expect(await x.slice([3], [4]).cast('f16').cast('f32').sum().item()).toBe(-2048)
    const product = tensor([[values[2]]])
      .matmul(tensor([[1]]))
      .cast('f16')
      .cast('f32')
      .mul(3)
    expect(await list(product)).toEqual([0.999755859375])
  })

  test('is stored, or rejected with one line if the adapter has none', async () => {
    const stored = tensor(values).cast('f16').data()
    if (device.traits.f16) expect([...(await stored)]).toEqual(rounded)
    else await expect(stored).rejects.toThrow('has no half precision')
  })
})

test('NaN stays NaN in activations', async () => {
  const x = tensor([NaN, -1, 2])
  for (const [y, wanted] of [
    [x.relu(), [NaN, 0, 2]],
    [x.tanh(), [NaN, Math.tanh(-1), Math.tanh(2)]],
    [x.erf(), [NaN, -0.842700793, 0.995322265]],
    [x.gelu(), [NaN, -0.158655254, 1.954499736]],
  ] as const) {
    const got = await list(y)
    expect(got[0]).toBeNaN()
    got.slice(1).forEach((value, i) => expect(value).toBeCloseTo(wanted[i + 1], 6))
  }
})
