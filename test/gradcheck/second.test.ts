// Gradients of gradients, in float64 against differences: gradient rules are tensor operations, so they are
// differentiated again.
import { describe, expect, test } from 'vitest'
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

/** Ops whose gradient has kernels that are not differentiated again. */
const ONCE = new Set(['attention', 'attentionGradient'])

describe('second derivatives are the slopes of the first', () => {
  for (const of of cases.filter(({ nets, op }) => nets.includes(1) && !ONCE.has(op))) {
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

  test('or refused with a reason', async () => {
    for (const of of cases.filter(({ op }) => ONCE.has(op))) {
      await holds(
        of,
        false,
        async drawn => {
          expect(() => planned({ ...drawn, fn: gradientsOf(drawn) }, 'alone', [1])).toThrow(
            /no gradient through attentionGradient: second derivatives/,
          )
        },
        1,
      )
    }
  })
})
