// Tensors without elements where no op is concerned: as text, as arguments, results and variables of compiled functions,
// under ops of one's own, and in modules. test/golden/nothing.test.ts compares what ops give with PyTorch.
import { afterAll, describe, expect, test } from 'vitest'
import {
  type Tensor,
  UserError,
  compile,
  concat,
  currentDevice,
  grad,
  hostTensor,
  ones,
  randomBernoulli,
  randomCategorical,
  randomNormal,
  randomPermutation,
  range,
  readAll,
  tensor,
  variable,
  zeros,
} from '../../engine/node/index.ts'
import { checkGradients } from '../../engine/gradcheck.ts'
import type { Op } from '../../engine/graph.ts'
import { applyOp } from '../../engine/tensor.ts'
import { LayerNorm, Linear, MultiHeadAttention } from '../../models/nn/index.ts'

afterAll(async () => (await currentDevice()).close())

test('are made of empty arrays, nested as their shapes say', async () => {
  const made = [tensor([]), tensor([[], []]), tensor(new Int16Array(0), [3, 0]), tensor([], [0, 2], 'u32')]
  expect(made.map(x => [x.dtype, x.shape, x.size])).toEqual([
    ['f32', [0], 0],
    ['f32', [2, 0], 0],
    ['i32', [3, 0], 0],
    ['u32', [0, 2], 0],
  ])
  expect(await readAll(made)).toEqual([new Float32Array(0), new Float32Array(0), new Int32Array(0), new Uint32Array(0)])
})

test('as text have a shape and no elements, read or not', () => {
  const x = zeros([1e9, 0])
  expect(String(x)).toBe('f32[1000000000, 0] []')
  expect(String(x.add(1).sum(1).slice([3], [3]))).toBe('f32[0] []')
  expect(String(variable({ shape: [0, 2], dtype: 'i32' }, 'w').tensor)).toBe('i32[0, 2] []')
})

test('are random numbers, permutations and ranges of no length; of no classes none is drawn', async () => {
  const key = { seed: 1 }
  const made = [randomNormal([0, 2], key), randomBernoulli(zeros([0]), key), randomPermutation(0, key), range(0)]
  expect(made.map(({ dtype, shape }) => [dtype, shape])).toEqual([
    ['f32', [0, 2]],
    ['f32', [0]],
    ['i32', [0]],
    ['i32', [0]],
  ])
  expect((await readAll(made)).map(numbers => numbers.length)).toEqual([0, 0, 0, 0])
  expect(randomCategorical(zeros([0, 3]), key).shape).toEqual([0])
  expect(() => randomCategorical(zeros([2, 0]), key)).toThrow('f32[2, 0] has no elements along axes 1')
})

test('have no only element', async () => {
  await expect(zeros([0]).item()).rejects.toThrow(new UserError('item: the tensor has 0 elements, not one'))
})

