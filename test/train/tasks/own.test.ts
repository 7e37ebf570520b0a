// The trainer on a module of one's own: examples that are no texts, a loss, figures, any optimizer, and going on from a
// checkpoint.
import { afterAll, describe, expect, test } from 'vitest'
import { type Tensor, compile, crossEntropy, currentDevice, tensor } from '../../../engine/node/index.ts'
import { BatchNorm, Dropout, Linear, Module } from '../../../models/nn.ts'
import { BestInMemory } from '../../../train/best-in-memory.ts'
import type { CheckpointStore, Position } from '../../../train/checkpoint-store.ts'
import { SGD } from '../../../train/optimizers/sgd.ts'
import type { StateEntry } from '../../../train/state.ts'
import { type OwnTask, defineTask, plainExamples } from '../../../train/tasks/own.ts'
import { type StepMetrics, Trainer, type TrainerSettings } from '../../../train/trainer.ts'
import { type Flower, irises } from '../../support/iris.ts'

afterAll(async () => (await currentDevice()).close())

class Net extends Module {
  hidden = new Linear(4, 12)
  norm = new BatchNorm(12)
  drop = new Dropout(0.1)
  out = new Linear(12, 3)

  forward(x: Tensor): Tensor {
    return this.out.forward(this.drop.forward(this.norm.forward(this.hidden.forward(x)).relu()))
  }
}

const largest = (row: Float32Array): number => row.indexOf(Math.max(...row))

const flowersTask: OwnTask<Flower, Net> = {
  name: 'species',
  batch: flowers => ({
    x: tensor(flowers.map(({ lengths }) => lengths)),
    y: tensor(Int32Array.from(flowers, ({ species }) => species)),
  }),
  forward(net, { x, y }) {
    const logits = net.forward(x)
    return { loss: crossEntropy(logits, y), outputs: logits, sums: { surprise: crossEntropy(logits, y).sum() } }
  },
  sums: ['surprise'],
  summarise: examples => ({
    accuracy: examples.filter(({ target, output }) => largest(output) === target.species).length / examples.length,
  }),
  bestMetric: 'accuracy',
}

const SETTINGS: TrainerSettings = { epochs: 6, batchSize: 25, lr: 0.02, schedule: 'linear', seed: 3 }
const flowers = irises()
const [train, held] = [plainExamples(flowers.slice(0, 110)), plainExamples(flowers.slice(110))]

/** Keeps the last checkpoint in memory. */
class Kept extends BestInMemory implements CheckpointStore {
  position: Position | undefined
  readonly #values = new Map<string, Float32Array<ArrayBuffer>>()

  override async save(
    position: Position = { step: 0, epoch: 0, stepInEpoch: 0, batches: 0, best: null },
    entries: readonly StateEntry[] = [],
  ): Promise<void> {
    this.position = position
    for (const { name, variable } of entries) this.#values.set(name, Float32Array.from(await variable.read()))
  }

