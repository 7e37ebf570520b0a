// Metrics against scikit-learn, scipy, seqeval and statsmodels, on random and on degenerate cases: golden/metrics.
import { readFile } from 'node:fs/promises'
import { type TestContext, describe, expect, test } from 'vitest'
import { classWeights } from '../../train/class-weights.ts'
import { type ReliabilityBin, reliability } from '../../train/metrics/calibration.ts'
import type { SchemeName } from '../../train/metrics/entities.ts'
import { type Summary, type TagResults, summarise } from '../../train/metrics/summary.ts'
import { type Temperature, fitBinaryTemperature, fitTemperature } from '../../train/metrics/temperature.ts'
import { THRESHOLD_CRITERIA, type ThresholdCriterion, bestThreshold, decide } from '../../train/metrics/thresholds.ts'
import { studentQuantile } from '../../train/metrics/means.ts'
import { holm, mcnemar, mcnemarOf } from '../../train/metrics/paired.ts'
import { wilson } from '../../train/metrics/uncertainty.ts'
import { quantile } from '../../train/metrics/values.ts'
import { expectWithin } from '../support/differences.ts'

type Value = number | null
type Metrics = Readonly<Record<string, Value>>
/** Precision, recall, F1 and support, each by class. */
type Scores = readonly (readonly number[])[] | null

interface Scored {
  readonly name: string
  readonly truth: readonly number[]
  readonly probabilities: readonly number[]
  readonly expected: {
    readonly metrics: Metrics
    readonly classes: Scores
    readonly rocAucs: readonly Value[]
    readonly averagePrecisions: readonly Value[]
    readonly confusion?: readonly (readonly number[])[] | null
  }
}

interface TagScores {
  readonly metrics: Metrics
  readonly types: readonly string[]
  readonly classes: Scores
}

interface Curve {
  readonly counts: readonly number[]
  readonly accuracy: readonly number[]
  readonly confidence: readonly number[]
  readonly error: number
}

interface Fit {
  readonly name: string
  readonly truth: readonly number[]
  readonly logits: readonly number[]
  readonly expected: { readonly temperature: number; readonly before: number; readonly after: number }
}

interface Expected {
  readonly classes: readonly (Scored & { readonly classes: number })[]
  readonly labels: readonly (Scored & { readonly labels: number })[]
  readonly regression: readonly {
    readonly name: string
    readonly truth: readonly number[]
    readonly predicted: readonly number[]
    readonly expected: Metrics
  }[]
  readonly tokens: readonly {
    readonly name: string
    readonly truth: readonly string[][]
    readonly predicted: readonly string[][]
    readonly scheme: SchemeName | null
    readonly lenient: TagScores
    readonly strict: TagScores | null
  }[]
  readonly calibration: readonly {
    readonly name: string
    readonly confidence: readonly number[]
    readonly right: readonly number[]
    readonly expected: { readonly uniform: Curve; readonly quantile: Curve | null }
  }[]
  readonly temperature: readonly (Fit & { readonly classes: number })[]
  readonly binaryTemperature: readonly Fit[]
  readonly thresholds: readonly {
    readonly name: string
    readonly truth: readonly number[]
    readonly probabilities: readonly number[]
    readonly expected: Readonly<Record<ThresholdCriterion, { value: number; threshold: number; atHalf: number }>>
  }[]
  readonly classWeights: readonly {
    readonly counts: readonly number[]
    readonly balanced: Readonly<Record<string, number>>
  }[]
  readonly wilson: readonly (readonly [number, number, number, number])[]
  readonly mcnemar: readonly {
    readonly onlyFirst: number
    readonly onlySecond: number
    readonly exact: number
    readonly statistic: number
    readonly approximate: number
  }[]
  readonly holm: readonly { readonly p: readonly number[]; readonly corrected: readonly number[] }[]
  readonly student: readonly (readonly [degrees: number, level: number, quantile: number])[]
  readonly quantiles: Readonly<Record<'sorted' | 'at' | 'values', readonly number[]>>
}

const expected = JSON.parse(await readFile(new URL('metrics/expected.json', import.meta.url), 'utf8')) as Expected

const BAR = 1e-9

/** |a − b|; relative where numbers are large. Infinite where only one is defined. */
function difference(found: number | undefined, wanted: Value): number {
  if (wanted === null || found === undefined) return wanted === null && found === undefined ? 0 : Infinity
  return Math.abs(found - wanted) / Math.max(1, Math.abs(wanted))
}

/** Every metric expected is there, equal, or both are undefined. */
function expectMetrics(context: TestContext, what: string, found: Summary['metrics'], wanted: Metrics): void {
  for (const [name, value] of Object.entries(wanted)) {
    expect(Object.keys(found)).toContain(name)
    expectWithin(context, {
      what: `metrics: ${what}`,
      at: `${context.task.name}: ${name}`,
      worst: difference(found[name], value),
      bar: BAR,
    })
  }
}

