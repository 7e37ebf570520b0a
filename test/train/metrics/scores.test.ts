// What must hold of scores whatever the data: invariances, identities between metrics, and values that are not defined.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  accuracy,
  averageScore,
  balancedAccuracy,
  countRows,
  hammingLoss,
  matthews,
  occurring,
  rowsOfClasses,
  rowsOfLabels,
  subsetAccuracy,
} from '../../../train/metrics/counts.ts'
import {
  SCHEME_NAMES,
  compareSequences,
  entitiesOf,
  rowsOfEntities,
  tagAccuracy,
} from '../../../train/metrics/entities.ts'
import { binaryBrier, binaryLogLoss, brier, logLoss, sigmoid, softmax } from '../../../train/metrics/probabilities.ts'
import { averagePrecision, rank, rocAuc } from '../../../train/metrics/ranking.ts'
import {
  averageRanks,
  kendall,
  meanAbsoluteError,
  meanSquaredError,
  pearson,
  r2,
  spearman,
} from '../../../train/metrics/regression.ts'

const CLASSES = 4
/** Label and predicted class of each example. */
const pairs = fc.array(fc.tuple(fc.nat(CLASSES - 1), fc.nat(CLASSES - 1)), { minLength: 1, maxLength: 40 })
/** Whether an example is positive, and its score, with many ties. */
const scored = fc.array(fc.tuple(fc.nat(1), fc.integer({ min: -5, max: 5 })), { minLength: 1, maxLength: 40 })
const numbers = fc.array(fc.tuple(fc.integer({ min: -4, max: 4 }), fc.double({ min: -9, max: 9, noNaN: true })), {
  minLength: 2,
  maxLength: 30,
})
const columns = <A, B>(rows: readonly (readonly [A, B])[]): [A[], B[]] => [rows.map(([a]) => a), rows.map(([, b]) => b)]

/** Equal up to rounding, or both undefined. */
function expectClose(found: number | undefined, wanted: number | undefined): void {
  if (wanted === undefined) expect(found).toBeUndefined()
  else expect(found).toBeCloseTo(wanted, 10)
}

describe('scores of one label an example', () => {
  const countsOf = (rows: readonly (readonly [number, number])[]) => countRows(rowsOfClasses(...columns(rows), CLASSES))

  test('micro-averaged F1, precision and recall are the accuracy', () => {
    fc.assert(
      fc.property(pairs, rows => {
        const counts = countsOf(rows)
        for (const score of ['f1', 'precision', 'recall'] as const) {
          expectClose(averageScore(counts, score, 'micro'), accuracy(counts))
        }
        expectClose(averageScore(counts, 'recall', 'weighted'), accuracy(counts))
      }),
    )
  })

  test('renumbering the classes changes no average', () => {
    const orders = fc.shuffledSubarray([0, 1, 2, 3], { minLength: CLASSES })
    fc.assert(
      fc.property(pairs, orders, (rows, order) => {
        const renumbered = countsOf(rows.map(([label, found]) => [order[label], order[found]]))
        const counts = countsOf(rows)
        for (const average of ['macro', 'weighted'] as const) {
          expectClose(
            averageScore(occurring(renumbered), 'f1', average),
            averageScore(occurring(counts), 'f1', average),
          )
        }
        expectClose(matthews(renumbered), matthews(counts))
        expectClose(balancedAccuracy(renumbered), balancedAccuracy(counts))
      }),
    )
  })

  test('exchanging labels and predictions exchanges precision and recall, and keeps F1 and Matthews', () => {
    fc.assert(
      fc.property(pairs, rows => {
        const [counts, exchanged] = [countsOf(rows), countsOf(rows.map(([label, found]) => [found, label]))]
        expectClose(averageScore(exchanged, 'precision', 'macro'), averageScore(counts, 'recall', 'macro'))
        expectClose(averageScore(exchanged, 'f1', 'macro'), averageScore(counts, 'f1', 'macro'))
        expectClose(matthews(exchanged), matthews(counts))
      }),
    )
  })

  test('Matthews of two classes is the correlation of labels and predictions', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(1), fc.nat(1)), { minLength: 2 }), rows => {
        const [labels, predicted] = columns(rows)
        expectClose(matthews(countRows(rowsOfClasses(labels, predicted, 2))), pearson(labels, predicted) ?? 0)
      }),
    )
  })

  test('a label or a prediction that is not a class, and lists of different lengths, are refused', () => {
    expect(() => rowsOfClasses([4], [0], 4)).toThrow('Row 0: label 4, predicted 0; there are 4 classes')
    expect(() => rowsOfClasses([0, 1], [0, -1], 4)).toThrow('Row 1: label 1, predicted -1')
    expect(() => rowsOfClasses([0], [0.5], 4)).toThrow(RangeError)
    expect(() => rowsOfClasses([0, 1], [0], 4)).toThrow('predicted classes: 1 values, expected 2')
    expect(() => logLoss([2], [0.5, 0.5], 2)).toThrow('Row 0: label 2')
  })
})

