// The confusion matrix and its scores.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ConfusionMatrix, predictions } from '../../../train/metrics/confusion.ts'

describe('the confusion matrix', () => {
  test('gives the scores of a case worked by hand', () => {
    const matrix = new ConfusionMatrix()
    matrix.add([1, 1, 1, 1, 0, 0], [1, 1, 0, 1, 1, 0])
    matrix.add([0, 0, 1, 0], [0, 0, 0, 0])
    expect(matrix.rows).toEqual([
      [4, 1],
      [2, 3],
    ])
    expect(matrix.accuracy).toBe(0.7)
    expect(matrix.scores()).toEqual({ precision: 3 / 4, recall: 3 / 5, f1: 2 / 3 })
    expect(matrix.scores(0)).toEqual({ precision: 4 / 6, recall: 4 / 5, f1: 8 / 11 })
  })

  test('counts every row once, except ignored ones', () => {
    const rows = fc.array(fc.tuple(fc.constantFrom(0, 1, 2, -100), fc.nat(2)))
    fc.assert(
      fc.property(rows, rows => {
        const matrix = new ConfusionMatrix(3)
        matrix.add(
          rows.map(([label]) => label),
          Int32Array.from(rows, ([, predicted]) => predicted),
        )
        const counted = rows.filter(([label]) => label >= 0)
        expect(matrix.total).toBe(counted.length)
        const right = counted.filter(([label, predicted]) => label === predicted).length
        expect(matrix.accuracy).toBe(right / counted.length)
        for (const label of [0, 1, 2]) {
          const { precision, recall, f1 } = matrix.scores(label)
          const harmonic = precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall)
          expect(f1).toBeCloseTo(harmonic, 12)
        }
      }),
    )
  })

  test('scores are 0 where nothing was predicted or labelled, and accuracy of nothing is not a number', () => {
    const matrix = new ConfusionMatrix()
    expect(matrix.accuracy).toBeNaN()
    matrix.add([0, 0], [0, 0])
    expect(matrix.scores(1)).toEqual({ precision: 0, recall: 0, f1: 0 })
  })

  test('a class that does not exist is refused', () => {
    expect(() => new ConfusionMatrix().add([2], [0])).toThrow(RangeError)
    expect(() => new ConfusionMatrix().add([0], [2])).toThrow(RangeError)
  })

  test('a prediction is the class of the largest logit', () => {
    expect(predictions(Float32Array.of(0.1, 0.2, -3, -4, 5, 5), 2)).toEqual([1, 0, 0])
  })
})
