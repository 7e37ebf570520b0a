// The section of the report on where the model fails, by kind of task.
import { classFailures } from './classes.ts'
import type { Markup } from './html.ts'
import { html } from './html.ts'
import { labelFailures } from './labels.ts'
import { numberFailures } from './numbers.ts'
import type { Tested } from './tested.ts'
import { tagFailures } from './tags.ts'

/** Scores of parts, and the worst mistakes. */
export function failuresSection(tested: Tested): Markup {
  const { results, summary, answered } = tested
  if (summary.rows === 0) return html`<p>Nothing was tested.</p>`
  const convention =
    !answered.applied &&
    html`<p class="note">Scores and groups by length are as trained; the worst mistakes and their probabilities are as
<code>tilegrad predict</code> answers.</p>`
  switch (results.kind) {
    case 'classes':
      return html`${convention}${classFailures(tested, results)}`
    case 'labels':
      return html`${convention}${labelFailures(tested, results)}`
    case 'regression':
      return numberFailures(tested, results)
    case 'tokens':
      return tagFailures(tested, results)
  }
}
