// Training on texts in several windows: how they lie in a batch, what their loss and gradients are, and that a run
// resumes.
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { type Tensor, compile, concat, currentDevice, grad, tensor } from '../../engine/node/index.ts'
import { createModel, createTokenModel, initialise } from '../../models/index.ts'
import type { Classifier } from '../../models/model.ts'
import { classificationLoss, meanOf, multiLabelLoss, regressionLoss } from '../../models/losses.ts'
import { windowsOf } from '../../models/windows.ts'
import { batchSizeFor, evaluationBatches, lengthOf, makeBatches, rowsFor } from '../../train/batches.ts'
import { Checkpoints } from '../../train/node/run/checkpoints.ts'
import { stream } from '../../train/random.ts'
import { batchShapes, mostWindows } from '../../train/shapes.ts'
import { type Encoded, type EncodedWindow, collateTexts } from '../../train/task.ts'
import { createTask } from '../../train/tasks/index.ts'
import type { Target } from '../../train/tasks/infer.ts'
import { type StepMetrics, Trainer } from '../../train/trainer.ts'
import { temporaryFolder } from '../support/folder.ts'
import { expectClose } from '../support/ops.ts'
import { evaluation, integers } from '../support/models.ts'
import { SEED } from '../support/seed.ts'
import { tinyModelConfig } from '../support/tiny.ts'
import { NO_DROPOUT, ONE_LAYER, OPTIONS, tinyModel } from '../support/training.ts'

const folder = await temporaryFolder('windows')
afterAll(async () => (await currentDevice()).close())

const LONGEST = 8

/** A text of windows with so many tokens each. */
function textOf<T>(lengths: readonly number[], target: T, seed = 0): Encoded<T> {
  const [first, ...further] = lengths.map((length, k): EncodedWindow => ({
    ids: Array.from({ length }, (_, at) => 5 + ((at * 7 + 11 * k + 3 * seed) % 30)),
  }))
  return { ...first, ...(further.length > 0 && { further }), target }
}

/** Up to twelve texts of one to nine windows. */
const texts = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: LONGEST })), {
    minLength: 1,
    maxLength: 12,
  })
  .map(all => all.map(([windows, last], i) => textOf([...new Array<number>(windows - 1).fill(LONGEST), last], 0, i)))

