// Compiled functions and variables: traced once, replayed; updates after reads; nothing leaks.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Device,
  type Tensor,
  UserError,
  compile,
  currentDevice,
  dropout,
  grad,
  readAll,
  tensor,
  variable,
  zeros,
} from '../../engine/node/index.ts'
import { adamw } from '../../engine/ops/adamw.ts'
import { collected } from '../support/collect.ts'
import { noises } from '../support/ops.ts'

let device: Device
beforeAll(async () => {
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
const f32 = (...shape: number[]) => ({ shape, dtype: 'f32' }) as const

describe('a compiled function', () => {
  test('is traced once for each set of shapes, and again for new ones', async () => {
    let traces = 0
    const fn = compile((x: Tensor) => {
      traces++
      return x.mul(2)
    })
    for (const n of [3, 3, 5, 3, 5])
      expect([...(await (await fn(tensor(new Float32Array(n).fill(n)))).data())]).toEqual(new Array(n).fill(2 * n))
    expect(traces).toBe(2)
    await fn(tensor(new Int32Array(3)))
    expect(traces, 'another dtype is another trace').toBe(3)
  })

  test('gives the same bits in every replay as a single run', async () => {
    const [x, w] = [numbers([9, 17]), numbers([17, 5], 2)]
    const build = (a: Tensor, b: Tensor) => {
      const loss = a.matmul(b).gelu().softmax().square().sum()
      return [loss, ...grad(loss, [a, b])]
    }
    const once = await readAll(build(x, w))
    const fn = compile((a: Tensor, b: Tensor) => build(a, b))
    for (let i = 0; i < 3; i++) expect(await readAll(await fn(x, w))).toEqual(once)
  })

  test('returns results in the nesting of the function: objects, arrays, plain values', async () => {
    const fn = compile((batch: { x: Tensor; name: string }) => ({
      y: [batch.x.add(1), batch.x],
      name: batch.name,
      none: null,
    }))
    const { y, name, none } = await fn({ x: tensor([1, 2]), name: 'first' })
    expect([name, none]).toEqual(['first', null])
    expect((await readAll(y)).map(v => [...v])).toEqual([
      [2, 3],
      [1, 2],
    ])
  })

  test('takes the result of another compiled function without copying it to the host', async () => {
    const double = compile((x: Tensor) => x.mul(2))
    let x = tensor([1, 2, 3])
    for (let i = 0; i < 4; i++) x = await double(x)
    expect([...(await x.data())]).toEqual([16, 32, 48])
  })

  test('keeps its results when it runs again', async () => {
    const fn = compile((x: Tensor) => x.add(1))
    const first = await fn(tensor([1]))
    const second = await fn(tensor([2]))
    expect([(await first.data())[0], (await second.data())[0]]).toEqual([2, 3])
  })

  test('replayed 500 times holds no more buffers than after the first few', async () => {
    const w = variable(f32(8, 8), 'w')
    const step = compile((x: Tensor) => {
      const loss = x.matmul(w.tensor).sub(1).square().mean()
      const [g] = grad(loss, [w.tensor])
      w.assign(w.tensor.sub(g.mul(0.1)))
      return { loss }
    })
    const x = numbers([4, 8])
    /** Fifty steps with all their results alive, of which one is looked at. */
    const round = async (): Promise<number> => {
      const losses: Tensor[] = []
      for (let i = 0; i < 50; i++) losses.push((await step(x)).loss)
      return losses[49].item()
    }
    let settled = 0
    let last = Infinity
    for (let i = 0; i < 10; i++) {
      const loss = await round()
      expect(loss).toBeLessThan(last)
      last = loss
      // Results that nobody looks at are given back when JavaScript forgets them.
      await collected()
      if (i === 1) settled = device.buffers.count
    }
    expect(device.buffers.count).toBeLessThanOrEqual(settled + 4)
  })

  test('must not be async or called while another is traced', async () => {
    await expect(compile((async () => zeros([1])) as never)()).rejects.toThrow(UserError)
  })

  test('draws another dropout mask every step, the same one for the same step', async () => {
    const fn = compile((step: Tensor) => dropout(zeros([64]).add(1), 0.5, 1, step, 7))
    const masks = []
    for (const n of [1, 2, 1]) masks.push([...(await (await fn(tensor(new Uint32Array([n]), []))).data())])
    expect(masks[0]).toEqual(masks[2])
    expect(masks[0]).not.toEqual(masks[1])
  })
})

describe('variables', () => {
  test('begin as zeros, are written at offsets and read in part', async () => {
    const v = variable(f32(2, 3), 'v')
    expect([...(await v.read())]).toEqual([0, 0, 0, 0, 0, 0])
    await v.write(new Float32Array([1, 2]), 3)
    expect([...(await v.read())]).toEqual([0, 0, 0, 1, 2, 0])
    expect([...(await v.read(3, 2))]).toEqual([1, 2])
  })

  test('reject numbers past their end with an error that names the variable', async () => {
    const v = variable(f32(2, 3), 'bert.embeddings')
    await expect(v.write(new Float32Array(4), 3)).rejects.toThrow(
      /bert\.embeddings: 4 numbers at element 3 do not fit in f32\[2, 3\]/,
    )
    await expect(v.write(new Float32Array(1), -1)).rejects.toThrow(UserError)
  })

  test('reject reads past their end', async () => {
    await expect(variable(f32(100), 'v').read(90, 20)).rejects.toThrow(UserError)
  })

  test('can swap values in one call', async () => {
    const [a, b] = [variable(f32(70), 'a'), variable(f32(70), 'b')]
    await a.write(new Float32Array(70).fill(1))
    await b.write(new Float32Array(70).fill(2))
    const swap = compile(() => {
      a.assign(b.tensor)
      b.assign(a.tensor)
      return []
    })
    await swap()
    expect([(await a.read())[0], (await b.read())[69]]).toEqual([2, 1])
    await swap()
    expect([(await a.read())[0], (await b.read())[69]]).toEqual([1, 2])
  })

  test('are read with their old value, wherever in the call they are assigned', async () => {
    const v = variable(f32(3), 'v')
    const fn = compile((x: Tensor) => {
      v.assign(v.tensor.add(x))
      return { old: v.tensor.mul(1), product: v.tensor.mul(10).sum() }
    })
    const x = tensor([1, 1, 1])
    for (const n of [0, 1, 2]) {
      const { old, product } = await fn(x)
      expect([...(await old.data())]).toEqual([n, n, n])
      expect(await product.item()).toBe(30 * n)
    }
  })

  test('get the last of several assignments', async () => {
    const v = variable(f32(1), 'v')
    await compile(() => {
      v.assign(zeros([1]).add(1))
      v.assign(zeros([1]).add(2))
      return []
    })()
    expect([...(await v.read())]).toEqual([2])
  })

  test('updated in place are read by others before the update', async () => {
    const [p, m, v] = ['p', 'm', 'v'].map(name => variable(f32(5), name))
    await p.write(new Float32Array([1, 2, 3, 4, 5]))
    const hyper = tensor([0.1, 0.1, 0.999, 0.001, 1e-8, 0, 0.1, 0.001])
    const step = compile((g: Tensor) => {
      const [p1, m1, v1] = adamw(p.tensor, m.tensor, v.tensor, g, hyper, zeros([]).add(1))
      p.assign(p1)
      m.assign(m1)
      v.assign(v1)
      return { before: p.tensor.mul(10), after: p1.mul(10) }
    })
    const { before, after } = await step(tensor([1, 1, 1, 1, 1]))
    expect([...(await before.data())]).toEqual([10, 20, 30, 40, 50])
    const expected = [0.9, 1.9, 2.9, 3.9, 4.9]
    ;[...(await after.data())].forEach((value, i) => expect(value).toBeCloseTo(10 * expected[i], 4))
    ;[...(await p.read())].forEach((value, i) => expect(value).toBeCloseTo(expected[i], 5))
  })

  test('a parameter may be its own gradient', async () => {
    const p = variable(f32(4), 'p')
    await p.write(new Float32Array([1, 2, 3, 4]))
    const hyper = tensor([0.1, 0.1, 0.999, 0.001, 1e-8, 0, 0.1, 0.001])
    await compile(() => {
      p.assign(adamw(p.tensor, zeros([4]), zeros([4]), p.tensor, hyper, zeros([]).add(1))[0])
      return []
    })()
    ;[...(await p.read())].forEach((value, i) => expect(value).toBeCloseTo(i + 0.9, 5))
  })
})
