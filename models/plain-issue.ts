// What a schema finds wrong with a value from a file, in plain words. Passed to zod's `safeParse` as `error`; the
// messages of a schema itself come first.
import type { z } from 'zod'
import { show } from './show.ts'

const TYPES: Readonly<Record<string, string>> = {
  number: 'a number', int: 'a whole number', string: 'a string', boolean: 'true or false', array: 'a list',
  tuple: 'a list', object: 'an object', record: 'an object', null: 'null',
}
const UNITS: Readonly<Record<string, string>> = { array: ' entries', string: ' characters' }

/** The message for an issue; undefined leaves it to zod. */
export const plainIssue: z.core.$ZodErrorMap = issue => {
  switch (issue.code) {
    case 'invalid_type':
      if (issue.input === undefined) return 'missing'
      return `expected ${TYPES[issue.expected] ?? issue.expected}, found ${show(issue.input)}`
    case 'invalid_value': {
      const values = issue.values.map(value =>
        show(typeof value === 'bigint' || typeof value === 'symbol' ? String(value) : value))
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
