// Mistakes in programs that train, of which only TypeScript would tell: misspelled settings, numbers out of their limits,
// what is no module. None is left out of account.
import { afterAll, describe, expect, test } from 'vitest'
import { UserError, compile, currentDevice, ones, tensor } from '../../engine/node/index.ts'
import type { Tensor } from '../../engine/tensor.ts'
import * as nn from '../../models/nn/index.ts'
import * as training from '../../train/index.ts'

afterAll(async () => (await currentDevice()).close())

/** As a program in JavaScript sees it: whatever is passed, the call compiles. */
type Loose = {
  readonly [name: string]: new (...given: readonly unknown[]) => Record<string, (...given: unknown[]) => unknown>
}
const js = { ...nn, ...training } as unknown as Loose

const { Linear, save } = nn
const line = (): nn.Linear => new Linear(3, 2)
const attention = (): nn.MultiHeadAttention => new nn.MultiHeadAttention(8, 2)

function refuses(cases: readonly (readonly [message: string, act: () => unknown])[]): void {
  test.each(cases)('%s', async (message, act) => {
    const thrown = await (async () => act())().then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(thrown).toBeInstanceOf(Error)
    expect(String(thrown)).toContain(message)
  })
}

describe('a layer refuses', () => {
  refuses([
    ['Linear: there is no option useBias, only bias, deviation', () => new js.Linear(2, 2, { useBias: false })],
    ['Linear: options are an object', () => new js.Linear(2, 2, false)],
    ["a parameter can't have the shape [, 4]", () => new js.Linear(4)],
    ["a parameter can't have the shape 3", () => new js.Parameter(3)],
    ['Parameter: there is no option init', () => new js.Parameter([3], { init: 1 })],
    ['LayerNorm: x must be a tensor, not [1,2,3]', () => new js.LayerNorm(3).forward([1, 2, 3])],
    ['save: module must be a module, not [object Object]', () => save({} as nn.Module)],
    ['Linear takes [..., 3], not 1,2,3', () => new js.Linear(3, 2).forward([1, 2, 3])],
    ['Embedding: there is no option padding_idx', () => new js.Embedding(3, 2, { padding_idx: 0 })],
    ['LayerNorm: there is no option eps', () => new js.LayerNorm(3, { eps: 1e-6 })],
    ['RMSNorm: options are an object', () => new js.RMSNorm(3, 1e-5)],
    ['BatchNorm: there is no option track', () => new js.BatchNorm(3, { track: false })],
    ['GroupNorm: 4 channels do not make 0.5 groups', () => new js.GroupNorm(0.5, 4)],
    ['Conv2d: weights cannot have the shape [3, 2, NaN, NaN]', () => new js.Conv2d(2, 3)],
    ['Dropout: the rate 1.5 is not in [0, 1)', () => new js.Dropout(1.5)],
    ['Sequential: layer 0 is neither a module nor a function', () => new js.Sequential([line()])],
    ['0.5 heads do not divide a width of 8', () => new js.MultiHeadAttention(8, 0.5)],
    ['MultiHeadAttention: the dropout rate 1 is not', () => new js.MultiHeadAttention(8, 2, { dropout: 1 })],
    ['MultiHeadAttention: there is no option numKvHeads', () => new js.MultiHeadAttention(8, 2, { numKvHeads: 1 })],
    ['MultiHeadAttention takes [batch, sequence, width], not [3, 8]', () => attention().forward(ones([3, 8]))],
    ['attend: options are an object', () => new js.MultiHeadAttention(8, 2).attend(ones([1, 3, 8]), ones([1, 3]))],
    [
      'attend: with a cache the mask is [1, 4] or has four axes, not i32[1, 3]',
      () => {
        const layer = attention()
        const cache = layer.cache(1, 4)
        return compile((x: Tensor) => layer.attend(x, { cache, mask: ones([1, 3], 'i32') }))(ones([1, 1, 8]))
      },
    ],
    [
      'load: there is no option strict, only partial',
      async () => nn.load(line(), await save(line()), { strict: false } as object),
    ],
    [
      'load takes the bytes of a file, not model.safetensors',
      () => nn.load(line(), 'model.safetensors' as unknown as ArrayBuffer),
    ],
  ])
})

