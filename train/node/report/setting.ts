// The last sections of the report: what was run, on which data, with which settings, and the command that repeats it.
import { STATISTICS } from '../data/statistics.ts'
import { histogramChart } from './charts.ts'
import { facts, folded, html, number, numbers, percent, table } from './html.ts'
import type { Markup, Part } from './html.ts'
import type { ReportInput, SetFacts } from './report.ts'

/** Model, data, settings; those that differ from the defaults first. */
export function settingSection(input: ReportInput): Markup {
  const { settings, versions, createdAt, adapter } = input
  const rows = (differ: boolean): [Part, Part][] =>
    settings
      .filter(setting => setting.differs === differ)
      .map(({ name, value }) => [html`<code>--${name}</code>`, html`<code>${value}</code>`])
  const [changed, rest] = [rows(true), rows(false)]
  const none = html`<p>All settings are the defaults.</p>`
  const machine: [string, string][] = [['Adapter', adapter], ['Date', createdAt], ...Object.entries(versions)]
  return html`${input.sentence !== undefined && html`<p>${input.sentence}</p>`}
${facts('Data and model', input.facts)}
${dataTables(input)}
${changed.length > 0 ? facts('Settings that differ from the defaults', changed) : none}
${rest.length > 0 && folded('All other settings', facts('Settings at their defaults', rest))}
${folded('Machine and versions', facts('Machine and versions', machine))}`
}

/** Classes that the table of sets has columns for. */
const MOST_CLASSES = 8

/** Rows, counts of classes and text lengths of every set. */
function dataTables({ sets, tested: { labels, task } }: ReportInput): Markup {
  const shown = sets.some(([, { classes }]) => classes !== undefined) ? labels.slice(0, MOST_CLASSES) : []
  const more =
    shown.length > 0 && labels.length > MOST_CLASSES
      ? html`<p class="note">The first ${MOST_CLASSES} of ${number(labels.length)} labels.</p>`
      : undefined
  const unit = task === 'tokens' ? 'words' : 'texts'
  return html`${table(
    shown.length > 0 ? `Texts of each set, and ${unit} of each label` : 'Texts of each set',
    ['Set', 'Texts', ...shown],
    sets.map(([name, { rows, classes }]) => [
      name,
      number(rows),
      ...shown.map(label => (classes ? counted(classes[label], task === 'tokens' ? undefined : rows) : '–')),
    ]),
  )}
${more}
${folded(
  'Lengths of the texts',
  html`${table(
    'Length of the texts, in characters',
    ['Set', ...STATISTICS],
    sets.map(([name, { text_length: length }]) => [name, ...STATISTICS.map(key => number(length[key], 5))]),
  )}
<div class="charts">${sets.map(([name, set], i) => histogram(name, i, set))}</div>`,
)}`
}

const counted = (count: number, rows?: number): Part =>
  html`${number(count)}${rows !== undefined && rows > 0 ? html` <small>${percent(count / rows)}</small>` : undefined}`

function histogram(
  name: string,
  index: number,
  { histogram, rows, text_length: length }: SetFacts,
): Markup | undefined {
  if (!histogram || histogram.counts.length === 0) return undefined
  const { edges, counts } = histogram
  return histogramChart(
    {
      id: `lengths-${index}`,
      title: `Text lengths: ${name.toLowerCase()}`,
      description:
        `Half of the ${number(rows)} texts have between ${number(length['25%'])} and ${number(length['75%'])} ` +
        `characters; the longest has ${number(length.max)}.`,
      x: 'characters',
      y: 'texts',
      numbers: numbers(
        `Text lengths: ${name.toLowerCase()}`,
        ['Characters', 'Texts'],
        counts.map((count, i) => [`${number(edges[i])} to ${number(edges[i + 1] - 1)}`, number(count)]),
      ),
    },
    edges,
    counts,
  )
}

/** The command, ready to be copied. */
export function repeatSection({ command, exact, kind }: ReportInput): Markup {
  const sameRun = exact
    ? 'this gives the same run'
    : 'this gives the same run, to rounding: kernels are chosen by measuring, and another time others may be chosen'
  const repeats = `With the same version on the same adapter, ${sameRun}:`
  return html`<p>${kind === 'training' ? repeats : 'With the same version, model and data:'}</p>
<pre tabindex="0"><code>${command}</code></pre>`
}
