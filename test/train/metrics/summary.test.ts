// The summary of an evaluation, by kind of task, and class weights.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../../engine/errors.ts'
import { classWeights } from '../../../train/class-weights.ts'
import {
  type Results,
  intervalOf,
  isBetter,
  measure,
  metricNamed,
  metricsOf,
  resamplesFor,
  showFigure,
  summarise,
} from '../../../train/metrics/summary.ts'
import { bootstrap } from '../../../train/metrics/uncertainty.ts'
import { stream } from '../../../train/random.ts'

/** Results of `rows` examples, drawn by a seed; half of the predictions lean towards the truth. */
function draw(kind: Results['kind'], rows: number, seed: number, classes = 3): Results {
  const random = stream(seed, kind)
  const names = Array.from({ length: classes }, (_, i) => `name ${i}`)
  switch (kind) {
    case 'classes': {
      const truth = Array.from({ length: rows }, () => random.below(classes))
      const probabilities = truth.flatMap(label => {
        const weights = names.map((_, c) => random.next() + (c === label ? 0.5 : 0))
        const sum = weights.reduce((total, weight) => total + weight, 0)
        return weights.map(weight => weight / sum)
      })
      return { kind, names, truth, probabilities }
    }
    case 'labels': {
      const truth = Array.from({ length: rows * classes }, () => random.below(2))
      return { kind, names, truth, probabilities: truth.map(there => 0.3 * there + 0.7 * random.next()) }
    }
    case 'regression': {
      const truth = Array.from({ length: rows }, () => random.normal())
      return { kind, truth, predicted: truth.map(value => value + random.normal()) }
    }
    case 'tokens': {
      const tags = ['O', 'B-PER', 'I-PER', 'B-LOC']
      const truth = Array.from({ length: rows }, () => Array.from({ length: 6 }, () => tags[random.below(4)]))
      return { kind, truth, predicted: truth.map(row => row.map(tag => (random.next() < 0.7 ? tag : 'O'))) }
    }
  }
}

/** Some examples of results, in this order. */
function picked(results: Results, indices: readonly number[]): Results {
  const rows = (values: ArrayLike<number>, width: number): number[] =>
    indices.flatMap(row => Array.from({ length: width }, (_, i) => values[row * width + i]))
  switch (results.kind) {
    case 'classes':
    case 'labels': {
      const width = results.names.length
      const truth = rows(results.truth, results.kind === 'labels' ? width : 1)
      return { ...results, truth, probabilities: rows(results.probabilities, width) }
    }
    case 'regression':
      return { ...results, truth: rows(results.truth, 1), predicted: rows(results.predicted, 1) }
    case 'tokens':
      return {
        ...results,
        truth: indices.map(row => results.truth[row]),
        predicted: indices.map(row => results.predicted[row]),
      }
  }
}

const KINDS = ['classes', 'labels', 'regression', 'tokens'] as const

