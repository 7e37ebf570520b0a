// How runs and settings are named where there is little room.
import type { Comparison, Entry } from './compare.ts'
import type { Value } from './types.ts'

/** An option's value; learning rates and the like as people write them. */
export function showValue(value: Value): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (typeof value !== 'number' || value === 0 || (Math.abs(value) >= 0.01 && Math.abs(value) < 1e6))
    return String(value)
  return value.toExponential().replace('e+', 'e')
}

/** Options as `lora-rank 8, lr 3e-4`. */
export const showOptions = (options: Readonly<Record<string, Value>>): string =>
  Object.entries(options)
    .map(([name, value]) => `${name} ${showValue(value)}`)
    .join(', ')

/** Options beyond these are counted. */
const MOST_OPTIONS = 4

/** An entry's values of the options that vary; an empty string if it is the only one of its job. */
export function differenceOf(entry: Entry, { entries, varying }: Pick<Comparison, 'entries' | 'varying'>): string {
  const own = entries.filter(({ job }) => job === entry.job)
  const names = varying.filter(name => new Set(own.flatMap(({ options }) => options[name] ?? [])).size > 1)
  const held = names.flatMap((name): [string, Value][] =>
    entry.options[name] === undefined ? [] : [[name, entry.options[name]]],
  )
  const more = held.length > MOST_OPTIONS ? `, and ${held.length - MOST_OPTIONS} more` : ''
  return showOptions(Object.fromEntries(held.slice(0, MOST_OPTIONS))) + more
}

/** The runs of an entry: the first by name, and how many more seeds there are. */
export const nameOf = ({ runs }: Entry): string =>
  runs.length === 1 ? runs[0].name : `${runs[0].name} and ${runs.length - 1} more`
