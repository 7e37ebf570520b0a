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
  const { results, summary } = tested
  if (summary.rows === 0) return html`<p>Nothing was tested.</p>`
  switch (results.kind) {
    case 'classes':
      return classFailures(tested, results)
    case 'labels':
      return labelFailures(tested, results)
    case 'regression':
      return numberFailures(tested, results)
    case 'tokens':
      return tagFailures(tested, results)
  }
}
