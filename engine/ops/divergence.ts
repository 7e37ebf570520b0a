// The Kullback-Leibler divergence KL(softmax(teacher / T) ‖ softmax(logits / T)), row by row: what distillation minimises
// (Hinton et al. 2015). Without the factor T² that keeps its gradient as large as that of labels.
//
// A class that the teacher gives probability 0 counts nothing. A row with NaN or +∞ in it, or of nothing but −∞, has loss
// NaN, and so does its gradient.
import type { DivergenceProblem } from '../../shaders/divergence.ts'
import type { Lowering, Spec } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { type LoweringContext, defineOp } from '../graph.ts'
import { OnDemand } from '../on-demand.ts'
import { showSpec } from '../shape.ts'
import { type Tensor, apply } from '../tensor.ts'
import { gradientOfFormula } from './formula.ts'
import { needFloatRows, needSpec } from './rows.ts'

type DivergenceAttributes = { readonly temperature: number }

/**
 * KL(softmax(teacher / temperature) ‖ softmax(logits / temperature)), f32 [rows], of two logits [rows, classes] of the
 * same dtype (f32 or f16). Throws a UserError on other shapes and dtypes, and unless the temperature is positive.
 */
export function divergence(logits: Tensor, teacher: Tensor, temperature = 1): Tensor {
  return apply('divergence', [logits, teacher], { temperature })
}

function check(op: string, logits: Spec, teacher: Spec, { temperature }: DivergenceAttributes): void {
  needFloatRows(op, 'logits', logits)
  if (logits.shape.length !== 2) {
    throw new UserError(`${op}: logits are ${showSpec(logits)}, but [rows, classes] was expected`)
  }
  needSpec(op, 'teacher', teacher, logits, `as logits are ${showSpec(logits)}`)
  if (!(temperature > 0 && Number.isFinite(temperature))) {
    throw new UserError(`${op}: temperature is ${temperature}, but a positive number was expected`)
  }
}

/** Of the logits and of the teacher: the largest of a row, and log Σ exp((logit − largest) / temperature). */
function normalizers(logits: Spec): Spec {
  return { shape: [logits.shape[0], 4], dtype: 'f32' }
}

const kernels = new OnDemand(() => import('../../shaders/divergence.ts'))

type Kernel = DivergenceProblem['kernel']

function lower(kernel: Kernel, context: LoweringContext<DivergenceAttributes>): Lowering {
  const { shape, dtype } = context.inputs[0]
  const sizes = { rows: shape[0], classes: shape[1] }
  const problem = { kernel, ...sizes, dtype, temperature: context.attributes.temperature }
  const candidates = kernels.module.divergenceCandidates(problem, context.traits)
  const config = context.choose({ kernel, sizes, options: { dtype } }, candidates)
  return { launches: [kernels.module.divergenceLaunch(problem, config, context.traits)] }
}

declare module '../graph.ts' {
  interface OpAttributes {
    readonly divergence: DivergenceAttributes
    readonly divergenceGradient: DivergenceAttributes
  }
}

// Outputs: losses [rows], and the normalizers [rows, 4] for the gradient.
defineOp({
  name: 'divergence',
  kind: 'kernel',
  infer([logits, teacher], attributes) {
    check('divergence', logits, teacher, attributes)
    return [{ shape: [logits.shape[0]], dtype: 'f32' }, normalizers(logits)]
  },
  gradient({ inputs: [logits, teacher], outputs: [losses, kept], upstream: [dlosses, other], attributes, needs }) {
    // Only the gradient reads the normalizers, and its own rule accounts for them.
    if (other) throw new Error('divergence: only its losses have a gradient')
    if (!dlosses) return []
    const rows = logits.shape[0]
    const scaled = (x: Tensor): Tensor => x.cast('f32').div(attributes.temperature)
    // p∘(log p − log q − loss) ÷ T. A teacher is rarely trained, so there is no kernel for it.
    const ofTeacher = (): Tensor => {
      const gaps = scaled(teacher)
        .logSoftmax()
        .sub(scaled(logits).logSoftmax())
        .sub(losses.reshape([rows, 1]))
      const factors = dlosses.div(attributes.temperature).reshape([rows, 1])
      return scaled(teacher).softmax().mul(gaps).mul(factors).cast(teacher.dtype)
    }
    return [
      needs[0] ? apply('divergenceGradient', [logits, teacher, kept, dlosses], attributes) : undefined,
      needs[1] ? ofTeacher() : undefined,
    ]
  },
  kernels,
  lower: context => lower('divergence', context),
})

/** (softmax(logits / T) − softmax(teacher / T))·dloss ÷ T, for second derivatives. */
const gradientByFormula = (temperature: number) =>
  gradientOfFormula((logits, teacher, dlosses) => {
    const [own, theirs] = [logits, teacher].map(x => x.cast('f32').div(temperature).softmax())
    const factors = dlosses.div(temperature).reshape([logits.shape[0], 1])
    return [own.sub(theirs).mul(factors).cast(logits.dtype)]
  })

// dlogits = (softmax(logits / T) − softmax(teacher / T))·dloss ÷ T, from the normalizers of the forward op.
defineOp({
  name: 'divergenceGradient',
  kind: 'kernel',
  infer([logits, teacher, kept, dlosses], attributes) {
    check('divergenceGradient', logits, teacher, attributes)
    const why = `as logits are ${showSpec(logits)}`
    needSpec('divergenceGradient', 'normalizers', kept, normalizers(logits), why)
    needSpec('divergenceGradient', 'dlosses', dlosses, { shape: [logits.shape[0]], dtype: 'f32' }, why)
    return [logits]
  },
  gradient({ inputs: [logits, teacher, , dlosses], needs, ...context }) {
    // The normalizers depend on the logits: the softmaxes' rules include their share of the gradient.
    const own = { ...context, inputs: [logits, teacher, dlosses], needs: [needs[0], needs[1], needs[3]] }
    const [dlogits, dteacher, ddlosses] = gradientByFormula(context.attributes.temperature)(own)
    return [dlogits, dteacher, undefined, ddlosses]
  },
  kernels,
  lower: context => lower('divergenceGradient', context),
})