function expectNumbers(
  context: TestContext,
  what: string,
  found: readonly (number | undefined)[],
  wanted: readonly Value[],
): void {
  expect(found).toHaveLength(wanted.length)
  const worst = Math.max(0, ...wanted.map((value, i) => difference(found[i], value)))
  expectWithin(context, { what: `metrics: ${what}`, at: context.task.name, worst, bar: BAR })
}

function expectClasses(context: TestContext, { classes }: Summary, wanted: Scores): void {
  if (!wanted) return
  const columns = (['precision', 'recall', 'f1', 'support'] as const).map(score => classes.map(row => row[score]))
  columns.forEach((column, i) => expectNumbers(context, 'scores of each class', column, wanted[i]))
}

function expectRanking(
  context: TestContext,
  what: string,
  { classes, rows }: Summary,
  { rocAucs, averagePrecisions }: Scored['expected'],
): void {
  if (rows === 0) return
  expectNumbers(
    context,
    what,
    classes.map(row => row.rocAuc),
    rocAucs,
  )
  expectNumbers(
    context,
    what,
    classes.map(row => row.averagePrecision),
    averagePrecisions,
  )
}

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `class ${i}`)

describe('one label an example, as scikit-learn has it', () => {
  test.for(expected.classes)('$name', ({ classes, truth, probabilities, expected: wanted }, context) => {
    const summary = summarise({ kind: 'classes', names: names(classes), truth, probabilities })
    expect(summary.rows).toBe(truth.length)
    expectMetrics(context, 'one label', summary.metrics, wanted.metrics)
    // What else there is has no counterpart there.
    expect(Object.keys(summary.metrics).filter(name => !(name in wanted.metrics))).toEqual(['calibration_error'])
    expectClasses(context, summary, wanted.classes)
    if (wanted.confusion) expect(summary.confusion).toEqual(wanted.confusion)
    expectRanking(context, 'one class against the rest', summary, wanted)
  })
})

describe('several labels at once, as scikit-learn has them', () => {
  test.for(expected.labels)('$name', ({ labels, truth, probabilities, expected: wanted }, context) => {
    const summary = summarise({ kind: 'labels', names: names(labels), truth, probabilities })
    expectMetrics(context, 'several labels', summary.metrics, wanted.metrics)
    expect(Object.keys(summary.metrics).filter(name => !(name in wanted.metrics))).toEqual(['calibration_error'])
    expectClasses(context, summary, wanted.classes)
    expectRanking(context, 'one label alone', summary, wanted)
  })
})

describe('numbers, as scikit-learn and scipy have them', () => {
  test.for(expected.regression)('$name', ({ truth, predicted, expected: wanted }, context) => {
    const { metrics } = summarise({ kind: 'regression', truth, predicted })
    expect(Object.keys(metrics)).toEqual(Object.keys(wanted))
    expectMetrics(context, 'regression', metrics, wanted)
  })
})

describe('entities, as seqeval has them', () => {
  const expectTags = (context: TestContext, results: TagResults, wanted: TagScores): void => {
    const summary = summarise(results)
    expect(Object.keys(summary.metrics).sort()).toEqual(Object.keys(wanted.metrics).sort())
    expectMetrics(context, 'entities', summary.metrics, wanted.metrics)
    expect(summary.classes.map(row => row.name)).toEqual(wanted.types)
    expectClasses(context, summary, wanted.classes)
  }

  test.for(expected.tokens)('leniently: $name', ({ truth, predicted, lenient }, context) =>
    expectTags(context, { kind: 'tokens', truth, predicted }, lenient),
  )

  test.for(expected.tokens)('strictly: $name', ({ truth, predicted, scheme, strict }, context) => {
    if (!scheme || !strict) {
      const odd = (): Summary => summarise({ kind: 'tokens', truth, predicted, scheme: 'IOB2' })
      return expect(odd).toThrow('IOB2 has I, O, B')
    }
    expectTags(context, { kind: 'tokens', truth, predicted, scheme }, strict)
  })
})

describe('calibration, as scikit-learn has its curve', () => {
  const filled = (bins: readonly ReliabilityBin[]): ReliabilityBin[] => bins.filter(({ count }) => count > 0)

  test.for(expected.calibration)('$name', ({ confidence, right, expected: wanted }, context) => {
    const of = { confidence: Float64Array.from(confidence), right: Uint8Array.from(right) }
    for (const [by, curve] of [
      ['width', wanted.uniform],
      ['mass', wanted.quantile],
    ] as const) {
      if (!curve) continue
      const { bins, error } = reliability(of, 15, by) ?? { bins: [], error: undefined }
      expect(bins.map(({ count }) => count)).toEqual(curve.counts)
      expectNumbers(
        context,
        'reliability',
        filled(bins).map(bin => bin.accuracy),
        curve.accuracy,
      )
      expectNumbers(
        context,
        'reliability',
        filled(bins).map(bin => bin.confidence),
        curve.confidence,
      )
      expectNumbers(context, 'expected calibration error', [error], [curve.error])
    }
  })
})

