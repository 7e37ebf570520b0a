// What a sequence classifier is to the rest of tilegrad, whatever its family, and its loss.
import type { DType } from '../shaders/kernel.ts'
import { needAll, needObjects } from '../engine/options.ts'
import type { Tensor } from '../engine/tensor.ts'
import type { ModelConfig } from './config.ts'
import { classificationLoss, meanOf } from './losses.ts'
import { Linear, Module, type ForwardContext } from './nn.ts'

/** Words for groups of modules that LoRA may be attached to. */
export const TARGET_WORDS = ['query', 'key', 'value', 'projection', 'mlp', 'head'] as const
export type TargetWord = (typeof TARGET_WORDS)[number]

/** A model with a head on it. */
export abstract class Model extends Module {
  readonly config: ModelConfig
  /** What the encoder's names begin with in Transformers' state dicts, `bert.`; files of a bare encoder lack it. */
  readonly prefix: string
  /** Transformers' name of the class, for config.json. */
  abstract readonly architecture: string

  constructor(config: ModelConfig, prefix: string) {
    super()
    needObjects(this.constructor.name, { config })
    this.config = config
    this.prefix = prefix
  }

  /** The modules that a word stands for. */
  abstract targets(word: TargetWord): Linear[]

  /** The modules on top of the encoder, which a file of another task does not have. */
  abstract head(): Linear[]

  /** Every module that can carry a LoRA adapter. */
  linears(): Linear[] {
    return this.modules().filter(module => module instanceof Linear)
  }

  /**
   * Stores frozen weights and embeddings as `dtype` and everything else as f32. To be called after tuning is settled
   * and before anything is loaded.
   */
  storeFrozenAs(dtype: DType & ('f32' | 'f16')): void {
    for (const parameter of this.parameters()) {
      const large = parameter.role === 'weight' || parameter.role === 'embedding'
      parameter.dtype = large && !parameter.trainable ? dtype : 'f32'
    }
  }
}

/** Throws a UserError unless an argument is a model of this package. */
export const needModel = (op: string, model: unknown): void =>
  needAll(op, 'a model of this package', argument => argument instanceof Model, { model })

/** A model with a classifier on it: of whole sequences, or of every token. */
export abstract class Classifier extends Model {
  /** Unnormalised scores f32 [rows, labels], a row a sequence or a row a token; inputs as in the classes below. */
  abstract logits(ids: Tensor, mask: Tensor, types: Tensor | undefined, context: ForwardContext): Tensor
}

/** A model that scores every token, e.g. for named entities. */
export abstract class TokenClassifier extends Classifier {
  /**
   * Unnormalised scores f32 [batch · sequence, labels] of token ids i32 [batch, sequence]; mask and types as for a
   * `SequenceClassifier`.
   */
  abstract override logits(ids: Tensor, mask: Tensor, types: Tensor | undefined, context: ForwardContext): Tensor
}

/** A model that gives every sequence one score for each label. */
export abstract class SequenceClassifier extends Classifier {
  /**
   * Unnormalised scores f32 [batch, labels] of token ids i32 [batch, sequence], where mask i32 [batch, sequence] is 1
   * on tokens and 0 on padding, and types i32 [batch, sequence] numbers BERT's segments (all 0 when undefined).
   */
  abstract override logits(ids: Tensor, mask: Tensor, types: Tensor | undefined, context: ForwardContext): Tensor

  /** Mean cross-entropy, f32 [], of labels i32 [batch]; rows labelled −100 do not count. */
  loss(ids: Tensor, mask: Tensor, types: Tensor | undefined, labels: Tensor, context: ForwardContext): Tensor {
    return meanOf(classificationLoss(this.logits(ids, mask, types, context), labels))
  }
}