test('of one label, subset accuracy and Hamming loss are complements, and macro and micro averages equal', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(1), fc.nat(1)), { minLength: 1 }), rows => {
      const [labels, predicted] = columns(rows)
      expectClose(subsetAccuracy(labels, predicted, 1), 1 - (hammingLoss(labels, predicted) ?? NaN))
      const counts = countRows(rowsOfLabels(labels, predicted, 1))
      expectClose(averageScore(counts, 'f1', 'macro'), averageScore(counts, 'f1', 'micro'))
    }),
  )
})

describe('ROC AUC and average precision', () => {
  test('AUC is the fraction of pairs of a positive and a negative example that are in order, ties counted half', () => {
    fc.assert(
      fc.property(scored, rows => {
        const of = (kind: number): number[] => rows.filter(([label]) => label === kind).map(([, score]) => score)
        const each = of(1).flatMap(positive => of(0).map(negative => (Math.sign(positive - negative) + 1) / 2))
        const mean = each.length === 0 ? undefined : each.reduce((sum, value) => sum + value, 0) / each.length
        expectClose(rocAuc(rank(...columns(rows))), mean)
      }),
    )
  })

  test('neither changes when scores are mapped by an increasing function, or examples are reordered', () => {
    fc.assert(
      fc.property(scored, fc.nat(), (rows, shift) => {
        const turned = [...rows.slice(shift % rows.length), ...rows.slice(0, shift % rows.length)].reverse()
        const mapped = rank(...columns(turned.map(([label, score]) => [label, Math.exp(score / 3) - 7] as const)))
        const ranked = rank(...columns(rows))
        expect(rocAuc(mapped)).toBe(rocAuc(ranked))
        expect(averagePrecision(mapped)).toBe(averagePrecision(ranked))
      }),
    )
  })

  test('AUC of negated scores is its complement', () => {
    fc.assert(
      fc.property(scored, rows => {
        const area = rocAuc(rank(...columns(rows)))
        const negated = rocAuc(rank(...columns(rows.map(([label, score]) => [label, -score] as const))))
        expectClose(negated, area === undefined ? undefined : 1 - area)
      }),
    )
  })

  test('both are undefined for scores that are not finite, and AUC for one kind of examples', () => {
    for (const score of [NaN, Infinity, -Infinity]) {
      const ranked = rank([0, 1], [0, score])
      expect([rocAuc(ranked), averagePrecision(ranked)]).toEqual([undefined, undefined])
    }
    expect(rocAuc(rank([1, 1], [0, 1]))).toBeUndefined()
    expect(averagePrecision(rank([], []))).toBeUndefined()
  })
})

describe('metrics of numbers', () => {
  test('rank correlations do not change when a list is mapped by an increasing function', () => {
    fc.assert(
      fc.property(numbers, rows => {
        const [truth, predicted] = columns(rows)
        const cubed = truth.map(value => value ** 3 + 5)
        expect(spearman(cubed, predicted)).toBe(spearman(truth, predicted))
        expect(kendall(cubed, predicted)).toBe(kendall(truth, predicted))
      }),
    )
  })

  test('Pearson and R² are those of shifted and scaled numbers', () => {
    const digit = fc.integer({ min: -9, max: 9 })
    fc.assert(
      fc.property(fc.array(fc.tuple(digit, digit), { minLength: 2 }), rows => {
        const [truth, predicted] = columns(rows)
        const map = (value: number): number => 2 * value + 8
        expectClose(pearson(truth.map(map), predicted), pearson(truth, predicted))
        expectClose(r2(truth.map(map), predicted.map(map)), r2(truth, predicted))
      }),
    )
  })

  test('Kendall’s τ is that of all pairs', () => {
    const rated = fc.array(fc.tuple(fc.nat(5), fc.nat(5)), { minLength: 2, maxLength: 25 })
    fc.assert(
      fc.property(rated, rows => {
        const each = rows.flatMap(([a, b], i) =>
          rows.slice(i + 1).map(([c, d]) => [Math.sign(a - c), Math.sign(b - d)]),
        )
        const sum = (of: (x: number, y: number) => number): number =>
          each.reduce((total, [x, y]) => total + of(x, y), 0)
        const spread = Math.sqrt(sum(x => x * x)) * Math.sqrt(sum((_, y) => y * y))
        expectClose(kendall(...columns(rows)), spread === 0 ? undefined : sum((x, y) => x * y) / spread)
      }),
    )
  })

  test('ranks of equal values are the mean of theirs', () => {
    expect([...averageRanks([3, 1, 3, 2, 3])]).toEqual([4, 1, 4, 2, 4])
  })

  test('a constant is recognised although its mean is rounded', () => {
    const tenths = [0.1, 0.1, 0.1]
    expect(r2(tenths, [0.1, 0.1, 0.2])).toBe(0)
    expect(r2(tenths, tenths)).toBe(1)
    expect(pearson(tenths, [1, 2, 3])).toBeUndefined()
  })

  test('values that are not finite, or too large to square, leave metrics undefined', () => {
    for (const metric of [meanSquaredError, meanAbsoluteError, r2, pearson, spearman, kendall]) {
      expect(metric([1, 2, NaN], [1, 2, 3])).toBeUndefined()
      expect(metric([1, 2, 4], [1, Infinity, 3])).toBeUndefined()
    }
    expect(meanSquaredError([1e200, -1e200], [0, 0])).toBeUndefined()
    expect(pearson([1e200, 2e200, 4e200], [1e-200, 2e-200, 4e-200])).toBeCloseTo(1, 12)
    expect(() => r2([1, 2], [1])).toThrow(RangeError)
  })
})

