// The bricks that models are built of: named parameters, the tree of modules that owns them, and the modules Linear,
// Embedding, LayerNorm and Dropout. Names are those of Transformers' state dicts, so that files need no translation.
import type { DType } from '../shaders/kernel.ts'
import { compile, dropout, loraLinear, variable } from '../engine/index.ts'
import type { Variable } from '../engine/index.ts'
import type { Tensor } from '../engine/tensor.ts'
import { UserError } from '../engine/errors.ts'
import { sameShape, showShape, sizeOf, type Shape } from '../engine/shape.ts'

/** How fresh values of a parameter are drawn. */
export type Initial =
  | { readonly kind: 'constant'; readonly value: number }
  /** Normal with mean 0; row `zeroRow` (padding) is zero. */
  | { readonly kind: 'normal'; readonly deviation: number; readonly zeroRow?: number }
  /** Uniform in ±bound. */
  | { readonly kind: 'uniform'; readonly bound: number }

/** What a parameter is for. Weight decay spares biases and norms; only weights and embeddings may be stored in f16. */
export type Role = 'weight' | 'embedding' | 'bias' | 'norm' | 'lora'

const zero: Initial = { kind: 'constant', value: 0 }
const one: Initial = { kind: 'constant', value: 1 }

/** A named tensor that persists. Its GPU memory is made when it is first asked for. */
export class Parameter {
  /** As in Transformers' state dict: `bert.encoder.layer.0.attention.self.query.weight`. */
  readonly name: string
  readonly shape: Shape
  readonly role: Role
  readonly initial: Initial
  /** Whether training changes it. */
  trainable = true
  /** Whether its values came from no file. */
  fresh = true
  /** Whether it has been given values since its storage was made or moved. */
  written = false
  #dtype: DType = 'f32'
  #home: { readonly variable: Variable; readonly offset: number; readonly tensor: Tensor } | undefined

