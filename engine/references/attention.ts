// Attention and its gradient in float64, score by score.
import { type Spec, rowMajorStrides } from '../../shaders/kernel.ts'
import { keepFactor } from '../../shaders/random.ts'
import type { References } from '../graph.ts'
import { sizeOf } from '../shape.ts'
import { type AttentionAttributes, type Sizes, optionsOf, sizesOf } from '../ops/attention.ts'
import { LOWEST } from '../ops/attention-second.ts'

/** One query of one head in the reference. */
interface Row {
  readonly index: number
  /** Offset of its elements. */
  readonly at: number
  /** The keys that it attends to. */
  readonly open: readonly number[]
  keyAt(j: number): number
  /** The bias, 0 without one, and where it is in the gradient of the bias. */
  bias(j: number): number
  biasAt(j: number): number
  /** Dropout's factor z. */
  factor(j: number): number
}

/** Every query of every head; `rest` are the inputs after the tensors, whose specs are `specs`. */
function* rowsOf(
  sizes: Sizes,
  attributes: AttentionAttributes,
  rest: readonly Float64Array[],
  specs: readonly Spec[],
): Generator<Row> {
  const { batch, queries, keys, heads, keyHeads, headSize } = sizes
  const { causal, rate, stream, seed } = attributes
  const { mask, bias, step } = optionsOf(attributes, rest)
  const { mask: maskSpec, bias: biasSpec } = optionsOf(attributes, specs)
  const inMask = placesIn(maskSpec?.shape.length === 2 ? [batch, 1, 1, keys] : maskSpec?.shape)
  const inBias = placesIn(biasSpec?.shape)
  const inBiasGradient = placesIn(biasSpec && [...biasSpec.shape.slice(0, 2), queries, keys])
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) {
        const index = (b * heads + h) * queries + i
        const keyHead = Math.floor((h * keyHeads) / heads)
        const isOpen = (j: number): boolean =>
          !(causal && j > i + keys - queries) &&
          mask?.[inMask(b, h, i, j)] !== 0 &&
          !(bias && bias[inBias(b, h, i, j)] <= LOWEST)
        yield {
          index,
          at: ((b * queries + i) * heads + h) * headSize,
          open: Array.from({ length: keys }, (_, j) => j).filter(isOpen),
          keyAt: j => ((b * keys + j) * keyHeads + keyHead) * headSize,
          bias: j => bias?.[inBias(b, h, i, j)] ?? 0,
          biasAt: j => inBiasGradient(b, h, i, j),
          factor: j => keepFactor(rate, (index * keys + j) % 2 ** 32, stream, step?.[0] ?? 0, seed),
        }
      }
    }
  }
}

/** Where a score's element is in a tensor whose shape broadcasts to the scores'. */
function placesIn(shape: readonly number[] = [1, 1, 1, 1]) {
  const [b, h, i, j] = rowMajorStrides(shape).map((stride, axis) => (shape[axis] === 1 ? 0 : stride))
  return (item: number, head: number, query: number, key: number): number => item * b + head * h + query * i + key * j
}

function dot(a: Float64Array, at: number, b: Float64Array, bt: number, length: number): number {
  let sum = 0
  for (let d = 0; d < length; d++) sum += a[at + d] * b[bt + d]
  return sum
}

export const attention: References<'attention' | 'attentionGradient'> = {
  attention([q, k, v, ...rest], specs, attributes) {
    const sizes = sizesOf('attention', specs.inputs)
    const { headSize } = sizes
    const o = new Float64Array(q.length)
    const lse = new Float64Array(sizes.batch * sizes.heads * sizes.queries)
    for (const { index, at, open, keyAt, bias, factor } of rowsOf(sizes, attributes, rest, specs.inputs.slice(3))) {
      if (open.length === 0) continue
      const scores = open.map(j => attributes.scale * dot(q, at, k, keyAt(j), headSize) + bias(j))
      const rowMax = scores.reduce((a, b) => Math.max(a, b))
      lse[index] = rowMax + Math.log(scores.reduce((sum, s) => sum + Math.exp(s - rowMax), 0))
      open.forEach((j, n) => {
        const probability = Math.exp(scores[n] - lse[index]) * factor(j)
        for (let d = 0; d < headSize; d++) o[at + d] += probability * v[keyAt(j) + d]
      })
    }
    return [o, lse]
  },
  attentionGradient(inputs, specs, attributes) {
    const [q, k, v, o, lse, dO, ...rest] = inputs
    const sizes = sizesOf('attentionGradient', specs.inputs)
    const { headSize } = sizes
    const { scale } = attributes
    const dq = new Float64Array(q.length)
    const dk = new Float64Array(k.length)
    const dv = new Float64Array(v.length)
    const dBias = attributes.biasGradient ? new Float64Array(sizeOf(specs.outputs[3].shape)) : undefined
    for (const row of rowsOf(sizes, attributes, rest, specs.inputs.slice(6))) {
      const { index, at, open, keyAt, bias, biasAt, factor } = row
      const mean = dot(dO, at, o, at, headSize)
      for (const j of open) {
        const jt = keyAt(j)
        const p = Math.exp(scale * dot(q, at, k, jt, headSize) + bias(j) - lse[index])
        const z = factor(j)
        const slope = p * (z * dot(dO, at, v, jt, headSize) - mean)
        const ds = scale * slope
        if (dBias) dBias[biasAt(j)] += slope
        for (let d = 0; d < headSize; d++) {
          dq[at + d] += ds * k[jt + d]
          dk[jt + d] += ds * q[at + d]
          dv[jt + d] += p * z * dO[at + d]
        }
      }
    }
    return [dq, dk, dv, ...(dBias ? [dBias] : [])]
  },
}
