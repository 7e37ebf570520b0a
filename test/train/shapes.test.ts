// The shapes of batches that a run will meet, known before it begins.
import { expect, test } from 'vitest'
import { makeBatches, padLength } from '../../train/batches.ts'
import { stream } from '../../train/random.ts'
import { batchShapes } from '../../train/shapes.ts'
import { reviews } from '../support/training.ts'

const options = { batchSize: 4, maxLength: 40, epochs: 2, seed: 5 }
const sets = {
  train: reviews(64, 1, { shortest: 2, longest: 50 }),
  validation: reviews(8, 2, { shortest: 2, longest: 9 }),
  test: reviews(8, 3, { shortest: 2, longest: 20 }),
}
// As texts come from a tokenizer: cut already.
for (const set of Object.values(sets))
  set.forEach((text, i) => {
    set[i] = { ...text, ids: Array.from(text.ids).slice(0, options.maxLength) }
  })

test('are those of every batch, each once, those that take most time first', () => {
  const shapes = batchShapes(sets, options)
  const met = new Map<number, number>()
  for (const epoch of [0, 1]) {
    for (const indices of makeBatches(
      sets.train.map(({ ids }) => ids.length),
      options.batchSize,
      stream(options.seed, `epoch ${epoch}`),
    )) {
      const sequence = padLength(Math.max(...indices.map(i => sets.train[i].ids.length)), options.maxLength)
      met.set(sequence, (met.get(sequence) ?? 0) + sequence)
    }
  }
  const training = shapes.filter(shape => shape.training).map(({ sequence }) => sequence)
  expect(training.toSorted()).toEqual([...met.keys()].toSorted())
  expect(training.length).toBeGreaterThan(2)
  expect(training.map(sequence => met.get(sequence))).toEqual([...met.values()].sort((a, b) => b - a))
  const evaluated = shapes.filter(shape => !shape.training).map(({ sequence }) => sequence)
  expect(Math.max(...evaluated)).toBe(24)
  expect(new Set(evaluated).size).toBe(evaluated.length)
  expect(shapes[0].training, 'a step takes longer than an evaluation').toBe(true)
})

test('are none where there are no texts', () => {
  expect(batchShapes({ train: [], validation: [], test: [] }, options)).toEqual([])
})
