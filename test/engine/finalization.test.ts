// What JavaScript forgets gives its GPU memory back: every kind of owner is collected, and no code registers a
// finalizer of its own, which might hold its owner.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Device,
  type Tensor,
  UserError,
  compile,
  currentDevice,
  tensor,
  variable,
} from '../../engine/node/index.ts'
import { KEPT_PLANS } from '../../engine/evaluate.ts'
import { Buffers } from '../../engine/runtime/buffers.ts'
import { cancelFinalization, releaseWhenCollected } from '../../engine/runtime/finalization.ts'
import { collected } from '../support/collect.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const THE_ONE = 'engine/runtime/finalization.ts'

let device: Device
beforeAll(async () => {
  device = await currentDevice()
})
afterAll(() => device.close())

/**
 * Forty rounds of `make`, ten before the count begins: live buffers (free ones apart) that the last thirty have left.
 */
async function leftBy(make: (i: number) => Promise<unknown>): Promise<number> {
  const round = async (from: number, to: number): Promise<number> => {
    for (let i = from; i < to; i++) await make(i)
    await collected()
    return device.buffers.live
  }
  const before = await round(0, 10)
  return (await round(10, 40)) - before
}

describe('finalizers', () => {
  test(`are registered by ${THE_ONE} alone`, () => {
    const using = ['shaders', 'engine', 'models', 'train', 'bench']
      .flatMap(folder =>
        readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
          .map(path => `${folder}/${path.replaceAll('\\', '/')}`)
          .filter(path => /\.m?[jt]s$/.test(path) && !path.includes('node_modules/')),
      )
      .filter(path => readFileSync(join(root, path), 'utf8').includes('FinalizationRegistry'))
    expect(using).toEqual([THE_ONE])
  })

  test("don't hold the owner: its buffer is free after a collection", async () => {
    const buffers = new Buffers(device.gpu)
    const forget = (): WeakRef<object> => {
      const owner = { name: 'owner' }
      releaseWhenCollected(owner, buffers, buffers.acquire(256, 'owned'))
      return new WeakRef(owner)
    }
    const owner = forget()
    expect(buffers).toMatchObject({ count: 1, live: 1 })
    await collected()
    expect(owner.deref()).toBeUndefined()
    expect(buffers).toMatchObject({ count: 1, live: 0 })
  })

  test("don't release what the owner has released itself", async () => {
    const buffers = new Buffers(device.gpu)
    const forget = (): void => {
      const owner = {}
      const buffer = buffers.acquire(256, 'owned')
      releaseWhenCollected(owner, buffers, buffer)
      cancelFinalization(owner)
      buffers.release(buffer)
    }
    forget()
    await collected()
    expect(buffers).toMatchObject({ count: 1, live: 0 })
  })
})

describe('collected', () => {
  const spec = { shape: [300], dtype: 'f32' } as const

  test('variables release their memory', async () => {
    expect(
      await leftBy(async i => {
        await variable(spec, 'v').write(new Float32Array(300).fill(i))
      }),
    ).toBeLessThanOrEqual(2)
  })

  test('unread results of compiled functions release their memory', async () => {
    const fn = compile((x: Tensor) => x.mul(2))
    expect(
      await leftBy(async i => {
        await fn(tensor(new Float32Array(300).fill(i)))
      }),
    ).toBeLessThanOrEqual(2)
  })

  test('compiled functions release the memory of their plans: inputs, constants and uniforms', async () => {
    expect(
      await leftBy(async i => {
        const constant = tensor(new Float32Array(300).fill(i))
        const fn = compile((x: Tensor) => x.mul(constant).add(i).sum())
        return (await fn(tensor(new Float32Array(300).fill(1)))).item()
      }),
    ).toBeLessThanOrEqual(4)
  })

  test('eager evaluations leave no buffer of their inputs, constants or plans', async () => {
    expect(await leftBy(i => tensor(new Float32Array(300).fill(i)).add(i).sum().data())).toBeLessThanOrEqual(4)
  })
})

