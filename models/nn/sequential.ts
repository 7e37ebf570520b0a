// Layers in a row.
import { UserError } from '../../engine/errors.ts'
import type { Tensor } from '../../engine/tensor.ts'
import { type ForwardContext, currentContext } from './context.ts'
import { Module } from './module.ts'

/** A module from one tensor to one, or a function, such as `x => x.relu()`. */
export type Layer = (Module & { forward(x: Tensor, context?: ForwardContext): Tensor }) | ((x: Tensor) => Tensor)

/**
 * Layers, each of which takes the output of the one before. Names are those of PyTorch: `0.weight`, `2.weight`, where
 * functions are counted.
 */
export class Sequential extends Module {
  readonly layers: readonly Layer[]

  constructor(...layers: readonly Layer[]) {
    super()
    this.layers = layers
    layers.forEach((layer, i) => {
      if (layer instanceof Module) this.add(`${i}`, layer)
      else if (typeof layer !== 'function')
        throw new UserError(`Sequential: layer ${i} is neither a module nor a function; layers are given one by one`)
    })
  }

  /** What the first layer takes to what the last gives. */
  forward(x: Tensor, context: ForwardContext = currentContext()): Tensor {
    return this.layers.reduce((value, layer) => {
      return layer instanceof Module ? layer.forward(value, context) : layer(value)
    }, x)
  }
}
