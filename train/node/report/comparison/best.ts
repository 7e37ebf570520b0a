// The first sections of a comparison: the best setting beside the next ones, whether it is better than chance says, and
// what it costs; then all settings as a table.
import type { Comparison, Entry, Pair } from '../../../compare/compare.ts'
import type { RunCost } from '../../../compare/types.ts'
import { bar, bytes, duration, folded, html, number, table } from '../html.ts'
import type { Markup, Part } from '../html.ts'
import { LEVEL, entryName, shownFigure, shownInterval, shownP } from './shown.ts'

/** Settings of the first screen. */
const MOST_BARS = 3

export function bestSection(comparison: Comparison): Markup {
  const { metric, entries } = comparison
  const [best] = entries
  const largest = Math.max(...entries.map(({ value, interval }) => Math.max(value ?? 0, interval?.high ?? 0))) || 1
  const scale = metric.better === 'larger' && largest <= 1 ? 1 : largest
  const drawn = ({ value = 0, interval }: Entry): Markup =>
    bar(value / scale, { interval: interval && { low: interval.low / scale, high: interval.high / scale } })
  const row = (entry: Entry): Markup => html`<div><span>${entry.number}. ${entryName(entry, comparison)}</span>
<b>${shownFigure(metric, entry.value)}</b><div class="track">${drawn(entry)}</div></div>`
  const more = entries.length - MOST_BARS
  return html`<p class="hero"><strong>${shownFigure(metric, best.value)}</strong> <span>${metric.title}</span></p>
<p class="note">${intervalSays(best, comparison)}${metric.better === 'smaller' && ' Smaller is better.'}</p>
<div class="compare ranked">
${entries.slice(0, MOST_BARS).map(row)}</div>
<p class="verdict">${more > 0 && `${number(more)} more below. `}${verdict(comparison)}</p>`
}

function intervalSays({ interval, over, runs }: Entry, { metric }: Comparison): string {
  const rows = `${number(runs[0].rows)} test texts`
  if (!interval) return `The best, on ${rows}.`
  const ends = `95 % interval ${shownInterval(metric, interval)}`
  return over === 'seeds' ? `Mean of ${runs.length} seeds, ${ends}, on ${rows}.` : `${ends}, on ${rows}.`
}

/** The pairs of the best run with the best run of each other entry. */
function against({ entries, pairs, runs }: Comparison): { entry: Entry; pair: Pair | undefined }[] {
  const [best] = runs
  return entries
    .filter(({ runs: own }) => !own.some(({ name }) => name === best.name))
    .map(entry => ({ entry, pair: pairs.find(({ a, b }) => a === best.name && b === entry.runs[0].name) }))
}

function verdict(comparison: Comparison): string | undefined {
  const others = against(comparison)
  const tested = others.flatMap(({ entry, pair }) => (pair ? [{ entry, pair }] : []))
  if (tested.length === 0) return others.length === 0 ? undefined : 'No test of the differences could be made.'
  const equal = tested.filter(({ pair }) => pair.corrected >= LEVEL).map(({ entry }) => entry.number)
  if (equal.length === 0) {
    const [{ pair, entry }] = tested
    return `The best run differs from that of every other setting; from number ${entry.number} with p ${pValue(pair.corrected)}.`
  }
  if (equal.length === tested.length)
    return 'The test rows do not tell the best run from that of any other setting (p ≥ 0.05 after correction).'
  return `The test rows do not tell the best run from ${listed(equal)} (p ≥ 0.05 after correction).`
}

const pValue = (p: number): string => (shownP(p).startsWith('<') ? shownP(p) : `= ${shownP(p)}`)

/** Numbers of entries, the first few by name. */
function listed(numbers: readonly number[]): string {
  const shown = numbers.slice(0, 5)
  const more = numbers.length - shown.length
  if (more > 0) return `${shown.join(', ')} and ${more} more`
  return numbers.length === 1 ? `number ${shown[0]}` : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`
}

const COSTS: readonly { name: string; of: (cost: RunCost) => number | undefined; show: (value: number) => string }[] = [
  { name: 'Trained parameters', of: cost => cost.trained, show: value => number(Math.round(value)) },
  { name: 'Wall time', of: cost => cost.seconds, show: duration },
  { name: 'Peak GPU memory', of: cost => cost.gpuBytes, show: bytes },
  { name: 'Size on disk', of: cost => cost.diskBytes, show: bytes },
]

/** What the best setting takes, and which other takes least. */
export function bestCost({ entries }: Comparison): Markup {
  const [best] = entries
  const tile = ({ name, of, show }: (typeof COSTS)[number]): Part => {
    const value = of(best.cost)
    const known = entries.filter(({ cost }) => of(cost) !== undefined)
    if (known.length === 0) return undefined
    const least = known.reduce((a, b) => ((of(b.cost) ?? Infinity) < (of(a.cost) ?? Infinity) ? b : a))
    const small = of(least.cost)
    const says =
      small === undefined || (value !== undefined && small >= value)
        ? 'the least of all'
        : `least ${show(small)}, no. ${least.number}`
    return html`<div><dt>${name}</dt><dd>${value === undefined ? '–' : show(value)}<small>${says}</small></dd></div>\n`
  }
  const tiles = COSTS.map(tile).filter(one => one !== undefined)
  if (tiles.length === 0) return html`<p>Nothing was recorded.</p>`
  return html`<dl class="tiles">${tiles}</dl>`
}

/** Every setting, the best first; and the runs of repeated ones. */
export function allEntries(comparison: Comparison): Markup {
  const { entries, metric, runs } = comparison
  const cell = (value: number | undefined, show: (value: number) => string): string =>
    value === undefined ? '–' : show(value)
  const hasSeeds = entries.some(({ over }) => over === 'seeds')
  const rows = entries.map((entry): Part[] => {
    const { cost, interval, value } = entry
    return [
      html`${entry.number}. ${entryName(entry, comparison)}`,
      ...(hasSeeds ? [number(entry.runs.length)] : []),
      shownFigure(metric, value),
      shownInterval(metric, interval),
      ...COSTS.map(({ of, show }) => cell(of(cost), show)),
    ]
  })
  const head = [
    'Setting',
    ...(hasSeeds ? ['Runs'] : []),
    metric.title,
    '95 % interval',
    'Trained',
    'Time',
    'GPU memory',
    'On disk',
  ]
  const caption = hasSeeds
    ? 'All settings, the best first. Of several runs, which differ in their seed, the means and Student’s interval over them.'
    : 'All settings, the best first'
  const each = runs.map(run => [
    run.name,
    run.seed ?? '–',
    shownFigure(metric, run.value),
    shownInterval(metric, run.interval),
  ])
  return html`${table(caption, head, rows, { kind: 'named' })}
${
  hasSeeds &&
  folded(
    `All ${runs.length} runs one by one`,
    table('Each run, with the interval of its test', ['Run', 'Seed', metric.title, '95 % interval'], each),
  )
}`
}