describe('a compiled function that was called with 200 shapes', () => {
  const call = async (fn: (x: Tensor) => Promise<Tensor>, n: number): Promise<number> =>
    (await fn(tensor(new Float32Array(n).fill(1)))).item()

  test("keeps a bounded number of plans, frees the others' memory at once, and makes them again", async () => {
    let traces = 0
    const fn = compile((x: Tensor) => {
      traces++
      return x.mul(2).sum()
    })
    await collected()
    const before = device.buffers.live
    for (let n = 1; n <= 200; n++) expect(await call(fn, n)).toBe(2 * n)
    // A plan has an input and its uniforms; nothing was collected.
    expect(device.buffers.live - before).toBeLessThanOrEqual(2 * KEPT_PLANS + 4)
    expect(await call(fn, 200)).toBe(400)
    expect(traces, 'the latest is still there').toBe(200)
    expect(await call(fn, 1)).toBe(2)
    expect(traces, 'the first is not').toBe(201)
  })

  test('still runs a plan that is dropped during a call', async () => {
    const fn = compile((x: Tensor) => x.mul(2).sum())
    const sizes = Array.from({ length: 3 * KEPT_PLANS }, (_, i) => 1 + (i % (2 * KEPT_PLANS)))
    expect(await Promise.all(sizes.map(n => call(fn, n)))).toEqual(sizes.map(n => 2 * n))
  })
})

describe('unreachable memory', () => {
  const SIZE = 32 * 2 ** 20

  test('is collected before more is allocated, by writes and by runs', async () => {
    const fn = compile((x: Tensor) => x.add(1))
    await collected()
    const [before, most] = [device.buffers.liveBytes, { live: 0 }]
    const note = (): void => {
      most.live = Math.max(most.live, device.buffers.liveBytes)
    }
    for (let i = 0; i < 16; i++) {
      await variable({ shape: [SIZE / 4], dtype: 'f32' }, 'forgotten').write(Float32Array.of(i))
      note()
    }
    const x = variable({ shape: [SIZE / 4], dtype: 'f32' }, 'x')
    for (let i = 0; i < 16; i++) {
      await fn(x.tensor)
      note()
    }
    // Each half would hold 512 MiB: at most 256 are let grow, beside x, its copy, the sum and what is being made.
    expect((most.live - before) / SIZE).toBeLessThanOrEqual(8 + 5)
  })
})

describe('using', () => {
  test('releases results, variables and constants at the end of the block', async () => {
    const fn = compile((x: Tensor) => x.mul(2))
    const x = tensor(new Float32Array(3000).fill(1))
    await (await fn(x)).data()
    await collected()
    const before = device.buffers.live
    {
      using y = await fn(x)
      using v = variable({ shape: [3000], dtype: 'f32' }, 'v')
      await v.write(new Float32Array(3000).fill(1))
      using constant = tensor(new Float32Array(3000).fill(3))
      for (let i = 0; i < 2; i++) expect(await y.add(v.tensor).mul(constant).sum().item()).toBe(27_000)
      expect(device.buffers.live).toBeGreaterThanOrEqual(before + 3)
    }
    // The plan of the sum has uniforms.
    expect(device.buffers.live).toBeLessThanOrEqual(before + 1)
  })

  test('using a disposed tensor throws a UserError that shows it; disposing twice does not', async () => {
    const y = await compile((x: Tensor) => x.mul(2))(tensor([[1, 2]]))
    const made = y.add(1)
    y[Symbol.dispose]()
    y[Symbol.dispose]()
    expect(() => y.add(1)).toThrow(new UserError('a tensor f32[1, 2] is used after it was disposed of'))
    await expect(y.data()).rejects.toThrow(UserError)
    await expect(compile((x: Tensor) => x.add(1))(y)).rejects.toThrow(UserError)
    await expect(made.data(), 'what was made of it needs its numbers').rejects.toThrow('result was released')
  })

  test('graphs outlive handles on their values, and host data is kept', async () => {
    const made = (() => {
      using x = tensor([1, 2])
      using doubled = x.mul(2)
      using same = doubled.cast('f32')
      return same.add(x)
    })()
    expect([...(await made.data())]).toEqual([3, 6])
    const result = await compile((x: Tensor) => x.mul(2))(tensor([1, 2]))
    {
      using same = result.cast('f32')
      expect([...(await same.data())]).toEqual([2, 4])
    }
    expect([...(await result.data())], 'a cast to the same dtype is another handle').toEqual([2, 4])
  })

  test('a disposed constant is uploaded again for a compiled function', async () => {
    const constant = tensor(new Float32Array(2000).fill(3))
    const fn = compile((x: Tensor) => x.mul(constant).sum())
    expect(await (await fn(tensor([2]))).item()).toBe(12_000)
    constant[Symbol.dispose]()
    // Whoever gets its buffer now writes something else there.
    await tensor(new Float32Array(2000).fill(5)).add(1).data()
    expect(await (await fn(tensor([3]))).item()).toBe(18_000)
  })

  test("a variable's tensor can't be disposed of", () => {
    const v = variable({ shape: [2], dtype: 'f32' }, 'weights')
    expect(() => v.tensor[Symbol.dispose]()).toThrow(UserError)
    expect(v.tensor.shape).toEqual([2])
  })
})
