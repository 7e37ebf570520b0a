// How tasks make a batch of examples: where targets go, what padding counts for, and that the loss is the same however
// much a batch is padded.
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { currentDevice } from '../../../engine/node/index.ts'
import { createModel, createTokenModel, initialise } from '../../../models/index.ts'
import type { Classifier } from '../../../models/model.ts'
import { stream } from '../../../train/random.ts'
import { EvaluationStep } from '../../../train/steps.ts'
import type { Batch, BatchSize, Encoded, Task } from '../../../train/task.ts'
import { collateClasses } from '../../../train/tasks/classes.ts'
import { createTask } from '../../../train/tasks/index.ts'
import type { Target } from '../../../train/tasks/infer.ts'
import { collateLabels } from '../../../train/tasks/labels.ts'
import { collateNumbers } from '../../../train/tasks/regression.ts'
import { collateTokens } from '../../../train/tasks/tokens.ts'
import { SEED } from '../../support/seed.ts'
import { tinyModelConfig } from '../../support/tiny.ts'

const SEQUENCE = 12
const CLASSES = 3
const WEIGHTS = [0.5, 2, 3.25]
/** A class of `CLASSES`, or none. */
const tag = fc.oneof(fc.nat(CLASSES - 1), fc.constant(-100))

interface Given<T> {
  readonly examples: Encoded<T>[]
  readonly size: BatchSize
}

/** Up to six texts with a target each, and up to three rows of padding. */
function batches<T>(target: (length: number) => fc.Arbitrary<T>): fc.Arbitrary<Given<T>> {
  const one = fc.integer({ min: 1, max: SEQUENCE }).chain(length =>
    fc.record({
      ids: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: length, maxLength: length }),
      target: target(length),
    }),
  )
  return fc.record({ examples: fc.array(one, { maxLength: 6 }), extra: fc.nat(3) }).map(({ examples, extra }) => ({
    examples,
    size: { batch: examples.length + extra, sequence: SEQUENCE, padId: 7 },
  }))
}

const property = <T>(of: fc.Arbitrary<T>, holds: (value: T) => void): void =>
  fc.assert(fc.property(of, holds), { seed: SEED, numRuns: 60 })

const listOf = (batch: Batch, name: string): number[] => Array.from(batch.arrays[name].data)
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)
const ones = (count: number, of: number): number[] => Array.from({ length: of }, (_, i) => (i < count ? 1 : 0))

describe('a batch', () => {
  test('of any task holds the texts, and its mask ends where each of them does', () => {
    property(
      batches(() => fc.double({ noNaN: true })),
      ({ examples, size }) => {
        const { ids, mask, rows, tokens } = collateNumbers(examples, size)
        expect([rows, tokens]).toEqual([examples.length, sum(examples.map(one => one.ids.length))])
        for (let row = 0; row < size.batch; row++) {
          const given = Array.from(examples.at(row)?.ids ?? [])
          const padding = new Array<number>(SEQUENCE - given.length).fill(size.padId)
          expect([...ids.subarray(row * SEQUENCE, (row + 1) * SEQUENCE)]).toEqual([...given, ...padding])
          expect([...mask.subarray(row * SEQUENCE, (row + 1) * SEQUENCE)]).toEqual(ones(given.length, SEQUENCE))
        }
      },
    )
  })

  test('of one label per text weighs as much as its classes do, and ignored labels and padding weigh nothing', () => {
    property(
      batches(() => tag),
      ({ examples, size }) => {
        const batch = collateClasses(examples, size, { classWeights: WEIGHTS })
        const counted = examples.map(({ target }) => target).filter(target => target >= 0)
        const padded = Array.from({ length: size.batch }, (_, row) => examples.at(row)?.target ?? -100)
        expect(listOf(batch, 'labels')).toEqual(padded)
        expect([batch.count, batch.weight]).toEqual([counted.length, sum(counted.map(target => WEIGHTS[target]))])
        expect(collateClasses(examples, size).weight).toBe(counted.length)
      },
    )
  })

  test('of several labels per text has each in its place, and padded rows do not count', () => {
    const labels = fc.array(fc.constantFrom(0, 1), { minLength: CLASSES, maxLength: CLASSES })
    property(
      batches(() => labels),
      ({ examples, size }) => {
        const batch = collateLabels(examples, size, CLASSES)
        const padding = new Array<number>((size.batch - examples.length) * CLASSES).fill(0)
        expect(listOf(batch, 'wanted')).toEqual([...examples.flatMap(({ target }) => Array.from(target)), ...padding])
        expect(listOf(batch, 'counts')).toEqual(ones(examples.length, size.batch))
        expect([batch.weight, batch.count]).toEqual([examples.length, examples.length])
      },
    )
  })

  test('of numbers has them in f32, and padded rows do not count', () => {
    property(
      batches(() => fc.double({ noNaN: true, noDefaultInfinity: true })),
      ({ examples, size }) => {
        const batch = collateNumbers(examples, size)
        const padding = new Array<number>(size.batch - examples.length).fill(0)
        expect(listOf(batch, 'wanted')).toEqual([...examples.map(({ target }) => Math.fround(target)), ...padding])
        expect(listOf(batch, 'counts')).toEqual(ones(examples.length, size.batch))
        expect([batch.weight, batch.count]).toEqual([examples.length, examples.length])
      },
    )
  })

  test('of one label per token has each at its token, and weighs as much as their classes do', () => {
    property(
      batches(length => fc.array(tag, { minLength: length, maxLength: length })),
      ({ examples, size }) => {
        const batch = collateTokens(examples, size, { classWeights: WEIGHTS })
        const counted = examples.flatMap(({ target }) => Array.from(target)).filter(target => target >= 0)
        expect(listOf(batch, 'labels')).toEqual(
          Array.from(
            { length: size.batch * SEQUENCE },
            (_, i) => examples.at(Math.floor(i / SEQUENCE))?.target[i % SEQUENCE] ?? -100,
          ),
        )
        expect(batch.count).toBe(counted.length)
        expect(batch.weight).toBe(sum(counted.map(target => WEIGHTS[target])))
      },
    )
  })

  test('is refused where a target does not fit its text or the labels', () => {
    const size = { batch: 2, sequence: 4, padId: 0 }
    const ids = [2, 5, 3]
    // One label too many would be that of a token which was cut off, and would stand in the next text otherwise.
    expect(() => collateTokens([{ ids, target: [0, 1, 2, 0, 1] }], size)).toThrow(
      new RangeError('Text 0 of the batch has 3 tokens and labels for 5'),
    )
    expect(() =>
      collateTokens(
        [
          { ids, target: [0, 1, 2] },
          { ids, target: [0] },
        ],
        size,
      ),
    ).toThrow(new RangeError('Text 1 of the batch has 3 tokens and labels for 1'))
    expect(() => collateLabels([{ ids, target: [0, 1, 1, 0] }], size, 3)).toThrow(
      new RangeError('Text 0 of the batch has 4 labels of 3'),
    )
    expect(() =>
      collateNumbers(
        [
          { ids, target: 1 },
          { ids, target: 1 },
          { ids, target: 1 },
        ],
        size,
      ),
    ).toThrow(RangeError)
    expect(() => collateNumbers([{ ids: [1, 2, 3, 4, 5], target: 1 }], size)).toThrow(RangeError)
  })
})