describe('temperatures, as scipy.optimize finds them', () => {
  const expectFit = (context: TestContext, fit: Temperature | undefined, { name, expected: wanted }: Fit): void => {
    const isLimit = wanted.temperature > 999
    expect(fit?.outcome).toBe(isLimit ? 'limit' : 'fitted')
    expectWithin(context, {
      what: 'temperature, relative',
      at: name,
      bar: 1e-6,
      worst: difference(fit && fit.temperature / wanted.temperature, 1),
    })
    expectNumbers(context, 'likelihood before and after', [fit?.before, fit?.after], [wanted.before, wanted.after])
  }

  test.for(expected.temperature)('one label: $name', (one, context) =>
    expectFit(context, fitTemperature(one.truth, one.logits, one.classes), one),
  )

  test.for(expected.binaryTemperature)('several: $name', (one, context) =>
    expectFit(context, fitBinaryTemperature(one.truth, one.logits), one),
  )
})

describe('thresholds, as a search through all finds them', () => {
  const cases = expected.thresholds.flatMap(one => THRESHOLD_CRITERIA.map(criterion => ({ ...one, criterion })))
  test.for(cases)('$criterion: $name', ({ truth, probabilities, criterion, expected: all }, context) => {
    const { value, threshold, atHalf } = all[criterion]
    const best = bestThreshold(truth, probabilities, criterion)
    expect(best?.found).toBe(true)
    expectNumbers(context, 'thresholds', [best?.value, best?.threshold, best?.atHalf], [value, threshold, atHalf])
    // The value is that of decisions made with it.
    const decided = decide(probabilities, 1, [threshold])
    const certain = [...decided].flatMap(positive => [1 - positive, positive])
    const { metrics } = summarise({ kind: 'classes', names: names(2), truth, probabilities: certain })
    expectNumbers(context, 'thresholds', [metrics[criterion]], [value])
  })
})

describe('intervals and tests', () => {
  test('Wilson’s interval is that of statsmodels', context => {
    for (const [successes, trials, low, high] of expected.wilson) {
      const found = wilson(successes, trials)
      expectNumbers(context, 'Wilson’s interval', [found?.low, found?.high], [low, high])
    }
  })

  const title = 'McNemar’s test of $onlyFirst against $onlySecond is that of statsmodels and scipy'
  test.for(expected.mcnemar)(title, ({ onlyFirst, onlySecond, exact, statistic, approximate }, context) => {
    const found = mcnemarOf(onlyFirst, onlySecond)
    const values = [found.exact, found.statistic, found.approximate]
    expectNumbers(context, 'McNemar’s test', values, [exact, statistic, approximate])
    // Small probabilities to as many digits.
    if (exact > 0)
      expectNumbers(context, 'McNemar’s test', [found.exact / exact, found.approximate / approximate], [1, 1])
    // Examples that both, only the first, only the second, and neither gets right.
    const of = (a: boolean, b: boolean, count: number) => new Array<readonly [boolean, boolean]>(count).fill([a, b])
    const rows = [
      ...of(true, true, 50),
      ...of(true, false, onlyFirst),
      ...of(false, true, onlySecond),
      ...of(false, false, 20),
    ]
    const { onlyA, onlyB, p } = mcnemar(
      rows.map(([a]) => a),
      rows.map(([, b]) => b),
    )
    expect([onlyA, onlyB]).toEqual([onlyFirst, onlySecond])
    expectNumbers(context, 'McNemar’s test', [p], [onlyFirst + onlySecond < 1000 ? exact : approximate])
  })

  test.for(expected.holm)('Holm’s correction of $p is that of statsmodels', ({ p, corrected }, context) => {
    expectNumbers(context, 'Holm’s correction', holm(p), corrected)
  })

  test('quantiles of Student’s distribution are those of scipy', context => {
    const found = expected.student.map(([degrees, level]) => studentQuantile(degrees, level))
    expectNumbers(
      context,
      'Student’s quantiles',
      found,
      expected.student.map(([, , quantile]) => quantile),
    )
  })

  test('quantiles are those of NumPy', context => {
    const { sorted, at, values } = expected.quantiles
    expectNumbers(
      context,
      'quantiles',
      at.map(part => quantile(sorted, part)),
      values,
    )
  })
})

test('balanced class weights are those of scikit-learn', context => {
  for (const { counts, balanced } of expected.classWeights) {
    expectNumbers(
      context,
      'class weights',
      classWeights('balanced', counts),
      counts.map((_, c) => balanced[c] ?? 1),
    )
  }
})
