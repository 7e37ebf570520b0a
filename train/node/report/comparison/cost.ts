// The metric against what runs took: trained parameters, time, memory, size on disk.
import type { Comparison, Entry } from '../../../compare/compare.ts'
import type { RunCost } from '../../../compare/types.ts'
import { type Mark, type Point, markChart } from '../charts.ts'
import { bytes, duration, html, number, numbers } from '../html.ts'
import type { Markup } from '../html.ts'
import { axisOf, entryText, shownFigure } from './shown.ts'

interface Measure {
  readonly id: string
  readonly title: string
  readonly x: string
  /** What values are divided by on the axis. */
  readonly unit: number
  readonly of: (cost: RunCost) => number | undefined
  readonly show: (value: number) => string
}

/** A range beyond this is drawn on a logarithmic axis. */
const WIDE = 20

const compact = (value: number): string =>
  value.toLocaleString('en-US', { notation: 'compact', maximumSignificantDigits: 3 })

const unitFor = (most: number, units: readonly [string, number][]): [string, number] =>
  units.findLast(([, size]) => most >= size) ?? units[0]

const SECONDS: readonly [string, number][] = [
  ['seconds', 1],
  ['minutes', 180],
  ['hours', 10_800],
]

function measures(entries: readonly Entry[]): Measure[] {
  const most = (of: Measure['of']): number => Math.max(...entries.map(({ cost }) => of(cost) ?? 0))
  const [time] = unitFor(
    most(cost => cost.seconds),
    SECONDS,
  )
  return [
    {
      id: 'trained',
      title: 'Trained parameters',
      x: 'trained parameters',
      unit: 1,
      of: cost => cost.trained,
      show: value => number(Math.round(value)),
    },
    {
      id: 'time',
      title: 'Time',
      x: `wall time, ${time}`,
      unit: { seconds: 1, minutes: 60, hours: 3600 }[time] ?? 1,
      of: cost => cost.seconds,
      show: duration,
    },
    { id: 'memory', title: 'GPU memory', x: 'peak GPU memory, MB', unit: 1e6, of: cost => cost.gpuBytes, show: bytes },
    { id: 'disk', title: 'Size on disk', x: 'size on disk, MB', unit: 1e6, of: cost => cost.diskBytes, show: bytes },
  ]
}

/** One chart for each cost that is known of two settings at least. */
export function costCharts(comparison: Comparison): Markup {
  const { entries, metric } = comparison
  const { title, scale } = axisOf(metric)
  const first = entries.some(({ job }) => job === 'fine-tune') ? 'fine-tune' : entries[0].job
  const charts = measures(entries).flatMap(({ id, title: name, x, unit, of, show }) => {
    const known = entries.flatMap(entry => {
      const [cost, { value }] = [of(entry.cost), entry]
      return cost === undefined || value === undefined ? [] : [{ entry, cost, value }]
    })
    if (known.length < 2) return []
    const marks = known.map(({ entry, cost, value }): Mark => {
      const at: Point = [cost / unit, value * scale]
      const { interval } = entry
      return {
        at,
        name: String(entry.number),
        other: entry.job !== first,
        ...(interval && { interval: [interval.low * scale, interval.high * scale] }),
      }
    })
    const costs = known.map(({ cost }) => cost)
    const [least, most] = [Math.min(...costs), Math.max(...costs)]
    const jobs = new Set(known.map(({ entry }) => entry.job))
    const wide = least > 0 && most / least > WIDE
    return [
      markChart(
        {
          id: `cost-${id}`,
          title: name,
          description:
            `From ${show(least)} to ${show(most)}. Each point is a setting by its number, with its 95 % interval.` +
            (jobs.size > 1 ? ` Grey: not by ${first}.` : ''),
          x: wide ? `${x}, logarithmic` : x,
          y: title,
          numbers: numbers(
            name,
            ['Setting', x, metric.title],
            known.map(({ entry, cost, value }) => [
              entryText(entry, comparison),
              show(cost),
              shownFigure(metric, value),
            ]),
          ),
        },
        marks,
        { logarithmicX: wide, formatX: compact, format: value => number(value, 3) },
      ),
    ]
  })
  return charts.length === 0 ? html`<p>No costs were recorded.</p>` : html`<div class="charts">${charts}</div>`
}
