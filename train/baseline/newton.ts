// Linear models with an L2 penalty, by Newton's method: the directions come from conjugate gradients with a diagonal
// preconditioner, and a line search shortens them where needed. This is how LIBLINEAR 2.40 solves the primal problem
// (Lin, Weng and Keerthi, "Trust region Newton method for large-scale logistic regression", 2008; Galli and Lin, "A
// study on truncated Newton methods for linear classification", 2022). Deterministic.
import type { Loss } from './losses.ts'
import { type SparseMatrix, addTransposed, addTransposedSquares, multiply } from './sparse.ts'

export interface NewtonOptions {
  /** The inverse of the penalty's strength: minimises ½‖w‖² + c · Σ loss. The intercept has no penalty. */
  readonly c: number
  /** Ends when the gradient's norm is at most this share of its norm at the start, where all weights are 0. */
  readonly tolerance?: number
  readonly mostIterations?: number
  /** Called with the share that is done, from 0 to 1; awaited, so that the caller can let other work run. */
  readonly onProgress?: (done: number) => Promise<void> | void
}

export interface Solution {
  /** [columns + 1, outputs]; the last row contains the intercepts. */
  readonly weights: Float64Array
  readonly iterations: number
  readonly converged: boolean
}

/** An Armijo step must reach this share of the decrease that the slope promises. */
const SUFFICIENT = 1e-4
const MOST_HALVINGS = 30
const MOST_CG = 200

/** The weights that minimise ½‖w‖² + c · Σ loss of the rows of `matrix`. */
export async function solveNewton(
  matrix: SparseMatrix,
  loss: Loss,
  { c, tolerance = 1e-4, mostIterations = 100, onProgress }: NewtonOptions,
): Promise<Solution> {
  const problem = new Problem(matrix, loss, c)
  const weights = new Float64Array(problem.size)
  const gradient = new Float64Array(problem.size)
  let scores = problem.scoresOf(weights)
  let objective = problem.objective(weights, scores)
  problem.gradient(weights, scores, gradient)
  const first = norm(gradient)
  const goal = tolerance * first
  let iterations = 0
  let now = first
  for (; iterations < mostIterations && now > goal; iterations++) {
    // More exact directions near the end make the convergence superlinear.
    const step = problem.direction(scores, gradient, Math.min(0.1, Math.sqrt(now / first)) * now)
    const change = problem.scoresOf(step)
    const slope = dot(gradient, step)
    let length = 1
    let moved = problem.objectiveAlong(weights, scores, step, change, length)
    for (let i = 0; i < MOST_HALVINGS && !(moved <= objective + SUFFICIENT * length * slope); i++) {
      length /= 2
      moved = problem.objectiveAlong(weights, scores, step, change, length)
    }
    // No decrease is left at this precision.
    if (!(moved < objective)) break
    for (let i = 0; i < weights.length; i++) weights[i] += length * step[i]
    // Computed anew: sums of many steps would drift.
    scores = problem.scoresOf(weights)
    objective = problem.objective(weights, scores)
    problem.gradient(weights, scores, gradient)
    now = norm(gradient)
    await onProgress?.(Math.min(1, Math.max(0, Math.log(first / now) / Math.log(first / goal))))
  }
  return { weights, iterations, converged: now <= goal }
}

class Problem {
  readonly size: number
  readonly #matrix: SparseMatrix
  readonly #loss: Loss
  readonly #c: number
  /** Weights before this index have the penalty; the intercepts come after. */
  readonly #penalised: number
  readonly #rowBuffer: Float64Array
  readonly #curved: Float64Array

  constructor(matrix: SparseMatrix, loss: Loss, c: number) {
    this.#matrix = matrix
    this.#loss = loss
    this.#c = c
    this.#penalised = matrix.columns * loss.outputs
    this.size = this.#penalised + loss.outputs
    this.#rowBuffer = new Float64Array(matrix.rows * loss.outputs)
    this.#curved = new Float64Array(matrix.rows * loss.outputs)
  }

