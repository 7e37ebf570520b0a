// Rows that the overview shows: duplicates, odd texts, examples.
import { showName } from '../../../data/table.ts'
import { NEAR_TEXT } from '../../jobs/overview/describe.ts'
import type { Overview, ShownRow } from '../../jobs/overview/result.ts'
import { folded, html, number, percent, table } from '../html.ts'
import type { Markup, Part } from '../html.ts'
import { mistakes, passage } from '../passages.ts'

/** Classes of which examples are shown. */
const MOST_GROUPS = 12

const placeOf = ({ set, row, label }: ShownRow): Markup => html`${set}, row ${row}: <b>${showName(label)}</b>`

const rowsOf = (title: string, rows: readonly ShownRow[], none = 'None.'): Markup =>
  mistakes(
    title,
    rows.map(row => ({ says: placeOf(row), body: passage(row) })),
    none,
  )

export function duplicatesSection({ duplicates: { within, between, conflicts, near }, sets }: Overview): Markup {
  const columns = [
    ...Object.entries(within).map(([name, counts]) => ({ name, rows: sets[name].rows, ...counts })),
    ...between.map(({ from, to, ...counts }) => ({ name: `${to} in ${from}`, rows: sets[to].rows, ...counts })),
  ]
  type Column = (typeof columns)[number]
  const row = (title: string, count: (column: Column) => number, withShare = true): Part[] => [
    title,
    ...columns.map(column => {
      const value = count(column)
      return html`${number(value)}${withShare && value > 0 && html` <small>${percent(value / column.rows)}</small>`}`
    }),
  ]
  return html`${table(
    'Rows whose text occurs before in the same set, or in another set',
    ['Rows', ...columns.map(({ name }) => name)],
    [
      row('Exactly', ({ exact }) => exact.rows),
      row('But for case and space', ({ normalised }) => normalised.rows),
      row('Nearly equal', ({ near }) => near),
      row('Labelled differently', ({ normalised }) => normalised.conflicting, false),
    ],
  )}
<p class="note">${NEAR_TEXT}</p>
${between.map(({ from, to, normalised }) => rowNumbers(`Rows of ${to} also in ${from}`, normalised.row_numbers))}
${
  conflicts.length > 0 &&
  mistakes(
    'Equal texts with different labels',
    conflicts.map(group => ({ says: list(group.map(placeOf)), body: passage(group[0]) })),
    '',
  )
}
${
  near.length > 0 &&
  mistakes(
    'Nearly equal texts',
    near.map(({ similarity, first, second }) => ({
      says: html`${placeOf(first)}; ${placeOf(second)}; similarity ${similarity.toFixed(2)}`,
      body: html`${passage(first)}<hr>${passage(second)}`,
    })),
    '',
  )
}`
}

const list = (parts: readonly Markup[]): Markup => html`${parts.map((part, i) => html`${i > 0 && '; '}${part}`)}`

/** Row numbers that are listed. */
const MOST_NUMBERS = 1000

function rowNumbers(title: string, rows: readonly number[]): Markup | undefined {
  if (rows.length === 0) return undefined
  const more = rows.length > MOST_NUMBERS ? ` and ${number(rows.length - MOST_NUMBERS)} more` : ''
  return folded(
    `${title}: row numbers`,
    html`<p class="note">Counted from 0: ${rows.slice(0, MOST_NUMBERS).join(', ')}${more}.</p>`,
  )
}

export function oddSection({ odd, sets }: Overview): Markup {
  if (odd.length === 0)
    return html`<p>No control characters, no wrong encoding, no markup, no text without words, none in another script.</p>`
  const names = Object.keys(sets)
  return html`${table(
    'Texts with something odd',
    ['Texts with', ...names],
    odd.map(({ kind, says, rows }) => [
      html`${kind}<br><small>${says}</small>`,
      ...names.map(name => html`${number(rows[name])} <small>${percent(rows[name] / sets[name].rows)}</small>`),
    ]),
  )}
${odd.map(({ kind, examples }) => folded(`Examples: ${kind}`, rowsOf(kind, examples)))}`
}

export function examplesSection({ examples }: Overview): Markup {
  const groups = [...new Set(examples.map(({ group }) => group))].slice(0, MOST_GROUPS)
  return html`<p class="note">Of the training texts of each class: the shortest, and one of median length.</p>
${groups.map(group =>
  mistakes(
    showName(group),
    examples
      .filter(one => one.group === group)
      .map(one => ({ says: html`${one.kind}, row ${one.row}: <b>${showName(one.label)}</b>`, body: passage(one) })),
    'None.',
  ),
)}`
}