describe('an optimizer refuses', () => {
  refuses([
    ['AdamW: there is no option learningRate, only beta1', () => new js.AdamW(line(), { learningRate: 1 })],
    ['AdamW: options are an object', () => new js.AdamW(line(), 0.1)],
    ['AdamW: lr is -1, but a number of at least 0 was expected', () => new js.AdamW(line(), { lr: -1 })],
    ['AdamW: lr is NaN', () => new js.AdamW(line(), { lr: NaN })],
    ['AdamW: beta1 is 1, but a number of at least 0 and below 1', () => new js.AdamW(line(), { beta1: 1 })],
    ['AdamW: clip is -1', () => new js.AdamW(line(), { clip: -1 })],
    ['AdamW: lr is -1', () => new js.AdamW([{ parameters: line(), lr: -1 }])],
    ['AdamW: there is no option rate', () => new js.AdamW([{ parameters: line(), rate: 1 }])],
    ['AdamW: a module, an array of parameters, or groups', () => new js.AdamW([{ params: line() }])],
    ['AdamW: a module, an array of parameters, or groups', () => new js.AdamW([line(), line()])],
    ['AdamW: a module, an array of parameters, or groups', () => new js.AdamW([line().weight, { parameters: line() }])],
    ['AdamW: a module, an array of parameters, or groups', () => new js.AdamW()],
    ['AdamW has nothing to train: no parameter is trainable', () => new js.AdamW(line().freeze())],
    ['Adam: there is no option betas', () => new js.Adam(line(), { betas: [0.9, 0.99] })],
    [
      'minimize: loss must be a function, not f32[]',
      () => new training.SGD(line()).minimize(ones([]) as unknown as () => Tensor),
    ],
    ['SGD: momentum is -1', () => new js.SGD(line(), { momentum: -1 })],
    ['Lion: beta2 is 2', () => new js.Lion(line(), { beta2: 2 })],
    ['Muon: adjust is adam, not one of original, adamw', () => new js.Muon(line(), { adjust: 'adam' })],
    ['AdamW: there is no option rate', () => new js.Muon(line(), { others: { rate: 1 } })],
    ['MovingAverage: there is no option beta, only decay', () => new js.MovingAverage(line(), { beta: 0.9 })],
    [
      'the learning rate of step 0 is NaN',
      () => {
        const net = line()
        const optimizer = new training.SGD(net, { lr: training.polynomial(0) })
        return compile((x: Tensor) => optimizer.minimize(() => net.forward(x).sum()))(ones([1, 3]))
      },
    ],
  ])
})

describe('a schedule', () => {
  const { cosineRestarts, inverseSquareRoot, schedule } = training
  refuses([
    ['A schedule is linear, cosine, constant; got cos', () => schedule('cos' as 'cosine', { steps: 10 })],
    ['A schedule takes a count of steps; got NaN', () => schedule('linear', { steps: NaN })],
    ['Restarts come after 1 step or more', () => cosineRestarts(0)],
    ['Restarts come after 1 step or more', () => cosineRestarts(5, 0.5)],
    ['exponential: gamma must be a number, not NaN', () => training.exponential(NaN)],
    [
      'warmedUp: after must be a function, not undefined',
      () => training.warmedUp(...([5] as unknown as [5, training.Schedule])),
    ],
  ])

  test('has no warm-up if none is asked for, and a finite rate at every step', () => {
    expect(schedule('linear', { steps: 4 })(0)).toBe(1)
    expect([0, 30_000].map(inverseSquareRoot(0))).toEqual([1, 0.5])
    expect(cosineRestarts(5)(Infinity)).toBeNaN()
  })
})

