// What options do to the metric: one at a time, and two at once.
import type { Comparison } from '../../../compare/compare.ts'
import type { Axis, Cell, Grid } from '../../../compare/effects.ts'
import { showOptions, showValue } from '../../../compare/names.ts'
import { type Line, type Mark, type Point, lineChart, markChart } from '../charts.ts'
import { html, number, numbers, table } from '../html.ts'
import type { Markup, Part } from '../html.ts'
import { axisOf, shownFigure, shownInterval } from './shown.ts'

/** Lines of settings that differ in the option alone. With more of them, they are pale and unnamed. */
const MOST_TRACKS = 5
/** More values of an option than this are points on an axis of numbers. */
const MOST_PLACES = 8

export function effectSection(comparison: Comparison): Markup {
  const { axes, grids, varying } = comparison
  if (axes.length === 0) {
    return varying.length === 0
      ? html`<p>All runs have the same options.</p>`
      : html`<p>No two settings differ in one option alone, so no effect can be told from another. What varies:
${varying.map((name, i) => html`${i > 0 && ', '}<code>--${name}</code>`)}.</p>`
  }
  return html`<div class="charts">${axes.map((axis, i) => axisChart(axis, i, comparison))}</div>
${grids.map(grid => gridTable(grid, comparison))}`
}

function axisChart(axis: Axis, index: number, comparison: Comparison): Markup {
  const { option, values, means, tracks } = axis
  const { metric } = comparison
  const { title } = axisOf(metric)
  const amounts = values.filter(value => typeof value === 'number')
  const best = means.reduce(
    (a, b, i) => ((metric.better === 'larger' ? b.mean > means[a].mean : b.mean < means[a].mean) ? i : a),
    0,
  )
  const text = {
    id: `effect-${index}`,
    title: `Effect of --${option}`,
    description:
      `Best mean ${shownFigure(metric, means[best].mean)}, with ${showValue(values[best])}. ` +
      (isAlone(axis)
        ? 'Bars are 95 % intervals over seeds.'
        : 'The mean of all runs with each value, with Student’s 95 % interval' +
          (tracks.length > 0 ? '; the other lines join settings that differ in this option alone.' : '.')),
    y: title,
    numbers: effectNumbers(axis, comparison),
  }
  if (amounts.length === values.length && values.length > MOST_PLACES)
    return pointChart(axis, amounts, text, comparison)
  return lineChart({ ...text, x: `--${option}` }, effectLines(axis, comparison), {
    categories: values.map(showValue),
    format: value => number(value, 3),
  })
}

/** Whether nothing but the option varies, so that the means are the settings themselves. */
const isAlone = ({ tracks, means }: Axis): boolean =>
  tracks.length === 1 && means.every(({ settings }) => settings === 1)

/** Lines over the places of the values. */
function effectLines(axis: Axis, { metric }: Comparison): Line[] {
  const { values, means, tracks } = axis
  const { scale } = axisOf(metric)
  const points = (cells: readonly (Cell | undefined)[]): Point[] =>
    cells.flatMap((cell, i): Point[] => (cell ? [[i, cell.mean * scale]] : []))
  const whiskers = means.flatMap(({ interval }, i): Line[] =>
    interval
      ? [
          {
            name: 'interval',
            series: 0,
            whisker: true,
            points: [interval.low, interval.high].map(end => [i, end * scale]),
          },
        ]
      : [],
  )
  // Between words there is nothing that a line could pass through.
  const unjoined = values.some(value => typeof value !== 'number')
  const isNamed = tracks.length <= MOST_TRACKS - 1
  const others = isAlone(axis)
    ? []
    : tracks.map(({ cells, others }, i): Line =>
        isNamed
          ? { name: showOptions(others), series: i + 1, marks: true, unjoined, points: points(cells) }
          : {
              name: `one of ${tracks.length} groups that are equal but for this`,
              style: 'faint',
              marks: unjoined,
              unjoined,
              points: points(cells),
            },
      )
  return [...others, ...whiskers, { name: 'mean of all', series: 0, marks: true, unjoined, points: points(means) }]
}

/** Of many values, such as those of a random search: each as a point. */
function pointChart(
  { option, values, means }: Axis,
  amounts: readonly number[],
  text: Omit<Parameters<typeof markChart>[0], 'x'>,
  { metric }: Comparison,
): Markup {
  const { scale } = axisOf(metric)
  const wide = amounts[0] > 0 && amounts[amounts.length - 1] / amounts[0] > 20
  const marks = values.map((_, i): Mark => ({ at: [amounts[i], means[i].mean * scale], name: '' }))
  return markChart({ ...text, x: wide ? `--${option}, logarithmic` : `--${option}` }, marks, {
    logarithmicX: wide,
    formatX: value => showValue(Number(value.toPrecision(3))),
    format: value => number(value, 3),
  })
}

function effectNumbers({ option, values, means }: Axis, { metric }: Comparison): Markup {
  return numbers(
    `Effect of --${option}`,
    [`--${option}`, 'Settings', 'Runs', `mean ${metric.title}`, '95 % interval'],
    values.map((value, i) => [
      showValue(value),
      number(means[i].settings),
      number(means[i].runs),
      shownFigure(metric, means[i].mean),
      shownInterval(metric, means[i].interval),
    ]),
  )
}

/** Mean of each combination, the better the darker. */
function gridTable({ rows, columns, cells }: Grid, { metric }: Comparison): Markup {
  const known = cells.flat().flatMap(cell => (cell ? [cell.mean] : []))
  const [least, most] = [Math.min(...known), Math.max(...known)]
  const shareOf = (mean: number): number => {
    if (most === least) return 0.5
    const share = (mean - least) / (most - least)
    return metric.better === 'larger' ? share : 1 - share
  }
  const bestMean = metric.better === 'larger' ? most : least
  const drawn = (cell: Cell | undefined): Part => {
    if (!cell) return '–'
    const runs = cell.runs === 1 ? '1 run' : `${cell.runs} runs`
    const inside = html`${shownFigure(metric, cell.mean)}<small>${runs}</small>`
    return html`<span class="cell${cell.mean === bestMean ? ' hit' : ''}" style="--share: ${shareOf(cell.mean).toFixed(3)}">${inside}</span>`
  }
  const title = `--${rows.option} by --${columns.option}`
  return html`<h3>${title}</h3>
<p class="note">Mean ${metric.title}; the better, the stronger the colour. Rows are <code>--${rows.option}</code>, columns
<code>--${columns.option}</code>.</p>
${table(
  `Mean ${metric.title} by --${rows.option} (rows) and --${columns.option} (columns)`,
  [`--${rows.option}`, ...columns.values.map(showValue)],
  cells.map((row, i) => [showValue(rows.values[i]), ...row.map(drawn)]),
  { kind: 'confusion', titled: true },
)}`
}
