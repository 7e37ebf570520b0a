// Losses, by the names and with the meaning of PyTorch's (torch.nn): formulas of other ops, which the compiler fuses.
import { UserError } from './errors.ts'
import { needOneOf, needOptions } from './options.ts'
import { crossEntropy } from './ops/cross-entropy.ts'
import { sameShape, showShape, showSpec } from './shape.ts'
import { type Tensor, apply, needTensors, scalar } from './tensor.ts'
import { tensor } from './ops/source.ts'

/** What is made of the losses of all elements: their mean, their sum, or nothing. */
export type Reduction = 'mean' | 'sum' | 'none'

export interface LossOptions {
  /** `mean` by default. */
  readonly reduction?: Reduction
}

const REDUCTIONS = ['mean', 'sum', 'none']

function reduced(name: string, losses: Tensor, reduction: Reduction = 'mean'): Tensor {
  needOneOf(name, 'reduction', reduction, ...REDUCTIONS)
  return reduction === 'none' ? losses : reduction === 'sum' ? losses.sum() : losses.mean()
}

/** Throws a UserError unless two tensors have the same shape: broadcasting here is nearly always a mistake. */
function needSameShape(name: string, predictions: Tensor, targets: Tensor): void {
  needTensors(name, { predictions, targets })
  if (!sameShape(predictions.shape, targets.shape))
    throw new UserError(`${name}: ${showSpec(predictions)} and ${showSpec(targets)} differ in shape`)
}

/** Mean squared error: (prediction − target)² of each element. Throws a UserError on shapes that differ. */
export function mseLoss(predictions: Tensor, targets: Tensor, options: LossOptions = {}): Tensor {
  needSameShape('mseLoss', predictions, targets)
  needOptions('mseLoss', options, 'reduction')
  return reduced('mseLoss', predictions.sub(targets).square(), options.reduction)
}

/** Mean absolute error: |prediction − target| of each element. Throws a UserError on shapes that differ. */
export function l1Loss(predictions: Tensor, targets: Tensor, options: LossOptions = {}): Tensor {
  needSameShape('l1Loss', predictions, targets)
  needOptions('l1Loss', options, 'reduction')
  return reduced('l1Loss', predictions.sub(targets).abs(), options.reduction)
}

/**
 * Huber's loss (1964) of each difference d: d² ÷ 2 where |d| ≤ delta, else delta·(|d| − delta ÷ 2). Throws a UserError on
 * shapes that differ, and unless delta is positive.
 */
export function huberLoss(
  predictions: Tensor,
  targets: Tensor,
  options: LossOptions & { readonly delta?: number } = {},
): Tensor {
  needSameShape('huberLoss', predictions, targets)
  needOptions('huberLoss', options, 'delta', 'reduction')
  const { delta = 1, reduction } = options
  if (!(delta > 0 && delta < Infinity))
    throw new UserError(`huberLoss: delta is ${delta}, but a finite positive number was expected`)
  return reduced('huberLoss', apply('huber', [predictions.sub(targets).div(delta)]).mul(delta * delta), reduction)
}

export interface BinaryLossOptions extends LossOptions {
  /** A factor for the positive part of each label, one for each element of the last axis. */
  readonly positiveWeights?: readonly number[]
}

/**
 * Binary cross entropy of logits with targets between 0 and 1, floats of the same shape, for each element: −target·log
 * σ(logit) − (1 − target)·log(1 − σ(logit)). Throws a UserError on shapes that differ, and on weights that are not as
 * many as the last axis has elements.
 */
export function bceWithLogitsLoss(logits: Tensor, targets: Tensor, options: BinaryLossOptions = {}): Tensor {
  needSameShape('bceWithLogitsLoss', logits, targets)
  needOptions('bceWithLogitsLoss', options, 'positiveWeights', 'reduction')
  const { positiveWeights, reduction } = options
  const whenPositive = logits.neg().softplus()
  const weights = positiveWeights && weightsOf(positiveWeights, logits.shape.at(-1) ?? 1)
  const positive = targets.mul(weights ? whenPositive.mul(weights) : whenPositive)
  return reduced('bceWithLogitsLoss', positive.add(scalar(1).sub(targets).mul(logits.softplus())), reduction)
}

/** Factors for classes, as a tensor. Throws a UserError on another number of them, and on one that is negative. */
function weightsOf(weights: readonly number[], classes: number): Tensor {
  if (weights.length !== classes) throw new UserError(`${weights.length} class weights for ${classes} classes`)
  const bad = weights.find(weight => !Number.isFinite(weight) || weight < 0)
  if (bad !== undefined) throw new UserError(`a class weight must be a finite number of at least 0, not ${bad}`)
  return tensor(Float32Array.from(weights), [classes])
}

/**
 * Kullback-Leibler divergence of log probabilities from target probabilities (or their logarithms, with `logTargets`), for
 * each element: target·(log target − prediction), 0 where the target is 0. `batchMean` divides the sum by the length of
 * the first axis, which makes it the divergence of distributions. Of logits, `divergence` is one kernel.
 */
