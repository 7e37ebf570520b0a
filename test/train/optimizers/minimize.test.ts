// Training a module of one's own: a step is one call in a compiled function, and nobody moves or sizes any memory.
import { afterAll, describe, expect, test } from 'vitest'
import { type Tensor, compile, crossEntropy, currentDevice, tensor } from '../../../engine/node/index.ts'
import { initialise } from '../../../models/initialise.ts'
import { Dropout, Linear, Module, Parameter } from '../../../models/nn.ts'
import { DataLoader, columns } from '../../../train/loader.ts'
import { Adam, AdamW } from '../../../train/optimizers/adamw.ts'
import { MovingAverage } from '../../../train/optimizers/average.ts'
import { Muon } from '../../../train/optimizers/muon.ts'
import { type Optimizer, together } from '../../../train/optimizers/optimizer.ts'
import { loadOptimizer, saveOptimizer } from '../../../train/optimizers/saved.ts'
import { SGD } from '../../../train/optimizers/sgd.ts'
import { irises } from '../../support/iris.ts'

afterAll(async () => (await currentDevice()).close())

class Classifier extends Module {
  hidden = new Linear(4, 16)
  out = new Linear(16, 3)

  forward(x: Tensor): Tensor {
    return this.out.forward(this.hidden.forward(x).relu())
  }
}

/** Two parameters, of which the loss is the mean of (x·scale + shift)². */
class Line extends Module {
  scale = new Parameter([3], { initial: { kind: 'constant', value: 2 } })
  shift = new Parameter([1], { role: 'bias', initial: { kind: 'constant', value: 1 } })
  drop = new Dropout(0.5)

  loss(x: Tensor): Tensor {
    return x.mul(this.scale.tensor).add(this.shift.tensor).square().mean()
  }
}
const valuesOf = async (module: Module): Promise<number[][]> =>
  Promise.all(module.parameters().map(async parameter => [...(await parameter.read())]))
const x = tensor([1, -2, 3])

test('an MLP learns to tell irises apart: of 30 that it never saw at least 28', async () => {
  const flowers = irises()
  const columnsOf = (from: number, to: number) => ({
    x: tensor(flowers.slice(from, to).map(({ lengths }) => lengths)),
    y: tensor(flowers.slice(from, to).map(({ species }) => BigInt(species))),
  })
  const held = columnsOf(120, 150)
  const net = new Classifier()
  const correct = compile((inputs: Tensor) => net.forward(inputs))
  const score = async (): Promise<number> => {
    const logits = await (await correct(held.x)).data()
    const guesses = flowers.slice(120).map((_, i) => [0, 1, 2].sort((a, b) => logits[3 * i + b] - logits[3 * i + a])[0])
    return guesses.filter((guess, i) => guess === flowers[120 + i].species).length
  }
  expect(await score(), 'before training').toBeLessThan(25)

  const optimizer = new AdamW(net, { lr: 0.02 })
  const step = compile((a: Tensor, b: Tensor) => optimizer.minimize(() => crossEntropy(net.forward(a), b).mean()))
  const loader = new DataLoader(columns(columnsOf(0, 120)), { batchSize: 30, shuffle: true })
  const losses: number[] = []
  for (let epoch = 0; epoch < 20; epoch++)
    for await (const batch of loader) losses.push(await (await step(batch.x, batch.y)).item())
  expect(losses).toHaveLength(80)
  expect(losses[79]).toBeLessThan(0.2 * losses[0])
  expect(await score(), 'by the function that was compiled before').toBeGreaterThanOrEqual(28)
})

