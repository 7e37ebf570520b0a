// Values that share memory with others: updates in place beside readers of the old value, values that occur twice in
// one concat, values that are assigned and read afterwards; and memory that moves between runs of a plan.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Device,
  type Tensor,
  type Tree,
  type Variable,
  compile,
  fixed,
  concat,
  currentDevice,
  grad,
  openDevice,
  tensor,
  useDevice,
  variable,
  zeros,
} from '../../engine/node/index.ts'
import { adamw } from '../../engine/ops/adamw.ts'
import { openAdapter } from '../../engine/node/adapters.ts'

let device: Device
beforeAll(async () => {
  device = await currentDevice()
})
afterAll(() => device.close())

const HYPER = tensor([0.1, 0.1, 0.999, 0.001, 1e-8, 0, 0.1, 0.001])
const f32 = (...shape: number[]) => ({ shape, dtype: 'f32' }) as const
const list = async (t: Tensor): Promise<number[]> => [...(await t.data())]

/**
 * Runs one step of AdamW, with a gradient of ones, that moves each parameter by 0.1; gives what `also` makes of old and
 * new.
 */
async function stepOf<Made extends Record<string, Tensor>>(
  values: readonly number[],
  also: (before: Tensor, after: Tensor) => Made,
): Promise<{ made: Made; parameters: number[]; plan: number }> {
  const [p, m, v] = ['p', 'm', 'v'].map(name => variable(f32(values.length), name))
  await p.write(Float32Array.from(values))
  const step = compile(() => {
    const [p1, m1, v1] = adamw(p.tensor, m.tensor, v.tensor, zeros([values.length]).add(1), HYPER, zeros([]).add(1))
    p.assign(p1)
    m.assign(m1)
    v.assign(v1)
    return also(p.tensor, p1)
  })
  const made = await step()
  return { made, parameters: [...(await p.read())], plan: (await step.prepare()).dispatches }
}

const VALUES = [1, 2, 3, 4, 5, 6, 7, 8]
const close = (got: readonly number[], wanted: readonly number[]): void => {
  expect(got).toHaveLength(wanted.length)
  got.forEach((value, i) => expect(value).toBeCloseTo(wanted[i], 4))
}

describe('a parameter that is updated in place', () => {
  test("has its new value in a product's epilogue", async () => {
    const [x, w] = [
      tensor([
        [1, 0],
        [0, 1],
        [1, 1],
        [2, 3],
      ]),
      tensor([VALUES, VALUES.map(n => 10 * n)]),
    ]
    const {
      made: { y },
      parameters,
    } = await stepOf(VALUES, (_, after) => ({ y: x.matmul(w).add(after) }))
    close(
      parameters,
      VALUES.map(n => n - 0.1),
    )
    close(
      await list(y),
      [1, 10, 11, 32].flatMap(factor => VALUES.map(n => factor * n + n - 0.1)),
    )
  })

  test("has its old value in a product's epilogue", async () => {
    const [x, w] = [
      tensor([
        [1, 0],
        [0, 1],
      ]),
      tensor([VALUES, VALUES]),
    ]
    const {
      made: { y },
    } = await stepOf(VALUES, before => ({ y: x.matmul(w).add(before) }))
    close(
      await list(y),
      [...VALUES, ...VALUES].map(n => 2 * n),
    )
  })

  test('may have its old and its new value in one expression', async () => {
    const { made, parameters } = await stepOf(VALUES, (before, after) => ({
      change: after.sub(before),
      norm: after.sub(before.mul(1)).square().sum(),
      both: concat([before, after]),
    }))
    close(
      await list(made.change),
      VALUES.map(() => -0.1),
    )
    close(await list(made.norm), [0.08])
    close(await list(made.both), [...VALUES, ...VALUES.map(n => n - 0.1)])
    close(
      parameters,
      VALUES.map(n => n - 0.1),
    )
  })
})

