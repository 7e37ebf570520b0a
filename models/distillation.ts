// How far a student's outputs are from a teacher's: the losses of distillation (Hinton et al. 2015; Sanh et al. 2019; Jiao
// et al. 2020). Each is f32 [rows], a mean over whatever a row holds, 0 where both agree. Teachers are not trained: no
// gradient goes to the second operand unless it is asked for.
import { divergence } from '../engine/index.ts'
import { type Tensor, needTensors } from '../engine/tensor.ts'

/**
 * T²·KL(teacher ‖ student) of the softmaxes of logits [rows, classes] divided by the temperature T. The factor T² keeps
 * the gradient about as large at any temperature. `torch.nn.functional.kl_div` of the same with `batchmean` is its mean.
 */
export const classDivergence = (logits: Tensor, teacher: Tensor, temperature: number): Tensor =>
  divergence(logits, teacher, temperature).mul(temperature ** 2)

/**
 * The same of several labels at once, f32 [rows, labels], each of which a text has or has not: T²·KL of the two
 * outcomes, a mean over the labels.
 */
export function labelDivergence(logits: Tensor, teacher: Tensor, temperature: number): Tensor {
  needTensors('labelDivergence', { logits, teacher })
  const [own, theirs] = [logits, teacher].map(x => x.div(temperature))
  // −log σ(x) = softplus(−x) = max(−x, 0) + log(1 + exp(−|x|)), which neither overflows nor cancels.
  const tail = (x: Tensor): Tensor => x.abs().neg().exp().add(1).log()
  const tails = tail(own).sub(tail(theirs))
  const whenPositive = own.neg().relu().sub(theirs.neg().relu()).add(tails)
  const whenNegative = own.relu().sub(theirs.relu()).add(tails)
  const probability = theirs.sigmoid()
  const each = probability.mul(whenPositive).add(probability.neg().add(1).mul(whenNegative))
  return each.mean(1).mul(temperature ** 2)
}

/** The mean squared difference of two outputs [rows, width]. */
export function outputDistance(outputs: Tensor, teacher: Tensor): Tensor {
  needTensors('outputDistance', { outputs, teacher })
  return outputs.cast('f32').sub(teacher.cast('f32')).square().mean(1)
}

/** 1 − cos of the angle between hidden states [rows, width] (`torch.nn.CosineEmbeddingLoss` of equal pairs). */
export function cosineDistance(hidden: Tensor, teacher: Tensor): Tensor {
  needTensors('cosineDistance', { hidden, teacher })
  const [own, theirs] = [hidden.cast('f32'), teacher.cast('f32')]
  const dot = (a: Tensor, b: Tensor): Tensor => a.mul(b).sum(1)
  // The same bound as PyTorch's: rows of zeros have no direction.
  const lengths = dot(own, own).add(1e-12).mul(dot(theirs, theirs).add(1e-12)).sqrt()
  return dot(own, theirs).div(lengths).neg().add(1)
}
