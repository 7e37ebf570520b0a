// The constant answer that a model is compared with: by hand, for every kind of task.
import { describe, expect, test } from 'vitest'
import { constantAnswer } from '../../../train/metrics/constant.ts'
import { type Results, metricNamed } from '../../../train/metrics/summary.ts'

describe('the constant answer', () => {
  test('to one label is the most frequent class of the basis, whatever is frequent in the test', () => {
    const results: Results = {
      kind: 'classes',
      names: ['a', 'b', 'c'],
      truth: [0, 0, 0, 1],
      probabilities: new Float64Array(12),
    }
    const basis = { kind: 'classes', truth: [1, 1, 0, 2] } as const
    const of = (name: string) => constantAnswer(results, basis, metricNamed('classes', 3, name))
    expect(of('accuracy')).toEqual({ answer: ['b'], value: 0.25 })
    // Its probabilities are the frequencies of the basis: a quarter for the three of a, a half for b.
    expect(of('log_loss')?.value).toBeCloseTo(-(3 * Math.log(1 / 4) + Math.log(1 / 2)) / 4, 12)
    expect(of('matthews')?.value).toBe(0)
  })

  test('to several labels is the set of frequent ones that scores best on the basis, or none', () => {
    const results: Results = {
      kind: 'labels',
      names: ['a', 'b', 'c'],
      truth: [1, 1, 0, 0, 1, 0],
      probabilities: new Float64Array(6),
    }
    const basis = { kind: 'labels', truth: [1, 0, 0, 1, 1, 0, 1, 1, 0, 0, 0, 1] } as const
    // {a, b} has five hits of six given and eight predicted: 10/14, more than {a} (6/10) or all three (12/18).
    expect(constantAnswer(results, basis, metricNamed('labels', 3, 'f1_micro'))).toEqual({
      answer: ['a', 'b'],
      value: 6 / 7,
    })
    const rare = { kind: 'labels', truth: [0, 0, 0, 0, 0, 0, 0, 0, 1] } as const
    expect(constantAnswer(results, rare, metricNamed('labels', 3, 'subset_accuracy'))).toEqual({ answer: [], value: 0 })
  })

  test('to a number is the mean of the basis', () => {
    const results: Results = { kind: 'regression', truth: [1, 2], predicted: [0, 0] }
    const of = (name: string) =>
      constantAnswer(results, { kind: 'regression', truth: [2, 3, 4] }, metricNamed('regression', 1, name))
    expect(of('mse')).toEqual({ answer: 3, value: 2.5 })
    expect(of('pearson'), 'no correlation with a constant').toEqual({ answer: 3, value: undefined })
  })

  test('to words is O, or the most frequent tag where there is none', () => {
    const results: Results = { kind: 'tokens', truth: [['O', 'B-A'], ['B-B']], predicted: [['O', 'O'], ['O']] }
    const of = (tags: readonly string[], name: string) =>
      constantAnswer(results, { kind: 'tokens', tags }, metricNamed('tokens', 3, name))
    expect(of(['B-A', 'B-A', 'O'], 'f1')).toEqual({ answer: ['O'], value: 0 })
    expect(of(['B-A', 'B-A', 'O'], 'accuracy')).toEqual({ answer: ['O'], value: 1 / 3 })
    expect(of(['B-A', 'B-B', 'B-B'], 'f1')).toEqual({ answer: ['B-B'], value: 0.4 })
  })

  test('is not known without a basis', () => {
    const results: Results = { kind: 'regression', truth: [1], predicted: [0] }
    expect(
      constantAnswer(results, { kind: 'regression', truth: [] }, metricNamed('regression', 1, 'mse')),
    ).toBeUndefined()
    const words: Results = { kind: 'tokens', truth: [['O']], predicted: [['O']] }
    expect(constantAnswer(words, { kind: 'tokens', tags: [] }, metricNamed('tokens', 1, 'f1'))).toBeUndefined()
  })
})
