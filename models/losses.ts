// The losses of fine-tuning tasks, as PyTorch defines them. Each gives a loss for every row and the weight with which
// that row counts; the loss of a batch is Σ losses ÷ Σ weights. A row that does not count (padding, an ignored label)
// has loss and weight 0.
import { crossEntropy, scalar, tensor } from '../engine/index.ts'
import { UserError } from '../engine/errors.ts'
import type { Tensor } from '../engine/tensor.ts'

/** Label of a row that the loss does not count. */
export const IGNORED = -100

/** What a loss gives: both f32 [rows]. */
export interface RowLosses {
  /** Each row's loss, already multiplied by its weight. */
  readonly losses: Tensor
  readonly weights: Tensor
}

export interface CrossEntropyOptions {
  /** A factor for each class; 1 for all when left out. */
  readonly classWeights?: readonly number[]
  /** Share of the target that is spread evenly over all classes, 0 to below 1 (Szegedy et al. 2016). */
  readonly labelSmoothing?: number
}

function checkSmoothing(smoothing: number): void {
  if (!(smoothing >= 0 && smoothing < 1)) {
    throw new UserError(`label smoothing must be at least 0 and below 1, not ${smoothing}`)
  }
}

function checkWeights(weights: readonly number[] | undefined, classes: number): void {
  if (!weights) return
  if (weights.length !== classes) throw new UserError(`${weights.length} class weights for ${classes} classes`)
  const bad = weights.find(weight => !Number.isFinite(weight) || weight < 0)
  if (bad !== undefined) throw new UserError(`a class weight must be a finite number of at least 0, not ${bad}`)
}

/**
 * Cross-entropy of logits f32 [rows, classes] with labels i32 [rows], where a label of −100 does not count.
 * Σ losses ÷ Σ weights equals `torch.nn.functional.cross_entropy` with the same `weight` and `label_smoothing`.
 * @throws UserError on class weights of another length, and on a smoothing outside [0, 1)
 */
export function classificationLoss(
  logits: Tensor,
  labels: Tensor,
  { classWeights, labelSmoothing = 0 }: CrossEntropyOptions = {},
): RowLosses {
  const [rows, classes] = logits.shape
  checkSmoothing(labelSmoothing)
  checkWeights(classWeights, classes)
  const counts = labels.notEqual(scalar(IGNORED, 'i32'))
  const table = classWeights && tensor(Float32Array.from(classWeights), [classes])
  const ones = counts.cast('f32')
  const weights = table ? table.reshape([classes, 1]).gather(labels.maximum(0)).reshape([rows]).mul(ones) : ones
  const plain = crossEntropy(logits, labels, IGNORED)
  const sharp = table ? plain.mul(weights) : plain
  if (labelSmoothing === 0) return { losses: sharp, weights }
  const negative = logits.logSoftmax().neg()
  const spread = (table ? negative.mul(table) : negative).sum(1).mul(ones)
  return { losses: sharp.mul(1 - labelSmoothing).add(spread.mul(labelSmoothing / classes)), weights }
}

export interface BinaryOptions {
  /** A factor for the positive part of each label (PyTorch's `pos_weight`); 1 for all when left out. */
  readonly positiveWeights?: readonly number[]
  /** Moves targets towards ½: y (1 − s) + s ÷ 2. */
  readonly labelSmoothing?: number
}

/**
 * Binary cross-entropy of logits f32 [rows, labels] with targets f32 [rows, labels] between 0 and 1, a mean over the
 * labels of each row; `counts` f32 [rows] is 1 for rows that count and 0 for padding. Σ losses ÷ Σ weights equals
 * `torch.nn.BCEWithLogitsLoss`.
 * @throws UserError on positive weights of another length, and on a smoothing outside [0, 1)
 */
export function multiLabelLoss(
  logits: Tensor,
  targets: Tensor,
  counts: Tensor,
  { positiveWeights, labelSmoothing = 0 }: BinaryOptions = {},
): RowLosses {
  checkSmoothing(labelSmoothing)
  checkWeights(positiveWeights, logits.shape[1])
  const wanted = labelSmoothing === 0 ? targets : targets.mul(1 - labelSmoothing).add(labelSmoothing / 2)
  // softplus(x) = max(x, 0) + log(1 + exp(−|x|)), which neither overflows nor cancels.
  const tail = logits.abs().neg().exp().add(1).log()
  const whenPositive = logits.neg().relu().add(tail)
  const whenNegative = logits.relu().add(tail)
  const factor = positiveWeights
    ? wanted.mul(tensor(Float32Array.from(positiveWeights), [positiveWeights.length]))
    : wanted
  const each = factor.mul(whenPositive).add(wanted.neg().add(1).mul(whenNegative))
  return { losses: each.mean(1).mul(counts), weights: counts }
}

/**
 * Squared errors of predictions f32 [rows] (or [rows, 1]) and targets f32 [rows]; `counts` as above. Σ losses ÷ Σ
 * weights equals `torch.nn.MSELoss`.
 */
export function regressionLoss(predictions: Tensor, targets: Tensor, counts: Tensor): RowLosses {
  const [rows] = targets.shape
  return { losses: predictions.reshape([rows]).sub(targets).square().mul(counts), weights: counts }
}

/** Σ losses ÷ Σ weights, f32 []; 0 where no row counts. */
export function meanOf({ losses, weights }: RowLosses): Tensor {
  const total = weights.sum()
  return losses.sum().div(total.greater(0).where(total, 1))
}
