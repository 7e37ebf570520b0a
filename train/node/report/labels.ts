// Where a model of several labels at once fails: scores by label with thresholds, calibration, length, the surest
// mistakes.
import type { LabelResults } from '../../metrics/summary.ts'
import { decide } from '../../metrics/thresholds.ts'
import { reliabilityChart } from './calibration.ts'
import { scoresTable } from './classes.ts'
import { html, number, percent } from './html.ts'
import type { Markup } from './html.ts'
import { WORST, mistakes, passage, sharesByLength } from './passages.ts'
import type { Tested } from './tested.ts'

export function labelFailures(tested: Tested, results: LabelResults): Markup {
  const {
    summary: { classes },
    texts,
    thresholds,
    answered,
  } = tested
  if (classes.length === 0) return html`<p>Some outputs are not probabilities, so nothing can be said of them.</p>`
  const width = results.names.length
  const { given, predicted } = decisionsOf(results)
  const right = texts.map((_, row) =>
    Array.from({ length: width }, (_, i) => row * width + i).every(at => given[at] === predicted[at]),
  )
  // Scores below are with the thresholds that the metrics were computed with; the chosen ones stand beside them.
  const more = !thresholds
    ? undefined
    : answered.applied
      ? { head: ['Threshold'], cells: (i: number) => [percent(thresholds[i])] }
      : {
          head: ['Threshold', 'F1 with it'],
          cells: (i: number) => [percent(thresholds[i]), percent(answered.summary.classes[i].f1)],
        }
  const note = html`<p class="note">Precision, recall and F1 are with a threshold of 50 %. The thresholds were chosen on
the validation set; <code>tilegrad predict</code> uses them.</p>`
  return html`${scoresTable('Scores of each label', 'Label', classes, more)}
${thresholds && !answered.applied && note}
<div class="charts">${reliabilityChart(tested)}</div>
${sharesByLength('By length', 'All labels right', texts, right)}
${surestMistakes(tested)}`
}

/** Which labels are given and which are predicted, one row after another. */
function decisionsOf({ truth, probabilities, names, thresholds }: LabelResults) {
  return {
    given: Array.from(truth, value => value > 0.5),
    predicted: Array.from(decide(probabilities, names.length, thresholds), value => value === 1),
  }
}

/** The texts with a label that is most surely wrong, as `tilegrad predict` answers. */
function surestMistakes({ texts, labels, answered: { results } }: Tested): Markup | undefined {
  if (results.kind !== 'labels') return undefined
  const { probabilities } = results
  const { given, predicted } = decisionsOf(results)
  const width = labels.length
  const wrong = texts
    .map((_, row) => {
      const mistaken = labels.map((_, i) => row * width + i).filter(at => given[at] !== predicted[at])
      const distance = Math.max(-1, ...mistaken.map(at => (given[at] ? 1 - probabilities[at] : probabilities[at])))
      return { row, mistaken, distance }
    })
    .filter(({ mistaken }) => mistaken.length > 0)
    .sort((a, b) => b.distance - a.distance || a.row - b.row)
  const label = (at: number): Markup => html`<b>${labels[at % width]}</b> (${percent(probabilities[at])})`
  const named = (title: string, at: readonly number[]) =>
    at.length === 0 ? undefined : html` ${title} ${at.map((one, i) => html`${i > 0 ? ', ' : ''}${label(one)}`)}.`
  return mistakes(
    `Worst mistakes: ${number(wrong.length)} of ${number(texts.length)} texts have a wrong label`,
    wrong.slice(0, WORST).map(({ row, mistaken }) => ({
      says: html`${named(
        'Missed:',
        mistaken.filter(at => given[at]),
      )}${named(
        'Wrongly predicted:',
        mistaken.filter(at => !given[at]),
      )}`,
      body: passage(texts[row]),
    })),
    'No text has a wrong label.',
  )
}
