// Layers that normalise. Their parameters stay in f32.
import type { Tensor } from '../../engine/tensor.ts'
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
