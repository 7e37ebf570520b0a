// The parameters of a spec: lists, ranges and single values, as the spaces of a search.
import { isChoices } from '../../../search/space.ts'
import type { Parameter, Range, Space } from '../../../search/types.ts'
import { type Fields, fieldError, heldAt, rangeSchema, readBy, show, valueSchema, valuesSchema } from './fields.ts'
import type { Path, Source } from './source.ts'

function readList(source: Source, path: Path): Parameter {
  const values = readBy(valuesSchema, source, path)
  // The same value may be written in two ways, such as 8 and "8".
  const repeated = values.findIndex((value, i) => values.findIndex(other => String(other) === String(value)) < i)
  if (repeated >= 0) throw fieldError(source, [...path, repeated], `${show(values[repeated])} is in the list twice`)
  return { values }
}

function readRange(source: Source, path: Path): Range {
  const range = readBy(rangeSchema, source, path)
  const { min, max, scale, step, integer } = range
  const wrong = (field: string, says: string) => fieldError(source, [...path, field], says)
  if (min > max) throw wrong('min', `${min} is above max, which is ${max}`)
  if (scale === 'log' && min <= 0) throw wrong('min', `a log scale begins above 0; got ${min}`)
  if (scale === 'log' && step !== undefined) throw wrong('step', 'a log scale has no steps')
  if (step !== undefined && !(step > 0 && step <= max - min))
    throw wrong('step', `takes a number above 0, up to the ${max - min} between min and max; got ${step}`)
  const broken = (['min', 'max', 'step'] as const).find(name => integer && !Number.isSafeInteger(range[name] ?? 0))
  if (broken) throw wrong(broken, `takes a whole number, as integer is true; got ${range[broken]}`)
  return range
}

/** A parameter is a list, `{ values: list }`, `{ min, max, … }`, or one value. */
function readParameter(source: Source, path: Path): Parameter {
  const held = heldAt(source.value, path)
  if (Array.isArray(held)) return readList(source, path)
  if (typeof held !== 'object' || held === null) return { values: [readBy(valueSchema, source, path)] }
  if (!('values' in held)) return readRange(source, path)
  const other = Object.keys(held).find(key => key !== 'values')
  if (other !== undefined) throw fieldError(source, [...path, other], 'cannot be combined with values')
  return readList(source, [...path, 'values'])
}

/** What a parameter must have in common in all spaces. */
const kindOf = (parameter: Parameter): string =>
  isChoices(parameter)
    ? 'a list'
    : `a ${parameter.scale ?? 'linear'} range${parameter.integer ? ' of whole numbers' : ''}`

/** Where the parameter of a space stands. */
export const pathOf = ({ parameters }: Pick<Fields, 'parameters'>, space: number, name: string): Path =>
  Array.isArray(parameters) ? ['parameters', space, name] : ['parameters', name]

export function readSpaces(fields: Fields, source: Source): readonly Space[] {
  const { parameters } = fields
  const kinds = new Map<string, string>()
  return (Array.isArray(parameters) ? parameters : [parameters]).map((held, space) => {
    const names = Object.keys(held)
    if (names.length === 0) throw fieldError(source, pathOf(fields, space, '').slice(0, -1), 'has no parameter')
    const entries = names.map(name => {
      const path = pathOf(fields, space, name)
      const parameter = readParameter(source, path)
      const [kind, before] = [kindOf(parameter), kinds.get(name)]
      if (before !== undefined && before !== kind)
        throw fieldError(source, path, `is ${kind} here, and ${before} in an earlier space`)
      kinds.set(name, kind)
      return [name, parameter] as const
    })
    return Object.fromEntries(entries)
  })
}
