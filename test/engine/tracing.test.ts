// What makes a compiled function trace again, what it warns about, and what a function that is traced must not do.
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  UserError,
  bucketSize,
  compile,
  currentDevice,
  fixed,
  hostTensor,
  tensor,
  variable,
  zeros,
} from '../../engine/node/index.ts'
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

describe('a number in the arguments of a compiled function', () => {
  test('is a value: all numbers share one plan', async () => {
    let traces = 0
    const scaled = compile(function scaled(x: Tensor, { rate }: { rate: Tensor }) {
      traces++
      return x.mul(rate)
    })
    for (const rate of [0.5, 3, -0, Infinity])
      expect([...(await (await scaled(tensor([1, 2]), { rate })).data())]).toEqual([rate, 2 * rate])
    expect([...(await (await scaled(tensor([1, 2]), { rate: tensor(7) })).data())]).toEqual([7, 14])
    expect(traces).toBe(1)
  })

  test('stays a number where it is fixed, with a plan for each', async () => {
    const seen: number[] = []
    const repeated = compile((x: Tensor, n: number) => {
      seen.push(n)
      return x.reshape([1, 2]).broadcastTo([n, 2])
    })
    for (const n of [2, 3, 2]) expect((await repeated(tensor([1, 2]), fixed(n))).shape).toEqual([n, 2])
    expect(seen).toEqual([2, 3])
  })

  test('cannot be mistaken for a number in the function', async () => {
    const branching = compile((x: Tensor, n: Tensor) => (Number(n) > 3 ? x : x.neg()))
    await expect(branching(tensor([1]), 4)).rejects.toThrow(/a tensor f32\[\] is used as a number: .*fixed\(n\)/)
    expect(() => (tensor([1, 2]) as unknown as number) + 1).toThrow(UserError)
    expect(() => (tensor(1) as unknown as number) < 2).toThrow(UserError)
    expect(String(tensor(1))).toBeTypeOf('string')
  })
})

describe('warnings', () => {
  const warnings: string[] = []
  beforeEach(() => {
    warnings.length = 0
    vi.spyOn(console, 'warn').mockImplementation((text: string) => void warnings.push(text))
  })
  afterEach(() => vi.restoreAllMocks())
  const runs = async (fn: (x: Tensor) => Promise<unknown>, shapes: number): Promise<void> => {
    for (let i = 1; i <= shapes; i++) await fn(zeros([i]))
  }

  test('name the argument whose shape differs, once', async () => {
    const step = compile((batch: { ids: Tensor; scale: Tensor }) => batch.ids.mul(batch.scale))
    await runs(x => step.prepare({ ids: x, scale: 2 }), 9)
    expect(warnings).toEqual([])
    await runs(x => step.prepare({ ids: x, scale: 2 }), 14)
    expect(warnings).toEqual([
      expect.stringMatching(
        /^tilegrad: a compiled function was traced 10 times, because argument 1 \(batch\.ids\) differs: …, f32\[7\], .*f32\[10\]\..*bucketSize/,
      ),
    ])
  })

  test('say that a number need not be fixed', async () => {
    const step = compile(function decayed(x: Tensor, rate: number) {
      return x.mul(rate)
    })
    for (let i = 0; i < 12; i++) await step.prepare(zeros([2]), fixed(i))
    expect(warnings).toEqual([
      expect.stringMatching(
        /the compiled function decayed .* argument 2 \(rate\) differs: .*fixed\(9\).*without fixed/,
      ),
    ])
  })

  test('are left out where many traces are wanted', async () => {
    const step = compile((x: Tensor) => x.neg(), { traces: Infinity })
    await runs(x => step.prepare(x), 12)
    expect(warnings).toEqual([])
  })

  test('tell of chance and of time in a trace, whose values every later call would use', async () => {
    const { random } = Math
    const noisy = compile(function noisy(x: Tensor) {
      return x.add(Math.random() + Math.random()).add(Date.now())
    })
    await noisy(zeros([1]))
    await noisy(zeros([2]))
    expect(warnings).toEqual([
      expect.stringMatching(/^tilegrad: Math\.random\(\) was called while the compiled function noisy was traced/),
      expect.stringMatching(/^tilegrad: Date\.now\(\)/),
    ])
    expect(Math.random).toBe(random)
  })
})

describe('numbers of the host', () => {
  test('are read at each run, by one plan, and their runs are told', async () => {
    let [rate, runs, traces] = [1, 0, 0]
    const scale = hostTensor(
      { shape: [], dtype: 'f32' },
      () => Float32Array.of(rate),
      () => void runs++,
    )
    const scaled = compile((x: Tensor) => {
      traces++
      return x.mul(scale)
    })
    for (rate of [2, 5]) expect([...(await (await scaled(tensor([1, 2]))).data())]).toEqual([rate, 2 * rate])
    expect([traces, runs]).toEqual([1, 2])
    expect(await scaled.diagnose(tensor([1, 2])), 'a diagnosis is no run').toBeUndefined()
    expect(runs).toBe(2)
    for (rate of [3, 4]) expect([...(await tensor([1, 2]).mul(scale).data())], 'uncompiled').toEqual([rate, 2 * rate])
  })
})

describe('a variable', () => {
  const f32 = (...shape: number[]) => ({ shape, dtype: 'f32' }) as const

  test('begins with its contents, which are asked for when its memory is needed', async () => {
    const from = variable(f32(4), 'from')
    await from.write(Float32Array.of(1, 2, 3, 4))
    let asked = 0
    const both = variable(f32(130), 'both', () => {
      asked++
      return [
        { at: 1, data: Float32Array.of(7, 8) },
        { at: 64, from, first: 2, count: 2 },
      ]
    })
    const doubled = compile(() => both.tensor.mul(2))
    await doubled.prepare()
    expect([asked, both.isAllocated]).toEqual([0, false])
    const values = [...(await (await doubled()).data())]
    expect([values.slice(0, 3), values.slice(64, 67), asked]).toEqual([[0, 14, 16], [6, 8, 0], 1])
  })

  test('that moves has functions that use it traced again', async () => {
    const homes = [variable(f32(1), 'first'), variable(f32(1), 'second')]
    await homes[1].write(Float32Array.of(5))
    let [home, traces] = [0, 0]
    const read = compile((x: Tensor) => {
      traces++
      return homes[home].tensor.add(x)
    })
    const call = async (): Promise<number> => (await read(1)).item()
    expect([await call(), await call(), traces]).toEqual([1, 1, 1])
    home = 1
    homes[0].move()
    expect([await call(), await call(), traces]).toEqual([6, 6, 2])
  })

  test('gives the value that it was assigned so far', async () => {
    const v = variable(f32(1), 'v')
    const twice = compile(() => {
      v.assign(v.next.add(1))
      v.assign(v.next.add(1))
      return v.next.mul(10)
    })
    expect([await (await twice()).item(), await v.tensor.item()]).toEqual([20, 2])
  })
})

test('buckets double in two steps', () => {
  expect([1, 8, 9, 12, 13, 17, 33, 100].map(n => bucketSize(n))).toEqual([8, 8, 12, 12, 16, 24, 48, 128])
  expect([1, 2, 3, 4, 5].map(n => bucketSize(n, 1))).toEqual([1, 2, 3, 4, 6])
  expect(() => bucketSize(3, 0)).toThrow(UserError)
  for (const n of [NaN, Infinity]) expect(() => bucketSize(n)).toThrow(`bucketSize: ${n} is not a length`)
})
