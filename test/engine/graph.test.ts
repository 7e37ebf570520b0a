// What a graph becomes: laziness, equal nodes, fusion, limits, errors. Dispatches are counted, values compared.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Device,
  UserError,
  compile,
  concat,
  currentDevice,
  grad,
  ones,
  range,
  readAll,
  scalar,
  tensor,
  variable,
  zeros,
} from '../../engine/node/index.ts'
import { reference } from '../../engine/reference.ts'
import { findReference } from '../../engine/references/index.ts'
import { schedule } from '../../engine/compile/schedule.ts'
import { type Value, loadKernels, registeredOps } from '../../engine/graph.ts'
import { attention, crossEntropy, divergence } from '../../engine/index.ts'
import { noises } from '../support/ops.ts'

let device: Device
beforeAll(async () => {
  await loadKernels(registeredOps())
  device = await currentDevice()
})
afterAll(() => device.close())

const numbers = (shape: readonly number[], seed = 1) =>
  tensor(
    Float32Array.from(
      noises(
        shape.reduce((a, b) => a * b, 1),
        seed,
      ),
    ),
    shape,
  )
const close = (actual: ArrayLike<number>, expected: ArrayLike<number>) => {
  expect(actual.length).toBe(expected.length)
  Array.from(actual).forEach((v, i) => expect(v).toBeCloseTo(expected[i], 4))
}

describe('nothing runs until it is read', () => {
  test('building a graph makes no buffer and no pipeline', () => {
    const before = [device.buffers.count, device.pipelines.count]
    const x = numbers([64, 64])
    x.matmul(x).add(1).gelu().sum()
    expect([device.buffers.count, device.pipelines.count]).toEqual(before)
  })

  test('a dead branch is not compiled', async () => {
    const { dispatches } = await compile((x: ReturnType<typeof numbers>) => {
      x.matmul(x).softmax()
      return x.add(1)
    }).prepare(numbers([4, 4]))
    expect(dispatches).toBe(1)
  })

  test('nor is a launch whose outputs are all dead', async () => {
    const [q, k, v] = [1, 2, 3].map(seed => numbers([1, 64, 2, 8], seed))
    const of = grad(attention(q, k, v).square().sum(), [q, k, v])
    const gpu = { ...device.traits, cpu: false, subgroupSize: 0 }
    const made = (gradients: readonly number[], traits: typeof gpu): string[] =>
      schedule(
        gradients.map(i => of[i].value),
        [],
        traits,
      ).steps.flatMap(
        ({ launch: { label } }) => label.match(/gradient (query|key|probabilities|d[qkv])/)?.slice(1) ?? [],
      )
    // One kernel gives dq, another dk and dv; on a GPU a kernel for each, after that of the probabilities.
    expect([[0], [1], [2], [0, 2], [0, 1, 2]].map(gradients => made(gradients, device.traits))).toEqual([
      ['query'],
      ['key'],
      ['key'],
      ['query', 'key'],
      ['query', 'key'],
    ])
    expect([[0], [1], [0, 2]].map(gradients => made(gradients, gpu))).toEqual([
      ['probabilities', 'dq'],
      ['probabilities', 'dk'],
      ['probabilities', 'dq', 'dv'],
    ])
    const all = await readAll([...of])
    for (const wanted of [[1], [0, 2]]) expect(await readAll(wanted.map(i => of[i]))).toEqual(wanted.map(i => all[i]))
  })
})

describe('equal nodes are computed once', () => {
  test('two equal products take one dispatch', async () => {
    const { dispatches } = await compile((x: ReturnType<typeof numbers>) => [x.matmul(x), x.matmul(x)]).prepare(
      numbers([5, 5]),
    )
    expect(dispatches).toBe(1)
  })

  test('equal expressions of equal parts are merged, in whatever order they were made', async () => {
    const fn = compile((x: ReturnType<typeof numbers>) => {
      const late = x.exp()
      const a = x.softmax().mul(late)
      const b = x.softmax().mul(x.exp())
      return a.add(b)
    })
    const x = numbers([3, 7])
    expect((await fn.prepare(x)).dispatches).toBe(2)
    close(await (await fn(x)).data(), reference([x.softmax().mul(x.exp()).mul(2)])[0])
  })

  test('other attributes make other nodes', async () => {
    const x = numbers([2, 3])
    const [a, b, c] = await readAll([x.sum(0), x.sum(1), x.sum()])
    expect([a.length, b.length, c.length]).toEqual([3, 2, 1])
  })

  test("numbers that JSON can't express are distinguished: infinities and NaN", async () => {
    const [low, high, nan, pad] = await readAll([
      scalar(-Infinity).add(0),
      scalar(Infinity).add(0),
      scalar(NaN).add(0),
      concat([ones([1]).pad([0], [1], Infinity), ones([1]).pad([0], [1], -Infinity)]),
    ])
    expect([low[0], high[0], nan[0], ...pad]).toEqual([-Infinity, Infinity, NaN, 1, Infinity, 1, -Infinity])
  })
})