describe('a batch', () => {
  test('has the windows of each text one below the other, and means that weigh them alike', () => {
    fc.assert(
      fc.property(texts, fc.nat(2), (examples, extra) => {
        const used = examples.reduce((sum, text) => sum + windowsOf(text).length, 0)
        const size = { batch: examples.length + extra, windows: used + extra, sequence: LONGEST, padId: 0 }
        const { ids, mask, starts, pooling, tokens, rows } = collateTexts(examples, size)
        expect([rows, tokens]).toEqual([
          examples.length,
          examples.flatMap(windowsOf).reduce((sum, window) => sum + window.ids.length, 0),
        ])
        examples.forEach((text, i) =>
          windowsOf(text).forEach((window, k) => {
            const at = (starts[i] + k) * LONGEST
            expect([...ids.subarray(at, at + window.ids.length)]).toEqual(window.ids)
            expect([...mask.subarray(at, at + LONGEST)]).toEqual(
              Array.from({ length: LONGEST }, (_, at) => Number(at < window.ids.length)),
            )
            expect(pooling?.data[i * size.windows + starts[i] + k]).toBe(Math.fround(1 / windowsOf(text).length))
          }),
        )
        expect(pooling?.data.filter(weight => weight > 0).length).toBe(used)
      }),
      { seed: SEED, numRuns: 60 },
    )
    expect(() => collateTexts([textOf([8, 8, 2], 0)], { batch: 1, windows: 2, sequence: 8, padId: 0 })).toThrow(
      '3 windows do not fit a batch of 2',
    )
    expect(() => collateTexts([textOf([8, 2], 0)], { batch: 1, sequence: 8, padId: 0 })).toThrow(
      '2 windows do not fit a batch of 1',
    )
  })

  const options = { maxLength: LONGEST, batchSize: 3 }
  const shapes = (all: readonly Encoded<unknown>[], of: typeof options & { batchTokens?: number }) => {
    const lengths = all.map(text => lengthOf(text, LONGEST))
    return [...makeBatches(lengths, rowsFor(of), stream(1, 'epoch')), ...evaluationBatches(lengths, rowsFor(of))].map(
      indices => {
        const size = batchSizeFor(
          indices.map(i => lengths[i]),
          of,
        )
        return {
          ...size,
          examples: indices.map(i => all[i]),
          used: indices.reduce((sum, i) => sum + windowsOf(all[i]).length, 0),
        }
      },
    )
  }

  test('of a count of texts has them whatever windows they have, in few sizes', () => {
    const sizes = new Set<number | undefined>()
    fc.assert(
      fc.property(texts, all => {
        for (const { batch, sequence, windows, used, examples } of shapes(all, options)) {
          expect([batch, examples.length <= 3]).toEqual([3, true])
          expect(windows === undefined).toBe(used === examples.length)
          if (windows !== undefined)
            expect([sequence, windows >= used, windows <= Math.max(3, 1.5 * used)]).toEqual([LONGEST, true, true])
          sizes.add(windows)
          collateTexts(examples, { batch, sequence, windows, padId: 0 })
        }
      }),
      { seed: SEED, numRuns: 100 },
    )
    expect([...sizes].filter(size => size !== undefined).sort((a, b) => a - b)).toEqual(
      [3, 5, 6, 9, 12, 18, 24, 36].filter(size => sizes.has(size)),
    )
  })

  test('of a count of tokens has no more in all its windows, but for a text that has more alone', () => {
    fc.assert(
      fc.property(texts, all => {
        for (const { batch, sequence, windows = batch, used, examples } of shapes(all, {
          ...options,
          batchTokens: 32,
        })) {
          expect(examples.length === 1 || windows * sequence <= 32).toBe(true)
          expect([windows >= used, batch >= examples.length]).toEqual([true, true])
          collateTexts(examples, { batch, sequence, ...(windows > batch && { windows }), padId: 0 })
        }
      }),
      { seed: SEED, numRuns: 100 },
    )
  })

  test('is known before a run begins', () => {
    const train = Array.from({ length: 9 }, (_, i) => textOf(new Array<number>(1 + i).fill(LONGEST), 0))
    const found = batchShapes({ train, validation: [], test: [] }, { ...options, epochs: 1, seed: 1 })
    expect(found.every(({ sequence }) => sequence === LONGEST)).toBe(true)
    expect(Math.max(...found.map(({ windows = 0 }) => windows))).toBe(
      mostWindows(train, { ...options, epochs: 1, seed: 1 }),
    )
    expect(mostWindows(train.slice(0, 1), { ...options, epochs: 1, seed: 1 })).toBeUndefined()
  })
})

