// The options of trials, checked by the parser of the command that they are for, before any trial runs.
import { UserError } from '../../../../engine/errors.ts'
import { stream } from '../../../random.ts'
import { gridOf } from '../../../search/propose.ts'
import { drawPoint, intervalOf, isChoices, keyOf } from '../../../search/space.ts'
import type { Parameter, Space, Spec, Value, Values } from '../../../search/types.ts'
import { COMMANDS, type CommandName, RESERVED } from './commands.ts'
import { type Fields, fieldError, heldAt } from './fields.ts'
import { pathOf } from './parameters.ts'
import type { Source } from './source.ts'

/** Settings of a space that are checked where ranges have too many: all choices and ends, and draws. */
const MOST_CORNERS = 4096
const DRAWS = 256

/**
 * Options as arguments: a flag is given where it is true. `flags` are all that there are; true or false for another
 * option is left to the parser, as text.
 */
export const argumentsOf = (values: Values, flags?: readonly string[]): string[] =>
  Object.entries(values).flatMap(([name, value]) =>
    typeof value === 'boolean' && (flags?.includes(name) ?? true)
      ? value
        ? [`--${name}`]
        : []
      : [`--${name}=${value}`],
  )

/** `lr=0.001 lora-rank=8`. */
export const settingText = (values: Values): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')

/** The ends of a range, or all choices. */
function cornersOf(parameter: Parameter): readonly Value[] {
  if (isChoices(parameter)) return parameter.values
  const { low, high } = intervalOf(parameter)
  return [low, high]
}

/** All choices with both ends of each range, or as many of them as are worth it; and draws between the ends. */
function sampleOf(space: Space): readonly Values[] {
  const choices: Space = Object.fromEntries(
    Object.entries(space).map(([name, parameter]) => [name, { values: cornersOf(parameter) }]),
  )
  const random = stream(0, 'settings to check')
  const size = Object.values(choices).reduce((points, parameter) => points * cornersOf(parameter).length, 1)
  const corners =
    size <= MOST_CORNERS
      ? gridOf({ spaces: [choices] })
      : Array.from({ length: MOST_CORNERS }, () => drawPoint(choices, random))
  return [...corners, ...Array.from({ length: DRAWS }, () => drawPoint(space, random))]
}

/** Throws a UserError on an option that is given twice, or that cannot be set for a trial. */
export function checkNames(spec: Spec, fields: Fields, source: Source): void {
  const shared = Object.keys(fields.options).map(name => ({ name, path: ['options', name] }))
  const searched = spec.spaces.flatMap((space, index) =>
    Object.keys(space).map(name => ({ name, path: pathOf(fields, index, name) })),
  )
  for (const { name, path } of [...shared, ...searched]) {
    if (name.startsWith('-'))
      throw fieldError(source, path, `options are written without dashes: ${name.replace(/^-+/, '')}`)
    if (Object.hasOwn(RESERVED, name)) throw fieldError(source, path, `cannot be set for a trial: ${RESERVED[name]}`)
  }
  const twice = searched.find(({ name }) => Object.hasOwn(fields.options, name))
  if (twice) throw fieldError(source, twice.path, 'is also among the options that all trials share')
}

/**
 * Parses what every trial of a grid will be given; of ranges the ends and some draws. Throws a UserError with the place
 * of the option that the parser names.
 */
export function checkTrials(command: CommandName, spec: Spec, fields: Fields, source: Source): void {
  const { parse, flags } = COMMANDS[command]
  const shared = argumentsOf(fields.options, flags)
  const checked = new Set<string>()
  for (const [index, space] of spec.spaces.entries()) {
    for (const values of spec.search === 'grid' ? gridOf({ spaces: [space] }) : sampleOf(space)) {
      const key = keyOf(values)
      if (checked.has(key)) continue
      checked.add(key)
      try {
        parse([...shared, ...argumentsOf(values, flags)])
      } catch (error) {
        if (!(error instanceof UserError)) throw error
        throw located(error, values, index, fields, source)
      }
    }
  }
}

/** The parser's error with the place of the option that it names first, of those that the spec gives. */
function located({ message }: UserError, values: Values, space: number, fields: Fields, source: Source): UserError {
  const named = Array.from(message.matchAll(/--([a-z][a-z0-9-]*)/g), ([, name]) => name)
  const [name, ...others] = named.filter(option => option in values || option in fields.options)
  if (name === undefined) return fieldError(source, [], `${message}, in the setting ${settingText(values)}`)
  if (!(name in values)) return fieldError(source, ['options', name], message)
  const path = pathOf(fields, space, name)
  const held = heldAt(source.value, path)
  const isDrawn = typeof values[name] === 'number' && !Number.isInteger(values[name]) && !Array.isArray(held)
  const hint = isDrawn && message.includes('whole number') ? ' (integer: true draws whole numbers)' : ''
  const where = Array.isArray(held) ? [...path, held.indexOf(values[name])] : path
  return fieldError(
    source,
    where,
    message + hint + (others.length > 0 ? `, in the setting ${settingText(values)}` : ''),
  )
}
