// What BERT and DistilBERT share: embeddings and the post-norm encoder layer of Vaswani et al. (2017). The two families
// differ in what things are called and in two details, and say so through a table of names.
import { attention } from '../engine/index.ts'
import type { Tensor } from '../engine/tensor.ts'
import { UserError } from '../engine/errors.ts'
import type { ModelConfig } from './config.ts'
import type { TargetWord } from './model.ts'
import { Dropout, Embedding, LayerNorm, Linear, Module, type ForwardContext } from './nn.ts'

/** Paths of a layer's modules, below the layer's own. */
export interface LayerNames {
  readonly query: string
  readonly key: string
  readonly value: string
  /** Dense after attention. */
  readonly projection: string
  readonly attentionNorm: string
  readonly up: string
  readonly down: string
  readonly outputNorm: string
  /** BERT drops out the projection's output, DistilBERT does not. */
  readonly projectionDropout: boolean
}

/** Tensors that one forward pass is made of, besides parameters. */
export interface Inputs {
  /** Token ids, i32 [batch, sequence]. */
  readonly ids: Tensor
  /** i32 [batch, sequence]: 1 where there is a token, 0 where padding. */
  readonly mask: Tensor
  /** Segment numbers, i32 [batch, sequence]; all 0 when left out. */
  readonly types?: Tensor
}

/** Applies the config's activation, element by element. */
export function activate(x: Tensor, activation: ModelConfig['activation']): Tensor {
  switch (activation) {
    case 'gelu':
      return x.gelu()
    case 'gelu-tanh':
      return x.gelu('tanh')
    case 'relu':
      return x.relu()
    case 'tanh':
      return x.tanh()
  }
}

/** Word, position and (for BERT) type embeddings, summed, normed, dropped out. */
export class Embeddings extends Module {
  readonly words: Embedding
  readonly positions: Embedding
  readonly types: Embedding | undefined
  readonly norm: LayerNorm
  readonly dropout: Dropout
  readonly #maxPositions: number

  constructor(config: ModelConfig) {
    super()
    const { hidden, initializerRange } = config
    const table = (name: string, rows: number, paddingRow?: number): Embedding =>
      this.add(name, new Embedding(rows, hidden, { deviation: initializerRange, paddingRow }))
    this.#maxPositions = config.maxPositions
    this.words = table('word_embeddings', config.vocabSize, config.padTokenId)
    this.positions = table('position_embeddings', config.maxPositions)
    if (config.typeVocab > 0) this.types = table('token_type_embeddings', config.typeVocab)
    this.norm = this.add('LayerNorm', new LayerNorm(hidden, { epsilon: config.layerNormEpsilon }))
    this.dropout = new Dropout(config.dropout)
  }

  /** To [batch · sequence, hidden]. Throws a UserError on sequences longer than the position table. */
  forward({ ids, types }: Inputs, context: ForwardContext): Tensor {
    const [batch, sequence] = ids.shape
    if (sequence > this.#maxPositions) {
      throw new UserError(`sequences of ${sequence} tokens are longer than the model's ${this.#maxPositions} positions`)
    }
    const words = this.words.forward(ids)
    context.onWords?.(words)
    let sum = words.add(this.positions.first(sequence))
    if (this.types) sum = sum.add(types ? this.types.forward(types) : this.types.first(1))
    const rows = sum.reshape([batch * sequence, sum.shape[2]])
    const normed = this.norm.forward(rows)
    return this.dropout.forward(context.mixed ? normed.cast('f16') : normed, context)
  }
}

/** Self-attention and feed-forward, each with residual and layer norm after it. */
export class EncoderLayer extends Module {
  readonly query: Linear
  readonly key: Linear
  readonly value: Linear
  readonly projection: Linear
  readonly attentionNorm: LayerNorm
  readonly up: Linear
  readonly down: Linear
  readonly outputNorm: LayerNorm
  readonly #projectionDropout: Dropout
  readonly #outputDropout: Dropout
  readonly #config: ModelConfig

