// Spaces of settings: their points, draws from them, and numbers for what they hold.
import type { Random } from '../random.ts'
import type { Parameter, Range, Space, Spec, Value, Values } from './types.ts'

/** A range as it is sampled: `low` and `high` can be reached, and steps are counted from `low`. */
export interface Interval {
  readonly low: number
  readonly high: number
  readonly log: boolean
  /** Distance of neighbours; undefined if every number between is a value. */
  readonly step: number | undefined
}

export const isChoices = (parameter: Parameter): parameter is Extract<Parameter, { values: unknown }> =>
  'values' in parameter

/** A multiple of a step without the noise of binary fractions: 0.3, not 0.30000000000000004. */
const rounded = (value: number): number => Number(value.toPrecision(12))

export function intervalOf({ min, max, scale, step, integer }: Range): Interval {
  const low = integer ? Math.ceil(min) : min
  const spacing = step ?? (integer ? 1 : undefined)
  // A quotient such as 0.3 / 0.1 = 2.9999999999999996 is a whole number of steps.
  const high = spacing === undefined ? max : rounded(low + spacing * Math.floor(((max - low) / spacing) * (1 + 1e-12)))
  return { low, high, log: scale === 'log', step: spacing }
}

/** Number of different values; infinite for a range without steps. */
export function sizeOf(parameter: Parameter): number {
  if (isChoices(parameter)) return parameter.values.length
  const { low, high, step } = intervalOf(parameter)
  if (low === high) return 1
  return step === undefined ? Infinity : Math.round((high - low) / step) + 1
}

/** The options that are searched, each once. */
export const parameterNames = ({ spaces }: Pick<Spec, 'spaces'>): readonly string[] => [
  ...new Set(spaces.flatMap(space => Object.keys(space))),
]

/** Number of points of a space. */
export const pointsIn = (space: Space): number =>
  Object.values(space).reduce((points, parameter) => points * sizeOf(parameter), 1)

/** All values of a parameter, in order. Throws a RangeError on a range without steps. */
function valuesOf(parameter: Parameter): readonly Value[] {
  if (isChoices(parameter)) return parameter.values
  const { low, step = 0 } = intervalOf(parameter)
  const size = sizeOf(parameter)
  if (!Number.isFinite(size)) throw new RangeError('A range without steps has no list of values')
  return Array.from({ length: size }, (_, i) => rounded(low + i * step))
}

/** All points of a space; the last parameter varies fastest. */
export function pointsOf(space: Space): readonly Values[] {
  return Object.entries(space).reduce<readonly Values[]>(
    (points, [name, parameter]) =>
      points.flatMap(point => valuesOf(parameter).map(value => ({ ...point, [name]: value }))),
    [{}],
  )
}

function takes(parameter: Parameter, value: Value): boolean {
  if (isChoices(parameter)) return parameter.values.includes(value)
  const { low, high } = intervalOf(parameter)
  return typeof value === 'number' && value >= low && value <= high
}

/** Whether a setting is a point of the space. */
export function contains(space: Space, values: Values): boolean {
  const parameters = Object.entries(space)
  return (
    parameters.length === Object.keys(values).length &&
    parameters.every(([name, parameter]) => name in values && takes(parameter, values[name]))
  )
}

/** Equal for equal settings, in whatever order their options are. */
export const keyOf = (values: Values): string =>
  JSON.stringify(Object.entries(values).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))

/**
 * The value of an interval that is nearest to `x`, which is a logarithm where the scale is one. Values without steps
 * keep about five digits: they are readable on a command line, and hardly ever depend on the last bit of an engine's
 * `Math.exp`.
 */
export function valueAt({ low, high, log, step }: Interval, x: number): number {
  if (low === high) return low
  const value = log ? Math.exp(x) : x
  const precision = () => 10 ** (Math.floor(Math.log10(log ? Math.min(value, high - low) : high - low)) - 4)
  const [from, spacing] = step === undefined ? [0, precision()] : [low, step]
  return Math.min(high, Math.max(low, rounded(from + Math.round((value - from) / spacing) * spacing)))
}

/** The ends of what is drawn for an interval, on its scale: steps at the ends get as much room as the others. */
export function endsOf({ low, high, log, step = 0 }: Interval): readonly [low: number, high: number] {
  const ends = [low - step / 2, high + step / 2] as const
  return log ? [Math.log(ends[0]), Math.log(ends[1])] : ends
}

/** A uniform draw of one parameter. */
function draw(parameter: Parameter, random: Random): Value {
  if (isChoices(parameter)) return parameter.values[random.below(parameter.values.length)]
  const interval = intervalOf(parameter)
  const [low, high] = endsOf(interval)
  return valueAt(interval, low + (high - low) * random.next())
}

/** A uniform draw of a point. */
export const drawPoint = (space: Space, random: Random): Values =>
  Object.fromEntries(Object.entries(space).map(([name, parameter]) => [name, draw(parameter, random)]))
