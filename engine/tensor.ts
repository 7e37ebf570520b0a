// Tensor: an immutable, lazy handle on one value of the graph. Methods only build nodes; nothing runs until `data()`.
/// <reference lib="esnext.disposable" preserve="true" />
import { type DType, type Spec, isFloat } from '../shaders/kernel.ts'
import { UserError } from './errors.ts'
import { findOp, makeNode, specOf } from './graph.ts'
import type { Attributes, NoAttributes, Op, OpAttributes, OpName, PlainOpName, Value } from './graph.ts'
import { dataOf, needRepresentable } from './numbers.ts'
import { needAll, needEach, needOneOf } from './options.ts'
import { sourceNode } from './payload.ts'
import { completeShape, isEmpty, normalizeAxes, showShape, showSpec, sizeOf } from './shape.ts'
import { SHOWN_WHOLE, showTensor } from './show.ts'

/** JavaScript arrays that hold tensor elements: f16 travels as Float32Array. */
export type TensorData = Float32Array | Int32Array | Uint32Array

/** A number is taken as a scalar tensor of the other operand's dtype. */
export type Operand = Tensor | number

/** One number (an axis, usually) or several. */
export type Axes = number | readonly number[]

export interface ScanOptions {
  readonly exclusive?: boolean
  readonly reverse?: boolean
}

/** An op's attributes as arguments: optional if all of them are. */
type AttributesOf<N extends OpName> = NoAttributes extends OpAttributes[N]
  ? [attributes?: OpAttributes[N]]
  : [attributes: OpAttributes[N]]

/** Applies a registered op. Returns a tensor for each of its outputs. Throws the UserErrors of its shape rule. */
export function applyAll<N extends OpName>(
  name: N,
  inputs: readonly Tensor[],
  ...[attributes]: AttributesOf<N>
): Tensor[] {
  return applyOp(findOp(name), inputs, attributes ?? {})
}

/** A tensor without elements. */
export function nothing({ shape, dtype }: Spec): Tensor {
  return new Tensor({ node: sourceNode(shape, dtype, { kind: 'constant', data: dataOf([], dtype, String) }), index: 0 })
}

/**
 * Applies an op. Tensors without elements are constants, whatever they are computed of, so that what is compiled has no
 * others among its inputs and values.
 */
export function applyOp(op: Op, inputs: readonly Tensor[], attributes: Attributes): Tensor[] {
  const values = inputs.map(t => {
    if (!(t instanceof Tensor)) throw new UserError(`${op.name}: ${String(t)} is not a tensor`)
    return t.value
  })
  const node = makeNode(op, values, attributes)
  const { outputs } = node
  const full = outputs.find(spec => !isEmpty(spec))
  if (!full) return outputs.map(nothing)
  if (![...inputs, ...outputs].some(isEmpty)) return outputs.map((_, index) => new Tensor({ node, index }))
  if (op.ofNothing) return op.ofNothing({ inputs, outputs, attributes })
  const shown = inputs.map(showSpec).join(', ')
  throw new UserError(`${op.name} of ${shown}: no elements to compute ${showSpec(full)} from`)
}

/** Applies a registered op and returns its first output. Throws the UserErrors of its shape rule. */
export function apply<N extends OpName>(name: N, inputs: readonly Tensor[], ...attributes: AttributesOf<N>): Tensor {
  return applyAll(name, inputs, ...attributes)[0]
}

/** Sorted elements, and where each of them was along the axis (i32). */
export interface Sorted {
  readonly values: Tensor
  readonly indices: Tensor
}

/** What runs graphs. Set by the runtime, so that tensors don't depend on a device. */
export interface Evaluator {
  read(value: Value): Promise<TensorData>
  /** Frees the memory of a source. Throws a UserError if the tensor doesn't own it. */
  release(value: Value): void
  /** The elements of what comes from the host; undefined for what a device computes. */
  atHand(value: Value): ArrayLike<number> | undefined
  /** Whether a value is the same each time it is computed. */
  staysTheSame(value: Value): boolean
}
let evaluator: Evaluator | undefined
export function setEvaluator(next: Evaluator): void {
  evaluator = next
}