describe('the loss of texts in windows', () => {
  const LENGTHS = [[8, 5], [8], [8, 8, 5]]
  const names = ['a', 'b', 'c']
  const classWeights = [0.5, 2, 3.25]
  const sequence = [
    [
      'one label per text',
      createTask('classes', { labels: names, classWeights }),
      [0, 2, 1],
      (logits: Tensor) => classificationLoss(logits, tensor(Int32Array.of(0, 2, 1), [3]), { classWeights }),
    ],
    [
      'several labels per text',
      createTask('labels', { labels: names }),
      [
        [0, 1, 0],
        [1, 1, 0],
        [0, 0, 1],
      ],
      (logits: Tensor) =>
        multiLabelLoss(
          logits,
          tensor([
            [0, 1, 0],
            [1, 1, 0],
            [0, 0, 1],
          ]),
          tensor([1, 1, 1]),
        ),
    ],
    [
      'one number per text',
      createTask('regression', { labels: ['LABEL_0'] }),
      [0.5, -1, 2],
      (logits: Tensor) => regressionLoss(logits, tensor([0.5, -1, 2]), tensor([1, 1, 1])),
    ],
  ] as const

  interface Computed {
    readonly loss: Tensor
    readonly outputs: Tensor
    readonly gradients: readonly Tensor[]
  }

  /** A batch's loss, outputs and gradients by its task, with room for a text and two windows more. */
  async function byTask(task: ReturnType<typeof createTask>, model: Classifier, examples: readonly Encoded<Target>[]) {
    const batch = task.collate(examples, { batch: 4, windows: 8, sequence: LONGEST, padId: 0 }, stream(0, 'none'))
    const shape = [batch.windows, batch.sequence]
    const parameters = model.parameters()
    const step = compile(
      (ids: Tensor, mask: Tensor, types: Tensor, pooling: Tensor, arrays: Record<string, Tensor>) => {
        const { losses, outputs } = task.forward(model, { ids, mask, types, pooling, arrays }, evaluation())
        const loss = meanOf(losses)
        return {
          loss,
          outputs,
          gradients: grad(
            loss,
            parameters.map(p => p.tensor),
          ),
        }
      },
    )
    const { pooling = { data: new Float32Array(1), shape: [1] } } = batch
    const arrays = Object.fromEntries(
      Object.entries(batch.arrays).map(([name, { data, shape }]) => [name, tensor(data, [...shape])]),
    )
    const [ids, mask, types] = [batch.ids, batch.mask, batch.typeIds].map(data => tensor(data, shape))
    return { batch, ...(await step(ids, mask, types, tensor(pooling.data, [...pooling.shape]), arrays)) }
  }

  /** The same with no batch and no pooling: the logits of each window apart, and what `lossOf` makes of those. */
  function byHand(
    model: Classifier,
    examples: readonly Encoded<Target>[],
    lossOf: (logits: readonly Tensor[][]) => Pick<Computed, 'loss' | 'outputs'>,
  ): Promise<Computed> {
    const apart = ({ ids }: EncodedWindow): Tensor => {
      const list = Array.from(ids)
      return model.logits(integers([list]), integers([list.map(() => 1)]), integers([list.map(() => 0)]), evaluation())
    }
    return compile(() => {
      const { loss, outputs } = lossOf(examples.map(text => windowsOf(text).map(apart)))
      return {
        loss,
        outputs,
        gradients: grad(
          loss,
          model.parameters().map(p => p.tensor),
        ),
      }
    })()
  }

  /** Losses, and each gradient by the largest that is wanted of it. */
  async function expectSame(model: Classifier, found: Computed, wanted: Computed): Promise<void> {
    expect(await found.loss.item()).toBeCloseTo(await wanted.loss.item(), 5)
    for (const [i, { name }] of model.parameters().entries()) {
      const [ours, theirs] = [await found.gradients[i].data(), await wanted.gradients[i].data()]
      const most = Math.max(1e-3, ...Array.from(theirs, Math.abs))
      expect(Math.max(...Array.from(ours, (value, k) => Math.abs(value - theirs[k]))) / most, name).toBeLessThan(1e-4)
    }
  }

  test.each(sequence)(
    'is that of the mean of their logits, and so are its gradients: %s',
    async (_name, task, targets, lossOf) => {
      const model = createModel(
        tinyModelConfig({ num_hidden_layers: 1, num_labels: task.name === 'regression' ? 1 : 3 }),
      )
      await initialise(model.parameters(), 3)
      const examples = LENGTHS.map((lengths, i) => textOf<Target>(lengths, targets[i], i))
      const found = await byTask(task, model, examples)
      const wanted = await byHand(model, examples, logits => {
        const outputs = concat(logits.map(windows => concat(windows).mean(0, true)))
        return { outputs, loss: meanOf(lossOf(outputs)) }
      })
      const logits = [...(await wanted.outputs.data())]
      expectClose([...(await found.outputs.data())].slice(0, logits.length), logits, 1e-4, 'logits')
      await expectSame(model, found, wanted)
      expect([found.batch.count, found.batch.rows]).toEqual([3, 3])
    },
  )

  test('of one label per token is that of all windows, each label once, and an evaluation gives each text its own scores', async () => {
    const task = createTask('tokens', { labels: names, classWeights })
    const model = createTokenModel(tinyModelConfig({ num_hidden_layers: 1, num_labels: 3 }))
    await initialise(model.parameters(), 3)
    const examples = LENGTHS.map((lengths, i) => {
      const tokens = lengths.reduce((a, b) => a + b, 0)
      return textOf<Target>(
        lengths,
        Array.from({ length: tokens }, (_, at) => (at % 4 === 0 ? -100 : (at + i) % 3)),
        i,
      )
    })
    const found = await byTask(task, model, examples)
    const labels = Int32Array.from(
      examples.flatMap(({ target }) => (typeof target === 'number' ? [] : Array.from(target))),
    )
    const wanted = await byHand(model, examples, logits => {
      const outputs = concat(logits.flat())
      return { outputs, loss: meanOf(classificationLoss(outputs, tensor(labels, [labels.length]), { classWeights })) }
    })
    await expectSame(model, found, wanted)
    expect(found.batch.count).toBe(labels.filter(label => label >= 0).length)

    const [logits, loss] = [[...(await wanted.outputs.data())], await wanted.loss.item()]
    const trainer = await Trainer.over(model, task, { ...OPTIONS, maxLength: LONGEST, batchSize: 4 })
    const { outputs, loss: evaluated } = await trainer.evaluate(examples)
    expectClose(
      outputs.flatMap(output => [...output]),
      logits,
      1e-4,
      'outputs',
    )
    expect(evaluated).toBeCloseTo(loss, 5)
  })
})

