// Where a model of several labels at once fails: scores by label with thresholds, calibration, length, the surest
// mistakes.
import type { LabelResults } from '../../metrics/summary.ts'
import { reliabilityChart } from './calibration.ts'
import { scoresTable } from './classes.ts'
import { html, number, percent } from './html.ts'
import type { Markup } from './html.ts'
import { HOW_WORDS_PUSH, mistakes, passage, sharesByLength } from './passages.ts'
import { rankingCharts } from './ranking.ts'
import type { Tested } from './tested.ts'
import { WORST, decisionsOf, wrongLabels } from './worst.ts'

export function labelFailures(tested: Tested, results: LabelResults): Markup {
  const {
    summary: { classes },
    texts,
    thresholds,
    answered,
  } = tested
  if (classes.length === 0)
    return html`<p>Some outputs are not probabilities, so there is nothing to say about them.</p>`
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
<div class="charts">${reliabilityChart(tested)}${rankingCharts(results)}</div>
${sharesByLength('By length', 'All labels right', texts, right)}
${surestMistakes(tested)}`
}

/** The texts with a label that is most surely wrong, as `tilegrad predict` answers. */
function surestMistakes({ texts, labels, explanations, answered: { results } }: Tested): Markup | undefined {
  if (results.kind !== 'labels') return undefined
  const { probabilities } = results
  const { given } = decisionsOf(results)
  const wrong = wrongLabels(results)
  const label = (at: number): Markup => html`<b>${labels[at % labels.length]}</b> (${percent(probabilities[at])})`
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
      body: passage(texts[row], explanations?.get(row)),
    })),
    'No text has a wrong label.',
    explanations && HOW_WORDS_PUSH,
  )
}
