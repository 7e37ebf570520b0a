// Inverted dropout (Srivastava et al. 2014): kept elements are scaled by 1/(1 − rate). The mask is a function of seed,
// stream, step and position, so the backward pass computes it again instead of storing it.
import { isFloat } from '../../shaders/kernel.ts'
import { droppedBelow, keepFactor } from '../../shaders/random.ts'
import { UserError } from '../errors.ts'
import { defineOp } from '../graph.ts'
import { showSpec } from '../shape.ts'
import { type Tensor, apply } from '../tensor.ts'

declare module '../graph.ts' {
  interface OpAttributes {
    readonly dropout: { readonly rate: number; readonly stream: number; readonly seed: number }
  }
}

defineOp({
  name: 'dropout',
  kind: 'elementwise',
  rounding: 'result',
  infer: ([x, step], { rate }) => {
    if (!isFloat(x.dtype)) throw new UserError(`dropout takes floats, not ${showSpec(x)}`)
    if (step.dtype !== 'u32' || step.shape.length !== 0)
      throw new UserError(`dropout: the step is ${showSpec(step)}, but u32[] was expected`)
    if (!(rate >= 0 && rate < 1)) throw new UserError(`dropout: rate ${rate} is not in [0, 1)`)
    return [x]
  },
  uniforms: ({ rate, stream, seed }) => [
    { type: 'u32', value: droppedBelow(rate) },
    { type: 'f32', value: 1 / (1 - rate) },
    { type: 'u32', value: stream },
    { type: 'u32', value: seed },
  ],
  wgsl: ([x, step], { random, uniforms: [below, scale, stream, seed] }) =>
    `select(0.0, ${x} * ${scale}, ${random(stream, step, seed)} >= ${below})`,
  scalar: ([x, step], { rate, stream, seed }, index) => {
    const factor = keepFactor(rate, index, stream, step, seed)
    // Not infinity times zero.
    return factor === 0 ? 0 : x * factor
  },
  gradient: ({ inputs: [, step], attributes, upstream: [dy] }) => [
    dy && apply('dropout', [dy, step], attributes),
    undefined,
  ],
})

/**
 * Zeroes elements of `x` (f32 or f16, any shape) with probability `rate`. `step`, u32 [], gives each step another mask,
 * and `stream` each layer. With rate 0 returns `x` itself. Throws a UserError on integers and on a rate outside [0, 1).
 */
export function dropout(x: Tensor, rate: number, stream: number, step: Tensor, seed: number): Tensor {
  return rate === 0 ? x : apply('dropout', [x, step], { rate, stream, seed })
}