describe('updates in place that depend on one another', () => {
  /**
   * Two parameters [1] that start there, with moments of zero, each moved by 0.1 against the sign of its gradient; and
   * what is made of them.
   */
  async function two(
    start: number,
    body: (
      step: (p: Tensor, gradient: Tensor) => [Tensor, Tensor, Tensor],
      p: Variable,
      q: Variable,
      m: Variable,
    ) => Tensor | null,
  ): Promise<{ y: number | undefined; p: number; q: number; m: number }> {
    const [p, q, m, v, n, w] = ['p', 'q', 'm', 'v', 'n', 'w'].map(name => variable(f32(1), name))
    for (const one of [p, q]) await one.write(Float32Array.of(start))
    const run = compile(() =>
      body(
        (x, gradient) => {
          const [first, second] = x === p.tensor ? [m, v] : [n, w]
          return adamw(x, first.tensor, second.tensor, gradient, HYPER, zeros([]).add(1))
        },
        p,
        q,
        m,
      ),
    )
    const y = await run()
    return { y: y ? await y.item() : undefined, p: (await p.read())[0], q: (await q.read())[0], m: (await m.read())[0] }
  }
  const ones = zeros([1]).add(1)

  test.each([
    [
      'the old parameter and the new moment',
      (p: Tensor, _p1: Tensor, _m: Tensor, m1: Tensor) => p.add(m1.mul(100)),
      13,
    ],
    ['the new parameter and the old moment', (_p: Tensor, p1: Tensor, m: Tensor) => m.add(p1.mul(100)), 290],
    ['both parameters, one through a kernel', (p: Tensor, p1: Tensor) => p1.softmax().add(p), 4],
  ])('one step reads %s', async (_, make, wanted) => {
    const got = await two(3, (step, p, _q, m) => {
      const [p1, m1] = step(p.tensor, ones)
      p.assign(p1)
      m.assign(m1)
      return make(p.tensor, p1, m.tensor, m1)
    })
    expect(got.y).toBeCloseTo(wanted, 3)
    expect(got.p).toBeCloseTo(2.9, 5)
    expect(got.m).toBeCloseTo(0.1, 5)
  })

  test("each has the other's old value as its gradient", async () => {
    // Of another sign once it has moved.
    const got = await two(0.05, (step, p, q) => {
      p.assign(step(p.tensor, q.tensor)[0])
      q.assign(step(q.tensor, p.tensor)[0])
      return null
    })
    expect(got.p).toBeCloseTo(-0.05, 5)
    expect(got.q).toBeCloseTo(-0.05, 5)
  })

  test('one follows the other', async () => {
    const got = await two(3, (step, p, q) => {
      const [p1] = step(p.tensor, ones)
      p.assign(p1)
      q.assign(step(q.tensor, p1.sub(2.95))[0])
      return p1.mul(2)
    })
    expect(got.y).toBeCloseTo(5.8, 5)
    expect(got.q).toBeCloseTo(3.1, 5)
  })
})

describe('a value that occurs twice in one concat', () => {
  for (const count of [10, 64]) {
    test(`is there twice, ${count} long`, async () => {
      const x = tensor(Float32Array.from({ length: count }, (_, i) => i + 1))
      const twice = Array.from({ length: count }, (_, i) => 2 * (i + 1))
      const other = tensor(new Float32Array(count).fill(3))
      close(await list(concat([x.mul(2), x.mul(2)])), [...twice, ...twice])
      close(await list(concat([x.mul(2), other.add(1), x.mul(2)])), [...twice, ...twice.map(() => 4), ...twice])
    })
  }
})

describe('a product that is assigned', () => {
  const [x, w] = [
    tensor([[1, 2]]),
    tensor([
      [3, 4],
      [5, 6],
    ]),
  ]
  test('can be read by its epilogue', async () => {
    const v = variable(f32(1, 2), 'v')
    const y = await compile(() => {
      const h = x.matmul(w)
      v.assign(h)
      return h.add(1)
    })()
    expect([await list(y), [...(await v.read())]]).toEqual([
      [14, 17],
      [13, 16],
    ])
  })

  test('can be part of a concat', async () => {
    const v = variable(f32(1, 2), 'v')
    const y = await compile(() => {
      const h = x.matmul(w)
      v.assign(h)
      return concat([h, x.mul(2)])
    })()
    expect([await list(y), [...(await v.read())]]).toEqual([
      [13, 16, 2, 4],
      [13, 16],
    ])
  })
})

