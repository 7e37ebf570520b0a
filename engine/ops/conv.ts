// Convolutions: one op, of which the gradients are convolutions, too. A formula of three sums is behind all of them:
//
//   y[b, o, i, j] = Σ w[o, c, v, h] · x[b, g·C + c, i·stride + v·dilation − padding, …]   over c, v and h
//
// with zeros outside of x and any size of y. The gradient of the weights is this sum over images and pixels: x with
// batch and channels exchanged is convolved with dy in place of the weights, stride and dilation exchanged. The gradient
// of x is dy convolved with the turned weights; with a stride, one such convolution for each residue of the place.
import type { ConvProblem } from '../../shaders/conv.ts'
import type { FloatType } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { type LoweringContext, defineOp } from '../graph.ts'
import { OnDemand } from '../on-demand.ts'
import { needOneOf, needOptions } from '../options.ts'
import { showSpec } from '../shape.ts'
import { type Tensor, apply } from '../tensor.ts'
import { stack } from './arrange.ts'
import { floatOf } from './matmul.ts'
import { filled, zeros } from './source.ts'
import {
  type Channels,
  type Pair,
  type PairOption,
  type Windowed,
  asImages,
  asKernels,
  fromImages,
  pair,
  pairOf,
} from './windows.ts'

type ConvAttributes = {
  /** Height and width of the output. */
  readonly size: readonly number[]
  readonly stride: readonly number[]
  /** Zeros above and to the left; what the size needs below and to the right is added. Negative: left out. */
  readonly padding: readonly number[]
  readonly dilation: readonly number[]
  readonly groups: number
  /** The output is [batch, height, width, channels]. */
  readonly channelsLast: boolean
  /** Of the output; f32 if either operand is, else f16. Sums are f32 in any case. */
  readonly outputDtype?: FloatType
}

declare module '../graph.ts' {
  interface OpAttributes {
    readonly conv: ConvAttributes
  }
}

const kernels = new OnDemand(() => import('../../shaders/conv.ts'))

function problemOf({
  inputs: [x, w],
  outputs: [out],
  attributes,
  epilogue,
}: LoweringContext<ConvAttributes>): ConvProblem {
  const { size, stride, padding, dilation, groups, channelsLast } = attributes
  return {
    x,
    w,
    size: pair(size),
    stride: pair(stride),
    padding: pair(padding),
    dilation: pair(dilation),
    groups,
    channelsLast,
    dtype: floatOf(out.dtype, 'conv'),
    inputDtypes: [floatOf(x.dtype, 'conv'), floatOf(w.dtype, 'conv')],
    epilogue,
  }
}

// Inputs: x [batch, groups · C, height, width] and w [groups · O, C, kernel height, kernel width].
defineOp({
  name: 'conv',
  kind: 'kernel',
  infer([x, w], { size: [height, width], channelsLast, outputDtype }) {
    const widest = floatOf(x.dtype, 'conv') === 'f32' || floatOf(w.dtype, 'conv') === 'f32' ? 'f32' : 'f16'
    const [batch, all] = [x.shape[0], w.shape[0]]
    const shape = channelsLast ? [batch, height, width, all] : [batch, all, height, width]
    return [{ shape, dtype: outputDtype ?? widest }]
  },
  gradient({ inputs: [x, w], upstream: [upstream], attributes, needs }) {
    if (!upstream) return []
    const dy = attributes.channelsLast ? upstream.permute([0, 3, 1, 2]) : upstream
    const dx = needs[0] ? inputGradient(dy, w, attributes, [x.shape[2], x.shape[3]]).cast(x.dtype) : undefined
    return [dx, needs[1] ? weightGradient(x, dy, attributes, pair(w.shape.slice(2))).cast(w.dtype) : undefined]
  },
  strided: () => true,
  takesEpilogue: true,
  // The table of offsets.
  otherBindings: 1,
  ofNothing: filled(0),
  kernels,
  lower(context) {
    const { convCandidates, convLowering, convQuestion } = kernels.module
    const problem = problemOf(context)
    const question = { kernel: 'conv', ...convQuestion(problem) }
    return convLowering(problem, context.choose(question, convCandidates(problem, context.traits)), context.traits)
  },
})