describe('a step', () => {
  const trained = async (make: (line: Line) => Optimizer, steps = 1, input = x): Promise<number[][]> => {
    const line = new Line()
    const optimizer = make(line)
    const step = compile((t: Tensor) => optimizer.minimize(() => line.loss(t)))
    for (let i = 0; i < steps; i++) await step(input)
    return valuesOf(line)
  }

  test('follows the gradient, at the rate of its number', async () => {
    const asked: number[] = []
    const lr = (step: number): number => {
      asked.push(step)
      return step === 0 ? 0.3 : 0
    }
    // The loss is the mean of (xᵢsᵢ + b)² = 9, 9, 49: its gradients are 2xᵢ(xᵢsᵢ + b)/3 and 2·Σ(xᵢsᵢ + b)/3.
    const found = await trained(line => new SGD(line, { lr }), 3)
    const residuals = [1, -2, 3].map(value => value * 2 + 1)
    const scale = [1, -2, 3].map((value, i) => 2 - 0.3 * ((2 / 3) * value * residuals[i]))
    const shift = 1 - 0.3 * ((2 / 3) * residuals.reduce((a, b) => a + b, 0))
    found[0].forEach((value, i) => expect(value).toBeCloseTo(scale[i], 5))
    expect(found[1][0]).toBeCloseTo(shift, 5)
    expect(asked).toEqual([0, 1, 2])
  })

  test('changes nothing where the gradient is not finite', async () => {
    for (const make of [
      (line: Line) => new SGD(line, { momentum: 0.9 }),
      (line: Line) => new AdamW(line),
      (line: Line) => new Adam(line, { weightDecay: 0.1 }),
    ])
      expect(await trained(make, 2, tensor([1, NaN, 3]))).toEqual([[2, 2, 2], [1]])
  })

  test('spares biases from decay, and groups by their own settings', async () => {
    const zero = tensor([0, 0, 0])
    expect((await trained(line => new SGD(line, { lr: 0.5, weightDecay: 0.5 }), 1, zero))[0][0]).toBeCloseTo(1.5, 6)
    const [scale, shift] = await trained(
      line =>
        new SGD(
          [
            { parameters: [line.scale], weightDecay: 0.1 },
            { parameters: [line.shift], lr: 0 },
          ],
          { lr: 0.5, weightDecay: 0.5 },
        ),
      1,
      zero,
    )
    expect(scale[0]).toBeCloseTo(2 - 0.5 * 0.1 * 2, 6)
    expect(shift).toEqual([1])
  })

  test('has dropout on, another mask each time, and evaluations have none', async () => {
    const line = new Line()
    const optimizer = new SGD(line, { lr: 0 })
    const input = tensor(new Float32Array(63).fill(1), [21, 3])
    const step = compile((t: Tensor) => optimizer.minimize(() => line.loss(line.drop.forward(t))))
    const losses = [await (await step(input)).item(), await (await step(input)).item()]
    expect(losses[0]).not.toBe(losses[1])
    expect(await line.loss(line.drop.forward(input)).item()).toBeCloseTo(9, 5)
  })

  test('is refused where it could not do what it says', async () => {
    const line = new Line()
    const optimizer = new SGD(line)
    expect(() => optimizer.minimize(() => line.loss(x))).toThrow('minimize only works inside a compiled function')
    const twice = compile(() => [optimizer.minimize(() => line.loss(x)), optimizer.minimize(() => line.loss(x))])
    await expect(twice()).rejects.toThrow('one step in a compiled function')
    const wide = compile(() => optimizer.minimize(() => x.mul(line.scale.tensor)))
    await expect(wide()).rejects.toThrow('one element was expected')
    expect(() => new SGD([{ parameters: line }, { parameters: [line.shift] }])).toThrow('shift is in two groups')
    expect(() => new SGD(new Dropout())).toThrow('nothing to train')
    expect(() => new Muon([line.scale])).toThrow('Muon trains matrices, not scale [3]')
    expect(() => together([optimizer, new SGD([line.shift])])).toThrow('two optimizers train shift')
  })
})

