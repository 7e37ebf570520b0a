// How the page of a comparison shows values, names and options.
import type { Comparison, Entry } from '../../../compare/compare.ts'
import { differenceOf, nameOf } from '../../../compare/names.ts'
import type { Value } from '../../../compare/types.ts'
import { type MetricInfo, showFigure } from '../../../metrics/summary.ts'
import type { Interval } from '../../../metrics/uncertainty.ts'
import type { Figure } from '../../../metrics/values.ts'
import { html, number } from '../html.ts'
import type { Markup } from '../html.ts'

/** Corrected p-values below this count as a difference. */
export const LEVEL = 0.05

/** A metric with spaces at which no line ends. */
export const shownFigure = (metric: MetricInfo, value: Figure): string =>
  showFigure(metric, value).replaceAll(' ', '\u00a0')

export const shownInterval = (metric: MetricInfo, interval: Interval | undefined): string =>
  // The unit once.
  interval
    ? `${shownFigure(metric, interval.low).replace('\u00a0%', '')}\u00a0– ${shownFigure(metric, interval.high)}`
    : '–'

/** The name of an entry, and which options it has of those that vary. */
export function entryName(entry: Entry, comparison: Comparison): Markup {
  const difference = differenceOf(entry, comparison)
  return html`${nameOf(entry)}${difference !== '' && html` <small>${difference}</small>`}`
}

/** An entry by its number, with the options that vary, as plain text. */
export function entryText(entry: Entry, comparison: Comparison): string {
  const difference = differenceOf(entry, comparison)
  return `${entry.number}: ${difference === '' ? nameOf(entry) : difference}`
}

/** The metric as a chart's axis shows it: percentages, or as it is. */
export const axisOf = ({ title, shown }: MetricInfo) => ({
  title: shown === 'percent' ? `${title}, %` : title,
  scale: shown === 'percent' ? 100 : 1,
})

/** A p-value; small ones as a bound. */
export const shownP = (p: number): string => (p < 1e-4 ? '< 0.0001' : p < 0.01 ? p.toFixed(4) : number(p, 2))

/** Options with one value in all settings of a job. */
export function commonOptions({ entries }: Comparison, job: string): [string, Value][] {
  const own = entries.filter(entry => entry.job === job)
  const [first] = own
  return Object.entries(first.options).filter(([name, value]) => own.every(({ options }) => options[name] === value))
}