test('half precision learns about what single precision does', async ({ skip }) => {
  skip(!(await currentDevice()).traits.f16, 'this adapter has no f16')
  const train = Array.from({ length: 12 }, (_, i) =>
    textOf([...new Array<number>(i % 3).fill(LONGEST), 3 + (i % 6)], i % 2, i),
  )
  const lossesIn = async (precision: 'f32' | 'f16') => {
    const model = await tinyModel('lora', { ...ONE_LAYER, ...NO_DROPOUT }, precision)
    const options = { ...OPTIONS, precision, maxLength: LONGEST, batchSize: 3, epochs: 1, lr: 1e-2 }
    const trainer = await Trainer.over(model, createTask('classes', { labels: ['a', 'b'] }), options)
    const losses: number[] = []
    await trainer.train(train, [], undefined, { onStep: ({ loss }) => void losses.push(loss) })
    return [...losses, (await trainer.evaluate(train)).loss]
  }
  const [full, half] = [await lossesIn('f32'), await lossesIn('f16')]
  expect(half.length).toBe(5)
  expectClose(half, full, 0.03, 'losses')
  // Rounded, so not the same computation.
  expect(half).not.toEqual(full)
})

test('a run that is stopped resumes to the same bits, with dropout, accumulation and batches of several sizes', async () => {
  const train = Array.from({ length: 24 }, (_, i) =>
    textOf([...new Array<number>(i % 5).fill(LONGEST), 3 + (i % 6)], i % 2, i),
  )
  const options = { ...OPTIONS, maxLength: LONGEST, batchSize: 3, accumulate: 2, epochs: 2 }
  const make = async () =>
    Trainer.over(await tinyModel('lora', ONE_LAYER), createTask('classes', { labels: ['a', 'b'] }), options)
  const facts = ({ step, epoch, loss, accuracy, lr, grad_norm }: StepMetrics) => ({
    step,
    epoch,
    loss,
    accuracy,
    lr,
    grad_norm,
  })
  const whole = await make()
  const lines: StepMetrics[] = []
  await whole.train(train, train.slice(0, 7), undefined, { onStep: line => void lines.push(line) })
  expect(lines.length).toBe(8)

  const checkpoints = new Checkpoints(folder)
  const again: StepMetrics[] = []
  const first = await make()
  const stopped = await first.train(train, train.slice(0, 7), checkpoints, {
    onStep: line => {
      again.push(line)
      if (line.step === 1) first.stop()
    },
  })
  if (stopped.kind !== 'stopped') throw new Error('it did not stop')
  expect(stopped.position.step).toBeLessThan(8)
  const second = await make()
  await second.train(train, train.slice(0, 7), checkpoints, { onStep: line => void again.push(line) }, stopped.position)
  expect(again.map(facts)).toEqual(lines.map(facts))
  // Not the values: of a run that keeps checkpoints they are the best ones in the end.
  for (const [i, { name, variable }] of second.state().entries()) {
    if (/\.[mv]$/.test(name))
      expect([...(await variable.read())], name).toEqual([...(await whole.state()[i].variable.read())])
  }
})
