// Checks of options, for programs in JavaScript, where a misspelled one would be ignored without a word.
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

/** Throws a UserError unless every argument `fits`: programs in JavaScript may leave one out, or pass another. */
export function needAll(
  op: string,
  expected: string,
  fits: (argument: unknown) => boolean,
  given: Readonly<Record<string, unknown>>,
): void {
  for (const [name, argument] of Object.entries(given)) {
    const shown = Array.isArray(argument) ? `[${argument.join()}]` : String(argument)
    if (!fits(argument)) throw new UserError(`${op}: ${name} must be ${expected}, not ${shown}`)
  }
}

/** Throws a UserError unless an argument is a function. */
export const needFunction = (op: string, given: Readonly<Record<string, unknown>>): void =>
  needAll(op, 'a function', argument => typeof argument === 'function', given)

/** Throws a UserError unless all of these arguments are objects. */
export const needObjects = (op: string, given: Readonly<Record<string, unknown>>): void =>
  needAll(op, 'an object', argument => typeof argument === 'object' && argument !== null, given)

/** Throws a UserError unless all of these arguments are strings. */
export const needStrings = (op: string, given: Readonly<Record<string, unknown>>): void =>
  needAll(op, 'a string', argument => typeof argument === 'string', given)

/** Throws a UserError unless all of these arguments are numbers, and none is NaN. */
export const needNumbers = (op: string, given: Readonly<Record<string, unknown>>): void =>
  needAll(op, 'a number', argument => typeof argument === 'number' && !Number.isNaN(argument), given)

/** A copy without the options that are undefined, which would replace defaults where it is spread over them. */
export const defined = <O extends object>(options: O): O =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as O
