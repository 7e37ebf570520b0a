// Norms over groups of channels and over batches, composed of other ops and one fused expression.
import { UserError } from '../errors.ts'
import { needOptions } from '../options.ts'
import { normalizeAxes, showSpec, sizeOf } from '../shape.ts'
import { type Tensor, needTensors } from '../tensor.ts'
import { floatOf } from './matmul.ts'
import { ones, zeros } from './source.ts'

/** A number for each channel, to be broadcast to a tensor with its channels on `axis`. */
const perChannel = (numbers: Tensor, axis: number, rank: number): Tensor =>
  numbers.reshape([numbers.size, ...Array.from({ length: rank - 1 - axis }, () => 1)])

/** x∘gamma + beta, channel by channel. Throws a UserError if they do not have as many elements as x has channels. */
function scaled(op: string, x: Tensor, axis: number, gamma?: Tensor, beta?: Tensor): Tensor {
  for (const [name, numbers] of Object.entries({ gamma, beta })) {
    if (numbers && (numbers.rank !== 1 || numbers.size !== x.shape[axis]))
      throw new UserError(`${op}: ${name} is ${showSpec(numbers)}, but [${x.shape[axis]}] was expected`)
  }
  const larger = gamma ? x.mul(perChannel(gamma, axis, x.rank)) : x
  return beta ? larger.add(perChannel(beta, axis, x.rank)) : larger
}

/**
 * Group norm (Wu & He 2018) of x [batch, channels, ...]: each of `groups` equal groups of channels has mean 0 and
 * variance 1 in each item of the batch, before the scale `gamma` and the shift `beta`, both [channels]. In this shape and
 * dtype; statistics are f32. Throws a UserError on integers and on shapes that don't fit.
 */
export function groupNorm(x: Tensor, groups: number, gamma?: Tensor, beta?: Tensor, epsilon = 1e-5): Tensor {
  needTensors('groupNorm', { x })
  floatOf(x.dtype, 'groupNorm')
  const [batch, channels] = x.shape
  if (x.rank < 2 || !Number.isInteger(groups) || groups < 1 || channels % groups !== 0)
    throw new UserError(`groupNorm: ${groups} groups do not divide the channels of ${showSpec(x)}`)
  // A layer norm, of which each group is a row.
  const width = sizeOf(x.shape.slice(1)) / groups
  const rows = x.reshape([batch * groups, width]).layerNorm(ones([width]), zeros([width]), epsilon)
  return scaled('groupNorm', rows.reshape(x.shape), 1, gamma, beta).cast(x.dtype)
}

/** Of each channel, f32 [channels]. */
export interface BatchStatistics {
  readonly mean: Tensor
  /** Divided by the number of elements, not by one less. */
  readonly variance: Tensor
}

/** The statistics of a batch x [batch, channels, ...], or with its channels on another axis. */
export function batchStatistics(x: Tensor, axis = 1): BatchStatistics {
  needTensors('batchStatistics', { x })
  floatOf(x.dtype, 'batchStatistics')
  const [at] = normalizeAxes('batchStatistics', [axis], x.rank)
  const axes = x.shape.map((_, i) => i).filter(i => i !== at)
  const wide = x.cast('f32')
  const mean = wide.mean(axes, true)
  return { mean: mean.reshape([x.shape[at]]), variance: wide.sub(mean).square().mean(axes) }
}

export interface BatchNormOptions {
  readonly gamma?: Tensor
  readonly beta?: Tensor
  /** 1e-5 by default. */
  readonly epsilon?: number
  /** Of the channels; 1 by default. */
  readonly axis?: number
}

/**
 * Batch norm (Ioffe & Szegedy 2015) of x [batch, channels, ...] by the statistics of the batch itself (`batchStatistics`,
 * through which gradients flow) or by others, such as their moving averages: (x − mean) / √(variance + ε)·gamma + beta,
 * channel by channel. In this shape and dtype. Throws a UserError on integers and on shapes that don't fit.
 */
export function batchNorm(x: Tensor, statistics: BatchStatistics, options: BatchNormOptions = {}): Tensor {
  const { mean, variance } = statistics ?? {}
  needTensors('batchNorm', { x, mean, variance })
  needOptions('batchNorm', options, 'gamma', 'beta', 'epsilon', 'axis')
  const { gamma, beta, epsilon = 1e-5, axis = 1 } = options
  floatOf(x.dtype, 'batchNorm')
  const [at] = normalizeAxes('batchNorm', [axis], x.rank)
  for (const [name, numbers] of Object.entries({ mean, variance })) {
    if (numbers.rank !== 1 || numbers.size !== x.shape[at])
      throw new UserError(`batchNorm: ${name} is ${showSpec(numbers)}, but [${x.shape[at]}] was expected`)
  }
  const broadcast = (numbers: Tensor): Tensor => perChannel(numbers, at, x.rank)
  const normal = x
    .cast('f32')
    .sub(broadcast(mean))
    .mul(broadcast(variance.add(epsilon).rsqrt()))
  return scaled('batchNorm', normal, at, gamma, beta).cast(x.dtype)
}