test('a second optimizer goes on with the values that the first has reached, which refuses further steps', async () => {
  const line = new Line()
  const [first, second] = [new SGD(line, { lr: 0.01 }), new AdamW([line.scale], { lr: 0.5 })]
  const step = compile((t: Tensor) => first.minimize(() => line.loss(t)))
  const other = compile((t: Tensor) => second.minimize(() => line.loss(t)))
  await step(x)
  const [scale, shift] = await valuesOf(line)
  await other(x)
  const [after, same] = await valuesOf(line)
  expect(same).toEqual(shift)
  after.forEach((value, i) => expect(Math.abs(value - scale[i])).toBeGreaterThan(0.4))
  after.forEach((value, i) => expect(Math.abs(value - scale[i])).toBeLessThan(0.6))
  await expect(step(x)).rejects.toThrow('scale was taken over by another optimizer')
})

test('several optimizers train together, and clip the gradient as one', async () => {
  const [both, alone] = [new Line(), new Line()]
  const pair = together([new SGD([both.scale], { lr: 0.1 }), new SGD([both.shift], { lr: 0.1 })], { clip: 0.5 })
  const single = new SGD(alone, { lr: 0.1, clip: 0.5 })
  for (const [optimizer, line] of [
    [pair, both],
    [single, alone],
  ] as const)
    await compile((t: Tensor) => optimizer.minimize(() => line.loss(t)))(x)
  expect(await valuesOf(both)).toEqual(await valuesOf(alone))
  expect(await valuesOf(both)).not.toEqual(await valuesOf(new Line()))
})

test('a training that is saved goes on to the same bits', async () => {
  const steps = async (optimizer: Optimizer, line: Line, count: number): Promise<void> => {
    const step = compile((t: Tensor) => optimizer.minimize(() => line.loss(line.drop.forward(t))))
    for (let i = 0; i < count; i++) await step(x)
  }
  const make = (line: Line): AdamW => new AdamW(line, { lr: step => 0.1 / (1 + step) })
  const [whole, before, after] = [new Line(), new Line(), new Line()]
  await steps(make(whole), whole, 6)
  const optimizer = make(before)
  await steps(optimizer, before, 4)
  const state = await saveOptimizer(optimizer)
  const values = await valuesOf(before)
  for (const [i, parameter] of after.parameters().entries()) await parameter.write(Float32Array.from(values[i]))
  const next = make(after)
  await loadOptimizer(next, state)
  expect(next.steps).toBe(4)
  await steps(next, after, 2)
  expect(await valuesOf(after)).toEqual(await valuesOf(whole))
  await expect(loadOptimizer(new SGD(after, { momentum: 0.9 }), state)).rejects.toThrow('no tensor "scale.momentum"')
  await expect(loadOptimizer(new AdamW([after.scale]), state)).rejects.toThrow('has shift.m, which')
})

test('a moving average follows the steps, and takes the place of the parameters for a while', async () => {
  const line = new Line()
  const optimizer = new SGD(line, { lr: 0.05 })
  const average = new MovingAverage(line, { decay: 0.75 })
  const step = compile((t: Tensor) => {
    const loss = optimizer.minimize(() => line.loss(t))
    average.update()
    return loss
  })
  let wanted = await valuesOf(line)
  for (let i = 0; i < 3; i++) {
    await step(x)
    const now = await valuesOf(line)
    wanted = wanted.map((values, k) => values.map((value, j) => 0.75 * value + 0.25 * now[k][j]))
  }
  const last = await valuesOf(line)
  const within = await average.during(() => valuesOf(line))
  within.flat().forEach((value, i) => expect(value).toBeCloseTo(wanted.flat()[i], 5))
  expect(await valuesOf(line)).toEqual(last)
})

test('fresh values may be drawn by another seed after an optimizer was made', async () => {
  const [net, other] = [new Classifier(), new Classifier()]
  const optimizer = await new AdamW(net).adopt()
  await initialise(net.parameters(), 3)
  await initialise(other.parameters(), 3)
  expect(await valuesOf(net)).toEqual(await valuesOf(other))
  // Values and two moments of weights 64 and 48, and biases 16 and 3, each from a multiple of 64 on.
  expect(optimizer.bytes).toBe(3 * 4 * 4 * 64)
})
