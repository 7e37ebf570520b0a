// What the property tests draw: shapes that are hard for kernels (1, odd, prime, a tile's size and its neighbours), views
// of inputs, and kinds of numbers. A case is a function of the drawn parameters, so a counterexample can be printed and
// run again.
import fc from 'fast-check'
import type { DType } from '../../shaders/kernel.ts'
import { type GradientCheckOptions, type Net, constantOf } from '../../engine/gradcheck.ts'
import { sizeOf } from '../../engine/shape.ts'
import type { Tensor } from '../../engine/tensor.ts'
import { noise } from '../support/ops.ts'

export const LENGTHS = [1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 63, 64, 65] as const
export const length = fc.constantFrom(...LENGTHS)

/** Shapes of `least` to `most` axes with at most `budget` elements. */
export function shapes(least: number, most: number, budget = 400): fc.Arbitrary<number[]> {
  return fc.array(length, { minLength: least, maxLength: most }).map(lengths => fitting(lengths, budget))
}

/** The lengths cut down, from the front on, until their product is within the budget. */
export function fitting(lengths: readonly number[], budget: number): number[] {
  let left = budget
  return lengths.map(n => {
    const fits = n <= left ? n : Math.max(...LENGTHS.filter(m => m <= left))
    left = Math.floor(left / fits)
    return fits
  })
}

/** Shapes that broadcast to `shape`: some axes of length 1, some leading axes left out. */
export function broadcastable(shape: readonly number[]): fc.Arbitrary<number[]> {
  return fc
    .record({
      ones: fc.array(fc.boolean(), { minLength: shape.length, maxLength: shape.length }),
      drop: fc.nat(shape.length),
    })
    .map(({ ones, drop }) => shape.map((n, i) => (ones[i] ? 1 : n)).slice(drop))
}

/** How an input lies in memory: as it is, with axes exchanged, or inside a larger tensor. */
export const LAYOUTS = ['plain', 'transposed', 'reversed', 'sliced'] as const
export type Layout = (typeof LAYOUTS)[number]
export const layout = fc.constantFrom<Layout>('plain', 'plain', 'transposed', 'reversed', 'sliced')

function storedShape(shape: readonly number[], as: Layout): number[] {
  if (as === 'transposed' && shape.length >= 2)
    return [...shape.slice(0, -2), shape[shape.length - 1], shape[shape.length - 2]]
  if (as === 'reversed') return [...shape].reverse()
  return as === 'sliced' ? shape.map((n, i) => n + 1 + (i % 2)) : [...shape]
}

function viewOf(stored: Tensor, shape: readonly number[], as: Layout): Tensor {
  if (as === 'transposed' && shape.length >= 2) return stored.transpose()
  if (as === 'reversed' && shape.length >= 2) return stored.permute(shape.map((_, i) => shape.length - 1 - i))
  return as === 'sliced' && shape.length > 0
    ? stored.slice(
        shape.map(() => 1),
        shape.map(n => n + 1),
      )
    : stored
}

/** Kinds of numbers, each from a stream of normal noise. */
export const values = {
  normal: next => next(),
  /** As small as weights are, so that sums of many products stay in reach of differences. */
  small: next => 0.25 * next(),
  /** Some ten times the usual: saturates, and makes peaked distributions. */
  wide: next => 10 * next(),
  /** Past what exp can hold in f32, on either side. */
  huge: next => 150 * next(),
  /** Close together and far from 0. */
  far: next => 500 + next(),
  /** At least 0.2 away from 0, on either side. */
  apart: next => awayFromZero(next(), 0.2),
  /** A divisor: at least 0.5 away from 0. */
  divisor: next => awayFromZero(next(), 0.5),
  positive: next => 0.4 + Math.abs(next()),
  /** Between −0.6 and 0.6. */
  unit: next => 0.6 * Math.tanh(next()),
  /** At least 1.5. */
  aboveOne: next => 1.5 + Math.abs(next()),
  /** Quarters, and eighths between them: numbers of the one kind are never near those of the other. */
  quarters: next => Math.round(4 * next()) / 4,
  eighths: next => Math.round(4 * next()) / 4 + 0.125,
  /** Small whole numbers, many of them equal. */
  whole: next => Math.round(2 * next()),
  natural: next => Math.abs(Math.round(2 * next())),
  ones: () => 1,
  zeros: () => 0,
  bits: next => (next() > -0.6 ? 1 : 0),
} satisfies Record<string, (next: () => number) => number>
export type Values = keyof typeof values | ((index: number, count: number) => number)

/** Any numbers as factors whose products stay near 1: from 0.8 to 1.2. */
export const factors = (x: Tensor): Tensor => x.tanh().mul(0.2).add(1)

