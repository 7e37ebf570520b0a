// Texts in the report, and groups of them by length.
import { type Attribution, type WordShare, strongestWords } from '../../../models/word-shares.ts'
import { wilson } from '../../metrics/uncertainty.ts'
import { codePoints } from '../data/statistics.ts'
import { bar, html, markup, number, percent, table } from './html.ts'
import type { Markup, Part } from './html.ts'
import type { TestedText } from './tested.ts'
import type { Explanation } from './worst.ts'

/** Code points of a text that are shown at once; the rest unfolds. */
const OPENING = 240

/** A list of texts, each below what is said of it. */
export function mistakes(
  title: string,
  items: readonly { readonly says: Part; readonly body: Part }[],
  none: string,
  note?: Part,
): Markup {
  return html`<h3>${title}</h3>
${
  items.length === 0
    ? html`<p>${none}</p>`
    : html`${note && html`<p class="note">${note}</p>`}<ol class="mistakes">${items.map(
        ({ says, body }) => html`<li><p class="says">${says}</p>
<div class="passage">${body}</div></li>
`,
      )}</ol>`
}`
}

/** What the marks in explained texts mean. */
export const HOW_WORDS_PUSH = html`<mark class="for">Words</mark> that pushed the model to the score that is named, and
<mark class="against">words</mark> that pushed against it: gradient × input of their embeddings.`

/** A text, or both of a pair; each folded after its opening where it is long. Explained words are marked. */
export function passage({ text, pair }: TestedText, explanation?: Explanation): Markup {
  const strongest = explanation && strongestWords(explanation.words)
  const first = opening(text, strongest?.text)
  const body = pair === undefined ? first : html`${first}<hr>${opening(pair, strongest?.pair)}`
  return html`${body}${explanation && strongest && pushes(explanation, strongest)}`
}

/** The same as numbers. */
function pushes({ label }: Explanation, { text, pair }: Required<Attribution>): Markup {
  const sorted = [...text, ...pair].sort((a, b) => Math.abs(b.share) - Math.abs(a.share))
  const shown = sorted.map(
    ({ text: word, share }, i) => html`${i > 0 && ', '}${word} ${share < 0 ? '−' : '+'}${number(Math.abs(share), 2)}`,
  )
  return html`<p class="pushes">Score of <b>${label}</b>: ${shown}</p>`
}

function opening(text: string, marks: readonly WordShare[] = []): Markup {
  const characters = Array.from(text)
  if (characters.length <= OPENING) return markedText(text, marks)
  // At a word's end, if there is one near.
  const start = characters.slice(0, OPENING).join('')
  const end = start.search(/\s\S*$/)
  const cut = end > start.length / 2 ? end : start.length
  const before = marks.filter(word => word.end <= cut)
  const after = marks
    .filter(word => word.start >= cut)
    .map(word => ({ ...word, start: word.start - cut, end: word.end - cut }))
  return html`<details><summary>${markedText(text.slice(0, cut), before)}${markup('&hellip;')}</summary>${markedText(text.slice(cut), after)}</details>`
}

/** A text with its strongest words marked, in the order of the text. */
function markedText(text: string, marks: readonly WordShare[]): Markup {
  const pieces: Part[] = []
  let at = 0
  for (const { start, end, share } of marks) {
    pieces.push(
      text.slice(at, start),
      html`<mark class="${share > 0 ? 'for' : 'against'}">${text.slice(start, end)}</mark>`,
    )
    at = end
  }
  return html`${pieces}${text.slice(at)}`
}

/** Texts that are about equally long. */
export interface LengthGroup {
  /** Shortest and longest, in characters. */
  readonly from: number
  readonly to: number
  readonly rows: readonly number[]
}

const MOST_GROUPS = 5
/** Texts that a group has at least. */
const LEAST_ROWS = 10

export const lengthOf = ({ text, pair }: TestedText): number =>
  codePoints(text) + (pair === undefined ? 0 : codePoints(pair))

/** Up to five groups of about as many texts each, of which equally long ones are in the same. */
export function groupsByLength(texts: readonly TestedText[]): LengthGroup[] {
  const lengths = texts.map(lengthOf)
  const order = lengths.map((_, row) => row).sort((a, b) => lengths[a] - lengths[b] || a - b)
  const groups = Math.min(MOST_GROUPS, Math.max(1, Math.floor(order.length / LEAST_ROWS)))
  const made: LengthGroup[] = []
  let start = 0
  for (let group = 1; group <= groups && start < order.length; group++) {
    let end = Math.max(start + 1, group === groups ? order.length : Math.round((group * order.length) / groups))
    while (end < order.length && lengths[order[end]] === lengths[order[end - 1]]) end++
    const rows = order.slice(start, end)
    made.push({ from: lengths[rows[0]], to: lengths[rows[rows.length - 1]], rows })
    start = end
  }
  return made
}

export const lengthRange = ({ from, to }: LengthGroup): string =>
  from === to ? number(from) : `${number(from)}–${number(to)}`

/** The share of texts that are right, by length, with Wilson's interval. Nothing if there are too few for groups. */
export function sharesByLength(
  title: string,
  what: string,
  texts: readonly TestedText[],
  right: readonly boolean[],
): Markup | undefined {
  const groups = groupsByLength(texts)
  if (groups.length < 2) return undefined
  return html`<h3>${title}</h3>
${table(
  `${what} of texts by their length, with 95 % intervals`,
  ['Characters', 'Texts', what, '95 % interval', ''],
  groups.map(group => {
    const hits = group.rows.filter(row => right[row]).length
    const interval = wilson(hits, group.rows.length)
    return [
      lengthRange(group),
      number(group.rows.length),
      percent(hits / group.rows.length),
      interval && `${percent(interval.low)} – ${percent(interval.high)}`,
      html`<span class="track">${bar(hits / group.rows.length, { interval })}</span>`,
    ]
  }),
  { kind: 'bars', titled: true },
)}`
}