describe.each(KINDS)('a summary of %s', kind => {
  test('has all metrics that its kind has, in their order, each defined', () => {
    for (const classes of [2, 3]) {
      const { metrics, rows } = summarise(draw(kind, 40, 1, classes))
      expect(Object.keys(metrics)).toEqual(metricsOf(kind, classes).map(({ name }) => name))
      expect(Object.values(metrics).filter(value => !Number.isFinite(value))).toEqual([])
      expect(rows).toBe(40)
    }
  })

  test('does not depend on the order of examples', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 30 }), (seed, rows) => {
        const results = draw(kind, rows, seed)
        const [one, other] = [
          summarise(results),
          summarise(
            picked(
              results,
              Array.from({ length: rows }, (_, i) => rows - 1 - i),
            ),
          ),
        ]
        for (const [name, value] of Object.entries(one.metrics)) {
          if (value === undefined) expect(other.metrics[name]).toBeUndefined()
          else expect(other.metrics[name]).toBeCloseTo(value, 10)
        }
        expect(other.confusion).toEqual(one.confusion)
        expect(other.classes.map(({ support }) => support)).toEqual(one.classes.map(({ support }) => support))
      }),
      { numRuns: 15 },
    )
  })

  test('is of the same values as each metric measured alone', () => {
    const results = draw(kind, 40, 3)
    const { metrics } = summarise(results)
    for (const { name } of metricsOf(kind, 3)) expect(measure(results, [name])).toEqual({ [name]: metrics[name] })
  })

  test('has no NaN, whatever the number of examples', () => {
    for (const rows of [0, 1, 2]) {
      const { metrics, classes } = summarise(draw(kind, rows, 2))
      const values = [...Object.values(metrics), ...classes.flatMap(row => Object.values(row))]
      for (const value of values) expect(value).not.toBeNaN()
    }
  })

  test('comes with intervals that hold each metric, the same for the same seed', () => {
    const results = draw(kind, 120, 4)
    const { metrics } = summarise(results)
    for (const { name } of metricsOf(kind, 3)) {
      const found = intervalOf(results, name, { seed: 7, resamples: 30 })
      const value = metrics[name] ?? NaN
      if (!found) throw new Error(`no interval of ${name}`)
      expect(found.high).toBeGreaterThan(found.low)
      // Resampling biases a calibration error upwards, as any mean of absolute differences.
      if (name !== 'calibration_error') expect([name, found.low <= value && value <= found.high]).toEqual([name, true])
      expect(intervalOf(results, name, { seed: 7, resamples: 30 })).toEqual(found)
    }
  })

  test('comes with the intervals of the examples that were drawn, measured as any others', () => {
    const results = draw(kind, 60, 5)
    for (const { name } of metricsOf(kind, 3)) {
      if ((kind === 'classes' && name === 'accuracy') || name === 'subset_accuracy') continue
      const drawn = bootstrap(60, indices => measure(picked(results, [...indices]), [name])[name], {
        seed: 3,
        resamples: 12,
      })
      expect([name, intervalOf(results, name, { seed: 3, resamples: 12 })]).toEqual([name, drawn])
    }
  })
})

test('metrics that read every value of a resample get fewer resamples of a large evaluation, those of counts do not', () => {
  const labels = (rows: number): Results => ({
    kind: 'labels',
    names: new Array<string>(100).fill('a'),
    truth: new Uint8Array(rows * 100),
    probabilities: new Uint8Array(rows * 100),
  })
  const draws = [1000, 5000, 25_000].map(rows =>
    ['f1_macro', 'roc_auc_macro'].map(name => resamplesFor(labels(rows), name)),
  )
  expect(draws).toEqual([
    [1000, 1000],
    [1000, 200],
    [1000, 100],
  ])
})

describe('a summary', () => {
  test('of probabilities that are none leaves every metric undefined', () => {
    for (const kind of ['classes', 'labels'] as const) {
      const results = draw(kind, 10, 1)
      if (results.kind !== kind) throw new Error(kind)
      const probabilities = Array.from(results.probabilities).fill(NaN, 4, 5)
      const { metrics, classes, confusion } = summarise({ ...results, probabilities })
      expect(Object.values(metrics).every(value => value === undefined)).toBe(true)
      expect([classes, confusion]).toEqual([[], undefined])
    }
  })

  test('of two classes decides by a threshold, where there is one', () => {
    const probabilities = [0.8, 0.2, 0.7, 0.3, 0.1, 0.9]
    const results = { kind: 'classes', names: ['no', 'yes'], truth: [0, 1, 1], probabilities } as const
    expect(summarise(results)).toMatchObject({
      metrics: { accuracy: 2 / 3 },
      confusion: [
        [1, 0],
        [1, 1],
      ],
    })
    const lower = summarise({ ...results, threshold: 0.25 })
    expect(lower).toMatchObject({
      metrics: { accuracy: 1 },
      confusion: [
        [1, 0],
        [0, 2],
      ],
    })
    // Equal probabilities: the first class, with ½ as without a threshold.
    const even = { ...results, truth: [1], probabilities: [0.5, 0.5] }
    expect(summarise({ ...even, threshold: 0.5 }).confusion).toEqual(summarise(even).confusion)
    const three = { ...results, names: ['a', 'b', 'c'], truth: [0, 1], threshold: 0.5 }
    expect(() => summarise(three)).toThrow('two classes')
  })

  test('of several labels decides each by its own threshold', () => {
    const probabilities = [0.3, 0.6, 0.4, 0.7]
    const results = { kind: 'labels', names: ['a', 'b'], truth: [1, 0, 1, 1], probabilities } as const
    expect(summarise(results).metrics.subset_accuracy).toBe(0)
    expect(summarise({ ...results, thresholds: [0.2, 0.65] }).metrics.subset_accuracy).toBe(1)
  })

  test('names its classes, and the types of entities', () => {
    expect(summarise(draw('classes', 20, 1)).classes.map(({ name }) => name)).toEqual(['name 0', 'name 1', 'name 2'])
    expect(summarise(draw('tokens', 20, 1)).classes.map(({ name }) => name)).toEqual(['LOC', 'PER'])
    expect(summarise(draw('regression', 20, 1)).classes).toEqual([])
  })

  test('of lists that do not fit together is refused', () => {
    expect(() => summarise({ kind: 'classes', names: ['a', 'b'], truth: [0], probabilities: [1] })).toThrow(RangeError)
    expect(() => summarise({ kind: 'labels', names: ['a', 'b'], truth: [0], probabilities: [1] })).toThrow(RangeError)
    expect(() => summarise({ kind: 'regression', truth: [0], predicted: [] })).toThrow(RangeError)
    expect(() => summarise({ kind: 'tokens', truth: [['O']], predicted: [] })).toThrow(RangeError)
  })
})

