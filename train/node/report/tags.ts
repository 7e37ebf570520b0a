// Where a model of labels of words fails: scores by kind of entity, and the sentences with most wrong spans.
import { type Entity, entitiesOf } from '../../metrics/entities.ts'
import type { TagResults } from '../../metrics/summary.ts'
import { scoresTable } from './classes.ts'
import { html, number } from './html.ts'
import type { Markup } from './html.ts'
import { mistakes } from './passages.ts'
import type { Tested } from './tested.ts'
import { WORST } from './worst.ts'

/** A span of words: labelled and predicted, labelled alone, or predicted alone. */
interface Span extends Entity {
  readonly kind: 'found' | 'missed' | 'wrong'
}

/** The spans of a sentence, those that are labelled first. */
export function spansOf(truth: readonly string[], predicted: readonly string[], scheme?: TagResults['scheme']): Span[] {
  const same =
    (a: Entity) =>
    (b: Entity): boolean =>
      a.type === b.type && a.start === b.start && a.end === b.end
  const [labelled, found] = [entitiesOf(truth, scheme), entitiesOf(predicted, scheme)]
  return [
    ...labelled.map((entity): Span => ({ ...entity, kind: found.some(same(entity)) ? 'found' : 'missed' })),
    ...found.filter(entity => !labelled.some(same(entity))).map((entity): Span => ({ ...entity, kind: 'wrong' })),
  ]
}

export function tagFailures({ texts, summary: { classes } }: Tested, { truth, predicted, scheme }: TagResults): Markup {
  const sentences = truth
    .map((tags, row) => {
      const spans = spansOf(tags, predicted[row], scheme)
      return { row, spans, wrong: spans.filter(({ kind }) => kind !== 'found').length }
    })
    .filter(({ wrong }) => wrong > 0)
    .sort((a, b) => b.wrong - a.wrong || a.row - b.row)
  const none = html`<p>There are no entities, neither labelled nor predicted.</p>`
  return html`${classes.length > 0 ? scoresTable('Scores of each kind of entity', 'Entity', classes) : none}
${mistakes(
  `Worst sentences: ${number(sentences.length)} of ${number(truth.length)} have a wrong span`,
  sentences.slice(0, WORST).map(({ row, spans }) => {
    const words = texts[row].words ?? []
    const labelled = spans.filter(({ kind }) => kind !== 'wrong')
    const predictions = spans.filter(({ kind }) => kind !== 'missed')
    const counts = (['missed', 'wrong'] as const).map(kind => ({
      kind,
      count: spans.filter(span => span.kind === kind).length,
    }))
    return {
      says: counts
        .filter(({ count }) => count > 0)
        .map(
          ({ kind, count }, i) =>
            html`${i > 0 ? ', ' : ''}${number(count)} ${kind === 'missed' ? 'missed' : 'wrongly predicted'}`,
        ),
      body: html`<dl class="tagged"><dt>label</dt><dd>${marked(words, labelled)}</dd>
<dt>predicted</dt><dd>${marked(words, predictions)}</dd></dl>`,
    }
  }),
  'All spans were found, and no others were predicted.',
  html`<mark class="found">found</mark> <mark class="missed">missed</mark>
<mark class="wrong">wrongly predicted</mark>`,
)}`
}

/** Words with the spans among them marked. Spans of one source do not overlap. */
function marked(words: readonly string[], spans: readonly Span[]): Markup {
  const pieces: Markup[] = []
  for (let at = 0; at < words.length;) {
    const span = spans.find(({ start }) => start === at)
    const end = span ? Math.min(span.end, words.length - 1) : at
    const text = words.slice(at, end + 1).join(' ')
    pieces.push(span ? html`<mark class="${span.kind}">${text} <small>${span.type}</small></mark> ` : html`${text} `)
    at = end + 1
  }
  return html`${pieces}`
}
