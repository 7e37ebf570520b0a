// Cross entropy of integer labels with the softmax of logits: −log softmax(logits)[label], row by row.
//
// A row with the ignored label has loss 0 and gradient 0. A label that is neither that nor a class gives loss NaN and a
// gradient of NaN, and so does a row whose logits are all −∞.
import type { CrossEntropyProblem } from '../../shaders/cross-entropy.ts'
import type { Lowering, Spec } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { type LoweringContext, defineOp } from '../graph.ts'
import { OnDemand } from '../on-demand.ts'
import { showSpec } from '../shape.ts'
import { type Tensor, apply } from '../tensor.ts'
import { needFloatRows, needSpec } from './rows.ts'
import { ones } from './source.ts'

type CrossEntropyAttributes = { readonly ignoreIndex: number }

/**
 * Cross-entropy losses, f32 [rows], of logits [rows, classes] (f32 or f16) and labels i32 [rows]: 0 for the label
 * `ignoreIndex`, NaN for labels that are not a class. Throws a UserError on other shapes and dtypes.
 */
export function crossEntropy(logits: Tensor, labels: Tensor, ignoreIndex = -100): Tensor {
  return apply('crossEntropy', [logits, labels], { ignoreIndex })
}

function check(op: string, logits: Spec, labels: Spec, { ignoreIndex }: CrossEntropyAttributes): void {
  needFloatRows(op, 'logits', logits)
  if (logits.shape.length !== 2) {
    throw new UserError(`${op}: logits are ${showSpec(logits)}, but [rows, classes] was expected`)
  }
  const one: Spec = { shape: [logits.shape[0]], dtype: 'i32' }
  needSpec(op, 'labels', labels, one, `one of each row of logits ${showSpec(logits)}`)
  if (!Number.isInteger(ignoreIndex) || Math.abs(ignoreIndex) >= 2 ** 31) {
    throw new UserError(`${op}: ignoreIndex is ${ignoreIndex}, but a 32-bit integer was expected`)
  }
}

/** The largest logit of a row and log Σ exp(logit − largest). */
function normalizers(logits: Spec): Spec {
  return { shape: [logits.shape[0], 2], dtype: 'f32' }
}

const kernels = new OnDemand(() => import('../../shaders/cross-entropy.ts'))

type Kernel = CrossEntropyProblem['kernel']

function lower(kernel: Kernel, context: LoweringContext<CrossEntropyAttributes>): Lowering {
  const { shape, dtype } = context.inputs[0]
  const sizes = { rows: shape[0], classes: shape[1] }
  const problem = { kernel, ...sizes, dtype, ignoreIndex: context.attributes.ignoreIndex }
  const candidates = kernels.module.crossEntropyCandidates(problem, context.traits)
  const config = context.choose({ kernel, sizes, options: { dtype } }, candidates)
  return { launches: [kernels.module.crossEntropyLaunch(problem, config, context.traits)] }
}

declare module '../graph.ts' {
  interface OpAttributes {
    readonly crossEntropy: CrossEntropyAttributes
    readonly crossEntropyGradient: CrossEntropyAttributes
  }
}

// Outputs: losses [rows], and the normalizers [rows, 2] for the gradient.
defineOp({
  name: 'crossEntropy',
  kind: 'kernel',
  infer([logits, labels], attributes) {
    check('crossEntropy', logits, labels, attributes)
    return [{ shape: [logits.shape[0]], dtype: 'f32' }, normalizers(logits)]
  },
  gradient({ inputs: [logits, labels], outputs, upstream: [dlosses, other], attributes }) {
    // Only the gradient reads the normalizers, and its own rule accounts for them.
    if (other) throw new Error('crossEntropy: only its losses have a gradient')
    return [dlosses && apply('crossEntropyGradient', [logits, labels, outputs[1], dlosses], attributes), undefined]
  },
  kernels,
  lower: context => lower('crossEntropy', context),
})

// dlogits = (softmax(logits) − one-hot(label))·dloss, from the normalizers of the forward op.
defineOp({
  name: 'crossEntropyGradient',
  kind: 'kernel',
  infer([logits, labels, kept, dlosses], attributes) {
    check('crossEntropyGradient', logits, labels, attributes)
    const why = `as logits are ${showSpec(logits)}`
    needSpec('crossEntropyGradient', 'normalizers', kept, normalizers(logits), why)
    needSpec('crossEntropyGradient', 'dlosses', dlosses, { shape: [logits.shape[0]], dtype: 'f32' }, why)
    return [logits]
  },
  gradient({ inputs: [logits, labels, kept, dlosses], upstream: [u], attributes, needs }) {
    if (!u) return []
    const rows = logits.shape[0]
    // The normalizers depend on the logits: the softmax's rule includes their share of the gradient.
    const counted = labels.equal(attributes.ignoreIndex).where(0, dlosses).reshape([rows, 1]).cast(u.dtype)
    const unscaled = apply('crossEntropyGradient', [logits, labels, kept, ones([rows])], attributes)
    return [
      needs[0] || needs[2] ? apply('softmaxGradient', [logits.softmax(), u.mul(counted)]) : undefined,
      undefined,
      undefined,
      needs[3] ? u.mul(unscaled).cast('f32').sum(-1) : undefined,
    ]
  },
  kernels,
  lower: context => lower('crossEntropyGradient', context),
})
