// A baseline: words → n-grams → features → a linear model, fitted on labelled documents.
//
// Whatever is fitted, the scores of a text are its features times weights, plus biases. Naive Bayes and the ratios of
// NB-SVM are folded into the weights, so what is saved and what answers need is the same for all.
import { logisticLoss, softmaxLoss, squaredHingeLoss } from './losses.ts'
import { fitNaiveBayes, logCountRatio } from './naive-bayes.ts'
import { solveNewton } from './newton.ts'
import { type SparseMatrix, multiply, scaleColumns } from './sparse.ts'
import { type Corpus, type Vocabulary, learnVocabulary } from './vocabulary.ts'
import { type Weighter, type Weighting, learnWeighter, weigh } from './weighting.ts'

export const MODELS = ['nb', 'lr', 'nb-svm'] as const
export type ModelName = (typeof MODELS)[number]
export const LOSSES = ['logistic', 'squared-hinge'] as const

export interface FitOptions {
  readonly model: ModelName
  /** Words in the longest n-gram. */
  readonly ngrams: number
  readonly minDocuments: number
  readonly maxFeatures?: number
  readonly weighting: Weighting
  readonly sublinear: boolean
  /** Added to the counts of naive Bayes and of NB-SVM's ratios. */
  readonly smoothing: number
  /** The inverse of the penalty's strength, of logistic regression and NB-SVM. */
  readonly c: number
  /** NB-SVM's interpolation: 1 for the fitted weights alone, 0 for their mean magnitude, which is naive Bayes. */
  readonly beta: number
  /** Of NB-SVM. */
  readonly loss: (typeof LOSSES)[number]
}

/**
 * The labels of documents. With two classes there is one score, of the second class; with more, one for each; with
 * several labels at once, one for each, and `truth` is [documents, labels] of 0 and 1.
 */
export type Labels =
  | { readonly kind: 'classes'; readonly classes: number; readonly truth: ArrayLike<number> }
  | { readonly kind: 'labels'; readonly labels: number; readonly truth: ArrayLike<number> }

export interface LinearModel {
  readonly vocabulary: Vocabulary
  readonly weighter: Weighter
  /** [features + 1, outputs]; the last row contains the biases. */
  readonly weights: Float32Array
  readonly outputs: number
}

/** Called with the share of a fit that is done, from 0 to 1; awaited, so that the caller can let other work run. */
export type OnProgress = (done: number) => Promise<void> | void

/** Share of a fit's progress that counting n-grams is; the rest is the solver. */
const COUNTING = 0.5

/**
 * How close to the optimum a fit ends, as a share of the gradient's norm at the start: LIBLINEAR's default for two
 * classes of equal size. A fit to 1e-4 takes more than twice as many iterations.
 */
const TOLERANCE = 5e-3

/** Fits a model to the documents of a corpus. */
export async function fitModel(
  corpus: Corpus,
  labels: Labels,
  options: FitOptions,
  onProgress?: OnProgress,
): Promise<LinearModel> {
  await onProgress?.(0)
  const vocabulary = learnVocabulary(corpus, {
    longest: options.ngrams,
    minDocuments: options.minDocuments,
    maxFeatures: options.maxFeatures,
  })
  await onProgress?.(COUNTING / 2)
  const counts = vocabulary.count(corpus)
  const weighter = learnWeighter(counts, options.weighting, options.sublinear)
  const features = weigh(counts, weighter)
  await onProgress?.(COUNTING)
  const { weights, outputs } = await fitWeights(features, labels, options, done =>
    onProgress?.(COUNTING + (1 - COUNTING) * done),
  )
  await onProgress?.(1)
  return { vocabulary, weighter, weights: Float32Array.from(weights), outputs }
}

/** Weights, [features + 1, outputs]. */
interface Weights {
  readonly weights: Float64Array
  readonly outputs: number
}

async function fitWeights(
  features: SparseMatrix,
  labels: Labels,
  options: FitOptions,
  onProgress: OnProgress,
): Promise<Weights> {
  const problems = binaryProblems(labels, options.model)
  if (problems === undefined) {
    const { truth } = labels
    const classes = labels.kind === 'classes' ? labels.classes : labels.labels
    if (options.model === 'nb')
      return { weights: naiveBayesWeights(features, truth, classes, options), outputs: classes }
    const { weights } = await solveNewton(features, softmaxLoss(truth, classes), {
      c: options.c,
      tolerance: TOLERANCE,
      onProgress,
    })
    return { weights, outputs: classes }
  }
  const outputs = problems.length
  const weights = new Float64Array((features.columns + 1) * outputs)
  for (const [k, truth] of problems.entries()) {
    const one = await fitBinary(features, truth, options, done => onProgress((k + done) / outputs))
    for (let j = 0; j <= features.columns; j++) weights[j * outputs + k] = one[j]
  }
  return { weights, outputs }
}

/**
 * The truths of the problems of two classes that a fit consists of; undefined if it is a single problem of several
 * classes. NB-SVM, whose ratios are of two classes, sees each of several against the rest.
 */
