// Where a model of one label per text fails: scores by class, confusions, calibration, length, the surest mistakes.
import { type ClassResults, type ClassRow, predictClasses } from '../../metrics/summary.ts'
import { reliabilityChart, thresholdNote } from './calibration.ts'
import { bar, folded, html, number, percent, quoted, table } from './html.ts'
import type { Markup, Part } from './html.ts'
import { HOW_WORDS_PUSH, mistakes, passage, sharesByLength } from './passages.ts'
import { rankingCharts } from './ranking.ts'
import type { Tested } from './tested.ts'
import { WORST, wrongClasses } from './worst.ts'

/** More classes than this have no matrix, but a list of confusions. */
const MOST_IN_MATRIX = 12
const MOST_CONFUSIONS = 15
/** More rows than this are folded below the worst ones. */
const MOST_ROWS = 20
/** More names than this are counted. */
const MOST_NAMED = 4

export function classFailures(tested: Tested, results: ClassResults): Markup {
  const {
    summary: { confusion, classes },
    texts,
    labels,
  } = tested
  if (!confusion) return html`<p>Some outputs are not probabilities, so there is nothing to say about them.</p>`
  const truth = Array.from(results.truth)
  const predicted = predictClasses(results)
  const right = truth.map((label, row) => label === predicted[row])
  return html`${scoresTable('Scores of each class', 'Class', classes)}
${labels.length <= MOST_IN_MATRIX ? matrix(labels, confusion) : confusions(labels, confusion)}
<div class="charts">${reliabilityChart(tested)}${rankingCharts(results)}</div>
${thresholdNote(tested)}
${sharesByLength('By length', 'Accuracy', texts, right)}
${surestMistakes(tested)}`
}

/** Precision, recall and F1 of each class; of many classes the worst, and all of them folded. */
export function scoresTable(
  title: string,
  what: string,
  classes: readonly ClassRow[],
  more?: { head: readonly Part[]; cells: (index: number) => readonly Part[] },
): Markup {
  const rowOf = ({ name, precision, recall, f1, support }: ClassRow, index: number): Part[] => [
    name,
    number(support),
    percent(precision),
    percent(recall),
    percent(f1),
    ...(more?.cells(index) ?? []),
    html`<span class="track">${bar(f1)}</span>`,
  ]
  const head = [what, 'Given', 'Precision', 'Recall', 'F1', ...(more?.head ?? []), '']
  const rows = classes.map(rowOf)
  const never = classes.filter(({ support }) => support === 0).map(({ name }) => name)
  const names = never.length > MOST_NAMED ? number(never.length) : quoted(never)
  const occur = never.length === 1 ? 'occurs' : 'occur'
  const note = never.length > 0 && html`<p class="note">${names} never ${occur} in these texts.</p>`
  if (classes.length <= MOST_ROWS)
    return html`<h3>${title}</h3>${table(title, head, rows, { kind: 'bars', titled: true })}${note}`
  const worst = classes
    .map((_, i) => i)
    .filter(i => classes[i].support > 0)
    .sort((a, b) => classes[a].f1 - classes[b].f1)
    .slice(0, MOST_ROWS)
  return html`<h3>${title}</h3>${table(
    `The ${worst.length} with the lowest F1`,
    head,
    worst.map(i => rows[i]),
    { kind: 'bars' },
  )}
${folded(`All ${number(classes.length)}`, table(title, head, rows, { kind: 'bars', titled: true }))}${note}`
}

function matrix(labels: readonly string[], confusion: readonly (readonly number[])[]): Markup {
  const cell = (row: readonly number[], at: number, label: number): Markup => {
    const whole = row.reduce((sum, count) => sum + count, 0)
    const share = whole > 0 ? row[at] / whole : 0
    const inside = html`${number(row[at])}<small>${percent(whole > 0 ? share : undefined)}</small>`
    return html`<span class="cell${at === label ? ' hit' : ''}" style="--share: ${share.toFixed(3)}">${inside}</span>`
  }
  return html`<h3>Confusion matrix</h3>
<p class="note">Rows are labels, columns are predictions. Percentages are of a row.</p>
${table(
  'Labels against predictions',
  ['Label', ...labels],
  confusion.map((row, i) => [labels[i], ...row.map((_, j) => cell(row, j, i))]),
  { kind: 'confusion', titled: true },
)}`
}

/** The pairs of classes that are taken for each other most often. */
function confusions(labels: readonly string[], confusion: readonly (readonly number[])[]): Markup {
  const pairs = confusion
    .flatMap((row, label) => {
      const whole = row.reduce((sum, count) => sum + count, 0)
      return row.map((count, predicted) => ({ label, predicted, count, whole }))
    })
    .filter(({ label, predicted, count }) => label !== predicted && count > 0)
    .sort((a, b) => b.count - a.count || a.label - b.label || a.predicted - b.predicted)
  if (pairs.length === 0) return html`<h3>Most frequent confusions</h3><p>No class was taken for another.</p>`
  return html`<h3>Most frequent confusions</h3>
${table(
  'Classes that were taken for another',
  ['Label', 'Predicted', 'Texts', 'Share of the label'],
  pairs
    .slice(0, MOST_CONFUSIONS)
    .map(({ label, predicted, count, whole }) => [
      labels[label],
      labels[predicted],
      number(count),
      percent(count / whole),
    ]),
)}`
}

/** The texts that `tilegrad predict` answers wrong, with the probabilities that it gives. */
function surestMistakes({ texts, labels, explanations, answered: { results } }: Tested): Markup | undefined {
  if (results.kind !== 'classes') return undefined
  const wrong = wrongClasses(results)
  return mistakes(
    `Worst mistakes: the surest of ${number(wrong.length)}`,
    wrong.slice(0, WORST).map(({ row, label, truth, probability }) => ({
      says: html`label <b>${labels[truth]}</b>, predicted <b>${labels[label]}</b> with ${percent(probability)}`,
      body: passage(texts[row], explanations?.get(row)),
    })),
    'No text was predicted wrong.',
    explanations && HOW_WORDS_PUSH,
  )
}
