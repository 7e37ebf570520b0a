// Layer norm (Ba et al. 2016) over the last axis, and the kernels of its gradients. Statistics, sums and the gradients
// of gamma and beta are f32 whatever the dtype of x.
import { UserError } from '../errors.ts'
import type { Lowering, Spec } from '../../shaders/kernel.ts'
import { type LoweringContext, defineOp } from '../graph.ts'
import { OnDemand } from '../on-demand.ts'
import { showSpec } from '../shape.ts'
import { type Tensor, apply, applyAll, defineMethods } from '../tensor.ts'
import { gradientOfFormula, sum } from './formula.ts'
import { alongLast, asMatrix, asRows, column, needFloatRows, needSpec, needWidth } from './rows.ts'
import { filled } from './source.ts'

const kernels = new OnDemand(() => import('../../shaders/layer-norm.ts'))

type LayerNormAttributes = { readonly epsilon: number }

/** One number for each row: mean or rstd. */
function statistic(x: Spec): Spec {
  return { shape: [asRows(x).rows], dtype: 'f32' }
}

function needStatistics(op: string, x: Spec, mean: Spec, rstd: Spec): void {
  needSpec(op, 'mean', mean, statistic(x), `one of each row of x ${showSpec(x)}`)
  needSpec(op, 'rstd', rstd, statistic(x), `one of each row of x ${showSpec(x)}`)
}

declare module '../graph.ts' {
  interface OpAttributes {
    readonly layerNorm: LayerNormAttributes
    readonly layerNormGradient: NoAttributes
    readonly layerNormParameterGradient: NoAttributes
  }
}

defineOp({
  name: 'layerNorm',
  kind: 'kernel',
  infer([x, gamma, beta], { epsilon }) {
    needFloatRows('layerNorm', 'x', x)
    needWidth('layerNorm', 'gamma', gamma, x)
    needWidth('layerNorm', 'beta', beta, x)
    if (!(epsilon >= 0)) throw new UserError(`layerNorm: epsilon is ${epsilon}, but at least 0 was expected`)
    return [x, statistic(x), statistic(x)]
  },
  gradient({ inputs: [x, gamma, beta], outputs: [, mean, rstd], upstream: [dy, dmean, drstd], needs }) {
    let dx: Tensor | undefined
    if (needs[0]) {
      if (dy) dx = apply('layerNormGradient', [x, gamma, mean, rstd, dy])
      // ∂mean/∂x = 1/width and ∂rstd/∂x = −rstd²·normal/width.
      const { width } = asRows(x)
      const byMean = dmean && column(dmean.div(width)).broadcastTo([dmean.size, width])
      const byRstd = drstd && normalized(x, mean, rstd).mul(column(drstd.mul(rstd.square()).div(-width)))
      dx = sum(dx, sum(byMean, byRstd)?.reshape(x.shape).cast(x.dtype))
    }
    if (!dy) return [dx, undefined, undefined]
    if (!needs[1]) return [dx, undefined, needs[2] ? asMatrix(dy).sum(0).cast(beta.dtype) : undefined]
    const [dgamma, dbeta] = applyAll('layerNormParameterGradient', [x, mean, rstd, dy])
    return [dx, dgamma.cast(gamma.dtype), dbeta.cast(beta.dtype)]
  },
  ofNothing: filled(NaN),
  kernels,
  lower: context => lowerRows('layerNorm', context, context.inputs, context.attributes.epsilon),
})

function lowerRows(
  kernel: 'layerNorm' | 'layerNormGradient',
  { choose, traits }: LoweringContext,
  [x, gamma, beta]: readonly Spec[],
  epsilon: number,
): Lowering {
  const sizes = asRows(x)
  const { dtype } = x
  const problem = { kernel, ...sizes, dtype, gammaDtype: gamma.dtype, betaDtype: beta.dtype, epsilon }
  const options = { dtypes: [...new Set([dtype, gamma.dtype, beta.dtype])].join(' ') }
  const config = choose({ kernel, sizes, options }, kernels.module.layerNormCandidates(problem, traits))
  return { launches: [kernels.module.layerNormLaunch(problem, config, traits)] }
}

// With n = (x − mean)·rstd and g = dy∘gamma: dx = rstd·(g − mean(g) − n·mean(g∘n)) row by row.
defineOp({
  name: 'layerNormGradient',
  kind: 'kernel',
  infer([x, gamma, mean, rstd, dy]) {
    needFloatRows('layerNormGradient', 'x', x)
    needWidth('layerNormGradient', 'gamma', gamma, x)
    needStatistics('layerNormGradient', x, mean, rstd)
    needSpec('layerNormGradient', 'dy', dy, x, `as x ${showSpec(x)}`)
    return [x]
  },
  gradient: gradientOfFormula((x, gamma, mean, rstd, dy) => {
    const rowMean = (t: Tensor): Tensor => t.mean(-1, true)
    const n = normalized(x, mean, rstd)
    const g = asMatrix(dy).mul(gamma.cast('f32'))
    const dx = column(rstd).mul(g.sub(rowMean(g)).sub(n.mul(rowMean(g.mul(n)))))
    return [dx.reshape(x.shape).cast(x.dtype)]
  }),
  kernels,
  lower(context) {
    const [x, gamma] = context.inputs
    return lowerRows('layerNormGradient', context, [x, gamma, gamma], 0)
  },
})

// dgamma = Σ dy∘n and dbeta = Σ dy over the rows, both f32.
defineOp({
  name: 'layerNormParameterGradient',
  kind: 'kernel',
  infer([x, mean, rstd, dy]) {
    needFloatRows('layerNormParameterGradient', 'x', x)
    needStatistics('layerNormParameterGradient', x, mean, rstd)
    needSpec('layerNormParameterGradient', 'dy', dy, x, `as x ${showSpec(x)}`)
    const sums: Spec = { shape: [asRows(x).width], dtype: 'f32' }
    return [sums, sums]
  },
  gradient: gradientOfFormula((x, mean, rstd, dy) => [
    asMatrix(dy)
      .mul(normalized(x, mean, rstd))
      .sum(0),
    asMatrix(dy).sum(0),
  ]),
  ofNothing: filled(0),
  kernels,
  lower({ inputs: [x], choose, traits }) {
    const { dtype } = x
    const sizes = asRows(x)
    const problem = { ...sizes, dtype }
    const question = { kernel: 'layerNormParameterGradient', sizes, options: { dtype } }
    return kernels.module.layerNormParameterLowering(
      problem,
      choose(question, kernels.module.layerNormParameterCandidates(problem, traits)),
    )
  },
})

/** (x − mean)·rstd as [rows, width]. */
function normalized(x: Tensor, mean: Tensor, rstd: Tensor): Tensor {
  return asMatrix(x).sub(column(mean)).mul(column(rstd))
}

defineMethods({
  layerNorm(gamma, beta, epsilon = 1e-12, axis = -1) {
    return alongLast('layerNorm', this, axis, x => apply('layerNorm', [x, gamma, beta], { epsilon }))
  },
})
