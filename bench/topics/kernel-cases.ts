// Every kernel at the sizes that DistilBERT and BERT-base give it, and at a few powers of two.
import { attention, concat, conv2d, crossEntropy, divergence, dropout } from '../../engine/index.ts'
import { adamw } from '../../engine/ops/adamw.ts'
import type { Tensor } from '../../engine/tensor.ts'
import type { Held } from '../held.ts'

const HIDDEN = 768
const INTERMEDIATE = 3072
const HEADS = 12
const HEAD_SIZE = HIDDEN / HEADS
const VOCABULARY = 30522
/** All of DistilBERT's LoRA parameters at rank 8 on query, value and MLP. */
const LORA_PARAMETERS = 516_096

export interface KernelCase {
  /** The op, as a reader knows it. */
  readonly kernel: string
  /** Shapes of the inputs. */
  readonly size: string
  make(held: Held): Promise<Made>
}

export interface Made {
  /** What is computed; traced once. An op that changes variables assigns them here and gives nothing. */
  readonly forward: () => Tensor | undefined
  /** Tensors to differentiate with respect to; none if the op has no gradient. */
  readonly wrt: readonly Tensor[]
  /** Bytes of a forward run, where it doesn't read all that it binds. */
  readonly forwardBytes?: number
}

export interface CaseSizes {
  readonly batch: number
  readonly sequence: number
  /** Batch and length of attention's case with long sequences. */
  readonly long: { readonly batch: number; readonly sequence: number }
  readonly squares: readonly number[]
  readonly dtypes: readonly ('f32' | 'f16')[]
}

/** Every case, at these sizes. */
export function kernelCases(sizes: CaseSizes): KernelCase[] {
  const { batch, sequence, long, squares, dtypes } = sizes
  const tokens = batch * sequence
  return [
    ...squares.flatMap(n => dtypes.map(dtype => product(n, n, n, dtype))),
    ...dtypes.flatMap(dtype => [
      linear(tokens, HIDDEN, HIDDEN, dtype),
      linear(tokens, HIDDEN, INTERMEDIATE, dtype),
      linear(tokens, INTERMEDIATE, HIDDEN, dtype),
    ]),
    linearGelu(tokens),
    ...dtypes.map(dtype => attend(batch, sequence, 0, dtype)),
    attend(batch, sequence, 0.1, 'f32'),
    ...dtypes.map(dtype => attend(batch, sequence, 0, dtype, true)),
    attend(long.batch, long.sequence, 0, 'f32'),
    softmax(batch * HEADS * sequence, sequence),
    softmax(1024, 1024),
    layerNorm(tokens, HIDDEN),
    layerNorm(1024, 1024),
    residualNorm(tokens),
    gelu(tokens, INTERMEDIATE),
    add(tokens, HIDDEN),
    drop(tokens, HIDDEN),
    sumRows(tokens, HIDDEN),
    sumAll(2 ** 20),
    ofOne('argmax', Math.max(8, Math.ceil(tokens / 8)), VOCABULARY, x => x.argmax(1), { hasGradient: false }),
    ofOne('cumsum', 1024, 1024, x => x.cumsum(1)),
    ofOne('cumsum', 1, 2 ** 20, x => x.cumsum(1)),
    ofOne('cumprod', tokens, HIDDEN, x => x.mul(0.01).add(1).cumprod(0)),
    ofOne('topK', Math.max(8, Math.ceil(tokens / 8)), VOCABULARY, x => x.topK(50, 1).values),
    convolution(8, 64, 64, 32, 1),
    convolution(8, 64, 64, 32, 64),
    joined(tokens, HIDDEN),
    embedding(tokens),
    losses(batch, 2),
    losses(Math.max(8, Math.ceil(tokens / 8)), VOCABULARY),
    divergences(Math.max(8, Math.ceil(tokens / 8)), VOCABULARY),
    optimizer(LORA_PARAMETERS),
    optimizer(2 ** 22),
  ]
}

const times = (...sizes: number[]): string => sizes.join('×')

