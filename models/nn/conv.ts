// Convolutions and their transposes. Names, shapes and fresh values are those of PyTorch's layers.
import {
  type ConvOptions,
  type ConvTransposeOptions,
  conv1d,
  conv2d,
  convTranspose1d,
  convTranspose2d,
} from '../../engine/index.ts'
import { UserError } from '../../engine/errors.ts'
import { sizeOf } from '../../engine/shape.ts'
import { type Tensor, needTensors } from '../../engine/tensor.ts'
import { type ForwardContext, currentContext } from './context.ts'
import { Module } from './module.ts'
import { type Initial, Parameter } from './parameter.ts'

/** Options of `conv2d`. There is a bias unless it is false. */
export interface ConvLayerOptions extends Omit<ConvOptions, 'bias'> {
  readonly bias?: boolean
}
/** Options of `convTranspose2d`. There is a bias unless it is false. */
export interface ConvTransposeLayerOptions extends Omit<ConvTransposeOptions, 'bias'> {
  readonly bias?: boolean
}

abstract class Convolution extends Module {
  readonly weight: Parameter
  /** [outputs] */
  readonly bias: Parameter | undefined

  constructor(shape: readonly number[], outputs: number, bias = true) {
    super()
    if (![...shape, outputs].every(n => Number.isInteger(n) && n >= 1))
      throw new UserError(`${this.constructor.name}: weights cannot have the shape [${shape.join(', ')}]`)
    const initial: Initial = { kind: 'uniform', bound: 1 / Math.sqrt(sizeOf(shape.slice(1))) }
    this.weight = new Parameter(shape, { initial })
    if (bias) this.bias = new Parameter([outputs], { role: 'bias', initial })
  }

  protected abstract convolve(x: Tensor, weight: Tensor, bias: Tensor | undefined): Tensor

  /** Images [batch, channels, height, width], or lines [batch, channels, length], to their convolution. */
  forward(x: Tensor, { mixed }: ForwardContext = currentContext()): Tensor {
    needTensors(this.path || this.constructor.name, { x })
    const { tensor } = this.weight
    return this.convolve(x, mixed ? tensor.cast(x.dtype) : tensor, this.bias?.tensor)
  }
}

const kernelOf = (size: number | readonly [height: number, width: number]): readonly number[] =>
  Array.isArray(size) ? size : [Number(size), Number(size)]

/**
 * Convolution of images (`conv2d`), with weights [outputs, inputs / groups, height, width]. Throws a UserError if the
 * groups do not divide the inputs.
 */
export class Conv2d extends Convolution {
  readonly options: Omit<ConvOptions, 'bias'>

  constructor(
    inputs: number,
    outputs: number,
    kernel: number | readonly [height: number, width: number],
    { bias, ...options }: ConvLayerOptions = {},
  ) {
    super([outputs, inputs / (options.groups ?? 1), ...kernelOf(kernel)], outputs, bias)
    this.options = options
  }

  protected convolve(x: Tensor, weight: Tensor, bias: Tensor | undefined): Tensor {
    return conv2d(x, weight, { ...this.options, bias })
  }
}

/** Convolution of lines (`conv1d`), with weights [outputs, inputs / groups, kernel]. Throws as `Conv2d`. */
export class Conv1d extends Convolution {
  readonly options: Omit<ConvOptions, 'bias'>

  constructor(inputs: number, outputs: number, kernel: number, { bias, ...options }: ConvLayerOptions = {}) {
    super([outputs, inputs / (options.groups ?? 1), kernel], outputs, bias)
    this.options = options
  }

  protected convolve(x: Tensor, weight: Tensor, bias: Tensor | undefined): Tensor {
    return conv1d(x, weight, { ...this.options, bias })
  }
}

/**
 * Transposed convolution of images (`convTranspose2d`), with weights [inputs, outputs / groups, height, width]. Throws a
 * UserError if the groups do not divide the outputs.
 */
export class ConvTranspose2d extends Convolution {
  readonly options: Omit<ConvTransposeOptions, 'bias'>

  constructor(
    inputs: number,
    outputs: number,
    kernel: number | readonly [height: number, width: number],
    { bias, ...options }: ConvTransposeLayerOptions = {},
  ) {
    super([inputs, outputs / (options.groups ?? 1), ...kernelOf(kernel)], outputs, bias)
    this.options = options
  }

  protected convolve(x: Tensor, weight: Tensor, bias: Tensor | undefined): Tensor {
    return convTranspose2d(x, weight, { ...this.options, bias })
  }
}

/** Transposed convolution of lines (`convTranspose1d`), with weights [inputs, outputs / groups, kernel]. */
export class ConvTranspose1d extends Convolution {
  readonly options: Omit<ConvTransposeOptions, 'bias'>

  constructor(inputs: number, outputs: number, kernel: number, { bias, ...options }: ConvTransposeLayerOptions = {}) {
    super([inputs, outputs / (options.groups ?? 1), kernel], outputs, bias)
    this.options = options
  }

  protected convolve(x: Tensor, weight: Tensor, bias: Tensor | undefined): Tensor {
    return convTranspose1d(x, weight, { ...this.options, bias })
  }
}