describe('probabilities', () => {
  test('softmax and sigmoid stay in range for logits of any size, and agree for two classes', () => {
    expect([...softmax([1000, 0, -1000, -1000], 2)]).toEqual([1, 0, 0.5, 0.5])
    expect([...sigmoid([1000, -1000, 0])]).toEqual([1, 0, 0.5])
    const between = (min: number, max: number) => fc.double({ min, max, noNaN: true })
    fc.assert(
      fc.property(between(-40, 40), between(0.1, 9), (logit, t) => {
        expect(softmax([0, logit], 2, t)[1]).toBeCloseTo(sigmoid([logit], t)[0], 12)
      }),
    )
  })

  test('what is not a probability leaves log loss and Brier’s score undefined', () => {
    for (const wrong of [NaN, -0.1, 1.1]) {
      expect([logLoss([0], [wrong, 0.5], 2), brier([0], [wrong, 0.5], 2)]).toEqual([undefined, undefined])
      expect([binaryLogLoss([0], [wrong]), binaryBrier([0], [wrong])]).toEqual([undefined, undefined])
    }
  })
})

describe('entities', () => {
  /** Sequences of entities of up to three tokens as IOB2 writes them. */
  const written = fc
    .array(fc.tuple(fc.constantFrom('PER', 'LOC'), fc.nat(3)), { maxLength: 8 })
    .map(parts =>
      parts.flatMap(([type, length]) =>
        length === 0 ? ['O'] : Array.from({ length }, (_, i) => `${i === 0 ? 'B' : 'I'}-${type}`),
      ),
    )
  const anyTag = fc.constantFrom('O', 'B-PER', 'I-PER', 'E-PER', 'S-PER', 'B-LOC', 'I-LOC')
  const anyTags = fc.array(anyTag, { maxLength: 12 })

  test('of tags that obey IOB2 are the same leniently and strictly', () => {
    fc.assert(
      fc.property(written, tags => {
        expect(entitiesOf(tags)).toEqual(entitiesOf(tags, 'IOB2'))
      }),
    )
  })

  test('follow one another, and cover tags that are not O', () => {
    fc.assert(
      fc.property(anyTags, tags => {
        let last = -1
        for (const { start, end } of entitiesOf(tags)) {
          expect(start > last && end >= start).toBe(true)
          expect(tags.slice(start, end + 1)).not.toContain('O')
          last = end
        }
      }),
    )
  })

  test('of a sequence predicted as it is are all found', () => {
    fc.assert(
      fc.property(fc.array(anyTags), sequences => {
        const compared = compareSequences(sequences, sequences)
        const counts = countRows(rowsOfEntities(compared))
        expect([counts.hits, counts.labelled]).toEqual([counts.predicted, counts.predicted])
        expect(tagAccuracy(compared) ?? 1).toBe(1)
      }),
    )
  })

  test('of chosen sequences are counted as often as they are chosen', () => {
    const compared = compareSequences(
      [
        ['B-A', 'O'],
        ['B-B', 'B-A'],
      ],
      [
        ['B-A', 'O'],
        ['B-B', 'O'],
      ],
    )
    expect(countRows(rowsOfEntities(compared), Uint32Array.of(1, 1, 0))).toEqual({
      hits: Float64Array.of(1, 2),
      labelled: Float64Array.of(3, 2),
      predicted: Float64Array.of(1, 2),
      rows: 3,
    })
    expect(tagAccuracy(compared, Uint32Array.of(1, 1, 0))).toBe(4 / 6)
  })

  test('need tags that their scheme has, and as many predicted tags as there are', () => {
    for (const scheme of SCHEME_NAMES) {
      expect(() => entitiesOf(['X-PER'], scheme)).toThrow(`begins with X; ${scheme} has`)
    }
    expect(() => entitiesOf([''])).toThrow('empty')
    expect(() => compareSequences([['O', 'O']], [['O']])).toThrow('predicted tags of sequence 0: 1 values, expected 2')
  })
})
