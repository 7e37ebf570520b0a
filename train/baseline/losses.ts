// Losses of linear models as Newton's method needs them: of one row the value, the slopes and the curvature by the
// row's scores. Sums over rows are the solver's work.

/** A convex loss of the scores of a row, of which there are `outputs`, at `at` in the arrays. */
export interface Loss {
  readonly outputs: number
  value(row: number, scores: Float64Array, at: number): number
  /** Writes the first derivatives by the scores. */
  slopes(row: number, scores: Float64Array, at: number, out: Float64Array): void
  /** Writes the product of the second derivatives by the scores with `direction`, which has the layout of `scores`. */
  curve(row: number, scores: Float64Array, at: number, direction: Float64Array, out: Float64Array): void
  /** Writes the diagonal of the second derivatives. */
  diagonal(row: number, scores: Float64Array, at: number, out: Float64Array): void
}

/** ln (1 + e^x) without overflow. */
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))
const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : 1 - 1 / (1 + Math.exp(x)))

/** Logistic loss of one score; `truth` is 1 or 0 for each row. */
export function logisticLoss(truth: ArrayLike<number>): Loss {
  const variance = (score: number): number => {
    const p = sigmoid(score)
    return p * (1 - p)
  }
  return {
    outputs: 1,
    value: (row, scores, at) => softplus(truth[row] > 0.5 ? -scores[at] : scores[at]),
    slopes(row, scores, at, out) {
      out[at] = truth[row] > 0.5 ? -sigmoid(-scores[at]) : sigmoid(scores[at])
    },
    curve(_row, scores, at, direction, out) {
      out[at] = variance(scores[at]) * direction[at]
    },
    diagonal(_row, scores, at, out) {
      out[at] = variance(scores[at])
    },
  }
}

/** Squared hinge of one score (LIBLINEAR's L2-loss SVM); `truth` is 1 or 0 for each row. */
export function squaredHingeLoss(truth: ArrayLike<number>): Loss {
  const margin = (row: number, score: number): number => 1 - (truth[row] > 0.5 ? score : -score)
  return {
    outputs: 1,
    value: (row, scores, at) => Math.max(0, margin(row, scores[at])) ** 2,
    slopes(row, scores, at, out) {
      const missing = Math.max(0, margin(row, scores[at]))
      out[at] = truth[row] > 0.5 ? -2 * missing : 2 * missing
    },
    curve(row, scores, at, direction, out) {
      out[at] = margin(row, scores[at]) > 0 ? 2 * direction[at] : 0
    },
    diagonal(row, scores, at, out) {
      out[at] = margin(row, scores[at]) > 0 ? 2 : 0
    },
  }
}

/** Cross-entropy of the softmax of several scores; `truth` is the class of each row. */
export function softmaxLoss(truth: ArrayLike<number>, classes: number): Loss {
  const probabilities = new Float64Array(classes)
  /** Gives the logarithm of the sum, and fills `probabilities`. */
  const normalise = (scores: Float64Array, at: number): number => {
    let most = -Infinity
    for (let k = 0; k < classes; k++) most = Math.max(most, scores[at + k])
    let sum = 0
    for (let k = 0; k < classes; k++) {
      probabilities[k] = Math.exp(scores[at + k] - most)
      sum += probabilities[k]
    }
    for (let k = 0; k < classes; k++) probabilities[k] /= sum
    return most + Math.log(sum)
  }
  return {
    outputs: classes,
    value: (row, scores, at) => normalise(scores, at) - scores[at + truth[row]],
    slopes(row, scores, at, out) {
      normalise(scores, at)
      for (let k = 0; k < classes; k++) out[at + k] = probabilities[k] - (k === truth[row] ? 1 : 0)
    },
    curve(_row, scores, at, direction, out) {
      normalise(scores, at)
      let mean = 0
      for (let k = 0; k < classes; k++) mean += probabilities[k] * direction[at + k]
      for (let k = 0; k < classes; k++) out[at + k] = probabilities[k] * (direction[at + k] - mean)
    },
    diagonal(_row, scores, at, out) {
      normalise(scores, at)
      for (let k = 0; k < classes; k++) out[at + k] = probabilities[k] * (1 - probabilities[k])
    },
  }
}
