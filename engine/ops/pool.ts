// Pooling: the largest or the mean element of windows that are moved over images.
import type { PoolProblem } from '../../shaders/pool.ts'
import type { Spec } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { defineOp } from '../graph.ts'
import { OnDemand } from '../on-demand.ts'
import { needOptions } from '../options.ts'
import { showSpec } from '../shape.ts'
import { type Tensor, apply } from '../tensor.ts'
import {
  type Channels,
  type PairOption,
  type Windowed,
  asImages,
  fromImages,
  pair,
  pairOf,
  showPair,
} from './windows.ts'

/** Images are [batch, channels, height, width], or [batch, height, width, channels] if channels come last. */
type PoolAttributes = {
  readonly channelsLast: boolean
  /** Height and width of what is pooled, and of the result. */
  readonly from: readonly number[]
  readonly size: readonly number[]
  readonly kernel: readonly number[]
  readonly stride: readonly number[]
  readonly padding: readonly number[]
  readonly dilation: readonly number[]
}
type AverageAttributes = PoolAttributes & {
  /** Padding counts as zeros, instead of not at all. */
  readonly countsPadding: boolean
}

declare module '../graph.ts' {
  interface OpAttributes {
    readonly maxPool: PoolAttributes
    readonly maxPoolGradient: PoolAttributes
    readonly averagePool: AverageAttributes
    readonly averagePoolGradient: AverageAttributes
  }
}

const kernels = new OnDemand(() => import('../../shaders/pool.ts'))

/** `images` are of the input's size or of the output's. */
export function problemOf({ shape, dtype }: Spec, attributes: PoolAttributes): PoolProblem {
  const { channelsLast, from, size, kernel, stride, padding, dilation } = attributes
  return {
    outer: channelsLast ? shape[0] : shape[0] * shape[1],
    inner: channelsLast ? shape[3] : 1,
    height: from[0],
    width: from[1],
    size: pair(size),
    kernel: pair(kernel),
    stride: pair(stride),
    padding: pair(padding),
    dilation: pair(dilation),
    dtype,
  }
}

/** The same images in another size. */
const resized = ({ shape }: Spec, { channelsLast }: PoolAttributes, [height, width]: readonly number[]): number[] =>
  channelsLast ? [shape[0], height, width, shape[3]] : [shape[0], shape[1], height, width]

// Outputs: the largest element of each window, and its number in the image, i32.
defineOp({
  name: 'maxPool',
  kind: 'kernel',
  rounding: 'none',
  infer: ([x], attributes) => {
    const shape = resized(x, attributes, attributes.size)
    return [
      { shape, dtype: x.dtype },
      { shape, dtype: 'i32' },
    ]
  },
  gradient: ({ outputs: [, indices], upstream: [dy], attributes }) => [
    dy && apply('maxPoolGradient', [indices, dy], attributes),
  ],
  kernels,
  lower: ({ inputs: [x], attributes, traits }) => ({
    launches: [kernels.module.maxPoolLaunch(problemOf(x, attributes), traits)],
  }),
})

// dx: each element has the sum of the upstream gradients of the windows in which it is the largest.
defineOp({
  name: 'maxPoolGradient',
  kind: 'kernel',
  infer: ([, dy], attributes) => [{ shape: resized(dy, attributes, attributes.from), dtype: dy.dtype }],
  gradient({ inputs: [indices, dy], upstream: [u], attributes }) {
    if (!u) return []
    // [outer, places, inner], of which the indices name some.
    const { outer, inner, height, width, size } = problemOf(dy, attributes)
    const index = indices.reshape([outer, size[0] * size[1], inner])
    const chosen = apply('gatherAlong', [u.reshape([outer, height * width, inner]), index], { axis: 1 })
    return [undefined, chosen.reshape(dy.shape)]
  },
  kernels,
  lower: ({ inputs: [, dy], attributes, traits }) => ({
    launches: [kernels.module.maxPoolGradientLaunch(problemOf(dy, attributes), traits)],
  }),
})

defineOp({
  name: 'averagePool',
  kind: 'kernel',
  infer: ([x], attributes) => [{ shape: resized(x, attributes, attributes.size), dtype: x.dtype }],
  gradient: ({ upstream: [dy], attributes }) => [dy && apply('averagePoolGradient', [dy], attributes)],
  kernels,
  lower: ({ inputs: [x], attributes, traits }) => ({
    launches: [kernels.module.averagePoolLaunch(problemOf(x, attributes), attributes.countsPadding, traits)],
  }),
})