  constructor(name: string, shape: Shape, role: Role, initial: Initial) {
    this.name = name
    this.shape = shape
    this.role = role
    this.initial = initial
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape)
  }

  /** Whether weight decay applies: not to biases and norms. */
  get decays(): boolean {
    return this.role !== 'bias' && this.role !== 'norm'
  }

  get dtype(): DType {
    return this.#dtype
  }

  /** Element type of the storage, `f32` unless told otherwise; it can change only while there is no storage yet. */
  set dtype(dtype: DType) {
    if (dtype === this.#dtype) return
    if (this.#home) throw new Error(`${this.name} is stored as ${this.#dtype} already`)
    this.#dtype = dtype
  }

  /** The value in the graph. Bind before tracing: a traced function keeps the tensor that it saw. */
  get tensor(): Tensor {
    return this.#storage().tensor
  }

  /** The variable that holds this parameter and nothing else, or undefined where it is a stretch of a larger one. */
  get variable(): Variable | undefined {
    const { variable, offset } = this.#storage()
    return offset === 0 && sizeOf(variable.shape) === this.size ? variable : undefined
  }

  /** Moves the parameter to elements `offset` … `offset + size` of a variable, its new owner. Values stay behind. */
  bind(home: Variable, offset = 0): void {
    if (offset < 0 || offset + this.size > sizeOf(home.shape)) {
      throw new Error(`${this.name}: ${this.size} elements do not fit into ${home.name} at ${offset}`)
    }
    const whole = offset === 0 && sameShape(home.shape, this.shape)
    const tensor = whole
      ? home.tensor
      : home.tensor
          .reshape([-1])
          .slice([offset], [offset + this.size])
          .reshape(this.shape)
    this.#dtype = home.dtype
    this.#home = { variable: home, offset, tensor }
    this.written = false
  }

  /** Writes elements from `elementOffset` on. */
  async write(data: Float32Array<ArrayBuffer>, elementOffset = 0): Promise<void> {
    if (elementOffset + data.length > this.size) {
      throw new Error(`${this.name} ${showShape(this.shape)}: no room for ${data.length} elements at ${elementOffset}`)
    }
    const { variable, offset } = this.#storage()
    await variable.write(data, offset + elementOffset)
    this.written = true
  }

  /** Copies the values to the CPU, row-major. */
  async read(): Promise<Float32Array> {
    const { variable, offset } = this.#storage()
    const data = await variable.read(offset, this.size)
    if (!(data instanceof Float32Array)) throw new Error(`${this.name} holds ${this.#dtype}, not floats`)
    return data
  }

  /** Computes `value` (same shape, f32) on the GPU and keeps it as the parameter's own. */
  async set(value: Tensor): Promise<void> {
    const { variable } = this
    if (!variable) {
      await this.write(new Float32Array(await value.data()))
      return
    }
    const shaped = value.cast(variable.dtype).reshape(variable.shape)
    await compile(() => {
      variable.assign(shaped)
      return {}
    })()
  }

  #storage(): { readonly variable: Variable; readonly offset: number; readonly tensor: Tensor } {
    if (!this.#home) {
      const own = variable({ shape: this.shape, dtype: this.#dtype }, this.name)
      this.#home = { variable: own, offset: 0, tensor: own.tensor }
    }
    return this.#home
  }
}

/** A node of the module tree. Children and parameters are kept in the order in which they are added. */
export abstract class Module {
  /** Dotted path from the root: `bert.encoder.layer.0.attention.self.query`; empty for the root. */
  readonly path: string
  readonly #children: Module[] = []
  readonly #own: Parameter[] = []

  constructor(path: string) {
    this.path = path
  }

  /** Every parameter below, in state-dict order. */
  parameters(): Parameter[] {
    return [...this.#own, ...this.#children.flatMap(child => child.parameters())]
  }

  /** This module and every one below it, parents first. */
  modules(): Module[] {
    return [this, ...this.#children.flatMap(child => child.modules())]
  }

  /** The parameters that training changes, in state-dict order. */
  trainable(): Parameter[] {
    return this.parameters().filter(parameter => parameter.trainable)
  }

  protected add<M extends Module>(child: M): M {
    this.#children.push(child)
    return child
  }

  protected own(name: string, shape: Shape, role: Role, initial: Initial): Parameter {
    const parameter = new Parameter(this.path ? `${this.path}.${name}` : name, shape, role, initial)
    this.#own.push(parameter)
    return parameter
  }
}

/** What a forward pass knows of its surroundings. */
export interface ForwardContext {
  /** Dropout is on. */
  readonly training: boolean
  readonly seed: number
  /** Number of the step, u32 of shape []: masks differ from step to step. */
  readonly step: Tensor
  /**
   * Mixed precision (Micikevicius et al. 2018): parameters are f32, but activations f16, and so are the copies of weights
   * that they are multiplied by. Sums are f32.
   */
  readonly mixed?: boolean
  /** Every dropout site of a pass takes a number of its own, in the order of the program. */
  nextStream(): number
  /** Called with the hidden states before the first layer and after each. */
  onLayer?(hidden: Tensor): void
  /** Called with the word embeddings of every token, [batch, sequence, hidden]. */
  onWords?(embedded: Tensor): void
}

/** A context for one forward pass. */
export function forwardContext(options: Omit<ForwardContext, 'nextStream'>): ForwardContext {
  let streams = 0
  return { ...options, nextStream: () => streams++ }
}

/** Dropout (Srivastava et al. 2014), scaled by 1 / (1 − rate); the identity in evaluation. */
export class Dropout extends Module {
  readonly rate: number

  constructor(path: string, rate: number) {
    super(path)
    this.rate = rate
  }

  /** Any shape to the same. */
  forward(x: Tensor, context: ForwardContext): Tensor {
    if (!context.training || this.rate === 0) return x
    return dropout(x, this.rate, context.nextStream(), context.step, context.seed)
  }
}

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

  constructor(path: string, inputs: number, outputs: number, options: LoraShape) {
    super(path)
    this.rank = options.rank
    this.alpha = options.alpha
    this.rankStabilised = options.rankStabilised ?? false
    this.scale = loraScale(options)
    // A as PEFT draws it: Kaiming's uniform with a = √5, which is ±1/√in. B = 0: training starts at the base model.
    const uniform: Initial = { kind: 'uniform', bound: 1 / Math.sqrt(inputs) }
    this.a = this.own('lora_A.weight', [options.rank, inputs], 'lora', uniform)
    this.b = this.own('lora_B.weight', [outputs, options.rank], 'lora', zero)
    this.dropout = this.add(new Dropout(`${path}.lora_dropout`, options.dropout))
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
export const loraScale = ({ rank, alpha, rankStabilised = false }: LoraShape): number =>
  alpha / (rankStabilised ? Math.sqrt(rank) : rank)

/** y = x · Wᵀ + b, with LoRA's part where an adapter is attached. */
export class Linear extends Module {
  readonly inputs: number
  readonly outputs: number
  /** [out, in] */
  readonly weight: Parameter
  /** [out] */
  readonly bias: Parameter
  #lora: LoraAdapter | undefined

  constructor(path: string, inputs: number, outputs: number, deviation: number) {
    super(path)
    this.inputs = inputs
    this.outputs = outputs
    this.weight = this.own('weight', [outputs, inputs], 'weight', { kind: 'normal', deviation })
    this.bias = this.own('bias', [outputs], 'bias', zero)
  }

  get lora(): LoraAdapter | undefined {
    return this.#lora
  }

  /** Attaches a fresh adapter. Throws a UserError when there is one. */
  attach(shape: LoraShape): LoraAdapter {
    if (this.#lora) throw new UserError(`${this.path} has a LoRA adapter already`)
    this.#lora = this.add(new LoraAdapter(this.path, this.inputs, this.outputs, shape))
    return this.#lora
  }

  /** [rows, in] to [rows, out]. */
  forward(x: Tensor, context: ForwardContext): Tensor {
    const lora = this.#lora
    if (!lora || lora.merged) return this.#plain(x, context)
    const { a, b, scale } = lora
    if (!context.training || lora.dropout.rate === 0) {
      // Adapters are f32 even where activations are f16; what flows on is what flowed in.
      return loraLinear(x, this.weight.tensor, this.bias.tensor, a.tensor, b.tensor, scale).cast(x.dtype)
    }
    // Dropout is on the adapter's input alone, so the two products no longer share x.
    const low = lora.dropout.forward(x, context).matmul(a.tensor.transpose())
    return this.#plain(x, context).add(low.matmul(b.tensor.transpose()).mul(scale)).cast(x.dtype)
  }

  #plain(x: Tensor, { mixed }: ForwardContext): Tensor {
    const { tensor } = this.weight
    const product = x.matmul((mixed ? tensor.cast(x.dtype) : tensor).transpose())
    return product.add(this.bias.tensor).cast(product.dtype)
  }
}

/** A table of vectors by id. */
export class Embedding extends Module {
  /** [rows, width] */
  readonly weight: Parameter

  constructor(path: string, rows: number, width: number, deviation: number, paddingRow?: number) {
    super(path)
    this.weight = this.own('weight', [rows, width], 'embedding', { kind: 'normal', deviation, zeroRow: paddingRow })
  }

  /** ids i32 of any shape to [...shape, width]. */
  forward(ids: Tensor): Tensor {
    return this.weight.tensor.gather(ids)
  }

  /** The first `count` rows, [count, width], without a lookup. */
  first(count: number): Tensor {
    return this.weight.tensor.slice([0, 0], [count, this.weight.shape[1]])
  }
}

/** Layer norm (Ba et al. 2016) over the last axis. Its parameters stay in f32. */
export class LayerNorm extends Module {
  /** [width] */
  readonly weight: Parameter
  /** [width] */
  readonly bias: Parameter
  readonly epsilon: number

  constructor(path: string, width: number, epsilon: number) {
    super(path)
    this.epsilon = epsilon
    this.weight = this.own('weight', [width], 'norm', one)
    this.bias = this.own('bias', [width], 'norm', zero)
  }

  /** [..., width] to the same. */
  forward(x: Tensor): Tensor {
    return x.layerNorm(this.weight.tensor, this.bias.tensor, this.epsilon)
  }
}
