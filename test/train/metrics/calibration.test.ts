// Calibration, temperatures, thresholds, intervals and tests: what must hold of them whatever the data.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { labelConfidences, reliability, topConfidences } from '../../../train/metrics/calibration.ts'
import { predictions } from '../../../train/metrics/confusion.ts'
import { sigmoid, softmax } from '../../../train/metrics/probabilities.ts'
import { fitBinaryTemperature, fitTemperature } from '../../../train/metrics/temperature.ts'
import { THRESHOLD_CRITERIA, bestThreshold, bestThresholds, decide } from '../../../train/metrics/thresholds.ts'
import { bootstrap, wilson } from '../../../train/metrics/uncertainty.ts'
import { measure } from '../../../train/metrics/summary.ts'
import { stream } from '../../../train/random.ts'

const share = fc.double({ min: 0, max: 1, noNaN: true })
/** Confidence of each prediction, and whether it is right. */
const judged = fc.array(fc.tuple(share, fc.nat(1)), { minLength: 1, maxLength: 60 })

describe('reliability', () => {
  test('takes every prediction into one bin, whose range holds its confidence', () => {
    fc.assert(
      fc.property(judged, fc.constantFrom('width' as const, 'mass' as const), (rows, by) => {
        const confidence = Float64Array.from(rows, ([value]) => value)
        const found = reliability({ confidence, right: Uint8Array.from(rows, ([, right]) => right) }, 15, by)
        if (!found) throw new Error('no reliability')
        expect(found.bins.reduce((sum, { count }) => sum + count, 0)).toBe(rows.length)
        for (const { low, high, count, confidence: mean } of found.bins) {
          if (count === 0) expect(mean).toBeUndefined()
          else expect(mean).toSatisfy((value: number) => value >= low - 1e-12 && value <= high + 1e-12)
        }
        expect(found.error).toBeLessThanOrEqual(found.largestError + 1e-12)
      }),
    )
  })

  test('of predictions as often right as they say has no error', () => {
    const confidence = Float64Array.from({ length: 100 }, (_, i) => (i < 50 ? 0.5 : 0.9))
    const right = Uint8Array.from({ length: 100 }, (_, i) => (i < 50 ? i % 2 : i % 10 === 0 ? 0 : 1))
    expect(reliability({ confidence, right })?.error).toBeCloseTo(0, 12)
  })

  test('of certain predictions that are all wrong is as wrong as can be', () => {
    expect(reliability(topConfidences([1, 1], [1, 0, 1, 0], 2))?.error).toBe(1)
    expect(reliability(labelConfidences([0, 1], [1, 0]))?.error).toBe(1)
  })

  test('is undefined without predictions, and for what is not a probability', () => {
    expect(reliability(labelConfidences([], []))).toBeUndefined()
    expect(reliability(labelConfidences([1, 0], [0.5, NaN]))).toBeUndefined()
  })
})

