// Parameters: named tensors that persist, and what they hold at first.
import type { DType } from '../../shaders/kernel.ts'
import { type Content, type Variable, compile, variable } from '../../engine/index.ts'
import { UserError } from '../../engine/errors.ts'
import { needAll, needOptions } from '../../engine/options.ts'
import { sameShape, showShape, sizeOf, type Shape } from '../../engine/shape.ts'
import { type Tensor, needTensors } from '../../engine/tensor.ts'
import { freshValues } from '../initialise.ts'
import { pathOf } from './place.ts'

/** How fresh values of a parameter are drawn. */
export type Initial =
  | { readonly kind: 'constant'; readonly value: number }
  /** Normal with mean 0; row `zeroRow` (padding) is zero. */
  | { readonly kind: 'normal'; readonly deviation: number; readonly zeroRow?: number }
  /** Uniform in ±bound. */
  | { readonly kind: 'uniform'; readonly bound: number }

export const zero: Initial = { kind: 'constant', value: 0 }
export const one: Initial = { kind: 'constant', value: 1 }

/**
 * What a parameter is for. Weight decay spares biases and norms; only weights and embeddings may be stored in f16;
 * statistics, such as the running mean of a batch norm, are saved but never trained.
 */
export type Role = 'weight' | 'embedding' | 'bias' | 'norm' | 'lora' | 'statistic'

export interface ParameterOptions {
  /** `weight` when left out. */
  readonly role?: Role
  /** Zeros when left out. */
  readonly initial?: Initial
  /** Its name while it stands in no module. */
  readonly name?: string
}

interface Home {
  readonly variable: Variable
  readonly offset: number
  readonly tensor: Tensor
}

/** A parameter's way to a new home. */
export interface Move {
  /** What the new home holds of it at first. */
  contents(): Content[]
  /** Whether there are values to be moved. */
  readonly isPending: boolean
  /** To be called when the new home has its contents: frees the memory that the parameter alone used before. */
  finish(): void
}

/** The seed of a parameter whose values nobody has drawn or loaded. */
const DEFAULT_SEED = 0

/**
 * A named tensor that persists. Its GPU memory is made when it is first needed. If nothing was written to it by then, it
 * holds the fresh values of seed 0 (`initialise` draws those of another).
 */
export class Parameter {
  readonly shape: Shape
  readonly role: Role
  readonly initial: Initial
  readonly #name: string
  /** Whether its values came from no file. */
  fresh = true
  /** Whether it has been given values since its storage was made or bound. */
  written = false
  #trainable = true
  #dtype: DType = 'f32'
  #home: Home | undefined

  /** Throws a UserError unless the lengths are positive integers. */
  constructor(shape: Shape, options: ParameterOptions = {}) {
    needOptions('Parameter', options, 'role', 'initial', 'name')
    const { role = 'weight', initial = zero, name = 'parameter' } = options
    if (!Array.isArray(shape) || !Array.from(shape).every(n => Number.isInteger(n) && n >= 1))
      throw new UserError(`a parameter can't have the shape ${showShape(shape)}`)
    this.#name = name
    this.shape = shape
    this.role = role
    this.initial = initial
  }

  /**
   * Where it stands in the tree of modules, such as `hidden.weight`; for models of Transformers as in its state dicts:
   * `bert.encoder.layer.0.attention.self.query.weight`.
   */
  get name(): string {
    return pathOf(this) || this.#name
  }

  /** Whether training changes it. Never true of a statistic. */
  get trainable(): boolean {
    return this.#trainable && this.role !== 'statistic'
  }

  set trainable(trainable: boolean) {
    this.#trainable = trainable
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

  /** The value in the graph. A compiled function is traced again if the parameter moves. */
  get tensor(): Tensor {
    return this.#storage().tensor
  }

  /** Inside a compiled function: the value that it was given there so far, else that at the beginning of the run. */
  get next(): Tensor {
    const { variable, offset } = this.#storage()
    return this.#within(variable.next, variable, offset)
  }

  /** The variable that holds this parameter and nothing else, or undefined where it is a stretch of a larger one. */
  get variable(): Variable | undefined {
    const { variable, offset } = this.#storage()
    return offset === 0 && sizeOf(variable.shape) === this.size ? variable : undefined
  }

  /** The variable that it is in, and its first element there. */
  get home(): { readonly variable: Variable; readonly offset: number } {
    return this.#storage()
  }

  /** Moves the parameter to elements `offset` … `offset + size` of a variable, its new owner. Values stay behind. */
  bind(home: Variable, offset = 0): void {
    this.#home?.variable.move()
    this.#place(home, offset)
    this.written = false
  }

  /** The same, but its values move along, when the new home first needs memory: as part of its contents. */
  moveTo(home: Variable, offset: number): Move {
    let old = this.#home
    if (old && old.variable.dtype !== home.dtype)
      throw new Error(`${this.name} is stored as ${old.variable.dtype}, and can't move to ${home.dtype}`)
    const left = old && this.variable
    old?.variable.move()
    this.#place(home, offset)
    return {
      contents: () =>
        old?.variable.isAllocated
          ? [{ at: offset, from: old.variable, first: old.offset, count: this.size }]
          : this.#freshContents(offset),
      get isPending() {
        return old?.variable.isAllocated === true
      },
      finish() {
        left?.release('has moved to other memory: compute this tensor again')
        old = undefined
      },
    }
  }

  /** Writes elements from `elementOffset` on. */
  async write(data: Float32Array<ArrayBuffer>, elementOffset = 0): Promise<void> {
    needAll(`${this.name}: write`, 'a Float32Array', given => given instanceof Float32Array, { data })
    if (elementOffset + data.length > this.size) {
      throw new Error(`${this.name} ${showShape(this.shape)}: no room for ${data.length} elements at ${elementOffset}`)
    }
    const { variable, offset } = this.#storage()
    this.written = true
    await variable.write(data, offset + elementOffset)
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
    needTensors(`${this.name}: set`, { value })
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

  #freshContents(at: number): Content[] {
    return this.written ? [] : [{ at, data: freshValues(this, DEFAULT_SEED) }]
  }

  #place(home: Variable, offset: number): void {
    if (offset < 0 || offset + this.size > sizeOf(home.shape)) {
      throw new Error(`${this.name}: ${this.size} elements do not fit into ${home.name} at ${offset}`)
    }
    this.#dtype = home.dtype
    this.#home = { variable: home, offset, tensor: this.#within(home.tensor, home, offset) }
  }

  /** Its part of a variable's value. */
  #within(value: Tensor, { shape }: Variable, offset: number): Tensor {
    if (offset === 0 && sameShape(shape, this.shape)) return value
    return value
      .reshape([-1])
      .slice([offset], [offset + this.size])
      .reshape(this.shape)
  }

  #storage(): Home {
    if (!this.#home) {
      const own = variable({ shape: this.shape, dtype: this.#dtype }, this.name, () => this.#freshContents(0))
      this.#home = { variable: own, offset: 0, tensor: own.tensor }
    }
    return this.#home
  }
}
