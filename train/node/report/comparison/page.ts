// The page of a comparison. It answers in the order of a run's report: how good, at what cost, what they forgot (if that
// was measured), how they got there, where they differ and by which settings, what they were, how to repeat it.
import type { Comparison } from '../../../compare/compare.ts'
import type { Forgotten } from '../../../compare/forgetting.ts'
import { showValue } from '../../../compare/names.ts'
import { COMMANDS } from '../../cli/options.ts'
import { shellLine } from '../../cli/shell.ts'
import type { OpenedRun } from '../../jobs/compare.ts'
import { TILEGRAD } from '../../package.ts'
import { facts, folded, html, table } from '../html.ts'
import type { Markup } from '../html.ts'
import { dateOf, renderPage } from '../page.ts'
import { allEntries, bestCost, bestSection } from './best.ts'
import { costCharts } from './cost.ts'
import { curveSection } from './curves.ts'
import { effectSection } from './effects.ts'
import { forgettingSection } from './forgetting.ts'
import { pairSection } from './pairs.ts'
import { commonOptions } from './shown.ts'

export interface ComparisonInput {
  readonly comparison: Comparison
  readonly runs: readonly OpenedRun[]
  /** What was forgotten, if that was measured of at least one run. */
  readonly forgotten?: Forgotten
  /** What could not be compared, a sentence each. */
  readonly notes: readonly string[]
  /** The shell command that makes the page again. */
  readonly command: string
  /** ISO 8601. */
  readonly createdAt: string
}

/** The page as the text of one HTML file. The same input gives the same text. */
export function renderComparison(input: ComparisonInput): string {
  const { comparison, createdAt, runs, notes, forgotten } = input
  const { metric, entries } = comparison
  const what = `${runs.length} runs`
  return renderPage({
    title: `${what} – comparison by ${metric.title}`,
    heading: `${what} compared by ${metric.title}`,
    note: html`Comparison, ${dateOf(createdAt)}${entries.length < runs.length && `, ${entries.length} settings`}`,
    first: [
      { id: 'quality', title: 'How good they are', body: bestSection(comparison) },
      { id: 'cost', title: 'What number 1 cost', body: bestCost(comparison) },
    ],
    between: html`${notes.map(note => html`<p class="warning">${note}</p>`)}${allEntries(comparison)}`,
    rest: [
      { id: 'costs', title: `${capital(metric.title)} against cost`, body: costCharts(comparison) },
      ...(forgotten
        ? [{ id: 'forgetting', title: 'What they forgot', body: forgettingSection(comparison, forgotten) }]
        : []),
      { id: 'curves', title: 'How they got there', body: curveSection(comparison) },
      { id: 'pairs', title: 'Where they differ', body: pairSection(comparison) },
      { id: 'effects', title: 'Which settings made the difference', body: effectSection(comparison) },
      { id: 'setting', title: 'What they were', body: whatTheyWere(input) },
      { id: 'repeat', title: 'How to repeat it', body: repeat(input) },
    ],
  })
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

/** Folders, dates, adapters; options that all runs of a command have in common. */
function whatTheyWere({ runs, comparison }: ComparisonInput): Markup {
  const jobs = [...new Set(runs.map(({ job }) => job))]
  return html`${table(
    'The runs',
    ['Run', 'Folder', 'Made', 'Seed', 'Adapter'],
    runs.map(({ name, folder, createdAt, seed, adapter }) => [
      name,
      html`<code>${folder}</code>`,
      createdAt && dateOf(createdAt),
      seed,
      adapter ?? '–',
    ]),
    { kind: 'plain' },
  )}
${jobs.map(job => {
  const common = commonOptions(comparison, job)
  return folded(
    html`What all runs of <code>${job}</code> have in common`,
    facts(
      `Options that are the same in all runs of ${job}`,
      common.map(([name, value]) => [html`<code>${name}</code>`, html`<code>${showValue(value)}</code>`]),
    ),
  )
})}`
}

/** The command that makes the page again, and those of the runs. */
function repeat({ command, runs }: ComparisonInput): Markup {
  const repeatable = runs.filter(run => run.arguments.length > 0)
  const lines = repeatable.map(({ job, preset, arguments: given }) => {
    const called = job === 'fine-tune' ? COMMANDS[preset === 'tilegrad' ? 'tilegrad' : 'imdb'] : `${TILEGRAD} ${job}`
    return shellLine(called, ...given)
  })
  return html`<p>This makes the page again:</p>
<pre tabindex="0"><code>${command}</code></pre>
${lines.length > 0 && folded('The commands of the runs', html`<pre tabindex="0"><code>${lines.join('\n')}</code></pre>`)}`
}
