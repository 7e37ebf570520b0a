// The work that every engine does: sizes, and inputs that follow from names alone, so that all engines compute on the
// same numbers. Knows no engine.

/** One piece of work. Matrices are [rows, columns], row-major. */
export type Problem =
  | { readonly kind: 'matmul'; readonly m: number; readonly k: number; readonly n: number }
  | { readonly kind: 'softmax' | 'layer norm' | 'gelu'; readonly rows: number; readonly columns: number }
  /**
   * `calls` evaluations of a small expression one after the other, each read back, outside of any compiled function.
   */
  | { readonly kind: 'eager'; readonly expression: Eager; readonly shape: readonly number[]; readonly calls: number }
  | { readonly kind: 'encoder layer'; readonly config: LayerConfig; readonly backward: boolean }
  | { readonly kind: 'lora step'; readonly config: BertConfig }

/**
 * Of x with n = 0, 1/8, 2/8 … by call. `addition`: x + n. `chain`, of eight elementwise operations:
 * exp(tanh((√((x·n + 1)²) − ½)·¼)). `softmax of product`: Σ softmax(x·x) ∘ x over all elements.
 */
export type Eager = 'addition' | 'chain' | 'softmax of product'

/** n of call number `i`. */
export const numberOfCall = (i: number): number => i / 8

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

/** Everything that is timed, small to large, by the name that tables and --only use. */
export const PROBLEMS: Readonly<Record<string, Problem>> = {
  'matmul 512': { kind: 'matmul', m: 512, k: 512, n: 512 },
  'matmul 768': { kind: 'matmul', m: 768, k: 768, n: 768 },
  'matmul 1024': { kind: 'matmul', m: 1024, k: 1024, n: 1024 },
  'matmul 512×768×3072': { kind: 'matmul', m: 512, k: 768, n: 3072 },
  'softmax 3072×512': { kind: 'softmax', rows: 3072, columns: 512 },
  'layer norm 2048×768': { kind: 'layer norm', rows: 2048, columns: 768 },
  'GELU 512×3072': { kind: 'gelu', rows: 512, columns: 3072 },
  'eager chain of 8': { kind: 'eager', expression: 'chain', shape: [64, 64], calls: 100 },
  'eager softmax of 64² product': { kind: 'eager', expression: 'softmax of product', shape: [64, 64], calls: 100 },
  'eager addition of 16': { kind: 'eager', expression: 'addition', shape: [16], calls: 100 },
  'encoder layer forward': { kind: 'encoder layer', config: layer, backward: false },
  'encoder layer forward + backward': { kind: 'encoder layer', config: layer, backward: true },
  'LoRA step': { kind: 'lora step', config: small },
}

/** Floating-point operations of its matrix products (2 a product), where they are what counts. */
export function operationsOf(problem: Problem): number | undefined {
  switch (problem.kind) {
    case 'matmul':
      return 2 * problem.m * problem.k * problem.n
    case 'encoder layer': {
      const { batch, sequence, hidden, intermediate } = problem.config
      const forward = 2 * batch * sequence * (4 * hidden * hidden + 2 * hidden * intermediate + 2 * sequence * hidden)
      return problem.backward ? 3 * forward : forward
    }
    default:
      return undefined
  }
}

/** `count` numbers, uniform in ±bound, that follow from the name (Mulberry32 seeded by FNV-1a of it). */
export function uniform(name: string, count: number, bound = 1): Float32Array<ArrayBuffer> {
  let state = 0x811c9dc5
  for (const byte of new TextEncoder().encode(name)) state = Math.imul(state ^ byte, 0x01000193)
  const values = new Float32Array(count)
  for (let i = 0; i < count; i++) {
    state = (state + 0x6d2b79f5) | 0
    let word = Math.imul(state ^ (state >>> 15), state | 1)
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61)
    values[i] = (((word ^ (word >>> 14)) >>> 0) / 2 ** 31 - 1) * bound
  }
  return values
}

/** A named weight in the layout of PyTorch: linear weights and LoRA's A [out, in], B [out, rank]. */
export interface Weight {
  readonly name: string
  readonly shape: readonly number[]
  readonly values: Float32Array<ArrayBuffer>
}

/** About BERT's initialisation: a standard deviation of 0.02, norms near one. */
function weight(name: string, shape: readonly number[], bound = 0.035, around = 0): Weight {
  const values = uniform(
    name,
    shape.reduce((a, b) => a * b, 1),
    bound,
  )
  return { name, shape, values: around === 0 ? values : values.map(x => x + around) }
}

function linear(name: string, inputs: number, outputs: number): Weight[] {
  return [weight(`${name}.weight`, [outputs, inputs]), weight(`${name}.bias`, [outputs])]
}