describe('a data loader refuses', () => {
  const data = training.columns({ x: ones([3]) })
  refuses([
    ['columns: x is not a tensor', () => training.columns({ x: [[1, 2]] as unknown as Tensor })],
    ['DataLoader: there is no option shufle', () => new js.DataLoader(data, { batchSize: 2, shufle: true })],
    ['DataLoader: options are an object', () => new js.DataLoader(data)],
    ['DataLoader: columns(…), examples(…)', () => new js.DataLoader(undefined, { batchSize: 1 })],
    ['DataLoader: columns(…), examples(…)', () => new js.DataLoader([1, 2, 3], { batchSize: 1 })],
  ])
})

describe('a trainer refuses', () => {
  type Batch = Readonly<Record<string, unknown>>
  const own = (
    batch: (rows: readonly number[][]) => Batch,
    forward: (net: nn.Linear, inputs: Record<string, Tensor>) => unknown,
  ) => training.defineTask({ name: 'own', batch, forward } as unknown as training.OwnTask<number[], nn.Linear>)
  const rows = (given: readonly number[][]): Batch => ({ x: tensor(given) })
  const task = own(rows, (net, { x }) => ({ loss: net.forward(x).square().mean(1) }))
  const examples = training.plainExamples([
    [1, 2, 3],
    [4, 5, 6],
  ])
  const over = (settings: object, of = task): Promise<training.Trainer<number[]>> =>
    training.Trainer.over(line(), of, { epochs: 1, batchSize: 2, ...settings })
  const trained = async (settings: object, of = task): Promise<unknown> =>
    (await over(settings, of)).train(examples, examples, new training.BestInMemory())
  refuses([
    ['Trainer: there is no option learningRate', () => over({ learningRate: 1 })],
    ['Trainer: epochs is NaN, but an integer of at least 0', () => over({ epochs: NaN })],
    ['Trainer: epochs is undefined', () => over({ epochs: undefined })],
    ['Trainer: batchSize is 0, but an integer of at least 1', () => over({ batchSize: 0 })],
    ['Trainer: accumulate is 0.5', () => over({ accumulate: 0.5 })],
    ['Trainer: schedule is cos, not one of linear, cosine, constant', () => over({ schedule: 'cos' })],
    ['Trainer: precision is bf16, not one of', () => over({ precision: 'bf16' })],
    ['the best evaluation is chosen by acc, but an evaluation has only loss', () => trained({ bestMetric: 'acc' })],
    ['new Trainer: optimizer must be an optimizer', () => new js.Trainer(line(), task, { epochs: 1, batchSize: 2 })],
    [
      'Trainer: model must be a module, not undefined',
      () => training.Trainer.over(...([] as unknown as Parameters<typeof training.Trainer.over>)),
    ],
    [
      'train: example 0 has no ids: plainExamples(…)',
      async () => (await over({})).train([[1, 2, 3]] as never, [], undefined),
    ],
    ['there are no examples to train on', async () => (await over({})).train([], [], undefined)],
    ['the evaluation: there are no examples', async () => (await over({})).evaluate([])],
    [
      'the task own makes a batch in which x is not a tensor',
      () =>
        trained(
          {},
          own(
            x => ({ x }),
            (net, { x }) => ({ loss: net.forward(x).mean() }),
          ),
        ),
    ],
    [
      'the task own gives no loss',
      () =>
        trained(
          {},
          own(rows, (net, { x }) => net.forward(x).mean()),
        ),
    ],
  ])

  test('nothing that is left undefined', async () => {
    const outcome = await trained({ lr: undefined, steps: undefined })
    expect(outcome).toMatchObject({ kind: 'finished' })
  })

  test('with a UserError', async () => {
    await expect(over({ batchSize: 0 })).rejects.toBeInstanceOf(UserError)
  })
})
