// Options of ops that move windows over images: a number for each axis, or one for both; and lines as images of height 1.
import { UserError } from '../errors.ts'
import { showSpec } from '../shape.ts'
import type { Tensor } from '../tensor.ts'

export type Pair = readonly [vertical: number, horizontal: number]
export type PairOption = number | readonly number[]

export const pair = ([vertical, horizontal]: readonly number[]): Pair => [vertical, horizontal]

/** A number for each axis. Throws a UserError unless they are two integers of at least `least`. */
export function pairOf(op: string, name: string, given: PairOption, least: number): Pair {
  const list = typeof given === 'number' ? [given, given] : given
  if (list.length !== 2 || !list.every(n => Number.isInteger(n) && n >= least))
    throw new UserError(`${op}: ${name} is ${list.join(', ')}, but two integers of at least ${least} were expected`)
  return pair(list)
}

/** How images are laid out: channels are the second axis, or the last. */
export type Channels = 'first' | 'last'

/** The axes of images in words. */
export const showLayout = (channels?: Channels): string =>
  channels === 'last' ? '[batch, height, width, channels]' : '[batch, channels, height, width]'

/**
 * An option of lines, a number or a list of one, as that of images of height 1, for which `none` is nothing along the
 * other axis. A longer list is one that `pairOf` refuses.
 */
export const ofLine = (given: PairOption | undefined, none: number): PairOption | undefined =>
  given === undefined ? undefined : [none, ...(typeof given === 'number' ? [given] : given)]

/** What `fn` makes of images, made of lines [batch, channels, length]. Throws a UserError on other shapes. */
export function ofLines(op: string, x: Tensor, channels: Channels | undefined, fn: (images: Tensor) => Tensor): Tensor {
  if (x.rank !== 3) throw new UserError(`${op}: x is ${showSpec(x)}, but three axes were expected`)
  const axis = channels === 'last' ? 1 : 2
  return fn(x.expandDims(axis)).squeeze(axis)
}
