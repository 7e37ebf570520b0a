// Softmax and log-softmax over the last axis, and the kernels of their gradients.
//
// As in PyTorch, an entry of −∞ has probability 0, and a row of only −∞ gives NaN.
import type { Lowering } from '../../shaders/kernel.ts'
import type { SoftmaxKernel } from '../../shaders/softmax.ts'
import { type LoweringContext, defineOp } from '../graph.ts'
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

for (const name of ['softmax', 'logSoftmax'] as const) {
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
  })
}

/** `formula` is dx by tensor operations, for second derivatives. */
function backward(name: 'softmaxGradient' | 'logSoftmaxGradient', formula: (y: Tensor, dy: Tensor) => Tensor): void {
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
  })
}

// dx = y∘(dy − Σ dy∘y), from the softmax's output y.
backward('softmaxGradient', (y, dy) => y.mul(dy.sub(dy.mul(y).sum(-1, true))))

// dx = dy − exp(y)·Σ dy, from the log-softmax's output y.
backward('logSoftmaxGradient', (y, dy) => dy.sub(y.exp().mul(dy.sum(-1, true))))

defineMethods({
  softmax(axis = -1) {
    return alongLast('softmax', this, axis, x => apply('softmax', [x]))
  },
  logSoftmax(axis = -1) {
    return alongLast('logSoftmax', this, axis, x => apply('logSoftmax', [x]))
  },
})
