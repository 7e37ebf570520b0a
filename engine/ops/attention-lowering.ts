// The launches of attention and of its gradient. Programs load this and the kernels when they first attend.
import {
  type AttentionMask,
  type AttentionProblem,
  type ChooseAttention,
  attentionBackward,
  attentionForward,
} from '../../shaders/attention.ts'
import { type Lowering, type Spec, isFloat } from '../../shaders/kernel.ts'
import type { LoweringContext, OpAttributes } from '../graph.ts'
import type { AttentionAttributes, Given } from './attention.ts'

export function lowerForward(context: LoweringContext<AttentionAttributes>, given: Given): Lowering {
  const problem = problemOf(context, given)
  const [q, k, v] = context.inputs
  return attentionForward(problem, [q, k, v], context.traits, chooser(context, problem))
}

export function lowerGradient(context: LoweringContext<OpAttributes['attentionGradient']>, given: Given): Lowering {
  const problem = problemOf(context, given)
  const [q, k, v, o, , dO] = context.inputs
  const { biasGradient } = context.attributes
  return attentionBackward(problem, [q, k, v, o, dO], context.traits, chooser(context, problem), biasGradient)
}

function problemOf(context: LoweringContext<AttentionAttributes>, { sizes, mask, bias }: Given): AttentionProblem {
  const { inputs, attributes } = context
  const [{ dtype }] = inputs
  const { scale, causal, rate, stream, seed } = attributes
  const { maxWorkgroups } = context.traits
  if (!isFloat(dtype)) throw new Error(`attention of ${dtype}`)
  return {
    ...sizes,
    dtype,
    scale,
    mask: mask && maskOf(mask),
    causal,
    bias,
    dropout: rate > 0 ? { rate, stream, seed } : undefined,
    maxWorkgroups,
  }
}

function maskOf({ shape: [batch, heads, queries], shape }: Spec): AttentionMask {
  return shape.length === 2 ? { of: 'keys' } : { of: 'scores', lengths: [batch, heads, queries] }
}

/** Asks the tuner about one of the kernels of a problem. */
function chooser(context: LoweringContext<AttentionAttributes>, problem: AttentionProblem): ChooseAttention {
  const { batch, heads, keyHeads, queries, keys, headSize, dtype, mask, causal, bias, dropout } = problem
  const sizes = { batch, heads, queries, keys, headSize }
  // What few problems have is left out of the others' questions.
  const options = {
    dtype,
    mask: mask?.of === 'scores' ? mask.of : mask !== undefined,
    dropout: dropout !== undefined,
    ...(causal ? { causal } : {}),
    ...(bias ? { bias: true } : {}),
    ...(keyHeads < heads ? { shared: true } : {}),
  }
  return (part, candidates) => {
    const kernel = part === 'forward' ? 'attention' : `attention gradient ${part}`
    return context.choose({ kernel, sizes, options }, candidates)
  }
}
