// How the metric on the validation set rose, of several runs on one axis of steps, and on one of time.
import type { Comparison, RankedRun } from '../../../compare/compare.ts'
import { type Line, type Point, lineChart } from '../charts.ts'
import { html, number, numbers } from '../html.ts'
import type { Markup } from '../html.ts'
import { axisOf, entryText, shownFigure } from './shown.ts'

/** Lines that can be told apart. */
const MOST_LINES = 8

export function curveSection(comparison: Comparison): Markup {
  const { entries, metric } = comparison
  const isCurve = ({ evaluations }: RankedRun): boolean =>
    evaluations.filter(({ values }) => values[metric.name] !== undefined).length > 1
  const curves = entries.flatMap(entry => {
    const run = entry.runs.find(isCurve)
    return run ? [{ entry, run }] : []
  })
  if (curves.length === 0) return html`<p>No run was evaluated by ${metric.title} more than once while it trained.</p>`
  const shown = curves.slice(0, MOST_LINES)
  const { title, scale } = axisOf(metric)
  const note =
    `Of each setting its best run${curves.length > shown.length ? `; the first ${MOST_LINES} of ${curves.length}` : ''}.` +
    (entries.length > curves.length ? ` ${entries.length - curves.length} without a curve.` : '')
  const chart = (
    id: string,
    name: string,
    x: string,
    at: (one: RankedRun['evaluations'][number]) => number | undefined,
  ) => {
    const lines = shown.map(({ entry, run }, i): Line => ({
      name: entryText(entry, comparison),
      series: i,
      marks: true,
      points: run.evaluations.flatMap((one): Point[] => {
        const [place, value] = [at(one), one.values[metric.name]]
        return place === undefined || value === undefined ? [] : [[place, value * scale]]
      }),
    }))
    if (lines.every(({ points }) => points.length === 0)) return undefined
    const rows = lines.flatMap(({ name: line, points }) =>
      points.map(([place, value]) => [line, number(place), shownFigure(metric, value / scale)]),
    )
    return lineChart(
      {
        id,
        title: name,
        description: note,
        x,
        y: title,
        numbers: numbers(name, ['Setting', x, metric.title], rows),
      },
      lines,
      { format: value => number(value, 3), tall: true, xFromZero: true },
    )
  }
  const isLong = Math.max(...shown.flatMap(({ run }) => run.evaluations.map(({ seconds }) => seconds ?? 0))) > 600
  const name = `Validation ${metric.title}`
  return html`${chart('curve-steps', `${name} by step`, 'optimizer step', ({ step }) => step)}
${chart('curve-time', `${name} by time`, isLong ? 'wall time, minutes' : 'wall time, seconds', ({ seconds }) =>
  seconds === undefined ? undefined : isLong ? seconds / 60 : seconds,
)}`
}
