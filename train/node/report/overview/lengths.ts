// How long texts are, and what a longest text cuts and costs.
import { type Histogram, STATISTICS, type TextStatistics } from '../../data/statistics.ts'
import { distinctLengths, timeText } from '../../jobs/overview/describe.ts'
import type { MaxLengthRow, Overview } from '../../jobs/overview/result.ts'
import { type Point, histogramChart, lineChart } from '../charts.ts'
import { html, number, numbers, percent, table } from '../html.ts'
import type { Markup } from '../html.ts'

export function lengthsSection({ sets, tokenizer }: Overview): Markup {
  const of = (
    caption: string,
    statisticsOf: (set: Overview['sets'][string]) => TextStatistics | undefined,
  ): Markup | undefined => {
    const shown = Object.entries(sets).flatMap(([name, set]) => {
      const statistics = statisticsOf(set)
      return statistics ? [{ name, statistics }] : []
    })
    if (shown.length === 0) return undefined
    const rows = STATISTICS.map(column => [column, ...shown.map(({ statistics }) => number(statistics[column], 5))])
    return html`<div>${table(caption, ['', ...shown.map(({ name }) => name)], rows)}</div>`
  }
  return html`<p>Tokens, special ones included, are those of ${tokenizer.name}${tokenizer.why !== undefined && ` (${tokenizer.why})`},
which has a vocabulary of ${number(tokenizer.vocabulary)}.</p>
<div class="charts">${of('Length in characters', set => set.text_length)}
${of('Length of second texts in characters', set => set.pair_length)}
${of('Length in tokens', set => set.token_length)}</div>
<div class="charts">${Object.entries(sets).map(
    ([
      name,
      set,
    ]) => html`${lengthChart(name, 'characters', set.characters, set.pair_length ? undefined : set.text_length)}
${lengthChart(name, 'tokens', set.tokens, set.token_length)}`,
  )}</div>`
}

function lengthChart(
  name: string,
  unit: string,
  { edges, counts }: Histogram,
  statistics: TextStatistics | undefined,
): Markup {
  const title = `Length in ${unit}: ${name}`
  const description =
    statistics === undefined
      ? `Both texts of a pair together.`
      : `Half of the texts have between ${number(statistics['25%'])} and ${number(statistics['75%'])} ${unit}; the longest has ${number(statistics.max)}.`
  return histogramChart(
    {
      id: `${unit}-${name}`,
      title,
      description,
      x: unit,
      y: 'texts',
      numbers: numbers(
        title,
        [unit, 'Texts'],
        counts.map((count, i) => [`${number(edges[i])} to ${number(edges[i + 1] - 1)}`, number(count)]),
      ),
    },
    edges,
    counts,
  )
}

export function maxLengthSection({ sets, max_length }: Overview): Markup {
  const names = Object.keys(sets)
  const rows = distinctLengths(max_length)
  const lengths = table(
    'Texts that are cut, and the estimated time of an epoch',
    ['--max-length', ...names.map(name => `Cut: ${name}`), 'Tokens lost', 'Time'],
    rows.map(({ max_length, cut, time }) => [
      number(max_length),
      ...names.map(
        name => html`${number(cut[name].texts)} <small>${percent(cut[name].texts / sets[name].rows)}</small>`,
      ),
      percent(cut.train.tokens / cut.train.of),
      time.toFixed(2),
    ]),
  )
  const none = rows.length < max_length.lengths.length && html`<p>Longer ones cut nothing, and cost the same.</p>`
  return html`${lengths}
${none}
<p class="note">${timeText(max_length)}</p>
${rows.length > 1 && html`<div class="charts">${cutChart(rows)}${timeChart(rows, max_length.reference)}</div>`}`
}

const inPercent = (value: number): string => number(100 * value, 3)

function cutChart(rows: readonly MaxLengthRow[]): Markup {
  const of = (value: (row: MaxLengthRow) => number): Point[] => rows.map(row => [row.max_length, value(row)])
  return lineChart(
    {
      id: 'cut',
      title: 'Tokens lost by the longest text',
      description: 'Share of the tokens of the training texts that are cut off.',
      x: '--max-length, tokens',
      y: 'tokens lost, %',
      numbers: numbers(
        'Tokens lost by the longest text',
        ['--max-length', 'Tokens lost', 'Of all'],
        rows.map(({ max_length, cut: { train } }) => [
          number(max_length),
          number(train.tokens),
          percent(train.tokens / train.of),
        ]),
      ),
    },
    [{ name: 'train', points: of(({ cut }) => cut.train.tokens / cut.train.of), marks: true }],
    { fromZero: true, format: inPercent },
  )
}

function timeChart(rows: readonly MaxLengthRow[], reference: number): Markup {
  return lineChart(
    {
      id: 'time',
      title: 'Time of an epoch by the longest text',
      description: `Estimated, as a multiple of the time at --max-length ${reference}.`,
      x: '--max-length, tokens',
      y: `time, multiple of that at ${reference}`,
      numbers: numbers(
        'Time of an epoch by the longest text',
        ['--max-length', 'Computed', 'Padding', 'Time'],
        rows.map(({ max_length, padded, tokens, time }) => [
          number(max_length),
          number(padded),
          percent(1 - tokens / padded),
          time.toFixed(2),
        ]),
      ),
    },
    [{ name: 'time', points: rows.map(({ max_length, time }): Point => [max_length, time]), marks: true }],
    { fromZero: true },
  )
}
