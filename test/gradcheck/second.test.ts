// Gradients of gradients, in float64 against differences: gradient rules are tensor operations, so they are
// differentiated again.
import { describe, test } from 'vitest'
import { concat, grad } from '../../engine/index.ts'
import type { Tensor } from '../../engine/tensor.ts'
import { isFloat } from '../../shaders/kernel.ts'
import { cases } from './cases.ts'
import type { Drawn } from './draw.ts'
import { RUNS, expectMet, holds, planned } from './run.ts'

/** All gradients of a drawn function in one vector; their upstream depends on the function's own value. */
function gradientsOf({ fn, options }: Drawn): (...inputs: Tensor[]) => Tensor {
  return (...inputs) => {
    const y = fn(...inputs).cast('f32')
    const wrt = inputs.filter((t, i) => isFloat(t.dtype) && (options.wrt?.includes(i) ?? true))
    const all = grad(y.mul(0.3).add(1).mul(y).sum(), wrt)
    return concat(all.map(g => g.cast('f32').reshape([g.size])))
  }
}

describe('second derivatives are the slopes of the first', () => {
  for (const of of cases.filter(({ nets }) => nets.includes(1))) {
    test(of.name, () =>
      holds(
        of,
        true,
        async drawn => {
          if (!drawn.options.nets?.includes(1)) return
          const twice = { ...drawn, fn: gradientsOf(drawn) }
          expectMet(of, drawn, [planned(twice, 'alone', [1]).judge([])])
        },
        Math.ceil(RUNS / 3),
      ),
    )
  }
})
