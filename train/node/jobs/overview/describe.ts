// The overview in the terminal: short tables, the numbers first.
import { count } from '../../../counts.ts'
import { showName } from '../../../data/table.ts'
import { table } from '../../cli/console.ts'
import { STATISTICS, type TextStatistics } from '../../data/statistics.ts'
import { percent, shareOf } from '../fine-tune/describe.ts'
import type { MaxLengthRow, Overview, ShownRow } from './result.ts'

/** Classes that have a column, or a line of words, and words of each line. */
const [COLUMNS, LINES, WORDS] = [6, 12, 12]
/** UTF-16 units of a text that are shown. */
const OPENING = 90

/** Everything except the data and task lines, which a run prints too. */
export function describeOverview(overview: Overview): string {
  return [
    rowsTable(overview),
    leftOutText(overview),
    lengthsTable(overview),
    maxLengthTable(overview),
    duplicatesText(overview),
    oddTable(overview),
    wordsText(overview),
    examplesText(overview),
  ]
    .filter(part => part !== undefined)
    .join('\n\n')
}

/** The beginning of a text on one line. */
function opening(text: string, most = OPENING): string {
  const line = text
    .slice(0, 4 * most)
    .replace(/\s+/g, ' ')
    .trim()
  return line.length > most || text.length > 4 * most ? `${line.slice(0, most - 1).toWellFormed()}…` : line
}

function rowsTable({ sets, labels }: Overview): string {
  const names = Object.keys(sets)
  const shown = labels.length <= COLUMNS && sets.train.classes ? labels : []
  return table([
    ['rows', 'all', ...shown.map(showName)],
    ...names.map(name => [
      name,
      count(sets[name].rows),
      ...shown.map(label => count(sets[name].classes?.[label] ?? 0)),
    ]),
  ])
}

function leftOutText({ left_out: leftOut }: Overview): string | undefined {
  if (leftOut.length === 0) return undefined
  const lines = leftOut.map(
    ({ split, why, rows, first }) =>
      `  ${split}: ${count(rows)} ${rows === 1 ? 'row' : 'rows'}, ${why} (first: ${first})`,
  )
  return ['Left out; fine-tune refuses such rows unless --skip-bad-rows is given:', ...lines].join('\n')
}

/** A dash for what is not defined, as a single text's deviation is. */
const figure = (value: number, digits: number): string => (Number.isFinite(value) ? value.toFixed(digits) : '–')

const statisticsRow = (name: string, statistics: TextStatistics): string[] => [
  name,
  ...STATISTICS.map(column => figure(statistics[column], column === 'mean' || column === 'std' ? 1 : 0)),
]

function lengthsTable({ sets, tokenizer }: Overview): string {
  const rows = Object.entries(sets).flatMap(([name, { text_length, pair_length, token_length }]) => [
    statisticsRow(`${name}, characters`, text_length),
    ...(pair_length ? [statisticsRow(`${name}, second text`, pair_length)] : []),
    statisticsRow(`${name}, tokens`, token_length),
  ])
  const numbers = Object.entries(sets).flatMap(([name, { numbers }]) =>
    numbers ? [[`${name}, label`, ...STATISTICS.map(column => figure(numbers[column], 3))]] : [],
  )
  const why = tokenizer.why === undefined ? '' : ` (${tokenizer.why})`
  return (
    `${table([['length', ...STATISTICS], ...rows, ...numbers])}\n` +
    `Tokens, special ones included, are those of ${tokenizer.name}${why}: a vocabulary of ${count(tokenizer.vocabulary)}.`
  )
}

/** Lengths up to the first that cuts no text: those beyond are the same. */
export function distinctLengths({ lengths }: Overview['max_length']): readonly MaxLengthRow[] {
  const enough = lengths.findIndex(({ cut }) => Object.values(cut).every(({ texts }) => texts === 0))
  return enough < 0 ? lengths : lengths.slice(0, enough + 1)
}

