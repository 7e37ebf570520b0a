// Where a model of numbers fails: predicted against given numbers, errors by length, the largest errors.
import { mean } from '../../metrics/means.ts'
import type { NumberResults } from '../../metrics/summary.ts'
import { quantile } from '../../metrics/values.ts'
import { type Point, scatterChart } from './charts.ts'
import { html, number, numbers } from './html.ts'
import type { Markup } from './html.ts'
import { HOW_WORDS_PUSH, groupsByLength, lengthOf, lengthRange, mistakes, passage } from './passages.ts'
import type { Tested } from './tested.ts'
import { thin } from './training.ts'
import { WORST, numberErrors } from './worst.ts'

/** Points beyond these are left out of a chart, evenly. */
const MOST_POINTS = 1500
/** Rows of the table of predicted against given numbers. */
const GROUPS = 6

interface Pair {
  readonly row: number
  readonly given: number
  readonly predicted: number
}

export function numberFailures(tested: Tested, { truth, predicted }: NumberResults): Markup {
  const { texts } = tested
  const all = Array.from(truth, (given, row): Pair => ({ row, given, predicted: predicted[row] }))
  const pairs = all.filter(pair => Number.isFinite(pair.given) && Number.isFinite(pair.predicted))
  if (pairs.length === 0) return html`<p>No prediction is a finite number.</p>`
  const lost = all.length - pairs.length
  const note = html`<p class="note">${number(lost)} predictions are not finite numbers and are left out.</p>`
  return html`${lost > 0 && note}
<div class="charts">${predictedChart(pairs)}${residualChart(pairs, { texts })}</div>
${largestErrors(tested)}`
}

const some = (pairs: readonly Pair[]): string =>
  pairs.length > MOST_POINTS ? ` ${number(MOST_POINTS)} of ${number(pairs.length)} texts are drawn.` : ''

function predictedChart(pairs: readonly Pair[]): Markup {
  const given = pairs.map(pair => pair.given)
  const ends = [given.reduce((a, b) => Math.min(a, b)), given.reduce((a, b) => Math.max(a, b))]
  const sorted = Float64Array.from(given).sort()
  // Groups of about as many texts each; equal numbers are in the same.
  const edges = [...new Set(Array.from({ length: GROUPS }, (_, i) => quantile(sorted, i + 1, GROUPS) ?? ends[1]))]
  const rows = edges
    .map((edge, i) => pairs.filter(pair => pair.given <= edge && (i === 0 || pair.given > edges[i - 1])))
    .filter(group => group.length > 0)
  return scatterChart(
    {
      id: 'predicted',
      title: 'Predicted against given numbers',
      description: `Each point is a text; on the dashed line both are equal.${some(pairs)}`,
      x: 'given number',
      y: 'predicted number',
      numbers: numbers(
        'Predicted against given numbers',
        ['Given', 'Texts', 'Mean predicted', 'Mean error', 'Mean absolute error'],
        rows.map(group => [
          range(group.map(pair => pair.given)),
          number(group.length),
          number(mean(group.map(pair => pair.predicted))),
          ...errorsOf(group),
        ]),
      ),
    },
    thin(pairs, MOST_POINTS).map((pair): Point => [pair.given, pair.predicted]),
    { name: 'equal', points: ends.map((end): Point => [end, end]) },
  )
}

function range(values: readonly number[]): string {
  const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))]
  return low === high ? number(low) : `${number(low)} to ${number(high)}`
}

const signed = (value: number): string => (value > 0 ? `+${number(value)}` : number(value))
const errorsOf = (group: readonly Pair[]): string[] => [
  signed(mean(group.map(({ given, predicted }) => predicted - given))),
  number(mean(group.map(({ given, predicted }) => Math.abs(predicted - given)))),
]

function residualChart(pairs: readonly Pair[], { texts }: Pick<Tested, 'texts'>): Markup {
  const points = thin(pairs, MOST_POINTS).map(({ row, given, predicted }): Point => [
    lengthOf(texts[row]),
    predicted - given,
  ])
  const lengths = points.map(([x]) => x)
  const ends = [lengths.reduce((a, b) => Math.min(a, b)), lengths.reduce((a, b) => Math.max(a, b))]
  return scatterChart(
    {
      id: 'residuals',
      title: 'Errors by length of the text',
      description: `Predicted minus given number of each text; above the dashed line too large.${some(pairs)}`,
      x: 'characters',
      y: 'predicted − given',
      numbers: errorsByLength(pairs, { texts }),
    },
    points,
    { name: 'no error', points: ends.map((end): Point => [end, 0]) },
  )
}

function errorsByLength(pairs: readonly Pair[], { texts }: Pick<Tested, 'texts'>): Markup {
  const groups = groupsByLength(pairs.map(({ row }) => texts[row]))
  return numbers(
    'Errors by length of the text',
    ['Characters', 'Texts', 'Mean error', 'Mean absolute error'],
    groups.map(group => [lengthRange(group), number(group.rows.length), ...errorsOf(group.rows.map(at => pairs[at]))]),
  )
}

function largestErrors({ texts, explanations, results }: Tested): Markup | undefined {
  if (results.kind !== 'regression') return undefined
  return mistakes(
    'Largest errors',
    numberErrors(results)
      .slice(0, WORST)
      .map(({ row, given, predicted }) => ({
        says: html`given <b>${number(given)}</b>, predicted <b>${number(predicted)}</b> (${signed(predicted - given)})`,
        body: passage(texts[row], explanations?.get(row)),
      })),
    'Every number was predicted exactly.',
    explanations && HOW_WORDS_PUSH,
  )
}
