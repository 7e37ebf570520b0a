// Checks of arguments and options for programs in JavaScript, where no compiler says that an argument is missing or of the
// wrong kind, and a misspelled option would be ignored without a word.
import { UserError } from './errors.ts'

/** Throws a UserError on an option that is not `known`, and on what is not an object of options. */
export function needOptions<O extends object>(op: string, options: O, ...known: readonly (keyof O & string)[]): void {
  if (typeof options !== 'object' || !options || 'rank' in options)
    throw new UserError(`${op}: options are an object, such as { ${known[0]}: … }`)
  const unknown = Object.keys(options).find(name => !known.some(option => option === name))
  if (unknown !== undefined) throw new UserError(`${op}: there is no option ${unknown}, only ${known.join(', ')}`)
}

/** Throws a UserError unless an option has one of these values. */
export function needOneOf(op: string, name: string, value: string, ...choices: readonly string[]): void {
  if (!choices.includes(value)) throw new UserError(`${op}: ${name} is ${value}, not one of ${choices.join(', ')}`)
}

type Fits = (argument: unknown) => boolean

export const isObject: Fits = argument => typeof argument === 'object' && argument !== null
export const isNumber: Fits = argument => typeof argument === 'number' && !Number.isNaN(argument)

function need(op: string, name: string, expected: string, fits: Fits, argument: unknown): void {
  if (fits(argument)) return
  const shown = Array.isArray(argument) ? `[${argument.join()}]` : String(argument)
  throw new UserError(`${op}: ${name} must be ${expected}, not ${shown}`)
}

/** Throws a UserError unless every argument `fits`: programs in JavaScript may leave one out, or pass another. */
export function needAll(op: string, expected: string, fits: Fits, given: Readonly<Record<string, unknown>>): void {
  for (const name in given) need(op, name, expected, fits, given[name])
}

/** Throws a UserError unless a list is one: JavaScript programs may pass a number, or one argument for each entry. */
export function needArray(op: string, list: readonly unknown[], of = 'numbers'): void {
  if (!Array.isArray(list)) throw new UserError(`${op}: an array of ${of} was expected, not ${String(list)}`)
}

/** Throws a UserError unless a list is an array, `of` these, and every element `fits`. */
export function needEach(op: string, of: string, expected: string, fits: Fits, list: readonly unknown[]): void {
  needArray(op, list, of)
  for (const [i, element] of list.entries()) need(op, `element ${i}`, expected, fits, element)
}

/** Throws a UserError unless an argument is a function. */
export const needFunction = (op: string, given: Readonly<Record<string, unknown>>): void =>
  needAll(op, 'a function', argument => typeof argument === 'function', given)

/** Throws a UserError unless all of these arguments are objects. */
export const needObjects = (op: string, given: Readonly<Record<string, unknown>>): void =>
  needAll(op, 'an object', isObject, given)

/** Throws a UserError unless all of these arguments are strings. */
export const needStrings = (op: string, given: Readonly<Record<string, unknown>>): void =>
  needAll(op, 'a string', argument => typeof argument === 'string', given)

/** Throws a UserError unless all of these arguments are numbers, and none is NaN. */
export const needNumbers = (op: string, given: Readonly<Record<string, unknown>>): void =>
  needAll(op, 'a number', isNumber, given)

/** A copy without the options that are undefined, which would replace defaults where it is spread over them. */
export const defined = <O extends object>(options: O): O =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as O