describe('the temperature', () => {
  /** Logits of three classes, and labels drawn by their probabilities. */
  const drawn = (seed: number, rows = 60): { truth: number[]; logits: number[] } => {
    const random = stream(seed, 'temperature')
    const logits = Array.from({ length: rows * 3 }, () => random.normal())
    const p = softmax(logits, 3)
    const truth = Array.from({ length: rows }, (_, row) => {
      const u = random.next()
      return u < p[row * 3] ? 0 : u < p[row * 3] + p[row * 3 + 1] ? 1 : 2
    })
    return { truth, logits }
  }

  test('grows as the logits are scaled, and leaves the same probabilities', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.double({ min: 0.2, max: 20, noNaN: true }), (seed, scale) => {
        const { truth, logits } = drawn(seed)
        const scaled = logits.map(logit => logit * scale)
        const [fit, scaledFit] = [fitTemperature(truth, logits, 3), fitTemperature(truth, scaled, 3)]
        fc.pre(fit?.outcome === 'fitted' && scaledFit?.outcome === 'fitted')
        if (!fit || !scaledFit) return
        expect(scaledFit.temperature / (fit.temperature * scale)).toBeCloseTo(1, 9)
        expect(scaledFit.after).toBeCloseTo(fit.after, 9)
      }),
      { numRuns: 30 },
    )
  })

  test('makes the likelihood no worse, and better than temperatures beside it', () => {
    fc.assert(
      fc.property(fc.nat(1000), seed => {
        const { truth, logits } = drawn(seed)
        const fit = fitTemperature(truth, logits, 3)
        if (!fit) throw new Error('no fit')
        expect(fit.after).toBeLessThanOrEqual(fit.before)
        if (fit.outcome !== 'fitted') return
        for (const factor of [0.99, 1.01]) {
          const p = softmax(logits, 3, fit.temperature * factor)
          const loss = truth.reduce((sum, label, row) => sum - Math.log(p[row * 3 + label]), 0) / truth.length
          expect(loss).toBeGreaterThan(fit.after)
        }
      }),
      { numRuns: 30 },
    )
  })

  test('changes no prediction', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.double({ min: 0.05, max: 50, noNaN: true }), (seed, temperature) => {
        const { logits } = drawn(seed, 10)
        expect(predictions(softmax(logits, 3, temperature), 3)).toEqual(predictions(logits, 3))
        expect(decide(sigmoid(logits, temperature), 3)).toEqual(decide(sigmoid(logits), 3))
      }),
    )
  })

  test('of two classes is that of one logit, their difference', () => {
    const random = stream(3, 'two')
    const logits = Array.from({ length: 50 }, () => 4 * random.normal())
    const truth = logits.map(logit => (random.next() < sigmoid([logit / 3])[0] ? 1 : 0))
    const two = fitTemperature(
      truth,
      logits.flatMap(logit => [7, 7 + logit]),
      2,
    )
    expect(two?.outcome).toBe('fitted')
    expect(fitBinaryTemperature(truth, logits)?.temperature).toBeCloseTo(two?.temperature ?? NaN, 9)
  })

  test('stays 1 where all labels are predicted, or logits do not differ', () => {
    expect(fitTemperature([0, 1], [2, 1, -1, 3], 2)).toMatchObject({ temperature: 1, outcome: 'separable' })
    expect(fitTemperature([0, 1], [2, 2, -1, -1], 2)).toMatchObject({ temperature: 1, outcome: 'flat' })
    expect(fitBinaryTemperature([0, 1], [-0.1, 3])).toMatchObject({ temperature: 1, outcome: 'separable' })
    expect(fitBinaryTemperature([0, 1], [0, 0])).toMatchObject({ temperature: 1, outcome: 'flat' })
  })

  test('stops at its limits', () => {
    expect(fitTemperature([0, 1], [1, 2, 2, 1], 2)).toMatchObject({ temperature: 1000, outcome: 'limit' })
    const tiny = [1e-9, 0, 0, 1e-9, 0, 1e-9]
    expect(fitTemperature([0, 1, 0], tiny, 2)).toMatchObject({ temperature: 0.001, outcome: 'limit' })
  })

  test('is undefined without examples and for logits that are not finite; a label must be a class', () => {
    expect(fitTemperature([], [], 2)).toBeUndefined()
    expect(fitTemperature([0], [NaN, 1], 2)).toBeUndefined()
    expect(fitBinaryTemperature([0], [Infinity])).toBeUndefined()
    expect(() => fitTemperature([2], [0, 1], 2)).toThrow('Row 0: label 2; there are 2 classes')
  })
})