describe('a metric', () => {
  test('has a name of its own in its task', () => {
    for (const kind of KINDS) {
      for (const classes of [2, 3]) {
        const names = metricsOf(kind, classes).map(({ name }) => name)
        expect(new Set(names).size).toBe(names.length)
        for (const name of names) expect(metricNamed(kind, classes, name).name).toBe(name)
      }
    }
  })

  test('that a task does not have is answered by those that it has', () => {
    expect(() => metricNamed('regression', 0, 'f1')).toThrow(UserError)
    expect(() => metricNamed('regression', 0, 'f1')).toThrow(
      'Unknown metric "f1". This task has: mse, rmse, mae, r2, pearson, spearman, kendall',
    )
    expect(() => metricNamed('classes', 3, 'f1')).toThrow('accuracy, f1_macro, f1_micro')
    expect(metricNamed('classes', 2, 'f1').title).toBe('F1')
  })

  test('is better when larger or smaller, and never when undefined', () => {
    const [f1, mse] = [metricNamed('classes', 2, 'f1'), metricNamed('regression', 0, 'mse')]
    expect([isBetter(f1, 0.9, 0.8), isBetter(f1, 0.8, 0.8), isBetter(mse, 0.9, 0.8), isBetter(mse, 0.7, 0.8)]).toEqual([
      true,
      false,
      false,
      true,
    ])
    for (const info of [f1, mse]) {
      for (const missing of [undefined, NaN]) {
        expect([isBetter(info, 0.5, missing), isBetter(info, missing, 0.5)]).toEqual([true, false])
      }
    }
  })

  test('is shown as a percentage, as a decimal, or as a dash', () => {
    expect(showFigure(metricNamed('classes', 2, 'accuracy'), 0.93137)).toBe('93.14 %')
    expect(showFigure(metricNamed('classes', 2, 'matthews'), 0.88119)).toBe('0.8812')
    expect(showFigure(metricNamed('regression', 0, 'pearson'), undefined)).toBe('–')
  })
})

describe('class weights', () => {
  test('that are balanced give every class that occurs the same weight in total', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(50), { minLength: 1 }), counts => {
        fc.pre(counts.some(count => count > 0))
        const weights = classWeights('balanced', counts)
        const totals = counts.map((count, c) => weights[c] * count).filter(total => total > 0)
        const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
        for (const total of totals) expect(total).toBeCloseTo(totals[0], 9)
        expect(sum(totals)).toBeCloseTo(sum(counts), 8)
      }),
    )
  })

  test('in a list are taken as they are, or refused in one line', () => {
    expect(classWeights([1, 2.5, 0], [3, 1, 1])).toEqual([1, 2.5, 0])
    expect(() => classWeights([1, 2], [3, 1, 1])).toThrow('Class weights: 2 given, but there are 3 classes')
    expect(() => classWeights([1, -2], [3, 1])).toThrow('Class weights: -2 of class 1; a weight is 0 or more')
    expect(() => classWeights([1, NaN], [3, 1])).toThrow(UserError)
    expect(() => classWeights([0, 0], [3, 1])).toThrow('all of them are 0')
  })
})