export function klDivLoss(
  predictions: Tensor,
  targets: Tensor,
  options: { readonly logTargets?: boolean; readonly reduction?: Reduction | 'batchMean' } = {},
): Tensor {
  needSameShape('klDivLoss', predictions, targets)
  needOptions('klDivLoss', options, 'logTargets', 'reduction')
  const { logTargets = false, reduction = 'mean' } = options
  needOneOf('klDivLoss', 'reduction', reduction, ...REDUCTIONS, 'batchMean')
  const isPositive = targets.greater(0)
  const losses = logTargets
    ? targets.exp().mul(targets.sub(predictions))
    : targets.mul(isPositive.where(isPositive.where(targets, 1).log().sub(predictions), 0))
  if (reduction === 'batchMean') return losses.sum().div(predictions.shape[0] ?? 1)
  return reduced('klDivLoss', losses, reduction)
}

export interface CrossEntropyOptions {
  /** A factor for each class; 1 for all when left out. */
  readonly classWeights?: readonly number[]
  /** Share of the target that is spread evenly over all classes, 0 to below 1 (Szegedy et al. 2016). */
  readonly labelSmoothing?: number
  /** The label of rows that do not count; −100 by default. */
  readonly ignoreIndex?: number
}

/** Throws a UserError on a share of label smoothing outside [0, 1). */
export function needSmoothing(share: number): void {
  if (!(share >= 0 && share < 1)) throw new UserError(`label smoothing must be at least 0 and below 1, not ${share}`)
}

/**
 * The cross entropy of logits [rows, classes] (f32 or f16) with labels i32 [rows], weighted and smoothed, and the weight
 * with which each row counts: both f32 [rows], 0 where a row does not count. Throws a UserError on other shapes and
 * dtypes, on weights that are not as many as classes, and on a smoothing outside [0, 1).
 */
export function weightedCrossEntropy(
  logits: Tensor,
  labels: Tensor,
  { classWeights, labelSmoothing = 0, ignoreIndex = -100 }: CrossEntropyOptions = {},
): { readonly losses: Tensor; readonly weights: Tensor } {
  needSmoothing(labelSmoothing)
  const plain = crossEntropy(logits, labels, ignoreIndex)
  const [rows, classes] = logits.shape
  const counts = labels.notEqual(scalar(ignoreIndex, 'i32'))
  const counted = counts.cast('f32')
  const table = classWeights && weightsOf(classWeights, classes)
  const own = table ? table.reshape([classes, 1]).gather(labels.maximum(0)).reshape([rows]).mul(counted) : counted
  const sharp = table ? plain.mul(own) : plain
  if (labelSmoothing === 0) return { losses: sharp, weights: own }
  // Σ w·(log Σ exp(logit) − logit) over the classes.
  const scores = logits.cast('f32')
  const total = classWeights ? classWeights.reduce((sum, weight) => sum + weight, 0) : classes
  const spread = scores
    .logSumExp(1)
    .mul(total)
    .sub((table ? scores.mul(table) : scores).sum(1))
  const smooth = counts.where(spread.mul(labelSmoothing / classes), 0)
  return { losses: sharp.mul(1 - labelSmoothing).add(smooth), weights: own }
}

/**
 * The cross entropy of logits [..., classes] (f32 or f16) with labels i32 [...]: −log softmax(logits)[label], weighted and
 * smoothed. The mean is divided by the weights of the labels that count, as in PyTorch, and 0 if none does. (PyTorch's
 * classes are axis 1.) Throws a UserError on other shapes and dtypes, on weights that are not as many as classes, and on
 * a smoothing outside [0, 1).
 */
export function crossEntropyLoss(
  logits: Tensor,
  labels: Tensor,
  options: CrossEntropyOptions & LossOptions = {},
): Tensor {
  needOptions('crossEntropyLoss', options, 'classWeights', 'labelSmoothing', 'ignoreIndex', 'reduction')
  const { reduction = 'mean' } = options
  needOneOf('crossEntropyLoss', 'reduction', reduction, ...REDUCTIONS)
  needTensors('crossEntropyLoss', { logits, labels })
  const classes = logits.shape.at(-1)
  if (classes === undefined) throw new UserError('crossEntropyLoss: logits have no axis of classes')
  const rows = logits.shape.slice(0, -1)
  if (!sameShape(rows, labels.shape)) {
    const expected = `i32${showShape(rows)} was expected (logits are ${showSpec(logits)})`
    throw new UserError(`crossEntropyLoss: labels are ${showSpec(labels)}, but ${expected}`)
  }
  const { losses, weights } = weightedCrossEntropy(logits.reshape([-1, classes]), labels.reshape([-1]), options)
  if (reduction === 'none') return losses.reshape(labels.shape)
  if (reduction === 'sum') return losses.sum()
  const total = weights.sum()
  return losses.sum().div(total.greater(0).where(total, 1))
}
