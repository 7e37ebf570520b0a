// The first two sections of the report: how good the model is, and at what cost.
import { showDifference, showFigure } from '../../metrics/summary.ts'
import type { Interval } from '../../metrics/uncertainty.ts'
import type { Cost } from '../run/cost.ts'
import { type Markup, type Part, bar, bytes, duration, folded, html, number, quoted, table } from './html.ts'
import type { Tested } from './tested.ts'

/** The main metric with its interval beside the constant answer. */
export function qualitySection(tested: Tested): Markup {
  const { metric, summary, interval, constant, answered, references } = tested
  const value = summary.metrics[metric.name]
  const show = (figure: number | undefined): string => showFigure(metric, figure).replace(' ', '\u00a0')
  const ends = interval && `${show(interval.low)} to ${show(interval.high)}`
  // Accuracies and coefficients end at 1; errors are scaled by the largest of them.
  const others = references.flatMap(({ value, interval }) => [value ?? 0, interval?.high ?? 0])
  const largest = Math.max(value ?? 0, interval?.high ?? 0, constant?.value ?? 0, ...others) || 1
  const scale = metric.better === 'larger' ? 1 : largest
  const shown = (figure: number | undefined) => (figure === undefined ? 0 : figure / scale)
  const range = (interval: Interval | undefined) =>
    interval && { low: interval.low / scale, high: interval.high / scale }
  const pale = bar(shown(constant?.value), { pale: true })
  const predict = html`<code>predict</code> and <code>evaluate</code>`
  const asAnswered = html`As ${predict} answer (${answered.by})`
  const convention =
    answered.by === undefined
      ? 'As trained.'
      : answered.applied
        ? html`${asAnswered}.`
        : html`As trained. ${asAnswered}: ${show(answered.summary.metrics[metric.name])}.`
  return html`<p class="hero"><strong>${show(value)}</strong> <span>${metric.title}</span></p>
<p class="note">${ends ? `95 % interval ${ends}` : 'No interval: the metric is not defined here'}, from
${count(summary.rows)} of ${tested.name}.${metric.better === 'smaller' && ' Smaller is better.'}</p>
<div class="compare">
${compared('This model', show(value), bar(shown(value), { interval: range(interval) }))}
${references.map(other => compared(other.title, show(other.value), bar(shown(other.value), { interval: range(other.interval), pale: true })))}
${constant && compared(html`Constant answer: ${constantWords(tested)}`, show(constant.value), pale)}
</div>
<p class="verdict">${verdict(tested)}</p>
${tested.calibration && html`<p class="note">${convention}</p>`}`
}

/** Every metric of the task, as in result.json, where both conventions have an entry. */
export function allMetrics({ name, metrics, summary, answered }: Tested): Markup {
  const both = !answered.applied
  const rows = metrics.map(info => [
    info.title,
    showFigure(info, summary.metrics[info.name]),
    ...(both ? [showFigure(info, answered.summary.metrics[info.name])] : []),
    html`<code>${info.name}</code>`,
  ])
  const head = ['Metric', ...(both ? ['As trained', 'As predict and evaluate answer'] : ['Value']), 'Name']
  return folded('All metrics', table(`Metrics on ${name}`, head, rows, { titled: true }))
}

const compared = (name: Part, value: string, drawn: Markup): Markup =>
  html`<div><span>${name}</span> <b>${value}</b><div class="track">${drawn}</div></div>`

const count = (rows: number): string => (rows === 1 ? '1 text' : `${number(rows)} texts`)

/** Names beyond these are counted. */
const NAMED = 4

function constantWords({ task, constant }: Tested): Part {
  if (!constant) return undefined
  const { answer, from } = constant
  if (typeof answer === 'number') return html`${number(answer)}, the mean of ${from}`
  if (task === 'tokens') return html`every word <q>${answer[0]}</q>`
  if (task === 'classes') return html`always <q>${answer[0]}</q>, the most frequent of ${from}`
  if (answer.length === 0) return 'no label'
  const more = answer.length > NAMED ? ` and ${answer.length - NAMED} more` : ''
  return html`always ${quoted(answer.slice(0, NAMED))}${more}, frequent in ${from}`
}

/** Whether the interval shows that the model is better than the constant answer. */
function verdict({ metric, interval, constant, summary: { rows } }: Tested): string | undefined {
  if (!interval || constant?.value === undefined) return undefined
  const larger = metric.better === 'larger'
  const { low, high } = interval
  if (larger ? low > constant.value : high < constant.value)
    return 'The whole interval is better than the constant answer.'
  if (larger ? high < constant.value : low > constant.value)
    return 'The whole interval is worse than the constant answer.'
  const show = rows === 1 ? 'does not show' : 'do not show'
  return `The interval includes the constant answer: ${count(rows)} ${show} that the model is better.`
}

/** How far the model is from the others that were measured on the same texts; nothing without any. */
export function differences({ metric, name, references }: Tested): Markup | undefined {
  if (references.length === 0) return undefined
  const show = (figure: number): string => showDifference(metric, figure)
  const rows = references.map(({ title, value, interval, difference }) => [
    title,
    showFigure(metric, value),
    interval && `${showFigure(metric, interval.low)} to ${showFigure(metric, interval.high)}`,
    difference && show(difference.value),
    difference && `${show(difference.interval.low)} to ${show(difference.interval.high)}`,
    difference && (difference.interval.low > 0 || difference.interval.high < 0 ? 'yes' : 'no'),
  ])
  const head = ['Model', metric.title, '95 % interval', 'This model minus that', '95 % interval', 'Excludes 0']
  const reasons = references.map(
    ({ title, reason }) => reason !== undefined && html`<p>There is no figure for ${title}: ${reason}.</p>\n`,
  )
  return folded(
    'Differences from the other models',
    html`${table(`Models on ${name}`, head, rows, { titled: true })}
<p class="note">Intervals of differences are by the paired bootstrap over the texts.</p>
${reasons}`,
  )
}

/** What the model took, as far as that is known. */
export function costSection({ parameters, seconds, textsPerSecond, gpuBytes, gpuPeakBytes, savedBytes }: Cost): Markup {
  const entries: [string, Part, Part?][] = []
  if (parameters?.trainable !== undefined) {
    entries.push([
      'Trained parameters',
      number(parameters.trainable),
      `${number(parameters.percent, 3)} % of ${number(parameters.total)}`,
    ])
  } else if (parameters) entries.push(['Parameters', number(parameters.total)])
  if (seconds !== undefined) {
    entries.push([
      'Wall time',
      duration(seconds),
      textsPerSecond === undefined ? undefined : `${number(textsPerSecond, 3)} texts/s`,
    ])
  }
  if (gpuPeakBytes !== undefined) entries.push(['Peak GPU memory', bytes(gpuPeakBytes)])
  else if (gpuBytes !== undefined) entries.push(['GPU memory', bytes(gpuBytes)])
  if (savedBytes) entries.push(['Size on disk', bytes(savedBytes.total), savedBytes.what])
  if (entries.length === 0) return html`<p>Nothing was recorded.</p>`
  const tile = ([name, value, more]: [string, Part, Part?]) =>
    html`<div><dt>${name}</dt><dd>${value}${more && html`<small>${more}</small>`}</dd></div>\n`
  return html`<dl class="tiles">${entries.map(tile)}</dl>`
}
