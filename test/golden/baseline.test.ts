// Features and linear models of baselines against scikit-learn's, on bundled texts.
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { logisticLoss, softmaxLoss, squaredHingeLoss } from '../../train/baseline/losses.ts'
import { fitNaiveBayes, logCountRatio } from '../../train/baseline/naive-bayes.ts'
import { solveNewton } from '../../train/baseline/newton.ts'
import { type SparseMatrix, multiply, scaleColumns } from '../../train/baseline/sparse.ts'
import { CorpusBuilder, learnVocabulary } from '../../train/baseline/vocabulary.ts'
import { learnWeighter, weigh } from '../../train/baseline/weighting.ts'
import { openCsv } from '../../train/data/csv.ts'
import { readExamples } from '../../train/data/examples.ts'
import { fileStream } from '../../train/node/data/files.ts'

type ByFeature<T> = Readonly<Record<string, T>>

interface Case {
  readonly path: string
  readonly label: string
  readonly count: number
  readonly ngrams: number
  readonly minDocuments: number
  readonly features: number
  readonly counts: ByFeature<number>
  readonly tfidf: readonly ByFeature<number>[]
  readonly sublinear: readonly ByFeature<number>[]
  readonly naiveBayes: {
    readonly alpha: number
    readonly logPriors: readonly number[]
    readonly logLikelihoods: ByFeature<readonly number[]>
    readonly logPosteriors: readonly (readonly number[])[]
  }
  readonly logistic: {
    readonly c: number
    readonly weights: ByFeature<readonly number[]>
    readonly intercepts: readonly number[]
    readonly probabilities: readonly (readonly number[])[]
  }
  readonly ratios?: ByFeature<number>
  readonly nbSvm?: { readonly c: number; readonly weights: ByFeature<number>; readonly intercept: number }
  readonly hinge?: { readonly c: number; readonly weights: ByFeature<number>; readonly intercept: number }
}

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const expected: { readonly reviews: Case; readonly genres: Case } = JSON.parse(
  await readFile(at('baseline/expected.json'), 'utf8'),
)

/** The case's texts, split at blanks as its script splits them, as counts and classes. */
async function countedCase({ path, label, count, ngrams, minDocuments }: Case) {
  const file = at(`../../train/node/bundled/${path}`)
  const { examples } = await readExamples(await openCsv(fileStream(file), file), { labelColumn: label })
  const rows = examples.slice(0, count).map(({ text, label }) => ({ text: String(text), label: String(label) }))
  const names = [...new Set(rows.map(row => row.label))].sort()
  const corpus = new CorpusBuilder()
  for (const { text } of rows) corpus.add(text.toLowerCase().split(/\s+/).filter(Boolean))
  const documents = corpus.build()
  const vocabulary = learnVocabulary(documents, { longest: ngrams, minDocuments })
  return {
    vocabulary,
    counts: vocabulary.count(documents),
    truth: rows.map(row => names.indexOf(row.label)),
    classes: names.length,
    features: Array.from({ length: vocabulary.size }, (_, feature) => vocabulary.nameOf(feature)),
  }
}

/** A row's entries by the names of the features. */
const rowOf = ({ starts, indices, values }: SparseMatrix, features: readonly string[], row: number) =>
  Object.fromEntries(
    Array.from(indices.slice(starts[row], starts[row + 1]), (feature, i) => [
      features[feature],
      values[starts[row] + i],
    ]),
  )

/** The largest difference between two records with the same keys. */
function difference(ours: ByFeature<number>, theirs: ByFeature<number>): number {
  expect(Object.keys(ours).sort()).toEqual(Object.keys(theirs).sort())
  return Math.max(...Object.keys(ours).map(name => Math.abs(ours[name] - theirs[name])))
}

const EXACT = { tolerance: 1e-9, mostIterations: 200 }