describe('on the device', () => {
  afterAll(async () => (await currentDevice()).close())

  const LENGTHS = [9, 5, 2, 7]
  const names = ['a', 'b', 'c']
  const classWeights = WEIGHTS
  const labelSmoothing = 0.1
  const kinds: readonly (readonly [string, Task<Target, Classifier>, (length: number, row: number) => Target])[] = [
    ['one label per text', createTask('classes', { labels: names, classWeights, labelSmoothing }), (_, row) => row % 3],
    [
      'several labels per text',
      createTask('labels', { labels: names, classWeights, labelSmoothing }),
      (_, row) => [row % 2, 1, 0],
    ],
    ['one number per text', createTask('regression', { labels: ['LABEL_0'] }), (_, row) => row - 1.5],
    [
      'one label per token',
      createTask('tokens', { labels: names, classWeights, labelSmoothing }),
      length => Array.from({ length }, (_, at) => (at === 0 || at === length - 1 ? -100 : at % 3)),
    ],
  ]

  test.each(kinds)('the loss of %s is the same however much the batch is padded', async (_name, task, targetOf) => {
    const config = tinyModelConfig({ num_hidden_layers: 1, num_labels: task.name === 'regression' ? 1 : 3 })
    const model: Classifier = task.name === 'tokens' ? createTokenModel(config) : createModel(config)
    await initialise(model.parameters(), 3)
    const step = new EvaluationStep(model, task)
    const examples = LENGTHS.map((length, row): Encoded<Target> => ({
      ids: Array.from({ length }, (_, at) => 5 + ((at * 7 + row) % 30)),
      target: targetOf(length, row),
    }))
    const told = async (batch: number, sequence: number) => {
      const size = { batch, sequence, padId: 0 }
      const { losses, weights, sums } = await step.run(task.collate(examples, size, stream(0, 'none')))
      const [each, counted] = [await losses.data(), await weights.data()]
      const padding = Math.round(each.length / batch) * (batch - examples.length)
      const padded = padding > 0 ? [...each.subarray(-padding), ...counted.subarray(-padding)] : []
      expect(padded.every(value => value === 0)).toBe(true)
      const weight = sum([...counted])
      return { mean: sum([...each]) / weight, weight, accuracy: await sums.accuracy?.item() }
    }
    const [exact, padded] = [await told(LENGTHS.length, 9), await told(LENGTHS.length + 3, 16)]
    expect(exact.mean).toBeGreaterThan(0.1)
    expect(padded.mean).toBeCloseTo(exact.mean, 5)
    expect(padded.weight).toBe(exact.weight)
    expect(padded.accuracy).toBe(exact.accuracy)
  })
})
