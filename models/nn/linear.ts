// Linear layers, and the low-rank adapters that may be attached to them.
import { loraLinear, zeros } from '../../engine/index.ts'
import { UserError } from '../../engine/errors.ts'
import { needNumbers, needObjects, needOptions } from '../../engine/options.ts'
import { showShape, sizeOf } from '../../engine/shape.ts'
import { Tensor } from '../../engine/tensor.ts'
import { type ForwardContext, currentContext } from './context.ts'
import { Dropout } from './dropout.ts'
import { Module } from './module.ts'
import { type Initial, Parameter, zero } from './parameter.ts'

/** The low-rank part of a Linear (Hu et al. 2021): W + scale · B · A. */
export class LoraAdapter extends Module {
  /** A [rank, in]. */
  readonly a: Parameter
  /** B [out, rank]. */
  readonly b: Parameter
  readonly rank: number
  readonly alpha: number
  /** `loraScale` of rank and alpha. */
  readonly scale: number
  readonly rankStabilised: boolean
  readonly dropout: Dropout
  /** The product stands in W already. */
  merged = false

  constructor(inputs: number, outputs: number, options: LoraShape) {
    super()
    needObjects('LoraAdapter', { options })
    const { rank, alpha, rankStabilised = false } = options
    this.rank = rank
    this.alpha = alpha
    this.rankStabilised = rankStabilised
    this.scale = loraScale(options)
    // A as PEFT draws it: Kaiming's uniform with a = √5, which is ±1/√in. B = 0: training starts at the base model.
    const initial: Initial = { kind: 'uniform', bound: 1 / Math.sqrt(inputs) }
    this.a = this.add('lora_A.weight', new Parameter([rank, inputs], { role: 'lora', initial }))
    this.b = this.add('lora_B.weight', new Parameter([outputs, rank], { role: 'lora' }))
    this.dropout = this.add('lora_dropout', new Dropout(options.dropout))
  }
}

/** The numbers of one adapter. */
export interface LoraShape {
  readonly rank: number
  readonly alpha: number
  /** Rate of dropout on the adapter's input. */
  readonly dropout: number
  readonly rankStabilised?: boolean
}

/** The factor on B · A: alpha / rank, or alpha / √rank when rank-stabilised (Kalajdzievski 2023). */
export function loraScale(shape: LoraShape): number {
  needObjects('loraScale', { shape })
  const { rank, alpha, rankStabilised = false } = shape
  needNumbers('loraScale', { rank, alpha })
  return alpha / (rankStabilised ? Math.sqrt(rank) : rank)
}

export interface LinearOptions {
  /** True when left out. */
  readonly bias?: boolean
  /**
   * Weights are drawn from a normal distribution of this deviation, and biases are 0. When left out both are uniform in
   * ±1/√in, as in PyTorch.
   */
  readonly deviation?: number
}

/** What a linear layer has without its adapter. */
export const ownParameters = ({ weight, bias }: Linear): Parameter[] => (bias ? [weight, bias] : [weight])

/** y = x · Wᵀ + b, with LoRA's part where an adapter is attached. */
export class Linear extends Module {
  readonly inputs: number
  readonly outputs: number
  /** [out, in] */
  readonly weight: Parameter
  /** [out] */
  readonly bias: Parameter | undefined
  #lora: LoraAdapter | undefined

  constructor(inputs: number, outputs: number, options: LinearOptions = {}) {
    super()
    needOptions('Linear', options, 'bias', 'deviation')
    const { bias = true, deviation } = options
    this.inputs = inputs
    this.outputs = outputs
    const uniform: Initial = { kind: 'uniform', bound: 1 / Math.sqrt(inputs) }
    this.weight = new Parameter([outputs, inputs], {
      initial: deviation === undefined ? uniform : { kind: 'normal', deviation },
    })
    if (bias) this.bias = new Parameter([outputs], { role: 'bias', initial: deviation === undefined ? uniform : zero })
  }

  get lora(): LoraAdapter | undefined {
    return this.#lora
  }

  /** Attaches a fresh adapter. Throws a UserError when there is one. */
  attach(shape: LoraShape): LoraAdapter {
    if (this.#lora) throw new UserError(`${this.path} has a LoRA adapter already`)
    this.#lora = this.add('', new LoraAdapter(this.inputs, this.outputs, shape))
    return this.#lora
  }

  /** [..., in] to [..., out]. */
  forward(x: Tensor, context: ForwardContext = currentContext()): Tensor {
    if (!(x instanceof Tensor) || x.shape.at(-1) !== this.inputs) {
      const given = x instanceof Tensor ? showShape(x.shape) : String(x)
      throw new UserError(`${this.path || 'Linear'} takes [..., ${this.inputs}], not ${given}`)
    }
    const { shape } = x
    if (shape.length === 2) return this.#rows(x, context)
    const leading = shape.slice(0, -1)
    return this.#rows(x.reshape([sizeOf(leading), this.inputs]), context).reshape([...leading, this.outputs])
  }

  #rows(x: Tensor, context: ForwardContext): Tensor {
    const lora = this.#lora
    if (!lora || lora.merged) return this.#plain(x, context)
    const { a, b, scale } = lora
    if (!context.training || lora.dropout.rate === 0) {
      const bias = this.bias?.tensor ?? zeros([this.outputs])
      // Adapters are f32 even where activations are f16; what flows on is what flowed in.
      return loraLinear(x, this.weight.tensor, bias, a.tensor, b.tensor, scale).cast(x.dtype)
    }
    // Dropout is on the adapter's input alone, so the two products no longer share x.
    const low = lora.dropout.forward(x, context).matmul(a.tensor.transpose())
    return this.#plain(x, context).add(low.matmul(b.tensor.transpose()).mul(scale)).cast(x.dtype)
  }

  #plain(x: Tensor, { mixed }: ForwardContext): Tensor {
    const { tensor } = this.weight
    const product = x.matmul((mixed ? tensor.cast(x.dtype) : tensor).transpose())
    return this.bias ? product.add(this.bias.tensor).cast(product.dtype) : product
  }
}
