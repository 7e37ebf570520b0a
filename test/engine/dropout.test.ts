// Dropout's mask is a function of position, stream, step and seed, to the bit, whatever kernel it has become a part of:
// four neighbours share a block of random words where rows are multiples of four long, and draw alone elsewhere.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Device,
  type Tensor,
  compile,
  currentDevice,
  dropout,
  ones,
  range,
  tensor,
} from '../../engine/node/index.ts'
import { forgetEagerPlans } from '../../engine/compile/eager.ts'
import { keepFactor } from '../../shaders/random.ts'

const [rate, stream, seed, now] = [0.5, 3, 0xdeadbeef, 11]
const step = tensor(Uint32Array.of(now), [])

let device: Device
let shaders: string[] = []
let restore: () => void
beforeAll(async () => {
  process.env.GALLIVM_PERF ??= 'nopt'
  device = await currentDevice()
  const { pipelines } = device
  const right = pipelines.get
  pipelines.get = function (launch) {
    shaders.push(launch.wgsl)
    return right.call(this, launch)
  }
  restore = () => {
    pipelines.get = right
  }
})
afterAll(() => {
  restore()
  device.close()
})

/** What the function gives, and the shaders that it took. */
async function run(fn: () => Tensor): Promise<{ values: number[]; text: string }> {
  forgetEagerPlans()
  shaders = []
  const values = [...(await (await compile(fn)()).data())]
  return { values, text: shaders.join('\n') }
}

/** What is left of `count` elements that were all `of`. */
const kept = (count: number, { of = 1, by = stream, at = now } = {}): number[] =>
  Array.from({ length: count }, (_, i) => of * keepFactor(rate, i, by, at, seed))

const dropped = (x: Tensor, { by = stream, at = step } = {}): Tensor => dropout(x, rate, by, at, seed)
/** Ones that some kernel makes. */
const made = (...shape: number[]): Tensor => ones(shape).mul(1)

describe('the mask depends on positions', () => {
  for (const shape of [[1], [3], [4], [7], [64], [5, 13], [6, 10], [1000], [37, 333], [40, 333]]) {
    const count = shape.reduce((n, m) => n * m, 1)
    test(`alone, [${shape.join(', ')}]`, async () => {
      const { values, text } = await run(() => dropped(made(...shape)))
      expect(values).toEqual(kept(count))
      expect(/, by vec4s/.test(text)).toBe(count % 4 === 0)
    })
  }

  // Columns in fours and others; small products have kernels that store one element at a time.
  for (const [m, k, n] of [
    [33, 5, 68],
    [40, 2, 64],
    [40, 2, 66],
    [9, 2, 8],
    [7, 3, 5],
    [4, 2, 1],
    [1, 8, 12],
    [1, 8, 7],
    [4, 3000, 8],
    [3, 3000, 5],
  ]) {
    test(`at the end of a product ${m}×${k}×${n}`, async () => {
      const { values, text } = await run(() => dropped(made(m, k).matmul(made(k, n))).add(made(m, n)))
      expect(values).toEqual(kept(m * n, { of: k }).map(y => y + 1))
      expect(text).toMatch(/fn epilogue\(/)
      // On a GPU a kernel of few outputs may store them one at a time.
      if (device.traits.cpu && m > 9 && n % 4 === 0) expect(text).toMatch(/fn epilogue4[^}]*randomBlock\(i \/ 4u/)
    })
  }

  // What is broadcast along rows is found by coordinates, which four neighbours share where rows are multiples of four
  // long.
  for (const width of [6, 8]) {
    const bias = (): Tensor => range(width).cast('f32')
    const expected = (count: number, of: number): number[] => kept(count).map((y, i) => y * (of + (i % width)))
    test(`of rows of ${width} with a bias, alone`, async () => {
      const { values, text } = await run(() => dropped(made(10, width).add(bias())))
      expect(values).toEqual(expected(10 * width, 1))
      expect(/element\(i \+ 1u, c0, c1 \+ 1u/.test(text)).toBe(width % 4 === 0)
    })

    test(`of rows of ${width} with a bias, at the end of a product`, async () => {
      const { values, text } = await run(() =>
        dropped(
          made(40, 2)
            .matmul(made(2, 12 * width))
            .reshape([40, 12, width])
            .add(bias()),
        ),
      )
      expect(values).toEqual(expected(40 * 12 * width, 2))
      if (!device.traits.cpu && !text.includes('fn epilogue4')) return
      expect(text).toMatch(/fn epilogue4/)
      expect(/epilogue\(value.y, i \+ 1u, c0, c1 \+ 1u/.test(text)).toBe(width % 4 === 0)
    })
  }

  test('at the end of a batch of products', async () => {
    const { values } = await run(() => dropped(made(3, 5, 2).matmul(made(3, 2, 4))))
    expect(values).toEqual(kept(60, { of: 2 }))
  })

  test('inside of a sum', async () => {
    const { values } = await run(() => dropped(made(6, 8)).sum([1]))
    const all = kept(48)
    expect(values).toEqual(
      Array.from({ length: 6 }, (_, row) => all.slice(row * 8, row * 8 + 8).reduce((a, b) => a + b)),
    )
  })

  test('of two that are added, each by its own stream', async () => {
    const { values } = await run(() => dropped(made(4, 8)).add(dropped(made(4, 8), { by: stream + 1 })))
    const other = kept(32, { by: stream + 1 })
    expect(values).toEqual(kept(32).map((y, i) => y + other[i]))
  })

  test('of a step that is computed in the expression', async () => {
    const { values } = await run(() => dropped(made(4, 8), { at: step.add(1) }))
    expect(values).toEqual(kept(32, { at: now + 1 }))
  })

  test('of one element that is broadcast', async () => {
    const { values } = await run(() => dropped(made(1)).add(made(8)))
    expect(values).toEqual(Array.from({ length: 8 }, () => kept(1)[0] + 1))
  })
})
