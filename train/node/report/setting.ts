// Sections of the report on what was run: facts, options, data, the command.
import { histogramChart } from './charts.ts'
import { bytes, duration, facts, html, number, percent, table } from './html.ts'
import type { Markup, Part } from './html.ts'
import type { ReportInput, SetFacts } from './report.ts'

const LENGTHS = ['mean', 'std', 'min', '25%', '50%', '75%', 'max'] as const

/** Model, adapter, parameters, results, versions and options. */
export function runSection({ adapter, createdAt, name, options, parameters, result, versions }: ReportInput): Markup {
  const described: [string, Part][] = [
    ['Name', name],
    ['Model', typeof options.model === 'string' ? options.model : undefined],
    ['Data', typeof options.data === 'string' ? options.data : undefined],
    ['Adapter', adapter],
    ['Parameters', number(parameters.total)],
    ['Trained parameters', `${number(parameters.trainable)} (${number(parameters.percent, 3)} %)`],
    ['Date', createdAt],
  ]
  const results = Object.entries(result).map(([key, value]): [string, Part] => [title(key), figure(key, value)])
  return html`<div class="columns"><div>
${facts('Facts', described.filter(([, value]) => value !== undefined))}
${results.length > 0 ? facts('Result', results) : html`<p>No result was recorded: the run did not come to its end.</p>`}
${facts('Versions', Object.entries(versions))}
</div><div>
${facts('Options', Object.entries(options).map(([key, value]) => [key, html`<code>${plain(value)}</code>`]))}
</div></div>`
}

/** A result's key in words, without the unit that its value is printed with. */
function title(key: string): string {
  const words = key
    .replace(/(?<!_per)_seconds$/, '_time')
    .replace(/_bytes$/, '')
    .replaceAll('_', ' ')
    .replace(/^val\b/, 'validation')
    .replace(/\bgpu\b/g, 'GPU')
  return words.charAt(0).toUpperCase() + words.slice(1)
}

/** A result as its name says it is meant: results are named like columns, with their unit at the end. */
function figure(key: string, value: number | string | null): string {
  if (typeof value !== 'number') return value ?? '–'
  if (!Number.isFinite(value)) return '–'
  if (key.endsWith('accuracy')) return percent(value)
  if (/(?<!_per)_seconds$/.test(key)) return duration(value)
  if (key.endsWith('bytes')) return bytes(value)
  return number(value)
}

/** An option's value: text as it is, everything else as JSON. */
function plain(value: unknown): string {
  if (typeof value === 'string') return value
  return JSON.stringify(value, (_, part: unknown) => (part instanceof Set ? [...part] : part)) ?? '–'
}

/** Classes that the table of sets has columns for. */
const MOST_CLASSES = 8

/** Rows, class balance and text lengths of every set. */
export function dataSection({ data, labels }: ReportInput): Markup {
  const sets = [
    ['Training', data.train],
    ['Validation', data.validation],
    ['Test', data.test],
  ].filter((entry): entry is [string, SetFacts] => entry[1] !== undefined)
  const counted = sets.some(([, { positive, classes }]) => positive !== undefined || classes !== undefined)
  // Of two classes the second first, which is the one of positive texts.
  const shown = !counted ? [] : labels.length <= 2 ? [1, 0] : [...labels.keys()].slice(0, MOST_CLASSES)
  const share = (count: number, rows: number) => `${number(count)} (${rows > 0 ? percent(count / rows) : '–'})`
  return html`${table(
    'Rows and classes',
    ['Set', 'Rows', ...shown.map((i) => labels[i] ?? (i === 1 ? 'positive' : 'negative'))],
    sets.map(([name, { rows, positive = 0, classes }]) => [
      name,
      number(rows),
      ...shown.map((i) => share(classes?.[labels[i]] ?? (i === 1 ? positive : rows - positive), rows)),
    ]),
  )}
${table(
  'Length of the texts, in characters',
  ['Set', ...LENGTHS],
  sets.map(([name, { text_length: length }]) => [name, ...LENGTHS.map((key) => number(length[key], 5))]),
)}
${sets.map(([name, set]) => histogram(name, set))}`
}

function histogram(name: string, { histogram, rows, text_length: length }: SetFacts): Markup | undefined {
  if (!histogram || histogram.counts.length === 0) return undefined
  return histogramChart(
    {
      id: `lengths-${name.toLowerCase()}`,
      title: `Text lengths, ${name.toLowerCase()} set`,
      description:
        `Half of the ${number(rows)} texts have between ${number(length['25%'])} and ${number(length['75%'])} ` +
        `characters; the longest has ${number(length.max)}.`,
      x: 'characters',
      y: 'texts',
    },
    histogram.edges,
    histogram.counts,
  )
}

/** The command, ready to be copied. */
export function repeatSection({ command, exact }: ReportInput): Markup {
  const same = exact
    ? 'this gives the same run'
    : 'this gives the same run, to rounding: kernels are chosen by what was measured, which another time may choose others'
  return html`<p>With the same version on the same adapter, ${same}:</p>
<pre tabindex="0"><code>${command}</code></pre>`
}