function product(m: number, k: number, n: number, dtype: 'f32' | 'f16'): KernelCase {
  return {
    kernel: `matmul ${dtype}`,
    size: times(m, k, n),
    async make(held) {
      const [a, b] = [(await held.floats([m, k], dtype)).tensor, (await held.floats([k, n], dtype)).tensor]
      return { forward: () => a.matmul(b), wrt: [a, b] }
    },
  }
}

/** x·Wᵀ + b with W [out, in], as in every linear layer. */
function linear(tokens: number, inputs: number, outputs: number, dtype: 'f32' | 'f16'): KernelCase {
  return {
    kernel: `linear ${dtype}`,
    size: `${tokens}×${inputs}→${outputs}`,
    async make(held) {
      const [x, w] = [
        (await held.floats([tokens, inputs], dtype)).tensor,
        (await held.floats([outputs, inputs], dtype)).tensor,
      ]
      const b = (await held.floats([outputs])).tensor
      return { forward: () => x.matmul(w.transpose()).add(b).cast(dtype), wrt: [x, w] }
    },
  }
}

function linearGelu(tokens: number): KernelCase {
  return {
    kernel: 'linear + GELU',
    size: `${tokens}×${HIDDEN}→${INTERMEDIATE}`,
    async make(held) {
      const [x, w] = [(await held.floats([tokens, HIDDEN])).tensor, (await held.floats([INTERMEDIATE, HIDDEN])).tensor]
      const b = (await held.floats([INTERMEDIATE])).tensor
      return { forward: () => x.matmul(w.transpose()).add(b).gelu(), wrt: [x, w] }
    },
  }
}

function attend(batch: number, sequence: number, rate: number, dtype: 'f32' | 'f16', causal = false): KernelCase {
  return {
    kernel: `attention ${dtype}${rate > 0 ? ' dropout' : ''}${causal ? ' causal' : ''}`,
    size: times(batch, HEADS, sequence, HEAD_SIZE),
    async make(held) {
      const shape = [batch, sequence, HEADS, HEAD_SIZE]
      const [q, k, v] = await Promise.all([0, 1, 2].map(async () => (await held.floats(shape, dtype)).tensor))
      const mask = await held.values([batch, 1, 1, sequence], new Int32Array(batch * sequence).fill(1))
      const step = await held.values([], Uint32Array.of(1))
      const options = rate > 0 ? { dropout: { rate, stream: 0, step, seed: 0 } } : {}
      return { forward: () => attention(q, k, v, { mask, causal, ...options }), wrt: [q, k, v] }
    },
  }
}

/** Images of size × size pixels by kernels of 3 × 3. */
function convolution(batch: number, channels: number, outputs: number, size: number, groups: number): KernelCase {
  const [from, weights] = [
    [batch, channels, size, size],
    [outputs, channels / groups, 3, 3],
  ]
  return {
    kernel: groups > 1 ? 'conv2d, depthwise' : 'conv2d',
    size: `${times(...from)} · ${times(...weights)}`,
    async make(held) {
      const [x, w] = [(await held.floats(from)).tensor, (await held.floats(weights)).tensor]
      return { forward: () => conv2d(x, w, { padding: 1, groups }), wrt: [x, w] }
    },
  }
}

/** Something of one matrix. */
function ofOne(
  kernel: string,
  rows: number,
  columns: number,
  fn: (x: Tensor) => Tensor,
  { hasGradient = true } = {},
): KernelCase {
  return {
    kernel,
    size: times(rows, columns),
    async make(held) {
      const x = (await held.floats([rows, columns])).tensor
      return { forward: () => fn(x), wrt: hasGradient ? [x] : [] }
    },
  }
}

const softmax = (rows: number, columns: number): KernelCase => ofOne('softmax', rows, columns, x => x.softmax())
const gelu = (rows: number, columns: number): KernelCase => ofOne('GELU', rows, columns, x => x.gelu())
const sumRows = (rows: number, columns: number): KernelCase => ofOne('sum over rows', rows, columns, x => x.sum(0))
const sumAll = (count: number): KernelCase => ofOne('sum of all', 1, count, x => x.sum())

