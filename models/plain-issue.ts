// Reads values from files through schemas, and says what is wrong with them in plain words. `plainIssue` is passed to
// zod's `safeParse` as `error`; the messages of a schema itself come first.
import type { z } from 'zod'
import { UserError } from '../engine/errors.ts'
import { show } from './show.ts'

const TYPES: Readonly<Record<string, string>> = {
  number: 'a number',
  int: 'a whole number',
  string: 'a string',
  boolean: 'true or false',
  array: 'a list',
  tuple: 'a list',
  object: 'an object',
  record: 'an object',
  null: 'null',
}
const UNITS: Readonly<Record<string, string>> = { array: ' entries', string: ' characters' }

/** Reads `json` through a schema. Throws a UserError naming `where` and the field. */
export function checkFields<T extends z.ZodType>(schema: T, json: unknown, where: string): z.output<T> {
  const result = schema.safeParse(json, { error: plainIssue })
  if (result.success) return result.data
  const [{ path, message }] = result.error.issues
  throw new UserError([where, ...(path.length > 0 ? [path.join('.')] : []), message].join(': '))
}

/** The message for an issue; undefined leaves it to zod. */
export const plainIssue: z.core.$ZodErrorMap = issue => {
  switch (issue.code) {
    case 'invalid_type':
      if (issue.input === undefined) return 'missing'
      return `expected ${TYPES[issue.expected] ?? issue.expected}, found ${show(issue.input)}`
    case 'invalid_value': {
      const values = issue.values.map(value =>
        show(typeof value === 'bigint' || typeof value === 'symbol' ? String(value) : value),
      )
      return `expected ${values.length > 1 ? 'one of ' : ''}${values.join(', ')}, found ${show(issue.input)}`
    }
    case 'too_small':
      return bounded(issue.origin, issue.inclusive === false ? 'more than' : 'at least', issue.minimum)
    case 'too_big':
      return bounded(issue.origin, issue.inclusive === false ? 'less than' : 'at most', issue.maximum)
    default:
      return undefined
  }
}

const bounded = (origin: string, how: string, bound: number | bigint): string =>
  `must ${origin in UNITS ? 'have' : 'be'} ${how} ${bound.toLocaleString('en-US')}${UNITS[origin] ?? ''}`
