// Writing HTML so that no text can become markup: everything put into the template `html` is escaped, except what came
// out of the template itself. Beside it, tables, bars and numbers as the report prints them.
import { showBytes } from '../../../engine/bytes.ts'

/** Finished markup, made by `html` or, for trusted text such as a chart's SVG, by `markup`. */
export class Markup {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** What a template takes. A list is written end to end; undefined, null and false are nothing. */
export type Part = Markup | string | number | undefined | null | false | readonly Part[]

/** Characters that XML and HTML don't allow, such as NUL and the other controls; lone surrogates as well. */
const UNPRINTABLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff]/g

/** The text with U+FFFD for what no page can hold. */
export function clean(text: string): string {
  return text.toWellFormed().replace(UNPRINTABLE, '\ufffd')
}

/** The text, cleaned, for element content or for an attribute in quotes. */
export function escape(text: string): string {
  return clean(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
}

function write(part: Part): string {
  if (part === undefined || part === null || part === false) return ''
  if (part instanceof Markup) return part.text
  if (typeof part === 'string') return escape(part)
  if (typeof part === 'number') return String(part)
  return part.map(write).join('')
}

/** Markup with its parts escaped. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return new Markup(String.raw({ raw: strings }, ...parts.map(write)))
}

/** Takes text as markup. Only for what this program made itself, never for data. */
export function markup(text: string): Markup {
  return new Markup(text)
}

export interface TableOptions {
  /** `bars`: the last column is for bars, which a narrow screen leaves out; of `words` it shows them. */
  readonly kind?: 'bars' | 'words' | 'confusion' | 'plain' | 'named' | 'confusion pairs'
  /** A heading above says what the caption says, which is then left to screen readers. */
  readonly titled?: boolean
}

/** A table in a box that scrolls, with a caption and a header row; the first cell of each row is its header. */
export function table(
  caption: string,
  head: readonly Part[],
  rows: readonly (readonly Part[])[],
  { kind, titled = false }: TableOptions = {},
): Markup {
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0">
<table${kind && html` class="${kind}"`}><caption${titled && html` class="unseen"`}>${caption}</caption>
<thead><tr>${head.map(cell => html`<th scope="col">${cell}</th>`)}</tr></thead>
<tbody>${rows.map(
    ([first, ...rest]) => html`<tr><th scope="row">${first}</th>${rest.map(cell => html`<td>${cell}</td>`)}</tr>\n`,
  )}</tbody></table></div>`
}

/** Names and values, one a row. */
export function facts(caption: string, entries: readonly (readonly [Part, Part])[]): Markup {
  const rows = entries.map(([name, value]) => html`<tr><th scope="row">${name}</th><td>${value}</td></tr>\n`)
  return html`<table class="facts"><caption>${caption}</caption>
<thead class="unseen"><tr><th scope="col">Name</th><th scope="col">Value</th></tr></thead>
<tbody>${rows}</tbody></table>`
}

/** Content that unfolds below a line. */
export function folded(summary: Part, content: Part): Markup {
  return html`<details><summary>${summary}</summary>
${content}
</details>`
}

/** Names in quotes with commas between. */
export function quoted(names: readonly string[]): Markup {
  return html`${names.map((name, i) => html`${i > 0 ? ', ' : ''}<q>${name}</q>`)}`
}

/** The numbers of a chart. */
export function numbers(caption: string, head: readonly Part[], rows: readonly (readonly Part[])[]): Markup {
  return folded('Numbers', table(caption, head, rows, { titled: true }))
}

export interface BarOptions {
  readonly interval?: { readonly low: number; readonly high: number }
  readonly pale?: boolean
}

/**
 * A bar from 0 to `value` on a scale from 0 to 1, with an interval as a line across its end, if there is one. The
 * figures stand beside it as text, so it is hidden from screen readers.
 */
export function bar(value: number, { interval, pale = false }: BarOptions = {}): Markup {
  const at = (share: number): string => `${(100 * Math.min(1, Math.max(0, share))).toFixed(2)}%`
  const width = interval && at(interval.high - interval.low)
  const range =
    interval && html`<rect class="range" x="${at(interval.low)}" width="${width}" y="40%" height="20%"></rect>`
  return html`<svg class="bar" aria-hidden="true" width="100%" height="100%">
<rect class="track" width="100%" height="100%"></rect>
<rect class="${pale ? 'pale' : 'fill'}" width="${at(value)}" height="100%"></rect>${range}</svg>`
}

/** A number with thousands separated and `digits` significant digits; a dash if it is not finite. */
export function number(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–'
  if (Number.isInteger(value)) return value.toLocaleString('en-US')
  const size = Math.abs(value)
  if (size < 1e-3) return value.toExponential(2)
  if (size >= 10 ** (digits - 1)) return value.toLocaleString('en-US', { maximumFractionDigits: 1 })
  return value.toLocaleString('en-US', { maximumSignificantDigits: digits })
}

/** A space at which no line ends. */
const NO_BREAK = '\u00a0'

/** A fraction of 1 as a percentage with two decimals. */
export function percent(fraction: number | null | undefined): string {
  if (fraction === null || fraction === undefined || !Number.isFinite(fraction)) return '–'
  return `${(fraction * 100).toFixed(2)}${NO_BREAK}%`
}

/** Bytes in decimal units, as the command line shows them. */
export function bytes(count: number): string {
  return showBytes(count).replace(' ', NO_BREAK)
}

/** Seconds as hours, minutes and seconds; below a minute with one decimal. */
export function duration(seconds: number): string {
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  const hours = Math.floor(whole / 3600)
  const minutes = Math.floor(whole / 60) % 60
  return `${hours > 0 ? `${hours} h ` : ''}${minutes} min ${whole % 60} s`
}