/** Methods throw a UserError, which names the op, the shapes and dtypes, if operands don't fit. */
export class Tensor {
  readonly #value: Value
  readonly #owns: boolean
  #isDisposed = false
  /** What was read, if that is little: for its text. */
  #read: TensorData | undefined

  /** `owns`: disposing of this tensor frees the memory of its value. Other handles on a value don't affect it. */
  constructor(value: Value, owns = false) {
    if (!value?.node) throw new UserError('new Tensor(…) is for the library: tensor(…) makes a tensor of numbers')
    this.#value = value
    this.#owns = owns
  }

  /** Throws a UserError after the tensor was disposed of. */
  get value(): Value {
    if (this.#isDisposed)
      throw new UserError(`a tensor ${showSpec(specOf(this.#value))} is used after it was disposed of`)
    return this.#value
  }

  get shape(): readonly number[] {
    return specOf(this.value).shape
  }
  get dtype(): DType {
    return specOf(this.value).dtype
  }
  get rank(): number {
    return this.shape.length
  }
  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape)
  }

  /** Computes the value and copies its elements to the host, row-major. Throws a UserError without a device. */
  async data(): Promise<TensorData> {
    if (!evaluator) throw new UserError('no runtime is loaded: import from tilegrad, not from one of its modules')
    const data = await evaluator.read(this.value)
    // A copy, since the caller may change the array.
    if (data.length <= SHOWN_WHOLE && evaluator.staysTheSame(this.value)) this.#read ??= data.slice()
    return data
  }

  /** The only element of a tensor of size 1. Throws a UserError on any other size. */
  async item(): Promise<number> {
    if (this.size !== 1) throw new UserError(`item: the tensor has ${this.size} elements, not one`)
    return (await this.data())[0]
  }

  /**
   * Frees the memory of a result, or a constant's copy on the device, at once: `using y = await fn(x)` does so at the
   * end of the block. This is optional, since unreachable tensors are garbage-collected. Using the tensor afterwards
   * throws a UserError, and so does reading what was computed from a freed result; disposing twice does not. Throws a
   * UserError for a variable's tensor.
   */
  [Symbol.dispose](): void {
    if (this.#isDisposed) return
    if (this.#owns) evaluator?.release(this.#value)
    this.#isDisposed = true
  }

  /**
   * Dtype, shape and, where they are at hand, the elements: of numbers from the host, of views of them, and of up to 1000
   * elements that `data` has read from this tensor, unless a variable takes part, which may have changed since. Of long
   * axes of larger tensors the first and last three.
   */
  toString(): string {
    const spec = specOf(this.#value)
    if (this.#isDisposed) return `${showSpec(spec)}, disposed of`
    return showTensor(spec, this.#read ?? evaluator?.atHand(this.#value))
  }

  /**
   * Text for templates. Throws a UserError where JavaScript wants a number or compares, as in `t > 3` and `t + 1`: while
   * a function is traced there is none.
   */
  [Symbol.toPrimitive](hint: string): string {
    if (hint === 'string') return this.toString()
    const instead = 'use methods such as add, greater and where, await item() outside of compiled functions'
    throw new UserError(`a tensor ${showSpec(this)} is used as a number: ${instead}, or pass a number as fixed(n)`)
  }

  // Arithmetic, broadcast by NumPy's rule. Two float dtypes give f32; other dtypes have to match, or a UserError is
  // thrown.
  declare readonly add: (other: Operand) => Tensor
  declare readonly sub: (other: Operand) => Tensor
  declare readonly mul: (other: Operand) => Tensor
  declare readonly div: (other: Operand) => Tensor
  declare readonly pow: (other: Operand) => Tensor
  declare readonly maximum: (other: Operand) => Tensor
  declare readonly minimum: (other: Operand) => Tensor
  /** The remainder of this ÷ other with the sign of `other`, as Python's %. Integers: 0 where `other` is 0. */
  declare readonly mod: (other: Operand) => Tensor
  /** Floats: the angle of the points (other, this), from −π to π. */
  declare readonly atan2: (other: Operand) => Tensor
  /** min(max(x, min), max), gradients as theirs; a bound left out does not limit. Throws a UserError without bounds. */
  declare readonly clamp: (min?: Operand, max?: Operand) => Tensor

  // Comparisons give u32 0 or 1, in the broadcast shape.
  declare readonly equal: (other: Operand) => Tensor
  declare readonly notEqual: (other: Operand) => Tensor
  declare readonly less: (other: Operand) => Tensor
  declare readonly lessEqual: (other: Operand) => Tensor
  declare readonly greater: (other: Operand) => Tensor
  declare readonly greaterEqual: (other: Operand) => Tensor
  /** 1 where a float is neither infinite nor NaN, else 0, as u32. */
  declare readonly isFinite: () => Tensor
  /** 1 where a float is ∞ or −∞, else 0, as u32. */
  declare readonly isInfinite: () => Tensor
  /** 1 where a float is NaN, else 0, as u32. */
  declare readonly isNaN: () => Tensor

  // Logic of what is 0 and what is not (NaN is not), of any dtype: u32 0 or 1, in the broadcast shape.
  declare readonly logicalAnd: (other: Operand) => Tensor
  declare readonly logicalOr: (other: Operand) => Tensor
  declare readonly logicalXor: (other: Operand) => Tensor
  declare readonly logicalNot: () => Tensor

  // Operations on the bits of i32 or u32, broadcast. A UserError is thrown for floats.
  declare readonly bitwiseAnd: (other: Operand) => Tensor
  declare readonly bitwiseOr: (other: Operand) => Tensor
  declare readonly bitwiseXor: (other: Operand) => Tensor
  declare readonly bitwiseNot: () => Tensor
  /** Shifted by `other` bits; by 32 or more (or a negative number) 0. */
  declare readonly leftShift: (other: Operand) => Tensor
  /** Shifted by `other` bits, i32 with its sign; by 32 or more (or a negative number) 0, or −1 for a negative i32. */
  declare readonly rightShift: (other: Operand) => Tensor

  // Functions of each element, of floats; neg takes i32, and abs all integers, too. Relative errors in f32 are at most
  // 1e-5, for every argument; results below 2⁻¹²⁰ may be 0.
  declare readonly neg: () => Tensor
  declare readonly abs: () => Tensor
  declare readonly sign: () => Tensor
  declare readonly exp: () => Tensor
  declare readonly exp2: () => Tensor
  /** eˣ − 1, exact near 0. */
  declare readonly expm1: () => Tensor
  declare readonly log: () => Tensor
  /** The logarithm to base 2: whole numbers of powers of 2. */
  declare readonly log2: () => Tensor
  declare readonly log10: () => Tensor
  /** log(1 + x), exact near 0. */
  declare readonly log1p: () => Tensor
  declare readonly sqrt: () => Tensor
  declare readonly rsqrt: () => Tensor
  declare readonly reciprocal: () => Tensor
  declare readonly square: () => Tensor
  declare readonly sin: () => Tensor
  declare readonly cos: () => Tensor
  declare readonly tan: () => Tensor
  declare readonly asin: () => Tensor
  declare readonly acos: () => Tensor
  declare readonly atan: () => Tensor
  declare readonly sinh: () => Tensor
  declare readonly cosh: () => Tensor
  declare readonly tanh: () => Tensor
  declare readonly asinh: () => Tensor
  declare readonly acosh: () => Tensor
  declare readonly atanh: () => Tensor
  declare readonly erf: () => Tensor
  declare readonly floor: () => Tensor
  declare readonly ceil: () => Tensor
  /** The nearest whole number, of two the even one. */
  declare readonly round: () => Tensor
  /** Without its fraction: the next whole number toward 0. */
  declare readonly trunc: () => Tensor

  // Activation functions, of floats.
  declare readonly sigmoid: () => Tensor
  /** log σ(x), which does not overflow. */
  declare readonly logSigmoid: () => Tensor
  declare readonly relu: () => Tensor
  /** min(max(x, 0), 6). */
  declare readonly relu6: () => Tensor
  /** x where it is positive, else slope·x (0.01 by default). A tensor as slope has a gradient: PReLU (He et al. 2015). */
  declare readonly leakyRelu: (slope?: Operand) => Tensor
  /** x where it is positive, else alpha·(eˣ − 1), with alpha 1 by default (Clevert et al. 2016). */
  declare readonly elu: (alpha?: Operand) => Tensor
  /** ELU scaled so that activations normalise themselves (Klambauer et al. 2017). */
  declare readonly selu: () => Tensor
  /** log(1 + exp(beta·x)) ÷ beta, a smooth relu; beta is 1 by default. */
  declare readonly softplus: (beta?: number) => Tensor
  /** x·σ(x), also called swish (Elfwing et al. 2018). */
  declare readonly silu: () => Tensor
  /** x·tanh(softplus(x)) (Misra 2019). */
  declare readonly mish: () => Tensor
  /** min(max(x + 3, 0), 6) ÷ 6. */
  declare readonly hardSigmoid: () => Tensor
  /** x·hardSigmoid(x) (Howard et al. 2019). */
  declare readonly hardSwish: () => Tensor
  /** GELU (Hendrycks & Gimpel 2016): x·Φ(x) exactly, or its tanh approximation. */
  gelu(approximate: 'none' | 'tanh' = 'none'): Tensor {
    needOneOf('gelu', 'approximate', approximate, 'none', 'tanh')
    return apply(approximate === 'tanh' ? 'geluTanh' : 'gelu', [this])
  }
  /** The same numbers in another dtype. Floats are truncated to integers and clamped to their range; NaN gives 0. */
  cast(dtype: DType): Tensor {
    return dtype === this.dtype ? new Tensor(this.value) : apply('cast', [this], { dtype })
  }
  /** Selects from `yes` where this (u32 or i32) is not 0, else from `no`, all broadcast. */
  where(yes: Operand, no: Operand): Tensor {
    const dtype = yes instanceof Tensor ? yes.dtype : no instanceof Tensor ? no.dtype : 'f32'
    return apply('where', [this, lift('where', yes, dtype), lift('where', no, dtype)])
  }
  /** The same value without a gradient: backpropagation stops here. */
  declare readonly detach: () => Tensor

  // Reductions over `axes`, all when left out. Negative axes count from the end. Throws a UserError on an axis that
  // does not exist. Of no elements, a sum is 0, a product 1 and a mean NaN; a largest or smallest one is a UserError.
  sum(axes?: Axes, keepDims = false): Tensor {
    return reduce('sum', this, axes, keepDims)
  }
  max(axes?: Axes, keepDims = false): Tensor {
    return reduce('max', this, axes, keepDims)
  }
  min(axes?: Axes, keepDims = false): Tensor {
    return reduce('min', this, axes, keepDims)
  }
  /** The product; integers keep their low 32 bits. */
  prod(axes?: Axes, keepDims = false): Tensor {
    return reduce('prod', this, axes, keepDims)
  }
  /** i32: the index along an axis (of the flattened tensor without one) of the first largest element; NaN is largest. */
  argmax(axis?: number, keepDims = false): Tensor {
    return reduce('argmax', this, axis, keepDims)
  }
  /** i32: the index of the first smallest element, as `argmax`; NaN is smallest. */
  argmin(axis?: number, keepDims = false): Tensor {
    return reduce('argmin', this, axis, keepDims)
  }
  /** u32 1 where any element is not 0 (NaN is not), else 0. */
  declare readonly any: (axes?: Axes, keepDims?: boolean) => Tensor
  /** u32 1 where no element is 0, else 0. */
  declare readonly all: (axes?: Axes, keepDims?: boolean) => Tensor
  /** Of floats, summed in f32. Throws a UserError on integers. */
  mean(axes?: Axes, keepDims = false): Tensor {
    if (!isFloat(this.dtype)) throw new UserError(`mean takes floats, not ${this.dtype}`)
    const sum = this.cast('f32').sum(axes, keepDims)
    return sum.mul(sum.size / this.size).cast(this.dtype)
  }
  // These take floats, and compute in f32.
  /** log Σ eˣ, which does not overflow. */
  declare readonly logSumExp: (axes?: Axes, keepDims?: boolean) => Tensor
  /** Σ (x − mean)² ÷ (n − correction): with Bessel's correction 1 by default. */
  declare readonly variance: (axes?: Axes, keepDims?: boolean, correction?: number) => Tensor
  /** The root of the variance. Its gradient is 0 where it is 0. */
  declare readonly std: (axes?: Axes, keepDims?: boolean, correction?: number) => Tensor
  /**
   * (Σ |x|^order)^(1 ÷ order), the Euclidean norm by default; the largest or smallest |x| for ±∞, the number of elements
   * other than 0 for 0. The gradient of the Euclidean norm is 0 where it is 0.
   */
  declare readonly norm: (axes?: Axes, keepDims?: boolean, order?: number) => Tensor

  // Scans along an axis. `exclusive`: of the elements before each; `reverse`: from the end of the axis.
  /** Running sums (f16 is summed in f32). Integers keep their low 32 bits. */
  declare readonly cumsum: (axis: number, options?: ScanOptions) => Tensor
  /** Running products, as `cumsum`. */
  declare readonly cumprod: (axis: number, options?: ScanOptions) => Tensor

  // The same elements in another shape. Each throws a UserError on arguments that don't fit.
  /** One length may be −1, and is inferred from the others. */
  reshape(shape: readonly number[]): Tensor {
    return apply('reshape', [this], { shape: completeShape(shape, this) })
  }
  permute(order: readonly number[]): Tensor {
    return apply('permute', [this], { order: normalizeAxes('permute', order, this.rank) })
  }
  /** Swaps two axes, by default the last two. */
  transpose(a = -2, b = -1): Tensor {
    const [i, j] = normalizeAxes('transpose', [a, b], this.rank)
    const order = this.shape.map((_, k) => (k === i ? j : k === j ? i : k))
    return this.permute(order)
  }
  /**
   * `start` inclusive, `end` exclusive, one entry for each axis; axes left out are kept whole. Negative entries count
   * from the end of their axis. With `step`, every so many-th element.
   */
  slice(start: readonly number[], end: readonly number[] = [], step?: readonly number[]): Tensor {
    for (const list of [start, end, step ?? []]) {
      if (!(Array.isArray(list) && list.length <= this.rank))
        throw new UserError(`slice: ${showShape(list)} is not an array of at most ${this.rank} numbers`)
    }
    const entry = (of: readonly number[], i: number, n: number, none: number): number => {
      const at = of[i] ?? none
      return at < 0 ? at + n : at
    }
    const from = this.shape.map((n, i) => entry(start, i, n, 0))
    const to = this.shape.map((n, i) => entry(end, i, n, n))
    const steps = step?.some(n => n !== 1) ? { step: this.shape.map((_, i) => step[i] ?? 1) } : {}
    return apply('slice', [this], { start: from, end: to, ...steps })
  }
  broadcastTo(shape: readonly number[]): Tensor {
    return apply('broadcast', [this], { shape })
  }
  /** Adds `before[i]` elements of `fill` before and `after[i]` after axis i. */
  pad(before: readonly number[], after: readonly number[], fill = 0): Tensor {
    needRepresentable(fill, this.dtype, 'pad: ')
    return apply('pad', [this], { before, after, fill })
  }
  /** Without the axes of length 1, or without `axes`, which must have length 1. */
  declare readonly squeeze: (axes?: Axes) => Tensor
  /** With a new axis of length 1, which becomes axis `axis` of the result (PyTorch's `unsqueeze`). */
  declare readonly expandDims: (axis: number) => Tensor
  /** The axes from `first` to `last`, both included, as one. */
  declare readonly flatten: (first?: number, last?: number) => Tensor
  /** `length` elements of an axis, from `start` on, which may be negative. */
  declare readonly narrow: (axis: number, start: number, length: number) => Tensor
  /** Parts along an axis: each of this length (the last may be shorter), or of these lengths. */
  declare readonly split: (lengths: number | readonly number[], axis?: number) => Tensor[]
  /** At most `count` parts along an axis, equally long but for the last. */
  declare readonly chunk: (count: number, axis?: number) => Tensor[]
  /** The elements in reverse order along `axes`, all by default. A view: readers follow it without a copy. */
  declare readonly flip: (axes?: Axes) => Tensor
  /** Moves elements by `shifts` along `axes`, the last ones to the front; without axes, along the flattened tensor. */
  declare readonly roll: (shifts: Axes, axes?: Axes) => Tensor
  /** The whole tensor `repeats[i]` times along axis i. New axes come first; missing entries, too, and are 1. */
  declare readonly tile: (repeats: readonly number[]) => Tensor
  /** PyTorch's `repeat`: as `tile`, with at least one entry for each axis. */
  declare readonly repeat: (repeats: readonly number[]) => Tensor
  /** Each element `count` times in a row along an axis; without one, along the flattened tensor (NumPy's `repeat`). */
  declare readonly repeatInterleave: (count: number, axis?: number) => Tensor
  /** The last two axes' lower triangle: zeros where column − row > `diagonal`. */
  declare readonly tril: (diagonal?: number) => Tensor
  /** The last two axes' upper triangle: zeros where column − row < `diagonal`. */
  declare readonly triu: (diagonal?: number) => Tensor
  /**
   * The elements with index k on axis `a` and k + `offset` on axis `b`, as the last axis. A view: readers follow it
   * without a copy.
   */
  declare readonly diagonal: (offset?: number, a?: number, b?: number) => Tensor

  /**
   * [..., M, K] · [..., K, N] → [..., M, N], leading axes broadcast; f32 or f16. A vector [K] on the left is a row, on
   * the right a column, whose axis the result lacks: [K] · [K, N] → [N], [M, K] · [K] → [M], [K] · [K] → [].
   */
  declare readonly matmul: (other: Tensor) => Tensor
  /** Softmax over an axis, in this shape and dtype. Throws a UserError on integers. */
  declare readonly softmax: (axis?: number) => Tensor
  /** Logarithm of the softmax over an axis, in this shape and dtype. Throws a UserError on integers. */
  declare readonly logSoftmax: (axis?: number) => Tensor
  /** Layer norm (Ba et al. 2016) over an axis, with scale `gamma` and shift `beta`, both of its length; ε is 1e-12. */
  declare readonly layerNorm: (gamma: Tensor, beta: Tensor, epsilon?: number, axis?: number) => Tensor
  /** RMS norm (Zhang & Sennrich 2019) over an axis, with scale `gamma` of its length; ε is 1e-6. */
  declare readonly rmsNorm: (gamma: Tensor, epsilon?: number, axis?: number) => Tensor
  /**
   * Slices along an axis by their ids (i32, any shape), which replace it: [..., ...ids.shape, ...], as NumPy's `take`.
   * Zeros for an id that is not an index of the axis.
   */
  declare readonly take: (ids: Tensor, axis?: number) => Tensor
  /**
   * `gather(ids)`: slices along the first axis, as `take(ids)`. `gather(axis, index)`: the elements that an index (i32,
   * of this rank, on other axes as long as this or shorter) names along an axis, in the index's shape, as PyTorch's
   * `gather`; 0 for an index outside of the axis. Throws a UserError on other shapes and dtypes.
   */
  declare readonly gather: { (ids: Tensor): Tensor; (axis: number, index: Tensor): Tensor }
  /**
   * This tensor with the elements of `source` put where `index` (i32) names along an axis, as PyTorch's `scatter`, but
   * the last of equal indices counts. The index is as long as this on other axes, or shorter, and as the source or
   * shorter on all; an index outside of the axis puts nothing anywhere. Throws a UserError on other shapes and dtypes.
   */
  declare readonly scatter: (axis: number, index: Tensor, source: Tensor) => Tensor
  /** The same, adding the elements (PyTorch's `scatter_add`), always in the same order. */
  declare readonly scatterAdd: (axis: number, index: Tensor, source: Tensor) => Tensor
  /** The same, with the largest of the elements (PyTorch's `scatter_reduce` with `amax`). */
  declare readonly scatterMax: (axis: number, index: Tensor, source: Tensor) => Tensor
  /** Sorted along an axis, the last by default. NaN counts as the largest number; equal elements stay in order. */
  declare readonly sort: (axis?: number, descending?: boolean) => Sorted
  /** The indices (i32) that sort an axis, in this shape. */
  declare readonly argsort: (axis?: number, descending?: boolean) => Tensor
  /**
   * The `k` largest elements of an axis, or the smallest, the most extreme first. Throws a UserError if the axis is
   * shorter.
   */
  declare readonly topK: (k: number, axis?: number, largest?: boolean) => Sorted
}

/** A number as a scalar tensor of `dtype`. Throws a UserError if the dtype can't represent it. */
export function scalar(number: number, dtype: DType = 'f32'): Tensor {
  return lift('scalar', number, dtype)
}

const isTensor = (argument: unknown): boolean => argument instanceof Tensor

/** Throws a UserError unless all of these arguments are tensors. */
export const needTensors = (op: string, given: Readonly<Record<string, unknown>>): void =>
  needAll(op, 'a tensor', isTensor, given)

/** Throws a UserError unless a list has tensors only. */
export const needTensorList = (op: string, list: readonly unknown[]): void =>
  needEach(op, 'tensors', 'a tensor', isTensor, list)

/** An operand as a tensor: a number becomes a scalar of `dtype`. Throws a UserError, named after the op, if it can't. */
export function lift(name: string, operand: Operand, dtype: DType): Tensor {
  if (operand instanceof Tensor) return operand
  if (typeof operand !== 'number') throw new UserError(`${name}: ${String(operand)} is neither a tensor nor a number`)
  needRepresentable(operand, dtype, `${name}: `)
  return apply('scalar', [], { number: operand, dtype })
}

// What console.log prints under Node.
Object.defineProperty(Tensor.prototype, Symbol.for('nodejs.util.inspect.custom'), {
  value(this: Tensor): string {
    return this.toString()
  },
})

/** Adds methods that the class declares; the files of ops do so. */
export function defineMethods<M extends Partial<Tensor>>(methods: M & ThisType<Tensor>): void {
  for (const [name, value] of Object.entries(methods)) Object.defineProperty(Tensor.prototype, name, { value })
}

type Method = (this: Tensor, other: Operand) => Tensor

/** Adds the methods that are declared above: each applies the op of its name. */
function addMethods(method: (name: PlainOpName) => Method, ...names: readonly (PlainOpName & keyof Tensor)[]): void {
  for (const name of names) Object.defineProperty(Tensor.prototype, name, { value: method(name) })
}

const unary = (name: PlainOpName): Method =>
  function () {
    return apply(name, [this])
  }
addMethods(unary, 'neg', 'abs', 'sign', 'exp', 'exp2', 'expm1', 'log', 'log2', 'log1p', 'sqrt', 'rsqrt', 'reciprocal')
addMethods(unary, 'square', 'sin', 'cos', 'tan', 'asin', 'acos', 'atan', 'sinh', 'cosh', 'tanh', 'asinh', 'acosh')
addMethods(unary, 'atanh', 'erf', 'floor', 'ceil', 'round', 'trunc', 'sigmoid', 'relu', 'silu')
addMethods(unary, 'isFinite', 'isInfinite', 'isNaN', 'detach')

const binary = (name: PlainOpName): Method =>
  function (other) {
    return apply(name, [this, lift(name, other, this.dtype)])
  }
addMethods(binary, 'add', 'sub', 'mul', 'div', 'pow', 'maximum', 'minimum', 'mod', 'atan2')
addMethods(binary, 'equal', 'notEqual', 'less', 'lessEqual', 'greater', 'greaterEqual')
addMethods(binary, 'bitwiseAnd', 'bitwiseOr', 'bitwiseXor', 'leftShift', 'rightShift')

type Reduction = 'sum' | 'prod' | 'max' | 'min' | 'argmax' | 'argmin'
function reduce(name: Reduction, x: Tensor, axes: Axes | undefined, keepDims: boolean): Tensor {
  const list = axes === undefined ? x.shape.map((_, i) => i) : typeof axes === 'number' ? [axes] : axes
  const reduced = normalizeAxes(name, list, x.rank).sort((a, b) => a - b)
  const kept = apply(name, [x], { axes: reduced })
  return keepDims ? kept : kept.reshape(x.shape.filter((_, i) => !reduced.includes(i)))
}
