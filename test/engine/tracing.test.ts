// What a function that is being traced must not do.
import { afterAll, describe, expect, test } from 'vitest'
import { UserError, compile, currentDevice, tensor, variable, zeros } from '../../engine/node/index.ts'
import type { Tensor } from '../../engine/tensor.ts'

afterAll(async () => (await currentDevice()).close())

describe('a compiled function that is called while another is traced', () => {
  const w = variable({ shape: [], dtype: 'f32' }, 'w')
  const inner = compile((x: Tensor) => ({ y: x.add(1) }))
  const change = compile(() => {
    w.assign(w.tensor.add(1))
    return null
  })
  const x = zeros([2])

  test.each([
    [
      'runs',
      () => {
        void inner(x)
      },
    ],
    [
      'runs without a tensor in or out',
      () => {
        void change()
      },
    ],
    [
      'is prepared',
      () => {
        void inner.prepare(x)
      },
    ],
    [
      'is profiled',
      () => {
        void inner.profile(x)
      },
    ],
    [
      'tells its kernels',
      () => {
        void inner.kernels(x)
      },
    ],
  ])('makes the outer one throw if it %s', async (_, use) => {
    const outer = compile((t: Tensor) => {
      use()
      return { y: t.mul(2) }
    })
    await expect(outer(x)).rejects.toThrow(new UserError('a compiled function was called while another is traced'))
  })

  test('makes an async one throw, too, and no other', async () => {
    const outer = compile((async (t: Tensor) => ({ y: (await inner(t)).y })) as never) as unknown as (
      t: Tensor,
    ) => Promise<unknown>
    await expect(outer(x)).rejects.toThrow('must not be async')
    await new Promise(resolve => setTimeout(resolve, 0))
  })

  test('leaves both usable', async () => {
    expect([...(await (await inner(tensor(Float32Array.of(1, 2)))).y.data())]).toEqual([2, 3])
    await change()
    expect(await w.tensor.item()).toBe(1)
  })
})
