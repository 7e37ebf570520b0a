// Texts that occur more than once, within a set and in several: exactly, or but for case and white space.
import { normalised } from './words.ts'

/** A row as duplicates are found by: its text (of a pair both), and its label in words. */
export interface Row {
  readonly text: string
  readonly pair?: string
  readonly label: string
}

/** A row's position: the index of its set, and its index in that set. */
export interface RowPlace {
  readonly set: number
  readonly row: number
}

/** Repetitions within a set. */
export interface Repeated {
  /** Texts that occur more than once. */
  readonly texts: number
  /** Rows beyond the first of each such text. */
  readonly rows: number
  /** Texts that occur with different labels. */
  readonly conflicting: number
}

/** Rows of a set whose text is also in another set. */
export interface Shared {
  /** In order. */
  readonly rows: readonly number[]
  /** Different texts among them. */
  readonly texts: number
  /** Rows for which the other set has the text with another label, in order. */
  readonly conflicting: readonly number[]
}

/** Rows with the same text. */
export type Group = readonly RowPlace[]

export interface Duplicates {
  /** Groups of at least two rows, by their first row. */
  readonly groups: readonly Group[]
  /** Of each set. */
  readonly within: readonly Repeated[]
  /** Rows of set `to` whose text is also in set `from`. */
  between(from: number, to: number): Shared
}

/** The text of a row, or both of a pair, as one string: equal for equal rows only. */
const keyOf = (text: string, pair: string | undefined): string =>
  pair === undefined ? text : `${text.length} ${text}${pair}`

/** Strings by which rows are compared. */
export const KEYS = {
  exact: ({ text, pair }: Row): string => keyOf(text, pair),
  normalised: ({ text, pair }: Row): string => keyOf(normalised(text), pair === undefined ? pair : normalised(pair)),
} as const

/** Finds the rows of these sets with equal keys. */
export function findDuplicates(sets: readonly (readonly Row[])[], key: (row: Row) => string): Duplicates {
  const places = new Map<string, RowPlace | RowPlace[]>()
  for (const [set, rows] of sets.entries()) {
    for (const [row, one] of rows.entries()) {
      const text = key(one)
      const found = places.get(text)
      const place = { set, row }
      if (found === undefined) places.set(text, place)
      else if (Array.isArray(found)) found.push(place)
      else places.set(text, [found, place])
    }
  }
  const groups = [...places.values()].filter(found => Array.isArray(found))
  const labelOf = ({ set, row }: RowPlace): string => sets[set][row].label
  return {
    groups,
    within: sets.map((_, set) => {
      const own = groups.map(group => group.filter(place => place.set === set)).filter(({ length }) => length > 1)
      return {
        texts: own.length,
        rows: own.reduce((sum, { length }) => sum + length - 1, 0),
        conflicting: own.filter(group => group.some(place => labelOf(place) !== labelOf(group[0]))).length,
      }
    }),
    between: (from, to) => sharedOf(groups, from, to, labelOf),
  }
}

function sharedOf(groups: readonly Group[], from: number, to: number, labelOf: (place: RowPlace) => string): Shared {
  const rows: number[] = []
  const conflicting: number[] = []
  let texts = 0
  for (const group of groups) {
    const there = group.filter(({ set }) => set === from)
    const here = group.filter(({ set }) => set === to)
    if (there.length === 0 || here.length === 0) continue
    texts++
    for (const place of here) {
      rows.push(place.row)
      if (there.some(other => labelOf(other) !== labelOf(place))) conflicting.push(place.row)
    }
  }
  const ascending = (a: number, b: number): number => a - b
  return { rows: rows.sort(ascending), texts, conflicting: conflicting.sort(ascending) }
}