describe('chains are fused', () => {
  test('a chain of elementwise operations is one dispatch', async () => {
    const fn = compile((x: ReturnType<typeof numbers>, y: ReturnType<typeof numbers>) =>
      x.mul(y).add(1).tanh().sub(x).gelu(),
    )
    const [x, y] = [numbers([7, 9]), numbers([9], 2)]
    expect((await fn.prepare(x, y)).dispatches).toBe(1)
    close(await (await fn(x, y)).data(), reference([x.mul(y).add(1).tanh().sub(x).gelu()])[0])
  })

  test('an expression is fused into its sum', async () => {
    const { dispatches, unfused } = await compile((x: ReturnType<typeof numbers>) => x.sub(1).square().sum(1)).prepare(
      numbers([9, 15]),
    )
    expect(dispatches).toBe(1)
    expect(unfused).toBeGreaterThan(dispatches)
  })

  test('views take no dispatch, and elementwise operations read through them', async () => {
    const fn = compile((x: ReturnType<typeof numbers>) => x.transpose().slice([1, 0], [4, 3]).reshape([3, 3, 1]).add(1))
    const x = numbers([5, 6])
    expect((await fn.prepare(x)).dispatches).toBe(1)
    close(await (await fn(x)).data(), reference([x.transpose().slice([1, 0], [4, 3]).reshape([3, 3, 1]).add(1)])[0])
  })

  test("GELU's derivative is computed in the same epilogue, and stored instead of the product", async () => {
    const [x, w, upstream] = [numbers([12, 8], 1), numbers([8, 16], 2), numbers([12, 16], 3)]
    const product = x.matmul(w)
    const y = product.gelu()
    const [dx] = grad(y.mul(upstream).sum(), [x])
    const labels = (...results: readonly ReturnType<typeof numbers>[]): string[] =>
      schedule(
        results.map(({ value }) => value),
        [],
        device.traits,
      )
        .steps.map(({ launch: { label } }) => label.replace(/^matmul [^,]*(, )?/, ''))
        .sort()
    expect(labels(y, dx)).toEqual(['', 'gelu & geluDerivative', 'mul mul'])
    // If something else reads the product, it is stored itself; if nothing reads the derivative, neither is.
    expect(labels(y, dx, product)).toEqual(['', 'gelu', 'mul geluDerivative mul'])
    expect(labels(y)).toEqual(['gelu'])
    // What costs as little as a load stays with its reader.
    const [slope] = grad(x.matmul(w).relu().mul(upstream).sum(), [x])
    expect(labels(x.matmul(w).relu(), slope).filter(label => label.includes('&'))).toEqual([])
    for (const results of [
      [y, dx],
      [y, dx, product],
    ]) {
      const wanted = reference(results)
      const compiled = compile(() => Object.fromEntries(results.map((result, i) => [i, result])))
      for (const [i, result] of Object.values(await compiled()).entries()) close(await result.data(), wanted[i])
    }
  })

  test('a dispatch never binds more buffers than the adapter allows', async () => {
    const parts = Array.from({ length: 40 }, (_, i) => numbers([3, 5], i + 1))
    const total = parts.reduce((sum, part, i) => sum.add(part.mul(i % 3)))
    const traits = { ...device.traits, maxStorageBuffers: 4 }
    for (const limit of [traits, device.traits]) {
      for (const { bindings } of schedule([total.value], [], limit).steps)
        expect(bindings.length).toBeLessThanOrEqual(limit.maxStorageBuffers)
    }
    close(await total.data(), reference([total])[0])
  })

  test('a thousand operations in a chain run in dispatches of bounded length', async () => {
    let x = numbers([5])
    for (let i = 0; i < 1000; i++) x = x.add(i % 2 ? 0.5 : -0.5)
    close(await x.data(), reference([x])[0])
  })
})