function layerNorm(rows: number, columns: number): KernelCase {
  return {
    kernel: 'layer norm',
    size: times(rows, columns),
    async make(held) {
      const x = (await held.floats([rows, columns])).tensor
      const [gamma, beta] = [(await held.floats([columns])).tensor, (await held.floats([columns])).tensor]
      return { forward: () => x.layerNorm(gamma, beta), wrt: [x, gamma, beta] }
    },
  }
}

/** As an encoder layer ends: dropout, residual, norm; the norm's own parameters frozen, as under LoRA. */
function residualNorm(tokens: number): KernelCase {
  return {
    kernel: 'dropout + residual + norm',
    size: times(tokens, HIDDEN),
    async make(held) {
      const [x, y] = [(await held.floats([tokens, HIDDEN])).tensor, (await held.floats([tokens, HIDDEN])).tensor]
      const [gamma, beta] = [(await held.floats([HIDDEN])).tensor, (await held.floats([HIDDEN])).tensor]
      const step = await held.values([], Uint32Array.of(1))
      return { forward: () => dropout(x, 0.1, 0, step, 0).add(y).layerNorm(gamma, beta), wrt: [x, y] }
    },
  }
}

function add(rows: number, columns: number): KernelCase {
  return {
    kernel: 'add',
    size: times(rows, columns),
    async make(held) {
      const [x, y] = [(await held.floats([rows, columns])).tensor, (await held.floats([rows, columns])).tensor]
      // Its gradient is what came, and no kernel.
      return { forward: () => x.add(y), wrt: [] }
    },
  }
}

function drop(rows: number, columns: number): KernelCase {
  return {
    kernel: 'dropout',
    size: times(rows, columns),
    async make(held) {
      const x = (await held.floats([rows, columns])).tensor
      const step = await held.values([], Uint32Array.of(1))
      return { forward: () => dropout(x, 0.1, 0, step, 0), wrt: [x] }
    },
  }
}

function joined(rows: number, columns: number): KernelCase {
  return {
    kernel: 'concat',
    size: `2 of ${times(rows, columns)}`,
    async make(held) {
      const [x, y] = [(await held.floats([rows, columns])).tensor, (await held.floats([rows, columns])).tensor]
      return { forward: () => concat([x, y]), wrt: [] }
    },
  }
}

function embedding(tokens: number): KernelCase {
  return {
    kernel: 'embedding',
    size: `${tokens} of ${VOCABULARY}×${HIDDEN}`,
    async make(held) {
      const table = (await held.floats([VOCABULARY, HIDDEN])).tensor
      const ids = (await held.integers([tokens], VOCABULARY)).tensor
      return { forward: () => table.gather(ids), wrt: [table], forwardBytes: 4 * (2 * tokens * HIDDEN + tokens) }
    },
  }
}

function losses(rows: number, classes: number): KernelCase {
  return {
    kernel: 'cross-entropy',
    size: times(rows, classes),
    async make(held) {
      const logits = (await held.floats([rows, classes])).tensor
      const labels = (await held.integers([rows], classes)).tensor
      return { forward: () => crossEntropy(logits, labels), wrt: [logits] }
    },
  }
}

function divergences(rows: number, classes: number): KernelCase {
  return {
    kernel: 'divergence',
    size: times(rows, classes),
    async make(held) {
      const [logits, teacher] = await Promise.all([0, 1].map(async () => (await held.floats([rows, classes])).tensor))
      return { forward: () => divergence(logits, teacher, 2), wrt: [logits] }
    },
  }
}

function optimizer(count: number): KernelCase {
  return {
    kernel: 'AdamW',
    size: `${count}`,
    async make(held) {
      // Second moments are positive.
      const [p, m, v, g] = await Promise.all([0, 0, 1, 0].map(middle => held.floats([count], 'f32', middle)))
      const hyper = await held.values([8], Float32Array.of(0, 0.1, 0.999, 0.001, 1e-8, 0, 0.1, 0.001))
      const scale = await held.values([], Float32Array.of(1))
      return {
        forward: () => {
          const [nextP, nextM, nextV] = adamw(p.tensor, m.tensor, v.tensor, g.tensor, hyper, scale)
          p.assign(nextP)
          m.assign(nextM)
          v.assign(nextV)
          return undefined
        },
        wrt: [],
      }
    },
  }
}
