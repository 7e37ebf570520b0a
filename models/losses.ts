// The losses of fine-tuning tasks, as PyTorch defines them. Each gives a loss for every row and the weight with which
// that row counts; the loss of a batch is Σ losses ÷ Σ weights. A row that does not count (padding, an ignored label)
// has loss and weight 0.
import { bceWithLogitsLoss, needSmoothing, weightedCrossEntropy } from '../engine/losses.ts'
import type * as engine from '../engine/losses.ts'
import { type Tensor, needTensors } from '../engine/tensor.ts'

/** Label of a row that the loss does not count. */
export const IGNORED = -100

/** What a loss gives: both f32 [rows]. */
export interface RowLosses {
  /** Each row's loss, already multiplied by its weight. */
  readonly losses: Tensor
  readonly weights: Tensor
}

export type CrossEntropyOptions = Pick<engine.CrossEntropyOptions, 'classWeights' | 'labelSmoothing'>

/**
 * Cross-entropy of logits f32 [rows, classes] with labels i32 [rows], where a label of −100 does not count.
 * Σ losses ÷ Σ weights equals `torch.nn.functional.cross_entropy` with the same `weight` and `label_smoothing`.
 * @throws UserError on class weights of another length, and on a smoothing outside [0, 1)
 */
export const classificationLoss = (logits: Tensor, labels: Tensor, options: CrossEntropyOptions = {}): RowLosses =>
  weightedCrossEntropy(logits, labels, { ...options, ignoreIndex: IGNORED })

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
  needTensors('multiLabelLoss', { logits, targets, counts })
  needSmoothing(labelSmoothing)
  const wanted = labelSmoothing === 0 ? targets : targets.mul(1 - labelSmoothing).add(labelSmoothing / 2)
  const each = bceWithLogitsLoss(logits, wanted, { positiveWeights, reduction: 'none' })
  return { losses: each.mean(1).mul(counts), weights: counts }
}

/**
 * Squared errors of predictions f32 [rows] (or [rows, 1]) and targets f32 [rows]; `counts` as above. Σ losses ÷ Σ
 * weights equals `torch.nn.MSELoss`.
 */
export function regressionLoss(predictions: Tensor, targets: Tensor, counts: Tensor): RowLosses {
  needTensors('regressionLoss', { predictions, targets, counts })
  const [rows] = targets.shape
  return { losses: predictions.reshape([rows]).sub(targets).square().mul(counts), weights: counts }
}

/** Σ losses ÷ Σ weights, f32 []; 0 where no row counts. */
export function meanOf(rows: RowLosses): Tensor {
  const { losses, weights } = rows ?? {}
  needTensors('meanOf', { losses, weights })
  const total = weights.sum()
  return losses.sum().div(total.greater(0).where(total, 1))
}