describe('a compiled function', () => {
  test('distinguishes other arguments: fixed infinities, NaN and −0, null, undefined, strings', async () => {
    const seen: unknown[] = []
    const fn = compile((x: Tensor, other: Tree) => {
      seen.push(other)
      return x.mul(typeof other === 'number' ? other : 1)
    })
    const x = tensor([2])
    const others = [Infinity, -Infinity, NaN, 0, -0, null, undefined, 'null', 'f32[1]']
    for (const other of [...others, ...others]) await fn(x, typeof other === 'number' ? fixed(other) : other)
    expect(seen).toEqual(others)
    expect(await list(await fn(x, fixed(-Infinity)))).toEqual([-Infinity])
  })

  test('works with a value whose memory has moved', async () => {
    const first = await compile((x: Tensor) => x.mul(3))(tensor([1, 2]))
    const doubled = compile(() => first.mul(2))
    expect(await list(await doubled())).toEqual([6, 12])
    // Read, it moves to the host; its buffer is the next result's.
    await first.data()
    const others = [await doubled(), await doubled(), await doubled()]
    for (const other of others) expect(await list(other)).toEqual([6, 12])
    expect(await list(await doubled())).toEqual([6, 12])
  })
})

describe('numbers', () => {
  test('that are not integers are rejected with integer tensors, and integers have no mean', () => {
    expect(() => tensor(Int32Array.of(2, 4)).mul(0.5)).toThrow('mul: 0.5 is not representable as i32')
    expect(() => tensor(Int32Array.of(2, 4)).mean()).toThrow('mean takes floats, not i32')
  })

  test('in f16 have a mean even if their sum overflows f16', async context => {
    if (!device.traits.f16) context.skip(`${device.info.name} has no f16`)
    expect(await tensor(new Float32Array(1000).fill(1000)).cast('f16').mean().item()).toBe(1000)
  })

  test("written to an f16 variable don't change their neighbours", async context => {
    if (!device.traits.f16) context.skip(`${device.info.name} has no f16`)
    const v = variable({ shape: [5], dtype: 'f16' }, 'v')
    await v.write(Float32Array.of(1, 2, 3, 4, 5))
    await expect(v.write(Float32Array.of(9))).rejects.toThrow('has to end at an even element or the last one')
    await v.write(Float32Array.of(8, 9), 2)
    await v.write(Float32Array.of(7), 4)
    expect([...(await v.read())]).toEqual([1, 2, 8, 9, 7])
    await expect(variable({ shape: [2], dtype: 'i32' }, 'w').write(Float32Array.of(1, 2))).rejects.toThrow(
      'w is i32: write needs an array of type Int32Array',
    )
  })
})

test('the gradient of x to the 0 is 0, also at 0', async () => {
  const x = tensor([0, 2])
  expect(await list(grad(x.pow(0).sum(), [x])[0])).toEqual([0, 0])
})

test("reading a traced function's input outside of it throws a clear error", async () => {
  let kept: Tensor[] = []
  await compile((x: Tensor) => {
    kept = [x, x.mul(2)]
    return x
  })(tensor([1]))
  for (const one of kept) await expect(one.data()).rejects.toThrow('has no value while the function is traced')
})

test('a compiled function runs on the device that is in use, with constants of its own there', async () => {
  const ten = tensor([10, 20])
  const fn = compile((x: Tensor) => x.mul(ten))
  expect(await list(await fn(tensor([1, 2])))).toEqual([10, 40])
  const first = await currentDevice()
  const { adapter, info } = await openAdapter()
  const second = await openDevice(adapter, info)
  try {
    useDevice(second)
    expect(await list(await fn(tensor([3, 4])))).toEqual([30, 80])
  } finally {
    useDevice(first)
    second.close()
  }
  expect(await list(await fn(tensor([5, 6])))).toEqual([50, 120])
})
