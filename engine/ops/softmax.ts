// Softmax and log-softmax over the last axis, and the kernels of their gradients.
//
// As in PyTorch, an entry of −∞ has probability 0, and a row of only −∞ gives NaN.
import type { Lowering } from '../../shaders/kernel.ts'
import { type SoftmaxKernel, softmaxCandidates, softmaxLaunch } from '../../shaders/softmax.ts'
import { type LoweringContext, type Specs, defineOp } from '../graph.ts'
import { showSpec } from '../shape.ts'
import { apply } from '../tensor.ts'
import { asRows, needFloatRows, needSpec } from './rows.ts'

function lower(kernel: SoftmaxKernel, context: LoweringContext): Lowering {
  const { dtype } = context.inputs[0]
  const { rows, width } = asRows(context.inputs[0])
  const problem = { kernel, rows, width, dtype }
  const config = context.choose({ kernel, sizes: { rows, width }, options: { dtype } }, softmaxCandidates(problem, context.traits))
  return { launches: [softmaxLaunch(problem, config, context.traits)] }
}

/** Runs `row(from, to, output)` for every row of [rows, width]. */
function eachRow(specs: Specs, row: (from: number, to: number, out: Float64Array) => void): Float64Array[] {
  const { rows, width } = asRows(specs.outputs[0])
  const out = new Float64Array(rows * width)
  for (let r = 0; r < rows; r++) row(r * width, (r + 1) * width, out)
  return [out]
}

/** The maximum of a row and Σ exp(x − maximum). */
function rowTotals(x: Float64Array, from: number, to: number): { rowMax: number; total: number } {
  let rowMax = -Infinity
  for (let i = from; i < to; i++) rowMax = Math.max(rowMax, x[i])
  let total = 0
  for (let i = from; i < to; i++) total += Math.exp(x[i] - rowMax)
  return { rowMax, total }
}

declare module '../graph.ts' {
  interface OpAttributes extends Record<SoftmaxKernel, NoAttributes> {}
}

defineOp({
  name: 'softmax',
  kind: 'kernel',
  infer([x]) {
    needFloatRows('softmax', 'x', x)
    return [x]
  },
  gradient({ outputs, upstream: [dy] }) {
    return [dy && apply('softmaxGradient', [outputs[0], dy])]
  },
  lower: context => lower('softmax', context),
  reference: ([x], specs) => eachRow(specs, (from, to, y) => {
    const { rowMax, total } = rowTotals(x, from, to)
    for (let i = from; i < to; i++) y[i] = Math.exp(x[i] - rowMax) / total
  }),
})

defineOp({
  name: 'logSoftmax',
  kind: 'kernel',
  infer([x]) {
    needFloatRows('logSoftmax', 'x', x)
    return [x]
  },
  gradient({ outputs, upstream: [dy] }) {
    return [dy && apply('logSoftmaxGradient', [outputs[0], dy])]
  },
  lower: context => lower('logSoftmax', context),
  reference: ([x], specs) => eachRow(specs, (from, to, y) => {
    const { rowMax, total } = rowTotals(x, from, to)
    for (let i = from; i < to; i++) y[i] = x[i] - rowMax - Math.log(total)
  }),
})

// dx = y∘(dy − Σ dy∘y), from the softmax's output y.
defineOp({
  name: 'softmaxGradient',
  kind: 'kernel',
  infer([y, dy]) {
    needFloatRows('softmaxGradient', 'y', y)
    needSpec('softmaxGradient', 'dy', dy, y, `as y ${showSpec(y)}`)
    return [y]
  },
  gradient({ inputs: [y, dy], upstream: [u], needs }) {
    if (!u) return []
    const uy = u.mul(y)
    const s = dy.mul(y).sum(-1, true)
    return [
      needs[0] ? u.mul(dy.sub(s)).sub(dy.mul(uy.sum(-1, true))) : undefined,
      // The softmax's Jacobian is symmetric.
      needs[1] ? apply('softmaxGradient', [y, u]) : undefined,
    ]
  },
  lower: context => lower('softmaxGradient', context),
  reference: ([y, dy], specs) => eachRow(specs, (from, to, dx) => {
    let total = 0
    for (let i = from; i < to; i++) total += dy[i] * y[i]
    for (let i = from; i < to; i++) dx[i] = y[i] * (dy[i] - total)
  }),
})

// dx = dy − exp(y)·Σ dy, from the log-softmax's output y.
defineOp({
  name: 'logSoftmaxGradient',
  kind: 'kernel',
  infer([y, dy]) {
    needFloatRows('logSoftmaxGradient', 'y', y)
    needSpec('logSoftmaxGradient', 'dy', dy, y, `as y ${showSpec(y)}`)
    return [y]
  },
  gradient({ inputs: [y, dy], upstream: [u], needs }) {
    if (!u) return []
    const p = y.exp()
    return [
      needs[0] ? u.mul(p).mul(dy.sum(-1, true)).neg() : undefined,
      needs[1] ? u.sub(u.mul(p).sum(-1, true)) : undefined,
    ]
  },
  lower: context => lower('logSoftmaxGradient', context),
  reference: ([y, dy], specs) => eachRow(specs, (from, to, dx) => {
    let total = 0
    for (let i = from; i < to; i++) total += dy[i]
    for (let i = from; i < to; i++) dx[i] = dy[i] - Math.exp(y[i]) * total
  }),
})