describe('gradients', () => {
  test('of an unused input are zeros of its shape and dtype', async () => {
    const [x, unused] = [numbers([3]), numbers([2, 5])]
    const [, zero] = grad(x.square().sum(), [x, unused])
    expect([zero.shape, zero.dtype]).toEqual([[2, 5], 'f32'])
    expect([...(await zero.data())]).toEqual(new Array(10).fill(0))
  })

  test('of widened half precision are not rounded again', async context => {
    if (!device.traits.f16) return context.skip('the adapter has no shader-f16')
    const x = numbers([4, 6]).cast('f16')
    const [dx] = grad(
      x
        .cast('f32')
        .add(numbers([6]))
        .cast('f16')
        .softmax()
        .square()
        .sum(),
      [x],
    )
    const widened = new Set<string>()
    const visit = ({ node, index }: Value): string => {
      const inputs = node.inputs.map(visit)
      const path = node.op.name === 'cast' ? `${inputs[0]} ${node.outputs[index].dtype}` : node.outputs[index].dtype
      widened.add(path)
      return path
    }
    visit(dx.value)
    expect([...widened].filter(path => path.includes('f16 f32 f16'))).toEqual([])
    expect([...widened].some(path => path.includes('f16 f32'))).toBe(true)
    expect(dx.dtype).toBe('f16')
    const wanted = reference([dx])[0]
    ;[...(await dx.data())].forEach((value, i) => expect(value).toBeCloseTo(wanted[i], 2))
  })

  test("keep their input's dtype where the rule computes in f32", () => {
    const x = tensor(new Float32Array(6), [2, 3], 'f16')
    for (const loss of [
      x.tanh(),
      x.sigmoid(),
      x.max(1),
      x.softmax().tanh(),
      x.gelu('tanh'),
      x.mul(ones([3])),
      x.layerNorm(ones([3]), zeros([3])),
    ]) {
      expect(grad(loss.cast('f32').sum(), [x])[0].dtype).toBe('f16')
    }
  })

  test('do not flow through detach', async () => {
    const x = tensor([3, 4])
    expect([...(await grad(x.detach().mul(x).sum(), [x])[0].data())]).toEqual([3, 4])
  })

  test('of a gradient are second derivatives', async () => {
    const x = tensor([1, 2, -3])
    const [first] = grad(x.pow(3).sum(), [x])
    const [second] = grad(first.sum(), [x])
    close(await second.data(), [6, 12, -18])
  })
})

describe('an error names the operation and the shapes', () => {
  const [a, b] = [zeros([2, 3]), zeros([4, 5])]
  const wrong: Record<string, [() => unknown, RegExp]> = {
    add: [() => a.add(b), /add.*\[2, 3\].*\[4, 5\]/],
    matmul: [() => a.matmul(b), /matmul.*f32\[2, 3\].*f32\[4, 5\]/],
    reshape: [() => a.reshape([7]), /reshape.*f32\[2, 3\].*\[7\]/],
    'two open lengths': [
      () => a.reshape([-1, -1]),
      /^reshape: \[-1, -1\] has -1 twice; only one length can be left open$/,
    ],
    'an open length that is no whole number': [
      () => a.reshape([4, -1]),
      /^reshape: the 6 elements of f32\[2, 3\] do not divide into \[4, -1\]$/,
    ],
    slice: [() => a.slice([0, 2], [2, 4]), /slice.*f32\[2, 3\]/],
    sum: [() => a.sum(2), /sum.*axis 2/],
    permute: [() => a.permute([0, 0]), /permute.*twice/],
    concat: [() => concat([a, b], 0), /concat.*f32\[4, 5\].*f32\[2, 3\]/],
    broadcastTo: [() => a.broadcastTo([2, 4]), /broadcastTo.*\[2, 3\].*\[2, 4\]/],
    where: [() => a.where(1, 0), /where.*f32/],
    dtypes: [() => a.add(range(3)), /add.*f32.*i32/],
    gather: [() => a.gather(a), /gather.*f32\[2, 3\]/],
    crossEntropy: [() => crossEntropy(a, range(3)), /crossEntropy.*i32\[3\]/],
    divergence: [() => divergence(a, b), /divergence: teacher is f32\[4, 5\], but f32\[2, 3\] was expected/],
    'divergence at no temperature': [() => divergence(a, a, 0), /divergence: temperature is 0/],
    attention: [() => attention(a, a, a), /attention.*f32\[2, 3\]/],
    'grad of no scalar': [() => grad(a, [a]), /grad.*f32\[2, 3\].*one element/],
    'grad by integers': [() => grad(a.sum(), [range(3)]), /grad.*i32\[3\]/],
    tensor: [() => tensor(new Float32Array(5), [2, 3]), /5 numbers.*\[2, 3\]/],
    'ragged tensor': [() => tensor([[1, 2], [3]]), /ragged/],
    'negative length': [() => tensor(new Float32Array(6), [-2, -3]), /positive integers/],
    'reference of an op without one': [
      () => findReference({ name: 'myapp.copy', kind: 'kernel', infer: ([x]) => [x], lower: () => ({ launches: [] }) }),
      /op myapp.copy has no reference/,
    ],
    'assign outside': [
      () => variable({ shape: [2], dtype: 'f32' }, 'w').assign(zeros([2])),
      /w: assign.*compiled function/,
    ],
    'assign of another shape': [
      () => variable({ shape: [2], dtype: 'f32' }, 'w').assign(zeros([3])),
      /w: assign takes f32\[2\], not f32\[3\]/,
    ],
  }
  for (const [name, [act, message]] of Object.entries(wrong)) {
    test(name, () => {
      expect(act).toThrow(UserError)
      expect(act).toThrow(message)
      try {
        act()
      } catch (error) {
        expect((error as Error).message).not.toContain('\n')
      }
    })
  }
})
