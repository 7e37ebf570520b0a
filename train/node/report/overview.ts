// The page of `tilegrad overview`: what the data is and what to know of it first, then lengths, what a longest text
// costs, duplicates, odd rows, telling words, examples, and how to make it again.
import type { Overview } from '../jobs/overview/result.ts'
import { TASK_TEXTS } from '../../tasks/infer.ts'
import { showName } from '../../data/table.ts'
import { STATISTICS } from '../data/statistics.ts'
import { facts, html, number, percent, table } from './html.ts'
import type { Markup, Part } from './html.ts'
import { lengthsSection, maxLengthSection } from './overview/lengths.ts'
import { duplicatesSection, examplesSection, oddSection } from './overview/rows.ts'
import { wordsSection } from './overview/words.ts'
import { type Section, dateOf, nameOf, renderPage } from './page.ts'

export interface OverviewInput {
  readonly overview: Overview
  /** The data, as the user named it. */
  readonly name: string
  /** ISO 8601. */
  readonly createdAt: string
  readonly version: string
  /** The shell command that makes the page. */
  readonly command: string
}

/** The overview as the text of one HTML file. The same input gives the same text. */
export function renderOverview({ overview, name, createdAt, version, command }: OverviewInput): string {
  const title = nameOf(name)
  const first: Section[] = [
    { id: 'data', title: 'What it is', body: whatItIs(overview) },
    { id: 'know', title: 'What to know', body: html`<dl class="tiles">${tilesOf(overview).map(tile)}</dl>` },
  ]
  const rest: Section[] = [
    { id: 'sets', title: 'Sets and labels', body: setsSection(overview) },
    { id: 'lengths', title: 'Lengths', body: lengthsSection(overview) },
    { id: 'max-length', title: 'What a longest text cuts, and costs', body: maxLengthSection(overview) },
    { id: 'duplicates', title: 'Duplicates', body: duplicatesSection(overview) },
    { id: 'odd', title: 'Odd texts', body: oddSection(overview) },
    ...(overview.words.length > 0 ? [{ id: 'words', title: 'Telling words', body: wordsSection(overview) }] : []),
    { id: 'examples', title: 'Examples', body: examplesSection(overview) },
    { id: 'repeat', title: 'How to repeat it', body: html`<pre tabindex="0"><code>${command}</code></pre>` },
  ]
  return renderPage({
    title: `${title} – overview`,
    heading: title,
    note: html`Overview of a data set, ${dateOf(createdAt)}, tilegrad ${version}`,
    first,
    rest,
  })
}

const tile = ([name, value, more]: readonly [string, Part, Part]): Markup =>
  html`<div><dt>${name}</dt><dd>${value}<small>${more}</small></dd></div>\n`

/** Classes that are named on the first screen. */
const NAMED = 4

function whatItIs({ sets, task, labels, why, refused }: Overview): Markup {
  const rows = Object.values(sets).reduce((sum, set) => sum + set.rows, 0)
  const each = Object.entries(sets).map(([name, set]) => `${number(set.rows)} to ${VERBS[name] ?? name}`)
  const names = labels.slice(0, NAMED).map(showName).join(', ')
  const more = labels.length > NAMED ? ` and ${number(labels.length - NAMED)} more` : ''
  return html`<p class="hero"><strong>${number(rows)}</strong> <span>texts</span></p>
<p class="note">${each.join(', ')}</p>
${refused !== undefined && html`<p class="warning">Not to be trained on as it is: ${refused}.</p>`}
<p>Task: ${task === null ? 'none' : TASK_TEXTS[task]} (${why}).</p>
${names !== '' && task !== 'regression' && html`<p>Labels: ${names}${more}.</p>`}`
}

const VERBS: Readonly<Record<string, string>> = { train: 'train on', validation: 'validate on', test: 'test on' }

function tilesOf({ sets, max_length, duplicates, odd }: Overview): (readonly [string, Part, Part])[] {
  const { train } = sets
  const { reference, lengths } = max_length
  const cut = lengths.find(({ max_length }) => max_length === reference)?.cut.train
  const shared = duplicates.between.find(({ from, to }) => from === 'train' && to === 'test')?.normalised
  const repeated = duplicates.within.train.normalised
  const worth = odd.filter(({ kind }) => kind !== 'tags' && kind !== 'entities' && kind !== 'urls')
  return [
    ['Median length', `${number(train.token_length['50%'])} tokens`, `${number(train.text_length['50%'])} characters`],
    [
      `Cut by --max-length ${reference}`,
      percent((cut?.texts ?? 0) / train.rows),
      `of the training texts, ${percent(cut && cut.tokens / cut.of)} of their tokens`,
    ],
    ['Test texts also in training', shared ? number(shared.rows) : '–', sharedSays(shared, sets)],
    ['Repeated in training', number(repeated.rows), `${conflictsSay(repeated.conflicting)} with different labels`],
    [
      'Odd texts',
      worth.length === 0 ? 'none' : `${worth.length} ${worth.length === 1 ? 'kind' : 'kinds'}`,
      worth.length === 0 ? 'nothing wrong was found' : worth.map(({ kind }) => kind).join(', '),
    ],
  ]
}

const conflictsSay = (count: number): string => (count === 0 ? 'none' : number(count))

function sharedSays(shared: { rows: number; conflicting: number } | undefined, sets: Overview['sets']): Part {
  if (!shared) return 'there is one set'
  return `${percent(shared.rows / sets.test.rows)}, ${conflictsSay(shared.conflicting)} with another label`
}

/** Where the data comes from, and the rows of each label in each set. */
function setsSection({ sets, labels, source, columns, left_out: leftOut, unlabelled, task }: Overview): Markup {
  const names = Object.keys(sets)
  const unit = task === 'tokens' ? 'Words' : 'Texts'
  const count = (name: string, label: string): Part => {
    const { classes, rows } = sets[name]
    const value = classes?.[label] ?? 0
    return task === 'tokens' ? number(value) : html`${number(value)} <small>${percent(value / rows)}</small>`
  }
  const numbers = names.flatMap(name => (sets[name].numbers ? [[name, sets[name].numbers] as const] : []))
  return html`${facts('The data', [
    ['Source', source],
    ['Column of texts', columns.pair === undefined ? columns.text : `${columns.text}, ${columns.pair}`],
    ['Column of labels', columns.label ?? 'none'],
    ...(unlabelled > 0 ? [['Without a label', number(unlabelled)] as const] : []),
    ...leftOut.map(
      ({ split, why, rows, first }) => [`Left out of ${split}`, `${number(rows)}: ${why} (first: ${first})`] as const,
    ),
  ])}
${table(
  task === 'regression' ? 'Texts of each set' : `${unit} of each label`,
  ['Label', ...names],
  [
    ['all texts', ...names.map(name => number(sets[name].rows))],
    ...(task === 'regression' ? [] : labels.map(label => [showName(label), ...names.map(name => count(name, label))])),
  ],
)}
${
  numbers.length > 0 &&
  table(
    'Labels that are numbers',
    ['Set', ...STATISTICS],
    numbers.map(([name, statistics]) => [name, ...STATISTICS.map(column => number(statistics[column]))]),
  )
}`
}