function maxLengthTable({ sets, max_length }: Overview): string {
  const names = Object.keys(sets)
  const rows = distinctLengths(max_length).map(({ max_length, cut, padded, tokens, time }) => [
    count(max_length),
    ...names.map(name => shareOf(cut[name].texts, sets[name].rows)),
    percent(cut.train.tokens / cut.train.of),
    count(padded),
    percent(1 - tokens / padded),
    time.toFixed(2),
  ])
  return `${table([
    ['--max-length', ...names.map(name => `${name} texts cut`), 'tokens lost', 'computed', 'padding', 'time'],
    ...rows,
  ])}\n${timeText(max_length)}`
}

/** How the time of an epoch is estimated. */
export const timeText = ({ batch_size, batch_tokens, model, reference }: Overview['max_length']): string =>
  `Tokens computed and time are those of an epoch over the training texts, in the batches that the trainer makes of them ` +
  `(${batch_tokens === undefined ? `--batch-size ${batch_size}` : `--batch-tokens ${batch_tokens}`}). Time is estimated from ` +
  `arithmetic for the widths of ${model.name} (${model.hidden}, ${model.intermediate}), attention's quadratic part included; ` +
  `--max-length ${reference} takes 1.00.`

function duplicatesText({ duplicates: { within, between }, sets }: Overview): string {
  const rows = Object.entries(within).map(([name, { exact, normalised, near }]) => [
    `repeated in ${name}`,
    count(exact.rows),
    count(normalised.rows),
    count(near),
    count(normalised.conflicting),
  ])
  const shared = between.map(({ from, to, exact, normalised, near }) => [
    `${to} rows also in ${from}`,
    shareOf(exact.rows, sets[to].rows),
    count(normalised.rows),
    count(near),
    count(normalised.conflicting),
  ])
  return `${table([['duplicates', 'exact', 'but for case and space', 'nearly equal', 'labelled differently'], ...rows, ...shared])}\n${NEAR_TEXT}`
}

/** What the last columns of the table of duplicates count. */
export const NEAR_TEXT =
  'Nearly equal: other rows with a Jaccard similarity of at least 0.8 over shingles of five words. ' +
  'Labelled differently: of the rows or repeated texts that are equal but for case and space.'

function oddTable({ odd, sets }: Overview): string {
  const names = Object.keys(sets)
  if (odd.length === 0)
    return 'Odd texts: none (no control characters, no wrong encoding, no markup, none without words).'
  const counts = table([
    ['texts with', ...names],
    ...odd.map(({ kind, rows }) => [kind, ...names.map(name => shareOf(rows[name], sets[name].rows))]),
  ])
  const says = ['', ...odd.map(one => one.says)]
  return counts
    .split('\n')
    .map((line, i) => `${line}  ${says[i]}`.trimEnd())
    .join('\n')
}

function wordsText({ words, task }: Overview): string | undefined {
  const lines = words.slice(0, LINES).map(({ group, words }) => [
    `  ${showName(group)}:`,
    words
      .slice(0, WORDS)
      .map(({ word, z }) => `${word} ${z.toFixed(1)}`)
      .join(', ') || 'none',
  ])
  if (words.length === 0) return undefined
  const more = words.length > LINES ? [`  and ${count(words.length - LINES)} more classes`] : []
  const where = task === 'tokens' ? 'Words by label' : 'Words that tell the classes apart'
  const width = Math.max(...lines.map(([name]) => name.length))
  return [
    `${where}, with z-scores of their log-odds (training texts):`,
    ...lines.map(([name, rest]) => `${name.padEnd(width)}  ${rest}`),
    ...more,
  ].join('\n')
}

function examplesText({ examples }: Overview): string | undefined {
  if (examples.length === 0) return undefined
  const shown = examples.slice(0, 2 * COLUMNS)
  const lines = shown.map(({ group, kind, ...row }) => `  ${showName(group)}, ${kind}: ${rowText(row)}`)
  return ['Examples (training texts):', ...lines].join('\n')
}

const rowText = ({ text, pair }: ShownRow): string =>
  pair === undefined ? opening(text) : `${opening(text, OPENING / 2)} | ${opening(pair, OPENING / 2)}`
