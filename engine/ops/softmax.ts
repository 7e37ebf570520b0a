// Softmax and log-softmax over the last axis, and the kernels of their gradients.
//
// As in PyTorch, an entry of −∞ has probability 0, and a row of only −∞ gives NaN.
import type { Lowering } from '../../shaders/kernel.ts'
import type { SoftmaxKernel } from '../../shaders/softmax.ts'
import { type LoweringContext, type Specs, defineOp } from '../graph.ts'
import { OnDemand } from '../on-demand.ts'
import { showSpec } from '../shape.ts'
import { type Tensor, apply, defineMethods } from '../tensor.ts'
import { gradientOfFormula } from './formula.ts'
import { alongLast, asRows, needFloatRows, needSpec } from './rows.ts'

declare module '../graph.ts' {
  interface OpAttributes extends Record<SoftmaxKernel, NoAttributes> {}
}

const kernels = new OnDemand(() => import('../../shaders/softmax.ts'))

function lower(kernel: SoftmaxKernel, context: LoweringContext): Lowering {
  const { softmaxCandidates, softmaxLaunch } = kernels.module
  const { dtype } = context.inputs[0]
  const sizes = asRows(context.inputs[0])
  const problem = { kernel, ...sizes, dtype }
  const config = context.choose({ kernel, sizes, options: { dtype } }, softmaxCandidates(problem, context.traits))
  return { launches: [softmaxLaunch(problem, config, context.traits)] }
}

/** Maps every row of [rows, width]: `valuesOf` is given the row's range, and returns its elements by index. */
function mapRows(
  { outputs: [spec] }: Specs,
  valuesOf: (from: number, to: number) => (i: number) => number,
): Float64Array[] {
  const { rows, width } = asRows(spec)
  const out = new Float64Array(rows * width)
  for (let from = 0; from < out.length; from += width) {
    const value = valuesOf(from, from + width)
    for (let i = from; i < from + width; i++) out[i] = value(i)
  }
  return [out]
}

function sum(from: number, to: number, term: (i: number) => number): number {
  let total = 0
  for (let i = from; i < to; i++) total += term(i)
  return total
}

/** `value` gives an element of y, from x and its row's maximum and Σ exp(x − maximum). */
function forward(name: 'softmax' | 'logSoftmax', value: (x: number, rowMax: number, total: number) => number): void {
  defineOp({
    name,
    kind: 'kernel',
    infer([x]) {
      needFloatRows(name, 'x', x)
      return [x]
    },
    gradient: ({ outputs: [y], upstream: [dy] }) => [dy && apply(`${name}Gradient`, [y, dy])],
    kernels,
    lower: context => lower(name, context),
    reference: ([x], specs) =>
      mapRows(specs, (from, to) => {
        const rowMax = x.subarray(from, to).reduce((a, b) => Math.max(a, b), -Infinity)
        const total = sum(from, to, i => Math.exp(x[i] - rowMax))
        return i => value(x[i], rowMax, total)
      }),
  })
}

forward('softmax', (x, rowMax, total) => Math.exp(x - rowMax) / total)
forward('logSoftmax', (x, rowMax, total) => x - rowMax - Math.log(total))

/**
 * `value` gives an element of dx, from y, dy and the sum of `term` over the row; `formula` all of dx by tensor
 * operations, for second derivatives.
 */
function backward(
  name: 'softmaxGradient' | 'logSoftmaxGradient',
  term: (y: number, dy: number) => number,
  value: (y: number, dy: number, total: number) => number,
  formula: (y: Tensor, dy: Tensor) => Tensor,
): void {
  defineOp({
    name,
    kind: 'kernel',
    infer([y, dy]) {
      needFloatRows(name, 'y', y)
      needSpec(name, 'dy', dy, y, `as y ${showSpec(y)}`)
      return [y]
    },
    gradient: gradientOfFormula((y, dy) => [formula(y, dy)]),
    kernels,
    lower: context => lower(name, context),
    reference: ([y, dy], specs) =>
      mapRows(specs, (from, to) => {
        const total = sum(from, to, i => term(y[i], dy[i]))
        return i => value(y[i], dy[i], total)
      }),
  })
}

// dx = y∘(dy − Σ dy∘y), from the softmax's output y.
backward(
  'softmaxGradient',
  (y, dy) => dy * y,
  (y, dy, total) => y * (dy - total),
  (y, dy) => y.mul(dy.sub(dy.mul(y).sum(-1, true))),
)

// dx = dy − exp(y)·Σ dy, from the log-softmax's output y.
backward(
  'logSoftmaxGradient',
  (_y, dy) => dy,
  (y, dy, total) => dy - Math.exp(y) * total,
  (y, dy) => dy.sub(y.exp().mul(dy.sum(-1, true))),
)

defineMethods({
  softmax(axis = -1) {
    return alongLast('softmax', this, axis, x => apply('softmax', [x]))
  },
  logSoftmax(axis = -1) {
    return alongLast('logSoftmax', this, axis, x => apply('logSoftmax', [x]))
  },
})
