// Layer norm (Ba et al. 2016) over the last axis, and the kernels of its gradients. Statistics, sums and the gradients
// of gamma and beta are f32 whatever the dtype of x.
import { UserError } from '../errors.ts'
import {
  layerNormCandidates,
  layerNormLaunch,
  layerNormParameterCandidates,
  layerNormParameterLowering,
} from '../../shaders/layer-norm.ts'
import { type Spec, isFloat } from '../../shaders/kernel.ts'
import { type LoweringContext, type Specs, defineOp } from '../graph.ts'
import { showSpec } from '../shape.ts'
import { type Tensor, apply, applyAll } from '../tensor.ts'
import { asRows, needFloatRows, needSpec } from './rows.ts'

type LayerNormAttributes = { readonly epsilon: number }

function needWidth(op: string, name: string, spec: Spec, x: Spec): void {
  const { width } = asRows(x)
  if (!isFloat(spec.dtype) || spec.shape.length !== 1 || spec.shape[0] !== width) {
    const expected = `floats of shape [${width}] were expected (x is ${showSpec(x)})`
    throw new UserError(`${op}: ${name} is ${showSpec(spec)}, but ${expected}`)
  }
}

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
    const { rows, width } = asRows(x)
    let dx: Tensor | undefined
    if (needs[0] && dy) dx = apply('layerNormGradient', [x, gamma, mean, rstd, dy])
    if (needs[0] && (dmean || drstd)) {
      // ∂mean/∂x = 1/width and ∂rstd/∂x = −rstd²·normal/width.
      const parts: Tensor[] = []
      if (dmean) parts.push(dmean.div(width).reshape([rows, 1]).broadcastTo([rows, width]))
      if (drstd) {
        const { normal } = normalized(x, mean, rstd)
        parts.push(normal.mul(drstd.mul(rstd.square()).div(-width).reshape([rows, 1])))
      }
      const part = parts
        .reduce((a, b) => a.add(b))
        .reshape(x.shape)
        .cast(x.dtype)
      dx = dx ? dx.add(part) : part
    }
    if (!dy) return [dx, undefined, undefined]
    if (!needs[1]) return [dx, undefined, needs[2] ? asMatrix(dy).sum(0).cast(beta.dtype) : undefined]
    const [dgamma, dbeta] = applyAll('layerNormParameterGradient', [x, mean, rstd, dy])
    return [dx, dgamma.cast(gamma.dtype), dbeta.cast(beta.dtype)]
  },
  lower(context) {
    const [x, gamma, beta] = context.inputs
    return lowerRows('layerNorm', context, x, gamma, beta, context.attributes.epsilon)
  },
  reference([x, gamma, beta], specs, { epsilon }) {
    const { rows, width } = asRows(specs.inputs[0])
    const y = new Float64Array(rows * width)
    const mean = new Float64Array(rows)
    const rstd = new Float64Array(rows)
    for (let r = 0; r < rows; r++) {
      const row = x.subarray(r * width, (r + 1) * width)
      mean[r] = row.reduce((sum, v) => sum + v, 0) / width
      // A constant row has variance 0; in float64 too its mean is rounded.
      const center = row.every(v => v === row[0]) ? row[0] : mean[r]
      const variance = row.reduce((sum, v) => sum + (v - center) ** 2, 0) / width
      rstd[r] = 1 / Math.sqrt(variance + epsilon)
      for (let i = 0; i < width; i++) y[r * width + i] = (row[i] - center) * rstd[r] * gamma[i] + beta[i]
    }
    return [y, mean, rstd]
  },
})