/** dw [O, C, lines, columns], f32, from x and dy [batch, O, height, width]. */
function weightGradient(x: Tensor, dy: Tensor, attributes: ConvAttributes, kernel: Pair): Tensor {
  const { groups, stride, dilation, padding } = attributes
  const images = (t: Tensor): Tensor => {
    // [batch, groups · C, …] → [C, groups · batch, …]: images are channels of a group.
    const [batch, all, height, width] = t.shape
    const channels = all / groups
    return t
      .reshape([batch, groups, channels, height, width])
      .permute([2, 1, 0, 3, 4])
      .reshape([channels, groups * batch, height, width])
  }
  return apply('conv', [images(x), dy.transpose(0, 1)], {
    size: kernel,
    stride: dilation,
    dilation: stride,
    padding,
    groups,
    channelsLast: false,
    outputDtype: 'f32',
  }).transpose(0, 1)
}

/** The taps of one axis that reach the places with one residue modulo the stride, as a convolution of stride 1. */
interface Phase {
  readonly first: number
  /** From one of these taps to the next. */
  readonly step: number
  readonly taps: number
  readonly dilation: number
  /** Elements of dy that the last tap lies behind. */
  readonly lead: number
}

const divisorOf = (a: number, b: number): number => (b === 0 ? a : divisorOf(b, a % b))

/** Place r + j·stride receives w[k]·dy[i] where i·stride + k·dilation = r + j·stride. */
function phaseOf(r: number, kernel: number, stride: number, dilation: number): Phase {
  const step = stride / divisorOf(stride, dilation)
  let first = 0
  while (first < step && (first * dilation) % stride !== r) first++
  const taps = first === step ? 0 : Math.max(0, Math.ceil((kernel - first) / step))
  const apart = (step * dilation) / stride
  return { first, step, taps, dilation: apart, lead: Math.floor((first * dilation) / stride) + (taps - 1) * apart }
}

/** dx [batch, groups · C, height, width] of an input of this size, from dy [batch, groups · O, height, width]. */
export function inputGradient(dy: Tensor, w: Tensor, attributes: ConvAttributes, [height, width]: Pair): Tensor {
  const { groups, stride, padding, dilation, channelsLast } = attributes
  const [all, channels, ...kernel] = w.shape
  // [groups · O, C, …] → [groups · C, O, …]
  const turned = w
    .reshape([groups, all / groups, channels, ...kernel])
    .transpose(1, 2)
    .reshape([groups * channels, all / groups, ...kernel])
    .flip([2, 3])
  const dtype = dy.dtype === 'f32' ? 'f32' : floatOf(w.dtype)
  /** Places (from the first tap of the first output on) of one residue for each axis. */
  const partOf = (residues: Pair, counts: Pair, start: Pair): Tensor => {
    const phases = residues.map((r, axis) => phaseOf(r, kernel[axis], stride[axis], dilation[axis]))
    if (phases.some(({ taps }) => taps === 0)) return zeros([dy.shape[0], groups * channels, ...counts], dtype)
    // In turned weights, tap k is element kernel − 1 − k.
    const from = phases.map(({ first, step, taps }, axis) => kernel[axis] - 1 - first - (taps - 1) * step)
    const to = phases.map(({ first }, axis) => kernel[axis] - first)
    const weights = turned.slice(
      [0, 0, ...from],
      [groups * channels, all / groups, ...to],
      [1, 1, ...phases.map(p => p.step)],
    )
    const part = apply('conv', [dy, weights], {
      size: counts,
      stride: [1, 1],
      padding: phases.map(({ lead }, axis) => lead - start[axis]),
      dilation: phases.map(phase => phase.dilation),
      groups,
      channelsLast: channelsLast && groups === 1,
    })
    return channelsLast && groups === 1 ? part.permute([0, 3, 1, 2]) : part
  }
  if (stride.every(n => n === 1)) return partOf([0, 0], [height, width], pair(padding))
  // Every stride-th place of each residue, from the first that the input has, then side by side: [batch, C, lines, stride,
  // columns, stride].
  const start = pair(padding.map((n, axis) => Math.floor(n / stride[axis])))
  const counts = pair([height, width].map((n, axis) => Math.ceil((n + padding[axis]) / stride[axis]) - start[axis]))
  const rowsOf = (r: number): Tensor =>
    stack(
      Array.from({ length: stride[1] }, (_, s) => partOf([r, s], counts, start)),
      4,
    )
  const parts = stack(
    Array.from({ length: stride[0] }, (_, r) => rowsOf(r)),
    3,
  )
  const whole = parts.reshape([...parts.shape.slice(0, 2), counts[0] * stride[0], counts[1] * stride[1]])
  const [top, left] = padding.map((n, axis) => n - start[axis] * stride[axis])
  return whole.narrow(2, top, height).narrow(3, left, width)
}

