// Dropout.
import { dropout } from '../../engine/index.ts'
import { UserError } from '../../engine/errors.ts'
import { type Tensor, needTensors } from '../../engine/tensor.ts'
import { type ForwardContext, currentContext } from './context.ts'
import { Module } from './module.ts'

/** Dropout (Srivastava et al. 2014), scaled by 1 / (1 − rate); the identity in evaluation. */
export class Dropout extends Module {
  readonly rate: number

  /** Throws a UserError on a rate outside [0, 1). */
  constructor(rate = 0.5) {
    super()
    if (!(rate >= 0 && rate < 1)) throw new UserError(`Dropout: the rate ${rate} is not in [0, 1)`)
    this.rate = rate
  }

  /** Any shape to the same. */
  forward(x: Tensor, context: ForwardContext = currentContext()): Tensor {
    needTensors('Dropout', { x })
    if (!context.training || this.rate === 0) return x
    return dropout(x, this.rate, context.nextStream(), context.step, context.seed)
  }
}
