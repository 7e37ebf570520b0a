// Which runs differ by more than chance: the test of each two on the same test rows.
import type { Comparison, Pair } from '../../../compare/compare.ts'
import type { MetricInfo } from '../../../metrics/summary.ts'
import { folded, html, number, table } from '../html.ts'
import type { Markup, Part } from '../html.ts'
import { LEVEL, shownP } from './shown.ts'

/** More runs than this make no matrix. */
const MOST_IN_MATRIX = 10

export function pairSection(comparison: Comparison): Markup {
  const { pairs, test, tested, runs } = comparison
  if (pairs.length === 0) return html`<p>No two runs have predictions of the same test rows.</p>`
  const different = pairs.filter(({ corrected }) => corrected < LEVEL).length
  const which = tested === 'all' ? 'Each two runs' : 'The best run and each other one'
  const what =
    test === 'McNemar'
      ? 'McNemar’s test of the rows that only one of the two gets right'
      : 'the paired bootstrap of the same test rows'
  const says = html`<p class="note">${which} are compared by ${what}. Holm’s correction keeps the chance of any false
difference among all ${number(pairs.length)} tests at 5 %. ${number(different)} of them ${different === 1 ? 'differs' : 'differ'}.</p>`
  const few = tested === 'all' && runs.length <= MOST_IN_MATRIX
  return html`${says}
${few && matrix(comparison)}
${few ? folded('Numbers', list(comparison)) : list(comparison)}`
}

/** The difference as a signed number; of percentages in points. */
function shownDifference({ shown }: MetricInfo, difference: number): string {
  const size = shown === 'percent' ? (100 * Math.abs(difference)).toFixed(2) : Math.abs(difference).toFixed(4)
  return difference === 0 ? size : `${difference < 0 ? '−' : '+'}${size}`
}

const unitOf = ({ shown }: MetricInfo): string => (shown === 'percent' ? ', in percentage points' : '')

function matrix({ runs, pairs, metric }: Comparison): Markup {
  const cell = (row: string, column: string): Part => {
    if (row === column) return undefined
    const pair = pairs.find(({ a, b }) => (a === row && b === column) || (a === column && b === row))
    if (!pair) return '–'
    const difference = pair.a === row ? pair.difference : -pair.difference
    const isSure = pair.corrected < LEVEL
    const inside = html`${shownDifference(metric, difference)}<small>p ${shownP(pair.corrected)}</small>`
    return html`<span class="cell${isSure ? ' hit' : ''}" style="--share: ${isSure ? '0.6' : '0'}">${inside}</span>`
  }
  const numbered = runs.map(({ name }, i) => `${i + 1}. ${name}`)
  return html`<h3>Each two runs</h3>
<p class="note">The row’s ${metric.title} minus the column’s${unitOf(metric)}, and the corrected p-value. Coloured: below
0.05. Columns are the rows’ numbers.</p>
${table(
  `Difference of ${metric.title}, row minus column`,
  ['Run', ...runs.map((_, i) => String(i + 1))],
  runs.map(({ name }, i) => [numbered[i], ...runs.map(other => cell(name, other.name))]),
  { kind: 'confusion pairs', titled: true },
)}`
}

/** Pairs that a table shows; all are in the output of --json. */
const MOST_LISTED = 60

function list({ pairs, metric, test, tested }: Comparison): Markup {
  const isEach = tested === 'all'
  const sorted = pairs.toSorted((x, y) => x.p - y.p).slice(0, MOST_LISTED)
  const isMcNemar = test === 'McNemar'
  const row = ({ a, b, difference, onlyA, onlyB, interval, p, corrected }: Pair): Part[] => [
    isEach ? `${a} – ${b}` : b,
    shownDifference(metric, difference),
    ...(isMcNemar
      ? [number(onlyA), number(onlyB)]
      : [interval && `${shownDifference(metric, interval.low)} to ${shownDifference(metric, interval.high)}`]),
    shownP(p),
    shownP(corrected),
  ]
  const head = [
    isEach ? 'Runs' : 'The best against',
    'Difference',
    ...(isMcNemar ? ['Only first right', 'Only second right'] : ['95 % interval']),
    'p',
    'p, corrected',
  ]
  const more = pairs.length > MOST_LISTED ? `, the ${MOST_LISTED} with the lowest p of ${pairs.length}` : ''
  return table(`Tests of two runs each${more}; differences of ${metric.title}${unitOf(metric)}`, head, sorted.map(row))
}
