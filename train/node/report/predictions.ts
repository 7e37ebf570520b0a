// Sections of the report on what the model says of the held-out set: the confusion matrix and example predictions.
import { html, markup, number, percent, table } from './html.ts'
import type { Markup } from './html.ts'
import type { ExamplePrediction, ReportInput } from './report.ts'

/** Rows of each table of examples. */
const SHOWN = 10
/** Code points of a text that are shown at once; the rest unfolds. */
const OPENING = 240

/** Counts of label against prediction, with precision, recall and F1 of each class. */
export function confusionSection({ confusion, labels }: ReportInput): Markup {
  if (!confusion || confusion.length === 0) return html`<p>No predictions on the held-out set were recorded.</p>`
  const name = (index: number) => labels[index] ?? `class ${index}`
  const labelled = confusion.map((row) => row.reduce((sum, count) => sum + count, 0))
  const predicted = confusion.map((_, column) => confusion.reduce((sum, row) => sum + row[column], 0))
  const total = labelled.reduce((sum, count) => sum + count, 0)
  const right = confusion.reduce((sum, row, i) => sum + row[i], 0)
  const cell = (count: number, row: number, column: number) => {
    const share = labelled[row] > 0 ? count / labelled[row] : 0
    const kind = row === column ? 'hit' : 'miss'
    const inside = html`${number(count)}<small>${percent(share)}</small>`
    return html`<td class="${kind}" style="--share: ${share.toFixed(3)}">${inside}</td>`
  }
  const ratio = (part: number, whole: number) => (whole > 0 ? part / whole : NaN)
  const head = confusion.map((_, i) => html`<th scope="col">predicted ${name(i)}</th>`)
  const rows = confusion.map((row, i) => {
    const cells = row.map((count, column) => cell(count, i, column))
    return html`<tr><th scope="row">${name(i)}</th>${cells}</tr>\n`
  })
  return html`<p>${number(right)} of ${number(total)} right: ${percent(ratio(right, total))}.
Percentages are of a row.</p>
<div class="scroll" role="region" aria-label="Confusion matrix" tabindex="0">
<table class="confusion"><caption>Labels against predictions on the held-out set</caption>
<thead><tr><th scope="col">Label</th>${head}</tr></thead>
<tbody>${rows}</tbody></table></div>
${table(
  'Scores by class',
  ['Class', 'Precision', 'Recall', 'F1', 'Rows'],
  confusion.map((row, i) => [
    name(i),
    percent(ratio(row[i], predicted[i])),
    percent(ratio(row[i], labelled[i])),
    percent(ratio(2 * row[i], labelled[i] + predicted[i])),
    number(labelled[i]),
  ]),
)}`
}

/** The predictions that the model was surest of: those that were right, and those that were wrong. */
export function examplesSection({ examples }: ReportInput): Markup {
  if (examples.length === 0) return html`<p>No example predictions were recorded.</p>`
  const surest = examples.toSorted((a, b) => b.probability - a.probability)
  const right = surest.filter(({ label, predicted }) => label === predicted)
  const wrong = surest.filter(({ label, predicted }) => label !== predicted)
  return html`${examplesTable('Wrong, with the most confidence', wrong, 'No example was predicted wrong.')}
${examplesTable('Right, with the most confidence', right, 'No example was predicted right.')}`
}

function examplesTable(caption: string, examples: readonly ExamplePrediction[], none: string): Markup {
  if (examples.length === 0) return html`<p>${none}</p>`
  return html`<div class="examples">${table(
    caption,
    ['#', 'Label', 'Predicted', 'Probability', 'Text'],
    examples
      .slice(0, SHOWN)
      .map(({ label, predicted, probability, text }, i) => [i + 1, label, predicted, percent(probability), body(text)]),
  )}</div>`
}

/** The text, folded after its opening where it is long. */
function body(text: string): Markup {
  const characters = Array.from(text)
  if (characters.length <= OPENING) return html`${text}`
  // At a word's end, where there is one near.
  const opening = characters.slice(0, OPENING).join('')
  const end = opening.search(/\s\S*$/)
  const cut = end > opening.length / 2 ? end : opening.length
  return html`<details><summary>${text.slice(0, cut)}${markup('&hellip;')}</summary>${text.slice(cut)}</details>`
}
