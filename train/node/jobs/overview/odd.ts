// Odd rows by kind. What is long or in another script than usual follows from all rows together.
import type { RowPlace } from '../../../overview/duplicates.ts'
import { ODDITIES, type Oddity, longFrom } from '../../../overview/odd-rows.ts'
import { quantile } from '../../data/statistics.ts'
import { type OddRows, SHOWN, type ShownRow } from './result.ts'
import type { NamedSet, Scanned } from './scan.ts'

/** Kinds of odd rows of which there are any. */
export function oddRowsOf(
  sets: readonly NamedSet[],
  { characters, oddities, scripts }: Scanned,
  show: (place: RowPlace) => ShownRow,
): OddRows[] {
  const usual = mostCommon(scripts.flat())
  const long = longFrom(quantile(Float64Array.from(characters[0]).sort(), 0.5))
  const isOdd = (kind: Oddity, set: number, row: number): boolean => {
    if (kind === 'long') return characters[set][row] > long
    if (kind === 'script') return scripts[set][row] !== undefined && scripts[set][row] !== usual
    return oddities[set][row].includes(kind)
  }
  const kinds = Object.keys(ODDITIES) as Oddity[]
  return kinds.flatMap(kind => {
    const places = sets.map(({ examples }, set) =>
      examples.flatMap((_, row) => (isOdd(kind, set, row) ? [{ set, row }] : [])),
    )
    if (places.every(({ length }) => length === 0)) return []
    return [
      {
        kind,
        says: ODDITIES[kind],
        rows: Object.fromEntries(sets.map(({ name }, set) => [name, places[set].length])),
        examples: places.flat().slice(0, SHOWN).map(show),
      },
    ]
  })
}

function mostCommon(values: readonly (string | undefined)[]): string | undefined {
  const counts = new Map<string, number>()
  for (const value of values) if (value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1)
  return [...counts].sort(([a, some], [b, others]) => others - some || (a < b ? -1 : 1))[0]?.[0]
}