export interface ConvOptions {
  /** One number for each channel of the result, [O]. */
  readonly bias?: Tensor
  readonly stride?: PairOption
  /**
   * Zeros on both sides of each axis; `same` adds what keeps the size (of every stride-th place), the odd one at the
   * end; `valid` none.
   */
  readonly padding?: PairOption | 'same' | 'valid'
  readonly dilation?: PairOption
  /** Channels and outputs in so many groups, each with weights of its own. */
  readonly groups?: number
  /** `last`: x and the result are [batch, height, width, channels], which saves copies. */
  readonly channels?: Channels
}

export interface ConvTransposeOptions extends Omit<ConvOptions, 'padding'> {
  /** What is left out on both sides of each axis. */
  readonly padding?: PairOption
  /** Added at the end of each axis: which of the inputs of a convolution with this stride is meant. */
  readonly outputPadding?: PairOption
}

/**
 * Convolution (cross-correlation, as in PyTorch) of x [batch, channels, height, width] with weights [O, channels / groups,
 * kernel height, kernel width]: [batch, O, height, width], f32 or f16, sums in f32. Throws a UserError on shapes that
 * don't fit.
 */
export function conv2d(x: Tensor, weight: Tensor, options: ConvOptions = {}): Tensor {
  return convolution({ name: 'conv2d', axes: 2 }, x, weight, options)
}

function convolution(windowed: Windowed, given: Tensor, weights: Tensor, options: ConvOptions): Tensor {
  const { name: op } = windowed
  needOptions(op, options, 'bias', 'stride', 'padding', 'dilation', 'groups', 'channels')
  const { bias, channels = 'first', groups = 1 } = options
  const stride = pairOf(windowed, 'stride', options.stride ?? 1, 1)
  const dilation = pairOf(windowed, 'dilation', options.dilation ?? 1, 1)
  const last = channels === 'last'
  const x = asImages(windowed, given, channels)
  const weight = asKernels(windowed, weights)
  const own = x.shape[last ? 3 : 1]
  const isDivided = Number.isInteger(groups) && groups >= 1 && weight.shape[0] % groups === 0
  if (!isDivided || weight.shape[1] * groups !== own) {
    const what = `weights ${showSpec(weights)} in ${groups} group${groups === 1 ? '' : 's'}`
    throw new UserError(`${op}: ${what} do not fit the ${own} channels of ${showSpec(given)}`)
  }
  const images = last ? x.permute([0, 3, 1, 2]) : x
  const [, , ...inputs] = images.shape
  const [all, , ...kernel] = weight.shape
  const spans = kernel.map((n, axis) => (n - 1) * dilation[axis] + 1)
  const both = paddingOf(windowed, options.padding, inputs, spans, stride)
  const size = inputs.map((n, axis) => Math.floor((n + both[axis].sum - spans[axis]) / stride[axis]) + 1)
  if (kernel.includes(0)) throw new UserError(`${op}: the kernel of ${showSpec(weights)} has no pixels`)
  if (size.some(n => n < 1))
    throw new UserError(`${op}: the kernel of ${showSpec(weights)} is larger than ${showSpec(given)}`)
  const padding = both.map(({ before }) => before)
  const isPlain = [...kernel, ...stride, groups].every(n => n === 1) && padding.every(n => n === 0)
  const y =
    isPlain && size.every((n, axis) => n === inputs[axis])
      ? pointwise(x, weight, last)
      : strided(images, weight, { size, stride, padding, dilation, groups, channelsLast: last && groups === 1 }, last)
  return fromImages(windowed, withBias(op, y, bias, all, last), channels)
}

/** A convolution in the layout that was asked for. */
function strided(images: Tensor, weight: Tensor, attributes: ConvAttributes, last: boolean): Tensor {
  const y = apply('conv', [images, weight], attributes)
  return last && !attributes.channelsLast ? y.permute([0, 2, 3, 1]) : y
}

/** Of single pixels: a matrix product. */
function pointwise(x: Tensor, weight: Tensor, last: boolean): Tensor {
  const [all, channels] = weight.shape
  const matrix = weight.reshape([all, channels])
  if (last) return x.matmul(matrix.transpose())
  const [batch, , height, width] = x.shape
  return matrix.matmul(x.reshape([batch, channels, height * width])).reshape([batch, all, height, width])
}

