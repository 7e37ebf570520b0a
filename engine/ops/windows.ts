// What ops that move windows over images share: their options, a number for each axis or one for both, and the layouts of
// images. Ops on lines compute images of height 1.
import { isFloat } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { needOneOf } from '../options.ts'
import { showShape, showSpec } from '../shape.ts'
import { type Tensor, needTensors } from '../tensor.ts'

export type Pair = readonly [vertical: number, horizontal: number]
export type PairOption = number | readonly number[]

export const pair = ([vertical, horizontal]: readonly number[]): Pair => [vertical, horizontal]

/** A function that moves windows over lines, or over images: its name, for errors, and how many axes a window has. */
export interface Windowed {
  readonly name: string
  readonly axes: 1 | 2
}

/** As it was given: `2`, or `[2, 3]`. */
export const showPair = (given: PairOption): string => (typeof given === 'number' ? `${given}` : showShape(given))

/**
 * An option's number for each axis of images. Throws a UserError unless it is one integer of at least `least`, or as many
 * as there are axes. `least` is also what stands for nothing along the height of lines: a stride of 1, a padding of 0.
 */
export function pairOf({ name: op, axes }: Windowed, name: string, given: PairOption, least: number): Pair {
  const list = typeof given === 'number' ? [given, given].slice(0, axes) : given
  const fits = Array.isArray(list) && list.length === axes && list.every(n => Number.isInteger(n) && n >= least)
  if (!fits) {
    const expected =
      axes === 1 ? `an integer of at least ${least} was` : `one or two integers of at least ${least} were`
    throw new UserError(`${op}: ${name} is ${showPair(given)}, but ${expected} expected`)
  }
  return axes === 1 ? [least, list[0]] : pair(list)
}

/** How images are laid out: channels are the second axis, or the last. */
export type Channels = 'first' | 'last'

/**
 * Floats [batch, channels, height, width], or with channels last, as they are, and lines [batch, channels, length] as
 * images. Throws a UserError on other shapes, dtypes and layouts.
 */
export function asImages({ name: op, axes }: Windowed, x: Tensor, channels: Channels): Tensor {
  needOneOf(op, 'channels', channels, 'first', 'last')
  needTensors(op, { x })
  const places = axes === 1 ? 'length' : 'height, width'
  if (x.rank !== axes + 2 || !isFloat(x.dtype)) {
    const layout = channels === 'last' ? `${places}, channels` : `channels, ${places}`
    throw new UserError(`${op}: x is ${showSpec(x)}, but floats [batch, ${layout}] were expected`)
  }
  return axes === 1 ? x.expandDims(channels === 'last' ? 1 : 2) : x
}

/** The inverse of `asImages`. */
export const fromImages = ({ axes }: Windowed, y: Tensor, channels: Channels): Tensor =>
  axes === 1 ? y.squeeze(channels === 'last' ? 1 : 2) : y

/** Weights [O, channels, height, width], or of lines [O, channels, length], as those of images. Throws a UserError. */
export function asKernels({ name: op, axes }: Windowed, weight: Tensor): Tensor {
  needTensors(op, { weight })
  if (weight.rank !== axes + 2 || !isFloat(weight.dtype))
    throw new UserError(`${op}: the weights are ${showSpec(weight)}, but floats with ${axes + 2} axes were expected`)
  return axes === 1 ? weight.expandDims(2) : weight
}