function lowerRows(
  kernel: 'layerNorm' | 'layerNormGradient',
  context: LoweringContext,
  x: Spec,
  gamma: Spec,
  beta: Spec,
  epsilon: number,
) {
  const { rows, width } = asRows(x)
  const { dtype } = x
  const problem = { kernel, rows, width, dtype, gammaDtype: gamma.dtype, betaDtype: beta.dtype, epsilon }
  const options = { dtypes: [...new Set([dtype, gamma.dtype, beta.dtype])].join(' ') }
  const config = context.choose(
    { kernel, sizes: { rows, width }, options },
    layerNormCandidates(problem, context.traits),
  )
  return { launches: [layerNormLaunch(problem, config, context.traits)] }
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
  gradient({ inputs: [x, gamma, mean, rstd, dy], upstream: [upstream], needs }) {
    if (!upstream) return []
    const { rows } = asRows(x)
    const { normal, centered, scale } = normalized(x, mean, rstd)
    const u = asMatrix(upstream)
    const dyRows = asMatrix(dy)
    const gammaRow = gamma.cast('f32').reshape([1, -1])
    const g = dyRows.mul(gammaRow)
    const rowMean = (t: Tensor) => t.mean(-1, true)
    const c = rowMean(g.mul(normal))
    const un = rowMean(u.mul(normal))
    // The derivatives of L = Σ u∘dx by g, by n, and by the factor rstd of the bracket.
    const dg = scale.mul(u.sub(rowMean(u)).sub(normal.mul(un)))
    const dn = scale.mul(u.mul(c).add(g.mul(un))).neg()
    const bracket = g.sub(rowMean(g)).sub(normal.mul(c))
    return [
      needs[0] ? dn.mul(scale).reshape(x.shape).cast(x.dtype) : undefined,
      needs[1] ? dg.mul(dyRows).sum(0).cast(gamma.dtype) : undefined,
      needs[2] ? dn.mul(scale).sum(-1).neg() : undefined,
      needs[3] ? dn.mul(centered).add(u.mul(bracket)).sum(-1).reshape([rows]) : undefined,
      needs[4] ? dg.mul(gammaRow).reshape(x.shape).cast(dy.dtype) : undefined,
    ]
  },
  lower(context) {
    const [x, gamma] = context.inputs
    return lowerRows('layerNormGradient', context, x, gamma, gamma, 0)
  },
  reference([x, gamma, mean, rstd, dy], specs) {
    const { rows, width } = asRows(specs.inputs[0])
    const dx = new Float64Array(rows * width)
    for (let r = 0; r < rows; r++) {
      let sumG = 0
      let sumProduct = 0
      for (let i = 0, at = r * width; i < width; i++, at++) {
        sumG += dy[at] * gamma[i]
        sumProduct += dy[at] * gamma[i] * (x[at] - mean[r]) * rstd[r]
      }
      for (let i = 0, at = r * width; i < width; i++, at++) {
        dx[at] = rstd[r] * (dy[at] * gamma[i] - sumG / width - (x[at] - mean[r]) * rstd[r] * (sumProduct / width))
      }
    }
    return [dx]
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
  gradient({ inputs: [x, mean, rstd, dy], upstream: [ugamma, ubeta], needs }) {
    const { normal, centered, scale } = normalized(x, mean, rstd)
    const du = ugamma && normal.mul(ugamma)
    const ddy = du && ubeta ? du.add(ubeta) : (du ?? ubeta?.reshape([1, -1]).broadcastTo(normal.shape))
    const dn = ugamma && asMatrix(dy).mul(ugamma)
    return [
      needs[0] ? dn?.mul(scale).reshape(x.shape).cast(x.dtype) : undefined,
      needs[1] ? dn?.mul(scale).sum(-1).neg() : undefined,
      needs[2] ? dn?.mul(centered).sum(-1) : undefined,
      needs[3] ? ddy?.reshape(x.shape).cast(dy.dtype) : undefined,
    ]
  },
  lower(context) {
    const { dtype } = context.inputs[0]
    const { rows, width } = asRows(context.inputs[0])
    const problem = { rows, width, dtype }
    const candidates = layerNormParameterCandidates(problem, context.traits)
    const config = context.choose(
      { kernel: 'layerNormParameterGradient', sizes: { rows, width }, options: { dtype } },
      candidates,
    )
    return layerNormParameterLowering(problem, config)
  },
  reference([x, mean, rstd, dy], specs: Specs) {
    const { rows, width } = asRows(specs.inputs[0])
    const dgamma = new Float64Array(width)
    const dbeta = new Float64Array(width)
    for (let r = 0; r < rows; r++) {
      for (let i = 0, at = r * width; i < width; i++, at++) {
        dgamma[i] += dy[at] * (x[at] - mean[r]) * rstd[r]
        dbeta[i] += dy[at]
      }
    }
    return [dgamma, dbeta]
  },
})

/** f32 [rows, width]. */
function asMatrix(x: Tensor): Tensor {
  const { rows, width } = asRows(x)
  return x.cast('f32').reshape([rows, width])
}

/** x − mean and (x − mean)·rstd as [rows, width], rstd as [rows, 1]. */
function normalized(x: Tensor, mean: Tensor, rstd: Tensor): { centered: Tensor; normal: Tensor; scale: Tensor } {
  const { rows } = asRows(x)
  const centered = asMatrix(x).sub(mean.reshape([rows, 1]))
  const scale = rstd.reshape([rows, 1])
  return { centered, normal: centered.mul(scale), scale }
}