function norm(name: string, width: number): Weight[] {
  return [weight(`${name}.weight`, [width], 0.1, 1), weight(`${name}.bias`, [width])]
}

/** The sixteen weights of a layer, under Transformers' names below `prefix`. */
export function layerWeights(prefix: string, { hidden, intermediate }: LayerConfig): Weight[] {
  return [
    ...['query', 'key', 'value'].flatMap(name => linear(`${prefix}.attention.self.${name}`, hidden, hidden)),
    ...linear(`${prefix}.attention.output.dense`, hidden, hidden),
    ...norm(`${prefix}.attention.output.LayerNorm`, hidden),
    ...linear(`${prefix}.intermediate.dense`, hidden, intermediate),
    ...linear(`${prefix}.output.dense`, intermediate, hidden),
    ...norm(`${prefix}.output.LayerNorm`, hidden),
  ]
}

/** The linear modules of a layer that carry adapters, below the layer's name, with their widths. */
export function adapted({
  hidden,
  intermediate,
}: LayerConfig): readonly (readonly [name: string, inputs: number, outputs: number])[] {
  return [
    ['attention.self.query', hidden, hidden],
    ['attention.self.value', hidden, hidden],
    ['intermediate.dense', hidden, intermediate],
    ['output.dense', intermediate, hidden],
  ]
}

/** Every weight of the classifier, adapters last. B isn't zero, so that A has a gradient from the first step on. */
export function bertWeights(config: BertConfig): { frozen: Weight[]; lora: Weight[] } {
  const { hidden, layers, vocabulary, positions, rank } = config
  const names = Array.from({ length: layers }, (_, i) => layerName(i))
  return {
    frozen: [
      weight('bert.embeddings.word_embeddings.weight', [vocabulary, hidden]),
      weight('bert.embeddings.position_embeddings.weight', [positions, hidden]),
      weight('bert.embeddings.token_type_embeddings.weight', [2, hidden]),
      ...norm('bert.embeddings.LayerNorm', hidden),
      ...names.flatMap(name => layerWeights(name, config)),
      ...linear('bert.pooler.dense', hidden, hidden),
      ...linear('classifier', hidden, 2),
    ],
    lora: names.flatMap(name =>
      adapted(config).flatMap(([module, inputs, outputs]) => [
        weight(`${name}.${module}.lora_A.weight`, [rank, inputs], 1 / Math.sqrt(inputs)),
        weight(`${name}.${module}.lora_B.weight`, [outputs, rank]),
      ]),
    ),
  }
}

export const layerName = (i: number): string => `bert.encoder.layer.${i}`

/**
 * Token ids, mask and segments [batch, sequence] and labels [batch] of step 0, 1, …; rows are padded to various
 * lengths.
 */
export interface TokenBatch {
  readonly ids: Int32Array<ArrayBuffer>
  readonly mask: Int32Array<ArrayBuffer>
  readonly types: Int32Array<ArrayBuffer>
  readonly labels: Int32Array<ArrayBuffer>
}

export function tokenBatch({ batch, sequence, vocabulary }: BertConfig, step: number): TokenBatch {
  const draw = uniform(`tokens ${step}`, batch * sequence)
  const lengths = uniform(`lengths ${step}`, batch)
  const mask = Int32Array.from(draw, (_, i) =>
    i % sequence < sequence * (0.75 + 0.25 * lengths[Math.floor(i / sequence)]) ? 1 : 0,
  )
  return {
    ids: Int32Array.from(draw, (x, i) => (mask[i] ? Math.floor(((x + 1) / 2) * vocabulary) % vocabulary : 0)),
    mask,
    types: new Int32Array(batch * sequence),
    labels: Int32Array.from({ length: batch }, (_, i) => i % 2),
  }
}

/**
 * The input of a layer, x [batch · sequence, hidden], and what its output is multiplied with to make a loss: Σ y ∘ c.
 */
export function layerInputs({ batch, sequence, hidden }: LayerConfig): {
  x: Float32Array<ArrayBuffer>
  c: Float32Array<ArrayBuffer>
} {
  const size = batch * sequence * hidden
  return { x: uniform('layer x', size), c: uniform('layer c', size) }
}

/** Whether engines that keep linear weights as [in, out] turn this one. Embeddings stay as they are. */
export const turns = (name: string, shape: readonly number[]): boolean =>
  shape.length === 2 && !name.includes('embeddings')

/** [rows, columns] to [columns, rows]. */
export function transposed(values: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const turned = new Float32Array(values.length)
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) turned[j * rows + i] = values[i * columns + j]
  return turned
}
