// Layers that normalise. Their parameters stay in f32.
import { ones, zeros } from '../../engine/index.ts'
import { UserError } from '../../engine/errors.ts'
import { sizeOf } from '../../engine/shape.ts'
import type { Tensor } from '../../engine/tensor.ts'
import { type ForwardContext, currentContext } from './context.ts'
import { Module } from './module.ts'
import { Parameter, one } from './parameter.ts'

export interface NormOptions {
  /** Added to the variance; 1e-5 when left out, as in PyTorch. */
  readonly epsilon?: number
}

/** Layer norm (Ba et al. 2016) over the last axis. */
export class LayerNorm extends Module {
  /** [width] */
  readonly weight: Parameter
  /** [width] */
  readonly bias: Parameter
  readonly epsilon: number

  constructor(width: number, { epsilon = 1e-5 }: NormOptions = {}) {
    super()
    this.epsilon = epsilon
    this.weight = new Parameter([width], { role: 'norm', initial: one })
    this.bias = new Parameter([width], { role: 'norm' })
  }

  /** [..., width] to the same. */
  forward(x: Tensor): Tensor {
    return x.layerNorm(this.weight.tensor, this.bias.tensor, this.epsilon)
  }
}

export interface RMSNormOptions {
  /** Added to the mean square; 1e-6 when left out. */
  readonly epsilon?: number
}

/** RMS norm (Zhang and Sennrich 2019) over the last axis: no mean is subtracted, and there is no shift. */
export class RMSNorm extends Module {
  /** [width] */
  readonly weight: Parameter
  readonly epsilon: number

  constructor(width: number, { epsilon = 1e-6 }: RMSNormOptions = {}) {
    super()
    this.epsilon = epsilon
    this.weight = new Parameter([width], { role: 'norm', initial: one })
  }

  /** [..., width] to the same shape and dtype. */
  forward(x: Tensor): Tensor {
    const wide = x.cast('f32')
    const scale = wide.square().mean(-1, true).add(this.epsilon).rsqrt()
    return wide.mul(scale).mul(this.weight.tensor).cast(x.dtype)
  }
}

/** A value per channel, as it is broadcast to [batch, channels, ...]. */
const perChannel = (value: Tensor, { rank }: Tensor): Tensor =>
  value.reshape([value.size, ...Array.from({ length: rank - 2 }, () => 1)])

/** Throws a UserError unless x is [batch, channels, ...]. */
function needChannels(module: Module, x: Tensor, channels: number): void {
  if (x.rank >= 2 && x.shape[1] === channels) return
  const name = module.path || module.constructor.name
  throw new UserError(`${name} takes [batch, ${channels}, ...], not [${x.shape.join(', ')}]`)
}

/** Group norm (Wu and He 2018): over groups of channels and all places, for each item of the batch. */
export class GroupNorm extends Module {
  readonly groups: number
  /** [channels] */
  readonly weight: Parameter
  /** [channels] */
  readonly bias: Parameter
  readonly epsilon: number

  /** Throws a UserError unless the groups divide the channels. */
  constructor(groups: number, channels: number, { epsilon = 1e-5 }: NormOptions = {}) {
    super()
    if (channels % groups !== 0) throw new UserError(`GroupNorm: ${channels} channels do not make ${groups} groups`)
    this.groups = groups
    this.epsilon = epsilon
    this.weight = new Parameter([channels], { role: 'norm', initial: one })
    this.bias = new Parameter([channels], { role: 'norm' })
  }

  /** [batch, channels, ...] to the same. */
  forward(x: Tensor): Tensor {
    needChannels(this, x, this.weight.size)
    const width = x.size / (x.shape[0] * this.groups)
    const rows = x.reshape([x.shape[0] * this.groups, width])
    const normed = rows.layerNorm(ones([width]), zeros([width]), this.epsilon).reshape(x.shape)
    const [weight, bias] = [this.weight, this.bias].map(({ tensor }) => perChannel(tensor, x))
    return normed.mul(weight).add(bias).cast(x.dtype)
  }
}

export interface BatchNormOptions extends NormOptions {
  /** How much of a batch's statistics the running ones take in; 0.1 when left out. */
  readonly momentum?: number
}

/**
 * Batch norm (Ioffe and Szegedy 2015) of each channel, over the batch and all places. In training by the batch's own
 * statistics, which the running ones follow; in evaluation by these. Trains only inside a compiled function.
 */
export class BatchNorm extends Module {
  /** [channels] */
  readonly weight: Parameter
  /** [channels] */
  readonly bias: Parameter
  /** [channels] */
  readonly runningMean: Parameter
  /** [channels] */
  readonly runningVariance: Parameter
  readonly epsilon: number
  readonly momentum: number

  constructor(channels: number, { epsilon = 1e-5, momentum = 0.1 }: BatchNormOptions = {}) {
    super()
    this.epsilon = epsilon
    this.momentum = momentum
    this.weight = new Parameter([channels], { role: 'norm', initial: one })
    this.bias = new Parameter([channels], { role: 'norm' })
    this.runningMean = this.add('running_mean', new Parameter([channels], { role: 'statistic' }))
    this.runningVariance = this.add('running_var', new Parameter([channels], { role: 'statistic', initial: one }))
  }

  /** [batch, channels, ...] to the same. */
  forward(x: Tensor, { training }: ForwardContext = currentContext()): Tensor {
    needChannels(this, x, this.weight.size)
    const wide = x.cast('f32')
    const [mean, variance] = training ? this.#measured(wide) : [this.runningMean.tensor, this.runningVariance.tensor]
    const scale = variance.add(this.epsilon).rsqrt().mul(this.weight.tensor)
    const centred = wide.sub(perChannel(mean, x))
    return centred.mul(perChannel(scale, x)).add(perChannel(this.bias.tensor, x)).cast(x.dtype)
  }

  /** Mean and variance of a batch, each [channels], which the running ones take in. */
  #measured(x: Tensor): [mean: Tensor, variance: Tensor] {
    const axes = x.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]))
    const mean = x.mean(axes)
    const variance = x.sub(perChannel(mean, x)).square().mean(axes)
    const count = sizeOf(axes.map(axis => x.shape[axis]))
    // The running variance is an estimate for all data, as in PyTorch.
    follow(this.runningMean, mean, this.momentum)
    follow(this.runningVariance, variance.mul(count / Math.max(1, count - 1)), this.momentum)
    return [mean, variance]
  }
}

/** A batch that is not finite leaves a statistic as it is. */
function follow(statistic: Parameter, value: Tensor, momentum: number): void {
  const { variable, next } = statistic
  if (!variable) throw new Error(`${statistic.name} has no memory of its own`)
  variable.assign(value.isFinite().where(next.mul(1 - momentum).add(value.mul(momentum)), next))
}
