// RMS norm (Zhang & Sennrich 2019): x / √(mean x² + ε), row by row, times a scale. Statistics are f32 whatever the dtype.
import type { RmsNormProblem } from '../../shaders/rms-norm.ts'
import type { Lowering, Spec } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { type LoweringContext, defineOp } from '../graph.ts'
import { OnDemand } from '../on-demand.ts'
import { showSpec } from '../shape.ts'
import { type Tensor, apply, applyAll, defineMethods } from '../tensor.ts'
import { gradientOfFormula, sum } from './formula.ts'
import { alongLast, asMatrix, asRows, column, needFloatRows, needSpec, needWidth } from './rows.ts'
import { filled, zeros } from './source.ts'

declare module '../graph.ts' {
  interface OpAttributes {
    readonly rmsNorm: { readonly epsilon: number }
    readonly rmsNormGradient: NoAttributes
  }
}

const kernels = new OnDemand(() => import('../../shaders/rms-norm.ts'))

/** One number for each row. */
const statistic = (x: Spec): Spec => ({ shape: [asRows(x).rows], dtype: 'f32' })

function lower(
  kernel: RmsNormProblem['kernel'],
  { inputs: [x, gamma], choose, traits }: LoweringContext,
  epsilon: number,
): Lowering {
  const { rmsNormCandidates, rmsNormLaunch } = kernels.module
  const sizes = asRows(x)
  const problem: RmsNormProblem = { kernel, ...sizes, dtype: x.dtype, gammaDtype: gamma.dtype, epsilon }
  const options = { dtypes: [...new Set([x.dtype, gamma.dtype])].join(' ') }
  const config = choose({ kernel, sizes, options }, rmsNormCandidates(problem, traits))
  return { launches: [rmsNormLaunch(problem, config, traits)] }
}

/** x·rstd as [rows, width]. */
const normalized = (x: Tensor, rstd: Tensor): Tensor => asMatrix(x).mul(column(rstd))

// Outputs: y, and rstd [rows].
defineOp({
  name: 'rmsNorm',
  kind: 'kernel',
  infer([x, gamma], { epsilon }) {
    needFloatRows('rmsNorm', 'x', x)
    needWidth('rmsNorm', 'gamma', gamma, x)
    if (!(epsilon >= 0)) throw new UserError(`rmsNorm: epsilon is ${epsilon}, but at least 0 was expected`)
    return [x, statistic(x)]
  },
  gradient({ inputs: [x, gamma], outputs: [, rstd], upstream: [dy, drstd], needs }) {
    let dx: Tensor | undefined
    if (needs[0]) {
      if (dy) dx = apply('rmsNormGradient', [x, gamma, rstd, dy])
      // ∂rstd/∂x = −rstd³·x/width.
      const { width } = asRows(x)
      const byScale = drstd && normalized(x, rstd).mul(column(drstd.mul(rstd.square()).div(-width)))
      dx = sum(dx, byScale?.reshape(x.shape).cast(x.dtype))
    }
    if (!dy || !needs[1]) return [dx]
    const [dgamma] = applyAll('layerNormParameterGradient', [x, zeros([asRows(x).rows]), rstd, dy])
    return [dx, dgamma.cast(gamma.dtype)]
  },
  ofNothing: filled(NaN),
  kernels,
  lower: context => lower('rmsNorm', context, context.attributes.epsilon),
})

// With n = x·rstd and g = dy∘gamma: dx = rstd·(g − n·mean(g∘n)) row by row.
defineOp({
  name: 'rmsNormGradient',
  kind: 'kernel',
  infer([x, gamma, rstd, dy]) {
    needFloatRows('rmsNormGradient', 'x', x)
    needWidth('rmsNormGradient', 'gamma', gamma, x)
    needSpec('rmsNormGradient', 'rstd', rstd, statistic(x), `one of each row of x ${showSpec(x)}`)
    needSpec('rmsNormGradient', 'dy', dy, x, `as x ${showSpec(x)}`)
    return [x]
  },
  gradient: gradientOfFormula((x, gamma, rstd, dy) => {
    const n = normalized(x, rstd)
    const g = asMatrix(dy).mul(gamma.cast('f32'))
    const dx = column(rstd).mul(g.sub(n.mul(g.mul(n).mean(-1, true))))
    return [dx.reshape(x.shape).cast(x.dtype)]
  }),
  kernels,
  lower: context => lower('rmsNormGradient', context, 0),
})

defineMethods({
  rmsNorm(gamma, epsilon = 1e-6, axis = -1) {
    return alongLast('rmsNorm', this, axis, x => apply('rmsNorm', [x, gamma], { epsilon }))
  },
})