function withBias(op: string, y: Tensor, bias: Tensor | undefined, all: number, last: boolean): Tensor {
  if (!bias) return y
  if (bias.rank !== 1 || bias.size !== all)
    throw new UserError(`${op}: the bias is ${showSpec(bias)}, but [${all}] was expected`)
  return y.add(last ? bias : bias.reshape([all, 1, 1])).cast(y.dtype)
}

/** Of each axis: zeros before, and in all. */
function paddingOf(
  windowed: Windowed,
  given: ConvOptions['padding'],
  inputs: readonly number[],
  spans: readonly number[],
  stride: Pair,
): { before: number; sum: number }[] {
  if (typeof given === 'string') needOneOf(windowed.name, 'padding', given, 'same', 'valid')
  if (given === 'same') {
    return inputs.map((n, axis) => {
      const sum = Math.max(0, (Math.ceil(n / stride[axis]) - 1) * stride[axis] + spans[axis] - n)
      return { before: Math.floor(sum / 2), sum }
    })
  }
  return pairOf(windowed, 'padding', given === 'valid' || given === undefined ? 0 : given, 0).map(n => ({
    before: n,
    sum: 2 * n,
  }))
}

/**
 * The gradient of `conv2d` with respect to its input, as an op of its own (PyTorch's `conv_transpose2d`): x [batch,
 * channels, height, width], weights [channels, O / groups, kernel height, kernel width] → [batch, O, height, width] with
 * height (height − 1)·stride − 2·padding + dilation·(kernel − 1) + outputPadding + 1. Throws a UserError on shapes that
 * don't fit.
 */
export function convTranspose2d(x: Tensor, weight: Tensor, options: ConvTransposeOptions = {}): Tensor {
  return transposed({ name: 'convTranspose2d', axes: 2 }, x, weight, options)
}

function transposed(windowed: Windowed, given: Tensor, weights: Tensor, options: ConvTransposeOptions): Tensor {
  const { name: op } = windowed
  needOptions(op, options, 'bias', 'stride', 'padding', 'outputPadding', 'dilation', 'groups', 'channels')
  const { bias, channels = 'first', groups = 1 } = options
  const stride = pairOf(windowed, 'stride', options.stride ?? 1, 1)
  const dilation = pairOf(windowed, 'dilation', options.dilation ?? 1, 1)
  const padding = pairOf(windowed, 'padding', options.padding ?? 0, 0)
  const extra = pairOf(windowed, 'outputPadding', options.outputPadding ?? 0, 0)
  const last = channels === 'last'
  const x = asImages(windowed, given, channels)
  const weight = asKernels(windowed, weights)
  const own = x.shape[last ? 3 : 1]
  const isDivided = Number.isInteger(groups) && groups >= 1 && own % groups === 0
  if (weight.shape[0] !== own || !isDivided) {
    const what = `weights ${showSpec(weights)} in ${groups} group${groups === 1 ? '' : 's'}`
    throw new UserError(`${op}: ${what} do not fit the ${own} channels of ${showSpec(given)}`)
  }
  if (extra.some((n, axis) => n >= Math.max(stride[axis], dilation[axis])))
    throw new UserError(`${op}: outputPadding ${extra.join(', ')} is not less than stride or dilation`)
  const images = last ? x.permute([0, 3, 1, 2]) : x
  const [, outputs, ...kernel] = weight.shape
  const sizes = images.shape
    .slice(2)
    .map((n, i) => (n - 1) * stride[i] - 2 * padding[i] + dilation[i] * (kernel[i] - 1) + extra[i] + 1)
  if (sizes.some(n => n < 1)) throw new UserError(`${op}: nothing is left of ${showSpec(given)} without the padding`)
  const attributes = { size: images.shape.slice(2), stride, padding, dilation, groups, channelsLast: last }
  const y = inputGradient(images, weight, attributes, pair(sizes))
  return fromImages(windowed, withBias(op, last ? y.permute([0, 2, 3, 1]) : y, bias, outputs * groups, last), channels)
}

/**
 * The same of lines: x [batch, channels, length], or [batch, length, channels] if channels come last, and weights [O,
 * channels / groups, kernel]: [batch, O, length].
 */
export function conv1d(x: Tensor, weight: Tensor, options: ConvOptions = {}): Tensor {
  return convolution({ name: 'conv1d', axes: 1 }, x, weight, options)
}

/** The same of lines, as `conv1d`: weights [channels, O / groups, kernel]. */
export function convTranspose1d(x: Tensor, weight: Tensor, options: ConvTransposeOptions = {}): Tensor {
  return transposed({ name: 'convTranspose1d', axes: 1 }, x, weight, options)
}
