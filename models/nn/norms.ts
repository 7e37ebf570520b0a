// Layers that normalise. Their parameters stay in f32.
import { type BatchStatistics, batchNorm, batchStatistics, groupNorm } from '../../engine/index.ts'
import { UserError } from '../../engine/errors.ts'
import { needOptions } from '../../engine/options.ts'
import { type Tensor, needTensors } from '../../engine/tensor.ts'
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

  constructor(width: number, options: NormOptions = {}) {
    super()
    needOptions('LayerNorm', options, 'epsilon')
    const { epsilon = 1e-5 } = options
    this.epsilon = epsilon
    this.weight = new Parameter([width], { role: 'norm', initial: one })
    this.bias = new Parameter([width], { role: 'norm' })
  }

  /** [..., width] to the same. */
  forward(x: Tensor): Tensor {
    needTensors('LayerNorm', { x })
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

  constructor(width: number, options: RMSNormOptions = {}) {
    super()
    needOptions('RMSNorm', options, 'epsilon')
    const { epsilon = 1e-6 } = options
    this.epsilon = epsilon
    this.weight = new Parameter([width], { role: 'norm', initial: one })
  }

  /** [..., width] to the same shape and dtype. */
  forward(x: Tensor): Tensor {
    needTensors('RMSNorm', { x })
    return x.rmsNorm(this.weight.tensor, this.epsilon)
  }
}

/** Throws a UserError unless x is [batch, channels, ...]. */
function needChannels(module: Module, x: Tensor, channels: number): void {
  const name = module.path || module.constructor.name
  needTensors(name, { x })
  if (x.rank >= 2 && x.shape[1] === channels) return
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
  constructor(groups: number, channels: number, options: NormOptions = {}) {
    super()
    needOptions('GroupNorm', options, 'epsilon')
    const { epsilon = 1e-5 } = options
    if (!Number.isInteger(groups) || channels % groups !== 0)
      throw new UserError(`GroupNorm: ${channels} channels do not make ${groups} groups`)
    this.groups = groups
    this.epsilon = epsilon
    this.weight = new Parameter([channels], { role: 'norm', initial: one })
    this.bias = new Parameter([channels], { role: 'norm' })
  }

  /** [batch, channels, ...] to the same. */
  forward(x: Tensor): Tensor {
    needChannels(this, x, this.weight.size)
    return groupNorm(x, this.groups, this.weight.tensor, this.bias.tensor, this.epsilon)
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

  constructor(channels: number, options: BatchNormOptions = {}) {
    super()
    needOptions('BatchNorm', options, 'epsilon', 'momentum')
    const { epsilon = 1e-5, momentum = 0.1 } = options
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
    const running = { mean: this.runningMean.tensor, variance: this.runningVariance.tensor }
    return batchNorm(x, training ? this.#measured(x) : running, {
      gamma: this.weight.tensor,
      beta: this.bias.tensor,
      epsilon: this.epsilon,
    })
  }

  /** The statistics of a batch, which the running ones take in. */
  #measured(x: Tensor): BatchStatistics {
    const statistics = batchStatistics(x)
    const count = x.size / x.shape[1]
    // The running variance is an estimate for all data, as in PyTorch.
    follow(this.runningMean, statistics.mean, this.momentum)
    follow(this.runningVariance, statistics.variance.mul(count / Math.max(1, count - 1)), this.momentum)
    return statistics
  }
}

/** A batch that is not finite leaves a statistic as it is. */
function follow(statistic: Parameter, value: Tensor, momentum: number): void {
  const { variable, next } = statistic
  if (!variable) throw new Error(`${statistic.name} has no memory of its own`)
  variable.assign(value.isFinite().where(next.mul(1 - momentum).add(value.mul(momentum)), next))
}
