// Dropout.
import { dropout } from '../../engine/index.ts'
import type { Tensor } from '../../engine/tensor.ts'
import { type ForwardContext, currentContext } from './context.ts'
import { Module } from './module.ts'

/** Dropout (Srivastava et al. 2014), scaled by 1 / (1 − rate); the identity in evaluation. */
export class Dropout extends Module {
  readonly rate: number

  constructor(rate = 0.5) {
    super()
    this.rate = rate
  }

  /** Any shape to the same. */
  forward(x: Tensor, context: ForwardContext = currentContext()): Tensor {
    if (!context.training || this.rate === 0) return x
    return dropout(x, this.rate, context.nextStream(), context.step, context.seed)
  }
}