  override async load(_position?: Position, entries: readonly StateEntry[] = []): Promise<void> {
    for (const { name, variable } of entries) await variable.write(this.#values.get(name) ?? new Float32Array())
  }
}

const valuesOf = (net: Net): Promise<number[][]> =>
  Promise.all(net.parameters().map(async parameter => [...(await parameter.read())]))

test('learns, tells of its steps and evaluations, and keeps the best', async () => {
  const net = new Net()
  const trainer = await Trainer.over(net, defineTask(flowersTask), { ...SETTINGS, epochs: 10, lr: 0.05 })
  const steps: StepMetrics[] = []
  const accuracies: (number | undefined)[] = []
  const outcome = await trainer.train(train, held, new BestInMemory(), {
    onStep: step => void steps.push(step),
    onEvaluation: (_epoch, _step, { figures }) => void accuracies.push(figures.accuracy),
  })
  expect(steps).toHaveLength(10 * 5)
  expect(steps[49].loss).toBeLessThan(0.5 * steps[0].loss)
  for (const { loss, surprise, examples } of steps)
    expect([surprise.toFixed(4), examples]).toEqual([loss.toFixed(4), examples])
  expect(
    steps
      .slice(0, 5)
      .map(({ examples }) => examples)
      .sort(),
  ).toEqual([10, 25, 25, 25, 25])
  expect(accuracies).toHaveLength(1 + 10)
  const best = Math.max(...accuracies.slice(1).map(Number))
  expect(best).toBeGreaterThan(0.9)
  expect(outcome).toMatchObject({ kind: 'finished', best: { score: best } })
  const { figures, loss } = await trainer.evaluate(held)
  expect(figures.accuracy, 'the best values are in place').toBe(best)
  expect(Object.keys(figures).sort()).toEqual(['accuracy', 'surprise'])
  expect(figures.surprise).toBeCloseTo(loss, 5)
})

test('goes on from a checkpoint to the same bits, with any optimizer', async () => {
  const make = (net: Net): Promise<Trainer<Flower>> =>
    Trainer.over(net, defineTask(flowersTask), {
      ...SETTINGS,
      epochs: 2,
      checkpointEvery: 0,
      optimizer: (parameters, { lr, clip }) =>
        new SGD([{ parameters: parameters.slice(0, 2) }, { parameters: parameters.slice(2), lr: lr / 2 }], {
          lr,
          clip,
          momentum: 0.9,
        }),
    })
  const [whole, half] = [new Net(), new Net()]
  await (await make(whole)).train(train, [], undefined)
  const store = new Kept()
  const first = await make(half)
  await first.train(train, [], store, { onStep: ({ step }) => void (step === 3 && first.stop()) })
  expect(store.position?.step).toBeGreaterThanOrEqual(3)
  expect(store.position?.step).toBeLessThan(10)
  const resumed = new Net()
  const second = await make(resumed)
  await second.train(train, [], store, {}, store.position)
  expect(await valuesOf(resumed), 'running statistics, too').toEqual(await valuesOf(whole))
  expect(await valuesOf(half)).not.toEqual(await valuesOf(whole))
})

describe('a task', () => {
  test('may give the mean of a batch, which counts by its examples', async () => {
    const task = { ...flowersTask, bestMetric: undefined }
    const mean: OwnTask<Flower, Net> = {
      ...task,
      forward: (net, { x, y }) => ({ loss: crossEntropy(net.forward(x), y).mean() }),
      sums: [],
      summarise: undefined,
    }
    const net = new Net()
    const [each, all] = [defineTask(task), defineTask(mean)]
    const losses = []
    for (const one of [each, all]) losses.push((await (await Trainer.over(net, one, SETTINGS)).evaluate(held)).loss)
    expect(losses[1]).toBeCloseTo(losses[0], 5)
    expect(all.bestMetric).toBe('loss')
  })

  test('is refused where its loss or its sums are not what it says', async () => {
    const evaluated = async (changes: Partial<OwnTask<Flower, Net>>): Promise<unknown> =>
      (await Trainer.over(new Net(), defineTask({ ...flowersTask, ...changes }), SETTINGS)).evaluate(held)
    await expect(evaluated({ sums: ['accuracy'] })).rejects.toThrow(
      'the task species lists the sum accuracy, which its forward does not return',
    )
    await expect(evaluated({ forward: (net, { x }) => ({ loss: net.forward(x) }), sums: [] })).rejects.toThrow(
      'the task species gives a loss [25, 3]: one for each of 25 examples',
    )
    const trainer = await Trainer.over(new Net(), defineTask(flowersTask), SETTINGS)
    await expect(trainer.plan(1)).rejects.toThrow('cannot make a batch without examples')
    await trainer.prepare({ train, validation: held, test: [] }, () => true)
  })
})

test('layers without a context know whether the trainer trains', async () => {
  const seen: boolean[] = []
  const task = defineTask<Flower, Net>({
    ...flowersTask,
    forward(net, inputs, context) {
      seen.push(context.training)
      return flowersTask.forward(net, inputs, context)
    },
  })
  const net = new Net()
  const trainer = await Trainer.over(net, task, { ...SETTINGS, epochs: 1, steps: 1 })
  await trainer.train(train, [], undefined)
  const plain = compile((x: Tensor) => net.forward(x))
  const x = tensor(flowers.slice(110, 135).map(({ lengths }) => lengths))
  const { outputs } = await trainer.evaluate(held.slice(0, 25))
  expect(outputs.flatMap(row => [...row])).toEqual([...(await (await plain(x)).data())])
  expect(seen).toEqual([true, false])
})