  constructor(names: LayerNames, config: ModelConfig) {
    super()
    const { hidden, intermediate, layerNormEpsilon } = config
    const linear = (name: string, inputs: number, outputs: number): Linear =>
      this.add(name, new Linear(inputs, outputs, { deviation: config.initializerRange }))
    this.#config = config
    this.query = linear(names.query, hidden, hidden)
    this.key = linear(names.key, hidden, hidden)
    this.value = linear(names.value, hidden, hidden)
    this.projection = linear(names.projection, hidden, hidden)
    const norm = (name: string): LayerNorm => this.add(name, new LayerNorm(hidden, { epsilon: layerNormEpsilon }))
    this.attentionNorm = norm(names.attentionNorm)
    this.up = linear(names.up, hidden, intermediate)
    this.down = linear(names.down, intermediate, hidden)
    this.outputNorm = norm(names.outputNorm)
    this.#projectionDropout = new Dropout(names.projectionDropout ? config.dropout : 0)
    this.#outputDropout = new Dropout(config.dropout)
  }

  /**
   * x [batch · sequence, hidden] with mask i32 [batch, sequence] (or none) to the same shape, or, with `firstOnly`, to
   * [batch, hidden]: the first token of each sequence, which is all that a classifier reads of the last layer. Keys and
   * values still come from every token, so the numbers are the same.
   */
  forward(x: Tensor, mask: Tensor | undefined, batch: number, context: ForwardContext, firstOnly = false): Tensor {
    const { heads, hidden, attentionDropout } = this.#config
    const sequence = x.shape[0] / batch
    const headSize = hidden / heads
    const split = (rows: Tensor): Tensor => rows.reshape([batch, -1, heads, headSize])
    const from = firstOnly ? x.reshape([batch, sequence, hidden]).slice([0, 0], [batch, 1]).reshape([batch, hidden]) : x

    const queries = split(this.query.forward(from, context))
    const keys = split(this.key.forward(x, context))
    const values = split(this.value.forward(x, context))
    const dropout =
      context.training && attentionDropout > 0
        ? { rate: attentionDropout, stream: context.nextStream(), step: context.step, seed: context.seed }
        : undefined
    const mixed = attention(queries, keys, values, { mask, scale: 1 / Math.sqrt(headSize), dropout })

    const projected = this.projection.forward(mixed.reshape([-1, hidden]), context)
    const attended = this.attentionNorm.forward(this.#projectionDropout.forward(projected, context).add(from))

    const wide = activate(this.up.forward(attended, context), this.#config.activation)
    const narrow = this.#outputDropout.forward(this.down.forward(wide, context), context)
    return this.outputNorm.forward(narrow.add(attended))
  }
}

/** Embeddings and layers in a row: ids to hidden states. */
export abstract class Encoder extends Module {
  abstract readonly embeddings: Embeddings
  abstract readonly layers: readonly EncoderLayer[]

  /** Hidden states of every token, [batch · sequence, hidden]. */
  hidden(inputs: Inputs, context: ForwardContext): Tensor {
    return this.#run(inputs, context, false)
  }

  /** Hidden state of each sequence's first token, [batch, hidden]. */
  firstHidden(inputs: Inputs, context: ForwardContext): Tensor {
    return this.#run(inputs, context, true)
  }

  #run(inputs: Inputs, context: ForwardContext, firstOnly: boolean): Tensor {
    const [batch] = inputs.ids.shape
    const last = this.layers.length - 1
    const told = (x: Tensor): Tensor => {
      context.onLayer?.(x)
      return x
    }
    return this.layers.reduce(
      (x, layer, i) => told(layer.forward(x, inputs.mask, batch, context, firstOnly && i === last)),
      told(this.embeddings.forward(inputs, context)),
    )
  }
}

/** The modules of an encoder's layers that a word stands for; none for `head`. */
export function layerTargets(layers: readonly EncoderLayer[], word: TargetWord): Linear[] {
  return layers.flatMap(layer => {
    switch (word) {
      case 'query':
        return [layer.query]
      case 'key':
        return [layer.key]
      case 'value':
        return [layer.value]
      case 'projection':
        return [layer.projection]
      case 'mlp':
        return [layer.up, layer.down]
      case 'head':
        return []
    }
  })
}
