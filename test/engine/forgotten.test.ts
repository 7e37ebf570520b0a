// What JavaScript forgets gives its GPU memory back: every kind of owner is collected, and no code registers a finalizer of
// its own, which might hold its owner.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Device, type Tensor, compile, currentDevice, tensor, variable } from '../../engine/node/index.ts'
import { Buffers } from '../../engine/runtime/buffers.ts'
import { keepWhenForgotten, releaseWhenForgotten } from '../../engine/runtime/forgotten.ts'
import { collected } from '../support/collect.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const THE_ONE = 'engine/runtime/forgotten.ts'

let device: Device
beforeAll(async () => { device = await currentDevice() })
afterAll(() => device.close())

/** Forty rounds of `make`, ten before the count begins: live buffers (free ones apart) that the last thirty have left. */
async function leftBy(make: (i: number) => Promise<unknown>): Promise<number> {
  const round = async (from: number, to: number): Promise<number> => {
    for (let i = from; i < to; i++) await make(i)
    await collected()
    return device.buffers.live
  }
  const before = await round(0, 10)
  return await round(10, 40) - before
}

describe('finalizers', () => {
  test(`are registered by ${THE_ONE} alone`, () => {
    const using = ['shaders', 'engine', 'models', 'train', 'bench'].flatMap(folder =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
        .map(path => `${folder}/${path.replaceAll('\\', '/')}`)
        .filter(path => /\.m?[jt]s$/.test(path) && !path.includes('node_modules/')))
      .filter(path => readFileSync(join(root, path), 'utf8').includes('FinalizationRegistry'))
    expect(using).toEqual([THE_ONE])
  })

  test('hold no owner: its buffer is free after a collection', async () => {
    const buffers = new Buffers(device.gpu)
    const forget = (): WeakRef<object> => {
      const owner = { name: 'owner' }
      releaseWhenForgotten(owner, buffers, buffers.acquire(256, 'owned'))
      return new WeakRef(owner)
    }
    const owner = forget()
    expect(buffers).toMatchObject({ count: 1, live: 1 })
    await collected()
    expect(owner.deref()).toBeUndefined()
    expect(buffers).toMatchObject({ count: 1, live: 0 })
  })

  test('leave alone what its owner has released itself', async () => {
    const buffers = new Buffers(device.gpu)
    const forget = (): void => {
      const owner = {}
      const buffer = buffers.acquire(256, 'owned')
      releaseWhenForgotten(owner, buffers, buffer)
      keepWhenForgotten(owner)
      buffers.release(buffer)
    }
    forget()
    await collected()
    expect(buffers).toMatchObject({ count: 1, live: 0 })
  })
})

describe('forgotten', () => {
  const spec = { shape: [300], dtype: 'f32' } as const

  test('variables give their memory back', async () => {
    expect(await leftBy(async i => { await variable(spec, 'v').write(new Float32Array(300).fill(i)) })).toBeLessThanOrEqual(2)
  })

  test('results of compiled functions that nobody reads give their memory back', async () => {
    const fn = compile((x: Tensor) => x.mul(2))
    expect(await leftBy(async i => { await fn(tensor(new Float32Array(300).fill(i))) })).toBeLessThanOrEqual(2)
  })

  test('compiled functions give their plans\' memory back: inputs, constants and uniforms', async () => {
    expect(await leftBy(async i => {
      const constant = tensor(new Float32Array(300).fill(i))
      const fn = compile((x: Tensor) => x.mul(constant).add(i).sum())
      return (await fn(tensor(new Float32Array(300).fill(1)))).item()
    })).toBeLessThanOrEqual(4)
  })

  test('eager evaluations leave no buffer of their inputs, constants or plans', async () => {
    expect(await leftBy(i => tensor(new Float32Array(300).fill(i)).add(i).sum().data())).toBeLessThanOrEqual(4)
  })
})