  scoresOf(weights: Float64Array): Float64Array {
    const scores = new Float64Array(this.#matrix.rows * this.#loss.outputs)
    multiply(this.#matrix, weights, this.#loss.outputs, scores)
    return scores
  }

  objective(weights: Float64Array, scores: Float64Array): number {
    let penalty = 0
    for (let i = 0; i < this.#penalised; i++) penalty += weights[i] * weights[i]
    return penalty / 2 + this.#losses(scores)
  }

  /** The objective at weights + length · step, from the scores of both. */
  objectiveAlong(
    weights: Float64Array,
    scores: Float64Array,
    step: Float64Array,
    change: Float64Array,
    length: number,
  ): number {
    let penalty = 0
    for (let i = 0; i < this.#penalised; i++) penalty += (weights[i] + length * step[i]) ** 2
    const moved = this.#rowBuffer
    for (let i = 0; i < moved.length; i++) moved[i] = scores[i] + length * change[i]
    return penalty / 2 + this.#losses(moved)
  }

  #losses(scores: Float64Array): number {
    const { outputs } = this.#loss
    let sum = 0
    for (let row = 0; row < this.#matrix.rows; row++) sum += this.#loss.value(row, scores, row * outputs)
    return this.#c * sum
  }

  gradient(weights: Float64Array, scores: Float64Array, out: Float64Array): void {
    const slopes = this.#rowBuffer
    const { outputs } = this.#loss
    for (let row = 0; row < this.#matrix.rows; row++) this.#loss.slopes(row, scores, row * outputs, slopes)
    for (let i = 0; i < slopes.length; i++) slopes[i] *= this.#c
    this.#penalty(weights, out)
    addTransposed(this.#matrix, slopes, outputs, out)
  }

  /** The penalty's gradient, which is its Hessian's product too. */
  #penalty(weights: Float64Array, out: Float64Array): void {
    out.set(weights)
    out.fill(0, this.#penalised)
  }

  /** The diagonal of the Hessian. */
  #diagonal(scores: Float64Array): Float64Array {
    const { outputs } = this.#loss
    const curvatures = this.#rowBuffer
    for (let row = 0; row < this.#matrix.rows; row++) this.#loss.diagonal(row, scores, row * outputs, curvatures)
    for (let i = 0; i < curvatures.length; i++) curvatures[i] *= this.#c
    const diagonal = new Float64Array(this.size).fill(1, 0, this.#penalised)
    addTransposedSquares(this.#matrix, curvatures, outputs, diagonal)
    // Where no row has any curvature left, an intercept would have none either.
    for (let i = this.#penalised; i < this.size; i++) diagonal[i] = Math.max(diagonal[i], 1e-12)
    return diagonal
  }

  /** The Hessian's product with a direction. */
  #curve(scores: Float64Array, direction: Float64Array, out: Float64Array): void {
    const { outputs } = this.#loss
    const along = this.#rowBuffer
    multiply(this.#matrix, direction, outputs, along)
    for (let row = 0; row < this.#matrix.rows; row++) this.#loss.curve(row, scores, row * outputs, along, this.#curved)
    for (let i = 0; i < this.#curved.length; i++) this.#curved[i] *= this.#c
    this.#penalty(direction, out)
    addTransposed(this.#matrix, this.#curved, outputs, out)
  }

  /** Newton's direction, by conjugate gradients until the residual's norm is at most `enough`. */
  direction(scores: Float64Array, gradient: Float64Array, enough: number): Float64Array {
    const diagonal = this.#diagonal(scores)
    const step = new Float64Array(this.size)
    const residual = gradient.map(value => -value)
    const direction = residual.map((value, i) => value / diagonal[i])
    const curved = new Float64Array(this.size)
    let weighted = 0
    for (let i = 0; i < this.size; i++) weighted += residual[i] * direction[i]
    for (let iteration = 0; iteration < MOST_CG; iteration++) {
      this.#curve(scores, direction, curved)
      const curvature = dot(direction, curved)
      if (!(curvature > 0)) break
      const length = weighted / curvature
      for (let i = 0; i < this.size; i++) {
        step[i] += length * direction[i]
        residual[i] -= length * curved[i]
      }
      if (norm(residual) <= enough) break
      let next = 0
      for (let i = 0; i < this.size; i++) next += (residual[i] * residual[i]) / diagonal[i]
      const ratio = next / weighted
      weighted = next
      for (let i = 0; i < this.size; i++) direction[i] = residual[i] / diagonal[i] + ratio * direction[i]
    }
    return step
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}

const norm = (a: Float64Array): number => Math.sqrt(dot(a, a))
