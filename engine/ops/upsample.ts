// Images in another size: the nearest pixels, or bilinear means of them, which are products with a matrix for each axis.
import { UserError } from '../errors.ts'
import { needOneOf, needOptions } from '../options.ts'
import type { Tensor } from '../tensor.ts'
import { tensor } from './source.ts'
import { type Channels, type PairOption, asImages } from './windows.ts'

export interface UpsampleOptions {
  /** How many times as high and wide the result is, or its height and width. One of the two. */
  readonly scale?: PairOption
  readonly size?: PairOption
  readonly mode?: 'nearest' | 'bilinear'
  /** Bilinear: the outer pixels' centers stay where they are, instead of their outer edges. */
  readonly alignCorners?: boolean
  /** `last`: images are [batch, height, width, channels]. */
  readonly channels?: Channels
}

/** Along one axis: the new length, and how far apart in the image neighbouring pixels of the result are. */
interface Resized {
  readonly from: number
  readonly to: number
  readonly ratio: number
}

/**
 * Images [batch, channels, height, width] in another size, as PyTorch's `interpolate`; smaller ones skip pixels. f32 or
 * f16. Throws a UserError on other shapes and dtypes, and unless either a scale or a size is given.
 */
export function upsample(x: Tensor, options: UpsampleOptions = {}): Tensor {
  needOptions('upsample', options, 'scale', 'size', 'mode', 'alignCorners', 'channels')
  const { mode = 'nearest', alignCorners = false, channels = 'first' } = options
  const last = channels === 'last'
  needOneOf('upsample', 'mode', mode, 'nearest', 'bilinear')
  asImages({ name: 'upsample', axes: 2 }, x, channels)
  const axes = last ? [1, 2] : [2, 3]
  const sizes = resizedOf(
    axes.map(axis => x.shape[axis]),
    options,
  )
  if (mode === 'nearest') return axes.reduce((y: Tensor, axis, i) => nearest(y, axis, sizes[i]), x)
  const images = last ? x.permute([0, 3, 1, 2]) : x
  const [rows, columns] = sizes.map(size => bilinear(size, alignCorners))
  const y = rows.matmul(images.matmul(columns.transpose())).cast(x.dtype)
  return last ? y.permute([0, 2, 3, 1]) : y
}

function resizedOf(from: readonly number[], { scale, size }: UpsampleOptions): Resized[] {
  if ((scale === undefined) === (size === undefined)) throw new UserError('upsample: a scale or a size was expected')
  const given = scale ?? size ?? 1
  const both = typeof given === 'number' ? [given, given] : given
  const sizes = from.map((n, i): Resized => {
    if (scale === undefined) return { from: n, to: both[i], ratio: n / both[i] }
    return { from: n, to: Math.floor(n * both[i]), ratio: 1 / both[i] }
  })
  if (both.length !== 2 || sizes.some(({ from: n, to }) => n < 1 || !Number.isInteger(to) || to < 1)) {
    const what = `${scale === undefined ? 'size' : 'scale'} ${both.join(', ')}`
    throw new UserError(`upsample: ${what} gives no image of ${from.join(' by ')} pixels`)
  }
  return sizes
}

/** Along an axis: pixel i of the result is pixel ⌊i·ratio⌋. */
function nearest(x: Tensor, axis: number, { from, to, ratio }: Resized): Tensor {
  if (from === to) return x
  if (to % from === 0 && ratio === from / to) return x.repeatInterleave(to / from, axis)
  const ids = Int32Array.from({ length: to }, (_, i) => Math.min(Math.floor(i * ratio), from - 1))
  return x.take(tensor(ids), axis)
}

/** [to, from]: the weights of the two nearest pixels in each row. */
function bilinear({ from, to, ratio }: Resized, alignCorners: boolean): Tensor {
  const weights = new Float32Array(to * from)
  for (let i = 0; i < to; i++) {
    const aligned = to > 1 ? (i * (from - 1)) / (to - 1) : 0
    const at = alignCorners ? aligned : Math.max((i + 0.5) * ratio - 0.5, 0)
    const first = Math.min(Math.floor(at), from - 1)
    const second = Math.min(first + 1, from - 1)
    const share = Math.min(at - first, 1)
    weights[i * from + first] += 1 - share
    weights[i * from + second] += share
  }
  return tensor(weights, [to, from])
}