describe('the threshold', () => {
  const twentieth = fc.nat(20).map(n => n / 20)
  const examples = fc.array(fc.tuple(fc.nat(1), twentieth), { minLength: 1, maxLength: 30 })
  const valueAt = (truth: number[], probabilities: number[], criterion: string, threshold: number) => {
    const both = [...decide(probabilities, 1, [threshold])].flatMap(positive => [1 - positive, positive])
    return measure({ kind: 'classes', names: ['no', 'yes'], truth, probabilities: both }, [criterion])[criterion]
  }

  test('is as good as any other, and its value is that of the decisions made with it', () => {
    const [criteria, others] = [fc.constantFrom(...THRESHOLD_CRITERIA), share]
    fc.assert(
      fc.property(examples, criteria, others, (rows, criterion, other) => {
        const [truth, probabilities] = [rows.map(([label]) => label), rows.map(([, p]) => p)]
        const best = bestThreshold(truth, probabilities, criterion)
        if (!best?.found) return
        expect(valueAt(truth, probabilities, criterion, best.threshold)).toBeCloseTo(best.value ?? NaN, 12)
        expect(valueAt(truth, probabilities, criterion, other) ?? 0).toBeLessThanOrEqual((best.value ?? NaN) + 1e-12)
        expect(best.atHalf).toBeLessThanOrEqual(best.value ?? NaN)
      }),
    )
  })

  test('does not depend on the order of examples', () => {
    fc.assert(
      fc.property(examples, rows => {
        const of = (some: typeof rows) =>
          bestThreshold(
            some.map(([label]) => label),
            some.map(([, p]) => p),
          )
        expect(of(rows.toReversed())).toEqual(of(rows))
      }),
    )
  })

  test('lies midway between the probabilities that it parts; of several as good, nearest to ½', () => {
    expect(bestThreshold([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9])?.threshold).toBeCloseTo(0.4, 12)
    expect(bestThreshold([1, 0, 0, 1], [0.1, 0.45, 0.5, 0.9], 'accuracy')).toMatchObject({ value: 0.75, found: true })
    expect(bestThreshold([1, 0, 0, 1], [0.1, 0.45, 0.5, 0.9], 'accuracy')?.threshold).toBeCloseTo(0.7, 12)
    // None and all taken for positive are as good here: ¾ and ¼, as far from ½; the lower is taken.
    expect(bestThreshold([1, 0], [0.5, 0.5], 'accuracy')?.threshold).toBe(0.25)
  })

  test('parts probabilities that have none between them', () => {
    const above = 0.3 + 2 ** -54
    expect(above).toBeGreaterThan(0.3)
    const best = bestThreshold([0, 1], [0.3, above])
    expect(best?.value).toBe(1)
    expect([...decide([0.3, above], 1, [best?.threshold ?? NaN])]).toEqual([0, 1])
  })

  test('can take all for positive, even a probability of 0, and none, even one of 1', () => {
    const all = bestThreshold([1, 0, 1], [0, 0.2, 0.1])
    expect([...decide([0], 1, [all?.threshold ?? NaN])]).toEqual([1])
    const none = bestThreshold([0, 0, 1], [1, 1, 0.5], 'accuracy')
    expect([none?.value, ...decide([1], 1, [none?.threshold ?? NaN])]).toEqual([2 / 3, 0])
  })

  test('stays ½ where all examples are of one kind, and is undefined without examples or for no probabilities', () => {
    for (const kind of [0, 1]) {
      for (const criterion of THRESHOLD_CRITERIA) {
        const { value, ...rest } = bestThreshold([kind, kind], [0.4, 0.9], criterion) ?? {}
        expect(rest).toMatchObject({ threshold: 0.5, found: false })
        expect(value).not.toBeNaN()
      }
    }
    expect(bestThreshold([], [])).toBeUndefined()
    expect(bestThreshold([0, 1], [0.5, NaN])).toBeUndefined()
    expect(bestThreshold([0, 1], [0.5, 1.5])).toBeUndefined()
  })

  test('of each label is that of the label alone', () => {
    const [truth, probabilities] = [
      [0, 1, 1, 0, 1, 1],
      [0.2, 0.8, 0.3, 0.7, 0.4, 0.75],
    ]
    const column = (values: number[], label: number): number[] => values.filter((_, i) => i % 2 === label)
    expect(bestThresholds(truth, probabilities, 2)).toEqual(
      [0, 1].map(label => bestThreshold(column(truth, label), column(probabilities, label))),
    )
    expect([...decide(probabilities, 2, [0.25, 0.78])]).toEqual([0, 1, 1, 0, 1, 0])
    expect([...decide([0.5, 0.6], 1)]).toEqual([0, 1])
  })
})

describe('intervals', () => {
  test('Wilson’s lies within 0 and 1 and holds the fraction seen', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.nat(1000), (a, b) => {
        const [successes, trials] = [Math.min(a, b), Math.max(a, b)]
        const found = wilson(successes, trials)
        if (!found) {
          expect(trials).toBe(0)
          return
        }
        const seen = successes / trials
        expect(found.low >= 0 && found.low <= seen && found.high >= seen && found.high <= 1).toBe(true)
      }),
    )
    const trials = Array.from({ length: 300 }, (_, i) => i + 1)
    expect(trials.filter(n => wilson(n, n)?.high !== 1 || wilson(0, n)?.low !== 0)).toEqual([])
    expect(() => wilson(2, 1)).toThrow(RangeError)
  })

  test('the bootstrap’s of a mean is about that of the normal distribution', () => {
    const random = stream(5, 'sample')
    const values = Array.from({ length: 400 }, () => random.normal())
    const mean = (indices: Uint32Array): number => indices.reduce((sum, i) => sum + values[i], 0) / indices.length
    const whole = mean(Uint32Array.from(values, (_, i) => i))
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - whole) ** 2, 0) / values.length)
    const half = (1.96 * deviation) / Math.sqrt(values.length)
    const found = bootstrap(values.length, mean, { seed: 1, resamples: 800 })
    expect((whole - (found?.low ?? NaN)) / half).toSatisfy((r: number) => Math.abs(r - 1) < 0.1)
    expect(((found?.high ?? NaN) - whole) / half).toSatisfy((r: number) => Math.abs(r - 1) < 0.1)
    expect(bootstrap(values.length, mean, { seed: 1, resamples: 800 })).toEqual(found)
    expect(bootstrap(values.length, mean, { seed: 2, resamples: 800 })).not.toEqual(found)
  })

  test('the bootstrap leaves out draws for which the metric is undefined', () => {
    const firstOnly = (indices: Uint32Array): number | undefined => (indices.includes(0) ? 3 : undefined)
    expect(bootstrap(5, firstOnly, { seed: 0, resamples: 50 })).toEqual({ low: 3, high: 3 })
    expect(bootstrap(5, () => undefined, { seed: 0, resamples: 50 })).toBeUndefined()
    expect(bootstrap(0, () => 1, { seed: 0 })).toBeUndefined()
    expect(() => bootstrap(5, () => 1, { seed: 0, resamples: 0 })).toThrow(RangeError)
  })
})
