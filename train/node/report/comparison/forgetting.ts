// What the settings forgot of their base's own task: the metric against the change of the loss at masked tokens.
import type { Comparison } from '../../../compare/compare.ts'
import {
  type Forgetting,
  type Forgotten,
  lossChange,
  forgettingOf,
  showChange,
  showChanges,
  showTexts,
} from '../../../compare/forgetting.ts'
import { type Mark, markChart } from '../charts.ts'
import { html, number, numbers, percent, table } from '../html.ts'
import type { Markup, Part } from '../html.ts'
import { axisOf, entryName, entryText, shownFigure } from './shown.ts'

export function forgettingSection(comparison: Comparison, forgotten: Forgotten): Markup {
  const { entries, metric } = comparison
  const { title, scale } = axisOf(metric)
  const all = entries.map(entry => ({ entry, forgetting: forgettingOf(entry, forgotten) }))
  const measured = all.flatMap(({ entry, forgetting }) =>
    forgetting ? [{ entry, forgetting, change: lossChange(forgetting) }] : [],
  )
  const marks = measured.flatMap(({ entry: { number: place, value, interval }, change }): Mark[] => {
    if (value === undefined) return []
    const ends = interval && { interval: [interval.low * scale, interval.high * scale] as const }
    return [{ at: [change, value * scale], name: String(place), ...ends }]
  })
  const chart = markChart(
    {
      id: 'forgotten',
      title: 'Change of the masked-token loss',
      description: 'Each point is a setting by its number, with its 95 % interval. At 0 nothing is forgotten.',
      x: 'change of the loss, nats',
      y: title,
      numbers: numbers(
        'Change of the masked-token loss',
        ['Setting', 'change of the loss, nats', metric.title],
        measured.map(({ entry, change }) => [
          entryText(entry, comparison),
          showChange(change, 4),
          shownFigure(metric, entry.value),
        ]),
      ),
    },
    marks,
    { formatX: value => number(value, 3), format: value => number(value, 3) },
  )
  const rows = all.map(({ entry, forgetting }): Part[] => [
    html`${entry.number}. ${entryName(entry, comparison)}`,
    ...figuresOf(forgetting),
  ])
  return html`<p>What was trained, under the masked-language head of its base, predicts masked tokens of ${showTexts(forgotten.texts)}. The
more its loss is above that of the base, the more it has forgotten of what the base was pretrained for. A change whose interval includes 0 may be chance.</p>
<div class="charts">${chart}</div>
${table('Masked tokens: loss in nats, and share predicted', ['Setting', ...HEAD], rows, { kind: 'named' })}`
}

const HEAD = ['Loss', 'Base', 'Change', '95 % interval', 'Predicted', 'Base']

function figuresOf(forgetting: Forgetting | undefined): Part[] {
  if (!forgetting) return HEAD.map(() => '–')
  const { base, tuned, interval } = forgetting
  return [
    tuned.loss.toFixed(4),
    base.loss.toFixed(4),
    showChange(lossChange(forgetting), 4),
    showChanges(interval, 4),
    percent(tuned.accuracy),
    percent(base.accuracy),
  ]
}
