// Rows that occur more than once, counted by set and between sets, with examples.
import { type Duplicates, KEYS, type Row, type RowPlace, findDuplicates } from '../../../overview/duplicates.ts'
import { wordsIn } from '../../../overview/words.ts'
import type { Data } from '../job.ts'
import { labelText } from './groups.ts'
import { type DuplicatesOverview, SHOWN, type SharedRows, type ShownRow } from './result.ts'
import { type NamedSet, type Scanned, wholeOf } from './scan.ts'

export function duplicatesOf(
  sets: readonly NamedSet[],
  { near }: Pick<Scanned, 'near'>,
  plan: Data['plan'],
  show: (place: RowPlace) => ShownRow,
): DuplicatesOverview {
  const rows = sets.map(({ examples }) =>
    examples.map((example): Row => ({ text: example.text, pair: example.pair, label: labelText(example, plan) })),
  )
  const exact = findDuplicates(rows, KEYS.exact)
  const normalised = findDuplicates(rows, KEYS.normalised)
  const rowAt = ({ set, row }: RowPlace): Row => rows[set][row]
  const pairs = near.find(
    ({ set, row }) => wordsIn(wholeOf(sets[set].examples[row])),
    (a, b) => KEYS.normalised(rowAt(a)) === KEYS.normalised(rowAt(b)),
  )
  const nearRows = (from: number, to: number): number =>
    new Set(pairs.filter(({ first, second }) => first.set === from && second.set === to).map(pair => pair.second.row))
      .size
  const between = sets.flatMap((_, to) =>
    sets.slice(0, to).map((_, from) => ({
      from: sets[from].name,
      to: sets[to].name,
      exact: sharedRows(exact, from, to),
      normalised: sharedRows(normalised, from, to),
      near: nearRows(from, to),
    })),
  )
  const conflicts = normalised.groups.filter(group => group.some(place => rowAt(place).label !== rowAt(group[0]).label))
  return {
    within: Object.fromEntries(
      sets.map(({ name }, set) => [
        name,
        { exact: exact.within[set], normalised: normalised.within[set], near: nearRows(set, set) },
      ]),
    ),
    between,
    conflicts: conflicts.slice(0, SHOWN).map(group => group.map(show)),
    near: pairs
      .slice(0, SHOWN)
      .map(({ first, second, similarity }) => ({ similarity, first: show(first), second: show(second) })),
  }
}

function sharedRows(duplicates: Duplicates, from: number, to: number): SharedRows {
  const { rows, texts, conflicting } = duplicates.between(from, to)
  return {
    texts,
    rows: rows.length,
    conflicting: conflicting.length,
    row_numbers: rows,
    conflicting_rows: conflicting,
  }
}
