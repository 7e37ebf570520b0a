// What reverse mode promises of graphs, whatever the ops in them: inputs that nobody uses, inputs that many use, what
// is refused, and several gradients of one kind in one plan.
import { afterAll, describe, expect, test } from 'vitest'
import { type Tensor, UserError, currentDevice, grad, readAll, tensor } from '../../engine/node/index.ts'
import { reference } from '../../engine/reference.ts'

afterAll(async () => (await currentDevice()).close())

const x = tensor([
  [0.5, -1.25, 2],
  [1.5, 0.25, -0.75],
])
const y = tensor([
  [1, 2, -1],
  [0.5, -2, 3],
])

/** On the device, and in float64: both are the same here, to what f32 holds. */
async function expectGradients(
  loss: Tensor,
  wrt: readonly Tensor[],
  expected: readonly (readonly number[])[],
): Promise<void> {
  const gradients = grad(loss, wrt)
  expect(gradients.map(g => [g.shape, g.dtype])).toEqual(wrt.map(t => [t.shape, t.dtype]))
  for (const found of [await readAll(gradients), reference(gradients)]) {
    found.forEach((data, k) =>
      data.forEach((v, i) => expect(v, `gradient ${k}, element ${i}`).toBeCloseTo(expected[k][i], 5)),
    )
  }
}

const zerosOf = (t: Tensor): number[] => Array.from({ length: t.size }, () => 0)

describe('a gradient is zeros', () => {
  test('of an input that the loss does not use', async () => {
    await expectGradients(x.sum(), [x, y], [[1, 1, 1, 1, 1, 1], zerosOf(y)])
  })

  test('of an input that is used behind detach alone', async () => {
    await expectGradients(x.mul(y.detach()).sum(), [x, y], [[1, 2, -1, 0.5, -2, 3], zerosOf(y)])
    await expectGradients(x.detach().square().sum(), [x], [zerosOf(x)])
  })

  test('of an input that only chooses: by comparison, as an integer, by its place', async () => {
    const picked = x.greater(y).where(x, 0)
    await expectGradients(picked.sum(), [x, y], [[0, 0, 1, 1, 1, 0], zerosOf(y)])
    await expectGradients(x.cast('i32').cast('f32').sum(), [x], [zerosOf(x)])
  })

  test('of elements that a slice leaves out, and of parts that nobody reads', async () => {
    await expectGradients(x.slice([0, 1], [1, 3]).square().sum(), [x], [[0, -2.5, 4, 0, 0, 0]])
  })
})

describe('gradients of an input that is used many times add up', () => {
  test('in one op, in several, and at several depths', async () => {
    await expectGradients(x.mul(x).sum(), [x], [[1, -2.5, 4, 3, 0.5, -1.5]])
    await expectGradients(x.add(x).add(x).sum(), [x], [[3, 3, 3, 3, 3, 3]])
    const once = x.mul(2)
    await expectGradients(
      once.mul(once).add(once).add(x).sum(),
      [x],
      [[0.5, -1.25, 2, 1.5, 0.25, -0.75].map(v => 8 * v + 3)],
    )
  })

  test('under several views', async () => {
    const rows = x.transpose().reshape([6])
    const all = rows
      .mul(tensor([1, 2, 3, 4, 5, 6]))
      .sum()
      .add(x.slice([0, 0], [1, 3]).sum())
      .add(x.broadcastTo([4, 2, 3]).sum())
    await expectGradients(all, [x], [[1 + 1 + 4, 3 + 1 + 4, 5 + 1 + 4, 2 + 4, 4 + 4, 6 + 4]])
  })

  test('where a tensor is both what is differentiated by and what is on the way', async () => {
    const middle = x.mul(3)
    await expectGradients(
      middle.square().sum(),
      [middle, x],
      [
        [3, -7.5, 12, 9, 1.5, -4.5],
        [9, -22.5, 36, 27, 4.5, -13.5],
      ],
    )
  })
})

describe('gradients are tensors like any other', () => {
  test('and can be differentiated again, and once more', async () => {
    const [once] = grad(x.mul(x).mul(x).sum(), [x])
    const [twice] = grad(once.sum(), [x])
    const [thrice] = grad(twice.sum(), [x])
    const values = [0.5, -1.25, 2, 1.5, 0.25, -0.75]
    for (const [gradient, expected] of [
      [once, values.map(v => 3 * v * v)],
      [twice, values.map(v => 6 * v)],
      [thrice, values.map(() => 6)],
    ] as const) {
      const data = await gradient.data()
      expected.forEach((v, i) => expect(data[i]).toBeCloseTo(v, 5))
    }
  })

  test("an upstream gradient of one's own takes the place of the ones", async () => {
    const [dx] = grad(x.square(), [x], y)
    expect(Array.from(await dx.data())).toEqual([1, -5, -4, 1.5, -1, -4.5])
  })

  test('two embeddings of as many rows in one plan: each counts its own ids', async () => {
    const [first, second] = [
      tensor([
        [1, 2],
        [3, 4],
        [5, 6],
      ]),
      tensor([
        [1, 1],
        [2, 2],
        [3, 3],
      ]),
    ]
    const ids = (...numbers: number[]): Tensor => tensor(Int32Array.from(numbers), [numbers.length], 'i32')
    const loss = first
      .gather(ids(0, 0, 2))
      .sum()
      .add(
        second
          .gather(ids(1, 2, 1, 1))
          .sum()
          .mul(2),
      )
    await expectGradients(
      loss,
      [first, second],
      [
        [2, 2, 0, 0, 1, 1],
        [0, 0, 6, 6, 2, 2],
      ],
    )
  })
})

describe('what has no gradient says so in one line', () => {
  test.each<[string, () => unknown, RegExp]>([
    ['a loss of several elements', () => grad(x, [x]), /^grad: the loss is f32\[2, 3\], but one element was expected/],
    [
      'an upstream gradient of another shape',
      () => grad(x, [x], y.sum()),
      /^grad: upstream is f32\[\], but the loss is f32\[2, 3\]/,
    ],
    ['integers', () => grad(x.sum(), [x.cast('i32')]), /^grad: i32\[2, 3\] has no gradient: it holds integers/],
  ])('%s', (_name, act, words) => {
    expect(act).toThrow(words)
    expect(act).toThrow(UserError)
  })
})