describe.each([
  ['reviews', expected.reviews],
  ['genres', expected.genres],
])('%s', (_, want) => {
  test('n-grams and their counts are those of CountVectorizer', async () => {
    const { counts, features } = await countedCase(want)
    const totals = new Map(features.map(name => [name, 0]))
    counts.indices.forEach((feature, i) =>
      totals.set(features[feature], (totals.get(features[feature]) ?? 0) + counts.values[i]),
    )
    expect(Object.fromEntries(totals)).toEqual(want.counts)
  })

  test('TF-IDF is that of TfidfTransformer, with counts and with their logarithms', async () => {
    const { counts, features } = await countedCase(want)
    for (const kind of ['tfidf', 'sublinear'] as const) {
      const matrix = weigh(counts, learnWeighter(counts, 'tfidf', kind === 'sublinear'))
      want[kind].forEach((row, i) => expect(difference(rowOf(matrix, features, i), row)).toBeLessThan(1e-7))
    }
  })

  test('naive Bayes has the logarithms of MultinomialNB', async () => {
    const { counts, truth, classes, features } = await countedCase(want)
    const { alpha, logPriors, logLikelihoods, logPosteriors } = want.naiveBayes
    const fitted = fitNaiveBayes(counts, truth, classes, alpha)
    fitted.logPriors.forEach((value, k) => expect(value).toBeCloseTo(logPriors[k], 8))
    for (let k = 0; k < classes; k++) {
      const ours = Object.fromEntries(features.map((name, j) => [name, fitted.logLikelihoods[k * features.length + j]]))
      const theirs = Object.fromEntries(Object.entries(logLikelihoods).map(([name, values]) => [name, values[k]]))
      expect(difference(ours, theirs)).toBeLessThan(1e-8)
    }
    logPosteriors.forEach((row, i) => {
      const { starts, indices, values } = counts
      const joint = Array.from({ length: classes }, (_, k) => {
        let sum = fitted.logPriors[k]
        for (let e = starts[i]; e < starts[i + 1]; e++)
          sum += values[e] * fitted.logLikelihoods[k * features.length + indices[e]]
        return sum
      })
      const most = Math.max(...joint)
      const total = most + Math.log(joint.reduce((sum, one) => sum + Math.exp(one - most), 0))
      joint.forEach((value, k) => expect(value - total).toBeCloseTo(row[k], 7))
    })
  })

  test('logistic regression has the coefficients of LogisticRegression', async () => {
    const { counts, truth, classes, features } = await countedCase(want)
    const { c, weights, intercepts, probabilities } = want.logistic
    const matrix = weigh(counts, learnWeighter(counts, 'tfidf', false))
    const loss = classes === 2 ? logisticLoss(truth) : softmaxLoss(truth, classes)
    const solution = await solveNewton(matrix, loss, { ...EXACT, c })
    expect(solution.converged).toBe(true)
    const { outputs } = loss
    for (let k = 0; k < outputs; k++) {
      const ours = Object.fromEntries(features.map((name, j) => [name, solution.weights[j * outputs + k]]))
      const theirs = Object.fromEntries(Object.entries(weights).map(([name, values]) => [name, values[k]]))
      expect(difference(ours, theirs)).toBeLessThan(1e-5)
    }
    // Of several classes only differences of intercepts mean anything.
    const own = Array.from(solution.weights.subarray(features.length * outputs))
    const centred = (values: readonly number[]): number[] =>
      outputs === 1 ? [...values] : values.map(value => value - values.reduce((a, b) => a + b, 0) / outputs)
    centred(own).forEach((value, k) => expect(value).toBeCloseTo(centred(intercepts)[k], 5))
    const scores = new Float64Array(matrix.rows * outputs)
    multiply(matrix, solution.weights, outputs, scores)
    probabilities.forEach((row, i) => {
      const logits = outputs === 1 ? [0, scores[i]] : Array.from(scores.subarray(i * outputs, (i + 1) * outputs))
      const powers = logits.map(Math.exp)
      const sum = powers.reduce((a, b) => a + b, 0)
      powers.forEach((power, k) => expect(power / sum).toBeCloseTo(row[k], 6))
    })
  })
})

test('NB-SVM has the ratios of its paper, and the weights of scikit-learn and of an SVM at its optimum', async () => {
  const { ratios = {}, nbSvm, hinge } = expected.reviews
  const { counts, truth, features } = await countedCase(expected.reviews)
  const presence = weigh(counts, learnWeighter(counts, 'presence', false))
  const ours = logCountRatio(presence, truth, 1)
  expect(difference(Object.fromEntries(features.map((name, j) => [name, ours[j]])), ratios)).toBeLessThan(1e-8)
  const scaled = scaleColumns(presence, ours)
  for (const [want, loss] of [
    [nbSvm, logisticLoss(truth)],
    [hinge, squaredHingeLoss(truth)],
  ] as const) {
    if (!want) throw new Error('the fixture has no NB-SVM')
    const { weights, converged } = await solveNewton(scaled, loss, { ...EXACT, c: want.c })
    expect(converged).toBe(true)
    const folded = Object.fromEntries(features.map((name, j) => [name, weights[j] * ours[j]]))
    expect(difference(folded, want.weights)).toBeLessThan(1e-5)
    expect(weights[features.length]).toBeCloseTo(want.intercept, 5)
  }
})
