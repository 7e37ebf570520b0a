// AdamW (Loshchilov & Hutter 2019) as torch.optim.AdamW computes it, parameters and moments updated in place.
import { UserError } from '../errors.ts'
import { defineOp } from '../graph.ts'
import { OnDemand } from '../on-demand.ts'
import { showSpec } from '../shape.ts'
import { type Tensor, applyAll } from '../tensor.ts'
import { needSpec } from './rows.ts'

const kernels = new OnDemand(() => import('../../shaders/adamw.ts'))

/**
 * One step of AdamW. With g = gradient·gradientScale: m ← m + (g − m)(1 − β₁), v ← β₂v + (1 − β₂)g²,
 * p ← p(1 − lr·weightDecay) − lr·m̂/(√v̂ + ε), where m̂ = m/(1 − β₁ᵗ) and √v̂ = √v/√(1 − β₂ᵗ).
 *
 * `parameters`, `m`, `v` and `gradient` are f32 [n]; `hyper` is f32 [8]: lr, 1 − β₁, β₂, 1 − β₂, ε, weight decay, 1 −
 * β₁ᵗ, 1 − β₂ᵗ; `gradientScale` is f32 []. If it is negative or not finite the step is skipped and all three keep their
 * values (with a scale of 0 the moments decay). Returns the new parameters, m and v, to be assigned to their variables.
 * Throws a UserError on other shapes and dtypes.
 */
export function adamw(
  parameters: Tensor,
  m: Tensor,
  v: Tensor,
  gradient: Tensor,
  hyper: Tensor,
  gradientScale: Tensor,
): [Tensor, Tensor, Tensor] {
  const [p1, m1, v1] = applyAll('adamw', [parameters, m, v, gradient, hyper, gradientScale])
  return [p1, m1, v1]
}

declare module '../graph.ts' {
  interface OpAttributes {
    readonly adamw: NoAttributes
  }
}

defineOp({
  name: 'adamw',
  kind: 'kernel',
  noGradient: 'a step of the optimizer is not differentiated through',
  aliases: [0, 1, 2],
  infer([parameters, m, v, gradient, hyper, gradientScale]) {
    if (parameters.dtype !== 'f32' || parameters.shape.length !== 1) {
      throw new UserError(`adamw: parameters are ${showSpec(parameters)}, but f32 with one axis was expected`)
    }
    const why = `as the parameters ${showSpec(parameters)}`
    for (const [name, spec] of Object.entries({ m, v, gradient })) needSpec('adamw', name, spec, parameters, why)
    const numbers = 'lr, 1 - beta1, beta2, 1 - beta2, epsilon, weight decay, 1 - beta1^t, 1 - beta2^t'
    needSpec('adamw', 'hyper', hyper, { shape: [8], dtype: 'f32' }, numbers)
    needSpec('adamw', 'gradientScale', gradientScale, { shape: [], dtype: 'f32' }, 'one number for all parameters')
    return [parameters, parameters, parameters]
  },
  kernels,
  lower(context) {
    const sizes = { count: context.inputs[0].shape[0] }
    const config = context.choose(
      { kernel: 'adamw', sizes, options: {} },
      kernels.module.adamwCandidates(sizes, context.traits),
    )
    return { launches: [kernels.module.adamwLaunch(sizes, config, context.traits)] }
  },
})
