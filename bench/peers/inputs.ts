// The inputs of the problems: they follow from names alone, so that all engines compute on the same numbers.
import { sizeOf } from '../../engine/shape.ts'
import type { BertConfig, GptConfig, LayerConfig } from './problems.ts'

/** Numbers of a shape, uniform in ±bound, that follow from the name (Mulberry32 seeded by FNV-1a of it). */
export function uniform(name: string, shape: readonly number[], bound = 1): Float32Array<ArrayBuffer> {
  let state = 0x811c9dc5
  for (const byte of new TextEncoder().encode(name)) state = Math.imul(state ^ byte, 0x01000193)
  const values = new Float32Array(sizeOf(shape))
  for (let i = 0; i < values.length; i++) {
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
  const values = uniform(name, shape, bound)
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

/** Every weight of the GPT. */
export function gptWeights({ hidden, intermediate, layers, vocabulary, sequence }: GptConfig): Weight[] {
  return [
    weight('tokenEmbeddings.weight', [vocabulary, hidden]),
    weight('positionEmbeddings.weight', [sequence, hidden]),
    ...Array.from({ length: layers }, (_, i) => `blocks.${i}`).flatMap(block => [
      ...norm(`${block}.attentionNorm`, hidden),
      weight(`${block}.qkv.weight`, [3 * hidden, hidden]),
      ...linear(`${block}.projection`, hidden, hidden),
      ...norm(`${block}.mlpNorm`, hidden),
      ...linear(`${block}.up`, hidden, intermediate),
      ...linear(`${block}.down`, intermediate, hidden),
    ]),
    ...norm('norm', hidden),
    weight('logits.weight', [vocabulary, hidden]),
  ]
}

/** Tokens [batch, sequence] of step 0, 1, … and the token after each. */
export function textBatch(
  { batch, sequence, vocabulary }: GptConfig,
  step: number,
): { readonly ids: Int32Array<ArrayBuffer>; readonly next: Int32Array<ArrayBuffer> } {
  const text = uniform(`text ${step}`, [batch, sequence + 1])
  const from = (shift: number): Int32Array<ArrayBuffer> =>
    Int32Array.from({ length: batch * sequence }, (_, i) => {
      const x = text[Math.floor(i / sequence) * (sequence + 1) + (i % sequence) + shift]
      return Math.floor(((x + 1) / 2) * vocabulary) % vocabulary
    })
  return { ids: from(0), next: from(1) }
}

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
  const draw = uniform(`tokens ${step}`, [batch, sequence])
  const lengths = uniform(`lengths ${step}`, [batch])
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
  const shape = [batch * sequence, hidden]
  return { x: uniform('layer x', shape), c: uniform('layer c', shape) }
}

/** Whether engines that keep linear weights as [in, out] turn this one. Embeddings stay as they are. */
export const turns = (name: string, shape: readonly number[]): boolean =>
  shape.length === 2 && !name.toLowerCase().includes('embeddings')

/** [rows, columns] to [columns, rows]. */
export function transposed(values: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const turned = new Float32Array(values.length)
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) turned[j * rows + i] = values[i * columns + j]
  return turned
}
