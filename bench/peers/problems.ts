// The work that every engine does, by name and sizes. Knows no engine.

/** One piece of work. Matrices are [rows, columns], row-major. */
export type Problem =
  | { readonly kind: 'matmul'; readonly m: number; readonly k: number; readonly n: number }
  | { readonly kind: RowKind; readonly rows: number; readonly columns: number }
  | { readonly kind: 'top k'; readonly rows: number; readonly columns: number; readonly k: number }
  | ConvProblem
  | AttentionProblem
  /**
   * `calls` evaluations of a small expression one after the other, each read back, outside of any compiled function.
   */
  | { readonly kind: 'eager'; readonly expression: Eager; readonly shape: readonly number[]; readonly calls: number }
  | { readonly kind: 'encoder layer'; readonly config: LayerConfig; readonly backward: boolean }
  | { readonly kind: 'lora step'; readonly config: BertConfig }
  | { readonly kind: 'gpt step'; readonly config: GptConfig }

/** Work on each row of a matrix; running sums are `cumsum`. */
type RowKind = 'softmax' | 'layer norm' | 'gelu' | 'argmax' | 'cumsum'

/**
 * Of x with n = 0, 1/8, 2/8 … by call. `addition`: x + n. `chain`, of eight elementwise operations:
 * exp(tanh((√((x·n + 1)²) − ½)·¼)). `softmax of product`: Σ softmax(x·x) ∘ x over all elements.
 */
export type Eager = 'addition' | 'chain' | 'softmax of product'

/** n of call number `i`. */
export const numberOfCall = (i: number): number => i / 8

/**
 * Images [batch, channels, size, size] and weights [outputs, channels, kernel, kernel], with padding that keeps the size.
 * `backward`: the gradients of Σ y² instead of y.
 */
export interface ConvProblem {
  readonly kind: 'conv2d'
  readonly batch: number
  readonly channels: number
  readonly outputs: number
  readonly size: number
  readonly kernel: number
  readonly backward: boolean
}

/** Queries, keys and values [batch, sequence, heads, headSize]; `backward` as of conv2d. */
export interface AttentionProblem {
  readonly kind: 'causal attention'
  readonly batch: number
  readonly sequence: number
  readonly heads: number
  readonly headSize: number
  readonly backward: boolean
}

/** One encoder layer of BERT on x [batch · sequence, hidden]. */
export interface LayerConfig {
  readonly batch: number
  readonly sequence: number
  readonly hidden: number
  readonly heads: number
  readonly intermediate: number
}

/** BERT with a two-class head, adapters on query, value and both halves of the MLP, all else frozen, no dropout. */
export interface BertConfig extends LayerConfig {
  readonly layers: number
  readonly vocabulary: number
  readonly positions: number
  readonly rank: number
  readonly alpha: number
  /** Adam's rate; β 0.9 and 0.999, ε 1e-8, no weight decay. */
  readonly lr: number
}

/**
 * A GPT with norms before its blocks (Radford et al. 2019), all of it trained by Adam to predict the next token at each
 * place; queries, keys and values come from one product without a bias, since a key's bias has no gradient.
 */
export interface GptConfig extends LayerConfig {
  readonly layers: number
  readonly vocabulary: number
  /** Adam's rate, as above. */
  readonly lr: number
}

/** Layer norm's ε, as in BERT. */
export const EPSILON = 1e-12
/** Adam's. */
export const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const

const layer: LayerConfig = { batch: 2, sequence: 128, hidden: 768, heads: 12, intermediate: 3072 }
const small: BertConfig = {
  batch: 8,
  sequence: 64,
  hidden: 256,
  heads: 4,
  intermediate: 1024,
  layers: 2,
  vocabulary: 30522,
  positions: 512,
  rank: 8,
  alpha: 16,
  lr: 1e-3,
}

const gpt: GptConfig = {
  batch: 8,
  sequence: 128,
  hidden: 256,
  heads: 4,
  intermediate: 1024,
  layers: 2,
  vocabulary: 4096,
  lr: 3e-4,
}

const conv = { kind: 'conv2d', batch: 8, channels: 64, outputs: 64, size: 32, kernel: 3 } as const
const causal = { kind: 'causal attention', batch: 2, sequence: 512, heads: 8, headSize: 64 } as const

/** Everything that is timed, small to large, by the name that tables and --only use. */
export const PROBLEMS: Readonly<Record<string, Problem>> = {
  'matmul 512': { kind: 'matmul', m: 512, k: 512, n: 512 },
  'matmul 768': { kind: 'matmul', m: 768, k: 768, n: 768 },
  'matmul 1024': { kind: 'matmul', m: 1024, k: 1024, n: 1024 },
  'matmul 512×768×3072': { kind: 'matmul', m: 512, k: 768, n: 3072 },
  'softmax 3072×512': { kind: 'softmax', rows: 3072, columns: 512 },
  'layer norm 2048×768': { kind: 'layer norm', rows: 2048, columns: 768 },
  'GELU 512×3072': { kind: 'gelu', rows: 512, columns: 3072 },
  'argmax 64×50257': { kind: 'argmax', rows: 64, columns: 50257 },
  'cumsum 1024×1024': { kind: 'cumsum', rows: 1024, columns: 1024 },
  'cumsum 1×1048576': { kind: 'cumsum', rows: 1, columns: 1048576 },
  'top 50 of 64×4096': { kind: 'top k', rows: 64, columns: 4096, k: 50 },
  'conv2d 8×64×32×32': { ...conv, backward: false },
  'conv2d 8×64×32×32, gradients': { ...conv, backward: true },
  'causal attention 2×512×8×64': { ...causal, backward: false },
  'causal attention 2×512×8×64, gradients': { ...causal, backward: true },
  'eager chain of 8': { kind: 'eager', expression: 'chain', shape: [64, 64], calls: 100 },
  'eager softmax of 64² product': { kind: 'eager', expression: 'softmax of product', shape: [64, 64], calls: 100 },
  'eager addition of 16': { kind: 'eager', expression: 'addition', shape: [16], calls: 100 },
  'encoder layer forward': { kind: 'encoder layer', config: layer, backward: false },
  'encoder layer forward + backward': { kind: 'encoder layer', config: layer, backward: true },
  'LoRA step': { kind: 'lora step', config: small },
  'GPT step': { kind: 'gpt step', config: gpt },
}

/** Floating-point operations of its matrix products (2 a product), where they are what counts. */
export function operationsOf(problem: Problem): number | undefined {
  switch (problem.kind) {
    case 'matmul':
      return 2 * problem.m * problem.k * problem.n
    case 'conv2d': {
      const { batch, channels, outputs, size, kernel, backward } = problem
      const forward = 2 * batch * size ** 2 * outputs * channels * kernel ** 2
      return backward ? 3 * forward : forward
    }
    case 'encoder layer': {
      const { batch, sequence, hidden, intermediate } = problem.config
      const forward = 2 * batch * sequence * (4 * hidden * hidden + 2 * hidden * intermediate + 2 * sequence * hidden)
      return problem.backward ? 3 * forward : forward
    }
    default:
      return undefined
  }
}
