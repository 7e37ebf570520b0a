// Gradient rules that differentiate a formula. Ops that are gradients themselves use them: second derivatives are too
// rare to need kernels.
import { grad } from '../autodiff.ts'
import type { GradientContext } from '../graph.ts'
import type { Tensor } from '../tensor.ts'

/** The sum of the defined terms. */
export function sum(...terms: readonly (Tensor | undefined)[]): Tensor | undefined {
  return terms.reduce((total, term) => (total && term ? total.add(term) : (total ?? term)), undefined)
}

/** The gradient rule of an op whose outputs `formula` computes from the same inputs by other ops. */
export function gradientOfFormula(formula: (...inputs: Tensor[]) => readonly Tensor[]) {
  return ({ inputs, upstream, needs }: GradientContext): (Tensor | undefined)[] => {
    // New nodes, so that one input's dependence on another is not part of the derivative.
    const own = inputs.map(x => x.reshape(x.shape))
    const wrt = own.filter((_, i) => needs[i])
    const byOutput = formula(...own).flatMap((y, k) => {
      const dy = upstream[k]
      return dy ? [grad(y, wrt, dy)] : []
    })
    return own.map(x => (wrt.includes(x) ? sum(...byOutput.map(gradients => gradients[wrt.indexOf(x)])) : undefined))
  }
}
