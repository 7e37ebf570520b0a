// The words that tell the classes apart, as bars by class.
import { showName } from '../../../data/table.ts'
import type { Overview } from '../../jobs/overview/result.ts'
import { bar, html, number, numbers, table } from '../html.ts'
import type { Markup } from '../html.ts'

/** Classes that are shown, and words of each. */
const [MOST_GROUPS, MOST_WORDS] = [12, 15]

export function wordsSection({ words, task }: Overview): Markup {
  const shown = words.slice(0, MOST_GROUPS)
  const what = task === 'tokens' ? 'words of a label' : 'texts of a class'
  const largest = Math.max(...shown.flatMap(({ words }) => words.map(({ z }) => z)), 0) || 1
  const more =
    words.length > MOST_GROUPS && html`<p class="note">The first ${MOST_GROUPS} of ${number(words.length)} classes.</p>`
  return html`<p class="note">Log-odds ratio of each word among the ${what} against all others, with an informative
Dirichlet prior (Monroe, Colaresi and Quinn 2008), in standard deviations (z). Uses are counts in the training texts, tags left out.</p>
<div class="charts">${shown.map(({ group, words }) => groupTable(group, words, largest))}</div>
${more}`
}

function groupTable(group: string, words: Overview['words'][number]['words'], largest: number): Markup {
  if (words.length === 0) return html`<div><h3>${showName(group)}</h3><p>No word is typical of it.</p></div>`
  return html`<div><h3>${showName(group)}</h3>
${table(
  `Words typical of ${showName(group)}`,
  ['Word', 'z-score', ''],
  words
    .slice(0, MOST_WORDS)
    .map(({ word, z }) => [word, z.toFixed(1), html`<span class="track">${bar(z / largest)}</span>`]),
  { kind: 'words', titled: true },
)}
${numbers(
  `Words typical of ${showName(group)}`,
  ['Word', 'z-score', 'Log-odds', 'Uses here', 'Elsewhere'],
  words.map(({ word, z, logOdds, inside, outside }) => [
    word,
    z.toFixed(1),
    logOdds.toFixed(2),
    number(inside),
    number(outside),
  ]),
)}</div>`
}