describe('in compiled functions', () => {
  test('are arguments, results and both at once', async () => {
    const fn = compile((x: Tensor, y: Tensor) => ({
      x,
      y,
      longer: concat([x, y]),
      product: x.matmul(y.transpose()),
      total: x.sum().add(y.sum()),
    }))
    const given = await fn(zeros([0, 3]), ones([2, 3]))
    expect(Object.entries(given).map(([name, { shape }]) => [name, shape])).toEqual([
      ['x', [0, 3]],
      ['y', [2, 3]],
      ['longer', [2, 3]],
      ['product', [0, 2]],
      ['total', []],
    ])
    expect(await readAll([given.x, given.longer, given.product, given.total])).toEqual([
      new Float32Array(0),
      new Float32Array(6).fill(1),
      new Float32Array(0),
      Float32Array.of(6),
    ])
    // A result is an argument like any other.
    expect((await fn(given.x, given.longer)).longer.shape).toEqual([2, 3])
  })

  test('take no dispatch and no memory', async () => {
    const fn = compile((x: Tensor) => [
      x,
      x
        .exp()
        .matmul(ones([3, 4]))
        .softmax(),
    ])
    expect(await fn.prepare(zeros([0, 3]))).toMatchObject({ dispatches: 0, peakBytes: 0 })
    expect(await fn.kernels(zeros([0, 3]))).toEqual([])
    expect(await fn.diagnose(zeros([0, 3]))).toBeUndefined()
    expect((await fn(zeros([0, 3]))).map(({ shape }) => shape)).toEqual([
      [0, 3],
      [0, 4],
    ])
  })

  test('are assigned to variables, beside others', async () => {
    const none = variable({ shape: [0, 2], dtype: 'f32' }, 'none')
    const some = variable({ shape: [2], dtype: 'f32' }, 'some')
    await none.write(new Float32Array(0))
    const step = compile((x: Tensor) => {
      none.assign(none.tensor.mul(2).add(x))
      some.assign(some.tensor.add(none.next.sum(0)).add(1))
      return none.next
    })
    expect((await step(zeros([1, 2]))).shape).toEqual([0, 2])
    await step(zeros([1, 2]))
    expect([await none.read(), await none.tensor.data(), await some.read()]).toEqual([
      new Float32Array(0),
      new Float32Array(0),
      Float32Array.of(2, 2),
    ])
    await none.allocate()
    none.release()
  })

  test('are read from the host', async () => {
    const host = hostTensor({ shape: [0], dtype: 'f32' }, () => new Float32Array(0))
    const given = await compile(() => [host, host.sum()])()
    expect(await readAll([host, ...given])).toEqual([new Float32Array(0), new Float32Array(0), Float32Array.of(0)])
  })
})

test('gradients through them are zeros, of every order, and empty by themselves', async () => {
  const [x, none] = [ones([2, 3]), zeros([0, 3])]
  const loss = x.slice([1], [1]).square().sum().add(none.exp().sum())
  const [byX, byNone] = grad(loss, [x, none])
  const [second] = grad(byX.square().sum(), [x])
  expect([byX, byNone, second].map(({ shape }) => shape)).toEqual([
    [2, 3],
    [0, 3],
    [2, 3],
  ])
  expect(await readAll([byX, byNone, second])).toEqual([new Float32Array(6), new Float32Array(0), new Float32Array(6)])
  const upstream = grad(none.exp(), [none], ones([0, 3]))
  expect(upstream.map(({ shape }) => shape)).toEqual([[0, 3]])
})

test('pass gradient checks, also beside inputs that have elements', async () => {
  const { ok, misses } = await checkGradients(
    (x, w, b) => x.matmul(w).gelu().sum(0).add(b),
    [{ shape: [0, 3] }, { shape: [3, 2] }, { shape: [2] }],
  )
  expect([ok, misses]).toEqual([true, []])
})

describe("an op of one's own", () => {
  const op: Op = {
    name: 'myapp.total',
    kind: 'kernel',
    infer: ([{ dtype }]) => [{ shape: [1], dtype }],
    lower: () => {
      throw new Error('nothing is launched of nothing')
    },
  }

  test('refuses them where it has to give elements', () => {
    expect(() => applyOp(op, [zeros([0, 2])], {})).toThrow(
      new UserError('myapp.total of f32[0, 2]: no elements to compute f32[1] from'),
    )
  })

  test('gives what it says that it gives of nothing', async () => {
    const [given] = applyOp({ ...op, ofNothing: () => [ones([1])] }, [zeros([0, 2])], {})
    expect(await given.data()).toEqual(Float32Array.of(1))
  })
})

test('modules take batches of 0', () => {
  const x = zeros([0, 3, 8])
  const y = new LayerNorm(8).forward(new MultiHeadAttention(8, 2).forward(x))
  const linear = new Linear(8, 5)
  const z = linear.forward(y)
  expect(z.shape).toEqual([0, 3, 5])
  expect(grad(z.sum(), [x])[0].shape).toEqual([0, 3, 8])
})
