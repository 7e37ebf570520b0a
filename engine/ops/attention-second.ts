// Gradients of attention's gradient, made of other ops, so that they have gradients again. In the terms of attention.ts,
// with t = z ∘ (dO·vᵀ) and the row sums D of p ∘ t, attention's gradients are
//
//   dS = p ∘ (t − D),  dq = scale · dS·k,  dk = scale · dSᵀ·q,  dv = (p ∘ z)ᵀ·dO,  dBias = dS
//
// where p depends on q, k and bias alone: o and lse, which the fused kernels read, get no gradients of their own. All
// matrices [batch, heads, queries, keys] are stored in f32.
import type { GradientContext, OpAttributes } from '../graph.ts'
import type { Tensor } from '../tensor.ts'
import { dropout } from './dropout.ts'
import { range } from './elementwise.ts'
import { matmul } from './matmul.ts'
import { sumTo } from './reduce.ts'
import './softmax.ts'

/** Stands for −∞, as in the kernels: a bias of so much or less closes a score. */
export const LOWEST = -3.4e38

type Attributes = OpAttributes['attentionGradient']

/** Heads before the sequence, those that share keys side by side: [batch, keyHeads, group, sequence, headSize] in f32. */
interface Heads {
  readonly keyHeads: number
  readonly group: number
}

const headsFirst = (x: Tensor, { keyHeads }: Heads): Tensor => {
  const [batch, sequence, heads, headSize] = x.shape
  return x
    .reshape([batch, sequence, keyHeads, heads / keyHeads, headSize])
    .permute([0, 2, 3, 1, 4])
    .cast('f32')
}

/** The other way round, in the shape and dtype of `like`: summed over the heads that share what `like` has once. */
function headsBack(x: Tensor, like: Tensor, { keyHeads }: Heads): Tensor {
  const [batch, sequence, heads, headSize] = like.shape
  return sumTo(x, [batch, keyHeads, heads / keyHeads, sequence, headSize])
    .permute([0, 3, 1, 2, 4])
    .reshape(like.shape)
    .cast(like.dtype)
}

/** What broadcasts to [batch, heads, queries, keys], with heads in two axes; and the other way round, summed. */
function splitHeads(x: Tensor, { keyHeads, group }: Heads): Tensor {
  const [batch, heads, ...rest] = x.shape
  return x.reshape([batch, ...(heads === 1 ? [1, 1] : [keyHeads, group]), ...rest])
}
const joinHeads = (x: Tensor, like: Tensor, heads: Heads): Tensor =>
  sumTo(x, splitHeads(like, heads).shape).reshape(like.shape)

const total = (...terms: readonly (Tensor | undefined)[]): Tensor | undefined =>
  terms.filter(term => term !== undefined).reduce<Tensor | undefined>((sum, term) => sum?.add(term) ?? term, undefined)

const rowSums = (x: Tensor): Tensor => x.sum(-1, true)

/** Softmax over the open scores; a row without any is zeros. */
function probabilities(
  products: Tensor,
  mask: Tensor | undefined,
  causal: boolean,
  bias: Tensor | undefined,
  heads: Heads,
): Tensor {
  const [batch, , , queries, keys] = products.shape
  const ofKeys = mask?.rank === 2 ? mask.reshape([batch, 1, 1, 1, keys]) : mask && splitHeads(mask, heads)
  const added = bias && splitHeads(bias, heads)
  const lastKeys = range(queries)
    .reshape([queries, 1])
    .add(keys - queries)
  const closed = total(ofKeys?.equal(0), causal ? range(keys).greater(lastKeys) : undefined, added?.lessEqual(LOWEST))
  const scores = added ? products.add(added) : products
  return closed ? closed.where(0, closed.where(LOWEST, scores).softmax()) : scores.softmax()
}

/**
 * The gradient rule of attentionGradient. L = ⟨A, dq⟩ + ⟨B, dk⟩ + ⟨C, dv⟩ + ⟨E, dBias⟩ with the upstream gradients A, B,
 * C and E is ⟨G, dS⟩ + ⟨C, dv⟩ with G = scale · (A·kᵀ + q·Bᵀ) + E. For its gradient by dS and by p, with the row sums g of
 * G ∘ p: dL/dt = p ∘ (G − g), and dL/dp = G ∘ (t − D) − g ∘ t + z ∘ (dO·Cᵀ), which goes on through the softmax.
 */
export function secondGradients(context: GradientContext<Attributes>): (Tensor | undefined)[] {
  const { inputs, attributes, upstream } = context
  const { scale, hasMask, hasBias, causal, rate, stream, seed } = attributes
  const [q, k, v, , , dO, ...rest] = inputs
  const mask = hasMask ? rest[0] : undefined
  const bias = hasBias ? rest[hasMask ? 1 : 0] : undefined
  const step = rest.at(-1)
  const heads: Heads = { keyHeads: k.shape[2], group: q.shape[2] / k.shape[2] }
  const [Q, K, V, dOut] = [q, k, v, dO].map(x => headsFirst(x, heads))
  const [A, B, C] = upstream.slice(0, 3).map(x => x && headsFirst(x, heads))
  const E = upstream[3] && splitHeads(upstream[3], heads)
  const dropped = (x: Tensor): Tensor => (rate > 0 && step ? dropout(x, rate, stream, step, seed) : x)
  const times = (a: Tensor, b: Tensor): Tensor => matmul(a, b.transpose())

  const products = matmul(Q, K.transpose(), { scale })
  const p = probabilities(products, mask, causal, bias, heads)
  const t = dropped(times(dOut, V))
  const centred = t.sub(rowSums(p.mul(t)))
  const dS = p.mul(centred)

  const G = total(total(A && times(A, K), B && times(Q, B))?.mul(scale), E)
  const g = G && rowSums(G.mul(p))
  const dDropped = G && g && dropped(p.mul(G.sub(g)))
  const dP = total(G && g && G.mul(centred).sub(g.mul(t)), C && dropped(times(dOut, C)))
  const dScores = dP && p.mul(dP.sub(rowSums(dP.mul(p))))

  const dQ = total(B && matmul(dS, B), dScores && matmul(dScores, K))?.mul(scale)
  const dK = total(A && matmul(dS.transpose(), A), dScores && matmul(dScores.transpose(), Q))?.mul(scale)
  const dV = dDropped && matmul(dDropped.transpose(), dOut)
  const dUpstream = total(C && matmul(dropped(p), C), dDropped && matmul(dDropped, V))
  const back = (x: Tensor | undefined, like: Tensor): Tensor | undefined => x && headsBack(x, like, heads)
  return [
    back(dQ, q),
    back(dK, k),
    back(dV, v),
    undefined,
    undefined,
    back(dUpstream, dO),
    ...(hasMask ? [undefined] : []),
    bias && dScores && joinHeads(dScores, bias, heads),
  ]
}