function binaryProblems(labels: Labels, model: ModelName): readonly ArrayLike<number>[] | undefined {
  const { truth } = labels
  if (labels.kind === 'labels') {
    const rows = truth.length / labels.labels
    return Array.from({ length: labels.labels }, (_, k) =>
      Uint8Array.from({ length: rows }, (_, row) => truth[row * labels.labels + k]),
    )
  }
  if (labels.classes === 2) return [truth]
  if (model !== 'nb-svm') return undefined
  return Array.from({ length: labels.classes }, (_, k) =>
    Uint8Array.from({ length: truth.length }, (_, row) => (truth[row] === k ? 1 : 0)),
  )
}

/** Weights of one score, [features + 1]. */
async function fitBinary(
  features: SparseMatrix,
  truth: ArrayLike<number>,
  options: FitOptions,
  onProgress: OnProgress,
): Promise<Float64Array> {
  const { model, c } = options
  if (model === 'nb') {
    const both = naiveBayesWeights(features, truth, 2, options)
    return Float64Array.from({ length: features.columns + 1 }, (_, j) => both[2 * j + 1] - both[2 * j])
  }
  if (model === 'lr')
    return (await solveNewton(features, logisticLoss(truth), { c, tolerance: TOLERANCE, onProgress })).weights
  const ratios = logCountRatio(features, truth, options.smoothing)
  const loss = options.loss === 'logistic' ? logisticLoss(truth) : squaredHingeLoss(truth)
  const { weights } = await solveNewton(scaleColumns(features, ratios), loss, { c, tolerance: TOLERANCE, onProgress })
  return interpolated(weights, ratios, logPriorRatio(truth), options.beta)
}

/**
 * (1 − β) w̄ + β w of Wang and Manning, section 2.4, times the ratios; w̄ is the mean magnitude of the weights. The biases
 * are mixed alike: that of naive Bayes, which goes with the ratios, is the logarithm of the ratio of the classes.
 */
function interpolated(weights: Float64Array, ratios: Float64Array, prior: number, beta: number): Float64Array {
  const { length } = ratios
  let sum = 0
  for (let j = 0; j < length; j++) sum += Math.abs(weights[j])
  const mean = sum / Math.max(1, length)
  const mixed = new Float64Array(length + 1)
  for (let j = 0; j < length; j++) mixed[j] = ((1 - beta) * mean + beta * weights[j]) * ratios[j]
  mixed[length] = (1 - beta) * mean * prior + beta * weights[length]
  return mixed
}

/** ln of the share of the second of two classes over that of the first; both with one row more, so that it is finite. */
function logPriorRatio(truth: ArrayLike<number>): number {
  let second = 0
  for (let row = 0; row < truth.length; row++) second += truth[row] > 0.5 ? 1 : 0
  return Math.log((second + 1) / (truth.length - second + 1))
}

/** Logarithms of naive Bayes as weights and biases. A class without examples has a bias that excludes it. */
function naiveBayesWeights(
  features: SparseMatrix,
  truth: ArrayLike<number>,
  classes: number,
  { smoothing }: FitOptions,
): Float64Array {
  const { logPriors, logLikelihoods } = fitNaiveBayes(features, truth, classes, smoothing)
  const { columns } = features
  const weights = new Float64Array((columns + 1) * classes)
  for (let k = 0; k < classes; k++) {
    for (let j = 0; j < columns; j++) weights[j * classes + k] = logLikelihoods[k * columns + j]
    // ln 0 is −∞, which a file must not contain.
    weights[columns * classes + k] = Math.max(logPriors[k], -1e6)
  }
  return weights
}

/** Scores of documents, [documents, outputs]. */
export function scoresOf({ vocabulary, weighter, weights, outputs }: LinearModel, corpus: Corpus): Float64Array {
  const features = weigh(vocabulary.count(corpus), weighter)
  const scores = new Float64Array(features.rows * outputs)
  multiply(features, weights, outputs, scores)
  return scores
}

/** The features with the largest weights for a label. */
export interface Deciding {
  readonly label: string
  /** The strongest first, with what one of them adds to the label's score. */
  readonly features: readonly { readonly name: string; readonly weight: number }[]
}

/**
 * The `most` features with the largest weights for each label: of two classes those for and against the second; of
 * several by how far a weight is above the mean over the classes, since only differences count there.
 */
export function featuresThatDecide(
  { vocabulary, weights, outputs }: LinearModel,
  labels: readonly string[],
  most: number,
): Deciding[] {
  const isBinary = outputs === 1
  const weightOf = (feature: number, label: number): number => {
    if (isBinary) return label === 1 ? weights[feature] : -weights[feature]
    let sum = 0
    for (let k = 0; k < outputs; k++) sum += weights[feature * outputs + k]
    return weights[feature * outputs + label] - sum / outputs
  }
  return labels.map((label, k) => ({
    label,
    features: strongest(vocabulary.size, feature => weightOf(feature, k), most).map(feature => ({
      name: vocabulary.nameOf(feature),
      weight: weightOf(feature, k),
    })),
  }))
}

/** The numbers below `count` with the largest values, largest first; of equals the smaller number. */
function strongest(count: number, value: (i: number) => number, most: number): number[] {
  const found: number[] = []
  for (let i = 0; i < count; i++) {
    if (found.length === most && value(i) <= value(found[most - 1])) continue
    const at = found.findIndex(other => value(i) > value(other))
    found.splice(at < 0 ? found.length : at, 0, i)
    if (found.length > most) found.pop()
  }
  return found
}