defineOp({
  name: 'averagePoolGradient',
  kind: 'kernel',
  infer: ([dy], attributes) => [{ shape: resized(dy, attributes, attributes.from), dtype: dy.dtype }],
  gradient: ({ upstream: [u], attributes }) => [u && apply('averagePool', [u], attributes)],
  kernels,
  lower: ({ inputs: [dy], attributes, traits }) => ({
    launches: [kernels.module.averagePoolGradientLaunch(problemOf(dy, attributes), attributes.countsPadding, traits)],
  }),
})

export interface PoolOptions {
  /** The window's own size by default. */
  readonly stride?: PairOption
  /** On both sides of each axis, at most half of the window. */
  readonly padding?: PairOption
  /** `last`: x and the result are [batch, height, width, channels]. */
  readonly channels?: Channels
}
export interface MaxPoolOptions extends PoolOptions {
  readonly dilation?: PairOption
}
export interface AveragePoolOptions extends PoolOptions {
  /** Padding counts as zeros (the default), or not at all. */
  readonly countIncludePad?: boolean
}

/** What `pool` makes of images or lines, whose windows it gets as attributes. */
function pooled(
  windowed: Windowed,
  given: Tensor,
  window: PairOption,
  { stride: apart, padding: around = 0, dilation: spread = 1, channels = 'first' }: MaxPoolOptions,
  pool: (x: Tensor, attributes: PoolAttributes) => Tensor,
): Tensor {
  const { name: op } = windowed
  const x = asImages(windowed, given, channels)
  const kernel = pairOf(windowed, 'the window', window, 1)
  const stride = apart === undefined ? kernel : pairOf(windowed, 'stride', apart, 1)
  const padding = pairOf(windowed, 'padding', around, 0)
  const dilation = pairOf(windowed, 'dilation', spread, 1)
  if (padding.some((n, axis) => 2 * n > kernel[axis])) {
    const shown = `${showPair(around)} is more than half of the window ${showPair(window)}`
    throw new UserError(`${op}: padding ${shown}`)
  }
  const channelsLast = channels === 'last'
  const from = channelsLast ? x.shape.slice(1, 3) : x.shape.slice(2)
  const size = from.map((n, axis) => {
    const span = (kernel[axis] - 1) * dilation[axis] + 1
    return Math.floor((n + 2 * padding[axis] - span) / stride[axis]) + 1
  })
  if (size.some(n => n < 1))
    throw new UserError(`${op}: the window ${showPair(window)} is larger than ${showSpec(given)}`)
  return fromImages(windowed, pool(x, { channelsLast, from, size, kernel, stride, padding, dilation }), channels)
}

function maxPool(windowed: Windowed, x: Tensor, window: PairOption, options: MaxPoolOptions): Tensor {
  needOptions(windowed.name, options, 'stride', 'padding', 'dilation', 'channels')
  return pooled(windowed, x, window, options, (images, attributes) => apply('maxPool', [images], attributes))
}

function averagePool(windowed: Windowed, x: Tensor, window: PairOption, options: AveragePoolOptions): Tensor {
  needOptions(windowed.name, options, 'stride', 'padding', 'countIncludePad', 'channels')
  const { countIncludePad: countsPadding = true, ...others } = options
  return pooled(windowed, x, window, others, (images, attributes) =>
    apply('averagePool', [images], { ...attributes, countsPadding }),
  )
}

/**
 * The largest element of each window of images [batch, channels, height, width] (f32 or f16); of equal ones the first
 * has the gradient, and NaN is the largest, as in PyTorch. Throws a UserError on other shapes, dtypes and options.
 */
export function maxPool2d(x: Tensor, window: PairOption, options: MaxPoolOptions = {}): Tensor {
  return maxPool({ name: 'maxPool2d', axes: 2 }, x, window, options)
}

/** The mean of each window of images [batch, channels, height, width]. Throws as `maxPool2d`. */
export function avgPool2d(x: Tensor, window: PairOption, options: AveragePoolOptions = {}): Tensor {
  return averagePool({ name: 'avgPool2d', axes: 2 }, x, window, options)
}

/** `maxPool2d` of lines [batch, channels, length], or [batch, length, channels] if channels come last. */
export function maxPool1d(x: Tensor, window: number, options: MaxPoolOptions = {}): Tensor {
  return maxPool({ name: 'maxPool1d', axes: 1 }, x, window, options)
}

/** `avgPool2d` of lines, as `maxPool1d`. */
export function avgPool1d(x: Tensor, window: number, options: AveragePoolOptions = {}): Tensor {
  return averagePool({ name: 'avgPool1d', axes: 1 }, x, window, options)
}