function awayFromZero(x: number, distance: number): number {
  return x + (x < 0 ? -distance : distance)
}

/** Numbers of which no two are nearer than 1/16: extremes have no ties, and stay where they are under small steps. */
export function distinct(seed: number): (index: number, count: number) => number {
  const order = new Map<number, number[]>()
  return (index, count) => {
    const known = order.get(count) ?? shuffled(count, seed)
    order.set(count, known)
    return (known[index] - count / 2) / 16
  }
}

function shuffled(count: number, seed: number): number[] {
  const next = noise(seed + 77)
  return Array.from({ length: count }, (_, i) => ({ i, key: next() }))
    .sort((a, b) => a.key - b.key)
    .map(({ i }) => i)
}

/** One input of a case. */
export interface Slot {
  readonly shape: readonly number[]
  readonly dtype?: DType
  readonly values?: Values
  readonly layout?: Layout
}

/** One drawn check, ready to run. */
export interface Drawn {
  readonly text: string
  /** Constants; `fn` reads them through their layouts. */
  readonly inputs: readonly Tensor[]
  readonly fn: (...inputs: Tensor[]) => Tensor
  readonly options: GradientCheckOptions
  readonly half: boolean
}

export interface Built {
  readonly slots: readonly Slot[]
  readonly fn: (...inputs: Tensor[]) => Tensor
  readonly options?: GradientCheckOptions
  /** The nets that this draw can pass at all; all that its case has by default. */
  readonly nets?: readonly Net[]
}

/** The property test of one op. */
export interface OpCase {
  readonly op: string
  /** The op, and what of it: `add of integers`. */
  readonly name: string
  /** Nets that apply, and why another doesn't. */
  readonly nets: readonly Net[]
  readonly why?: string
  /** How many runs with other configs of its kernels each draw has, on average, beside the engine's choice. */
  readonly rounds: number
  /** How many draws it has, as a share of those of others: few for functions that differ in their formulas alone. */
  readonly share: number
  /** Random checks; in f16 some of the time where `half` allows it. */
  readonly draws: (half: boolean) => fc.Arbitrary<Drawn>
  /** The draw whose parameters a counterexample printed. */
  readonly redraw: (json: string) => Drawn
}

type Draw<P> = P & { readonly seed: number; readonly dtype: 'f32' | 'f16' }

/** A case of an op: parameters, and the check that they mean. `floats: 'f32'` for what has no f16. */
export function opCase<P extends object>(
  op: string,
  params: fc.Arbitrary<P>,
  build: (params: Draw<P>) => Built,
  {
    nets = [1, 2, 3],
    why,
    floats = 'any',
    of,
    rounds = 1,
    share = 1,
  }: {
    nets?: readonly Net[]
    why?: string
    floats?: 'any' | 'f32'
    of?: string
    rounds?: number
    share?: number
  } = {},
): OpCase {
  const name = of ? `${op} of ${of}` : op
  const drawn = (all: Draw<P>): Drawn & { [fc.toStringMethod](): string } => {
    const { slots, fn, options = {}, nets: own = nets } = build(all)
    const inputs = slots.map((slot, i) => sourceOf(slot, all.seed * 31 + i, all.dtype))
    const text = JSON.stringify(all)
    return {
      text,
      inputs,
      half: inputs.some(t => t.dtype === 'f16'),
      fn: (...sources: Tensor[]) => fn(...sources.map((t, i) => viewOf(t, slots[i].shape, slots[i].layout ?? 'plain'))),
      options: { seed: all.seed + 1, ...options, nets: own },
      [fc.toStringMethod]: () => `--op '${name}' --draw '${text}'`,
    }
  }
  return {
    op,
    name,
    nets,
    why,
    rounds,
    share,
    redraw: json => drawn(JSON.parse(json) as Draw<P>),
    draws: half => {
      const dtype =
        half && floats === 'any' ? fc.constantFrom<'f32' | 'f16'>('f32', 'f32', 'f16') : fc.constant<'f32'>('f32')
      // The lists are hard already; small numbers of their places are no harder than others.
      return fc
        .noBias(fc.record({ params, seed: fc.nat(1e6), dtype }))
        .map(({ params: own, seed, dtype: type }) => drawn({ ...own, seed, dtype: type }))
    },
  }
}

function sourceOf(
  { shape, dtype, values: kind = 'normal', layout: as = 'plain' }: Slot,
  seed: number,
  float: DType,
): Tensor {
  const stored = storedShape(shape, as)
  const count = sizeOf(stored)
  const next = noise(seed)
  const number = (index: number): number => (typeof kind === 'function' ? kind(index, count) : values[kind](next))
  return constantOf(
    { shape: stored, dtype: dtype ?? float },
    Float64Array.from({ length: count }, (_, i) => number(i)),
  )
}
