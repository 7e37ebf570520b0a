// What a run says on the console, and how it puts things there: the task and its classes, the data, sample answers.
import type { Device } from '../../../../engine/index.ts'
import { type Prediction, type TextInput, textOf } from '../../../../models/prediction.ts'
import { count } from '../../../counts.ts'
import { TASK_TEXTS } from '../../../tasks/infer.ts'
import { showName } from '../../../data/table.ts'
import { percent as percentage, table } from '../../cli/console.ts'
import type { Options, ReferenceName } from '../../cli/options.ts'
import type { TokenLengths } from '../../data/encode.ts'
import { STATISTICS, type SetFacts } from '../../data/statistics.ts'
import type { Data } from '../job.ts'
import { settingSentence } from '../../report/sentence.ts'
import type { OpenedModel } from '../model.ts'

/** Sentences about films that a run classifies in the end if it is asked for no others: two plain ones, two that turn. */
const SENTENCES = [
  'A warm, funny and beautifully acted film that I will happily watch again.',
  'Two dull hours of wooden acting and a story that goes nowhere.',
  'This is not the disaster that I feared: the jokes land, and the ending moved me.',
  'The cast is wonderful, but nothing could save this lifeless script.',
]

/** What a run is compared with, beside "this run". */
export const REFERENCE_TITLES: Readonly<Record<ReferenceName, string>> = {
  random: 'the same from random weights',
  nb: 'naive Bayes on words',
  lr: 'logistic regression on words',
  'nb-svm': 'NB-SVM on words',
}
export const percent = (fraction: number): string => percentage(fraction, 2)

/** Classes that are listed by name. */
const LISTED = 12
/** What looks like several labels in one string. */
const JOINED = /^\[.*\]$|[^;|][;|][^;|]/s
/** A class with less than this share of an even one is rare enough for a warning. */
const RARE = 0.25

/** What a run is about to do: what is trained and how, where, on how many texts, and what it is compared with. */
export function planText(
  options: Options,
  { train, validation, test }: Pick<Data, 'train' | 'validation' | 'test'>,
  { info: { name } }: Pick<Device, 'info'>,
  beside: readonly string[],
): string {
  const choosing = validation.length > 0 ? `, ${count(validation.length)} choose the best evaluation` : ''
  const texts = `${count(train.length)} texts train it${choosing}, and ${count(test.length)} that training never sees test it`
  const compared = beside.length > 0 ? `, beside ${beside.join(' and ')}` : ''
  return `Adapter: ${name}\nPlan: ${settingSentence(options)}\n${texts}${compared}.`
}

/** What was understood of the labels: the task, and its classes with their counts. */
export function taskText(
  { plan: { task, labels, why, namedBy } }: Pick<Data, 'plan'>,
  { rows, classes }: SetFacts,
): string {
  const head = `Task: ${TASK_TEXTS[task]} (${why})`
  if (!classes) return head
  const listed = (names: readonly string[], show = showName): string =>
    names.slice(0, LISTED).map(show).join(', ') + (names.length > LISTED ? `, and ${names.length - LISTED} more` : '')
  const from = { file: 'the file', option: '--labels', model: 'the model', data: 'the data' }[namedBy]
  const lines = [
    head,
    `Classes, named by ${from}: ${listed(labels, name => `${showName(name)} ${count(classes[name])}`)}`,
  ]
  const joined = task === 'classes' && namedBy === 'data' ? labels.filter(name => JOINED.test(name)) : []
  if (joined.length > labels.length / 2) {
    const how = joined[0].startsWith('[') ? '--task labels' : `--label-separator '${/[;|]/.exec(joined[0])?.[0]}'`
    lines.push(
      `Labels such as "${showName(joined[0])}" are taken as one name each; for several labels at once use lists in JSON or Parquet, or ${how}`,
    )
  }
  const absent = labels.filter(name => classes[name] === 0)
  if (absent.length > 0) {
    lines.push(
      `${absent.length === 1 ? '1 class has' : `${count(absent.length)} classes have`} no training text: ${listed(absent)}`,
    )
  }
  const least = Math.min(...Object.values(classes).filter(texts => texts > 0))
  if (task === 'classes' && least < (RARE * rows) / labels.length) {
    const rare = labels.find(name => classes[name] === least) ?? ''
    lines.push(
      `Only ${percent(least / rows)} of the training texts are ${showName(rare)}: accuracy says little of it. --class-weights balanced weighs classes alike, ` +
        'and --best-metric f1_macro judges by all of them.',
    )
  }
  return lines.join('\n')
}

/** Rows and text lengths of the training and the test set. */
export function dataTable(facts: { train: SetFacts; test: SetFacts }, data: Data): string {
  const withShare = facts.train.positive !== undefined
  const row = (name: string, { rows, positive = 0, text_length }: SetFacts): string[] => [
    name,
    count(rows),
    ...(withShare ? [percent(positive / rows)] : []),
    ...STATISTICS.map(c => text_length[c].toFixed(c === 'mean' || c === 'std' ? 1 : 0)),
  ]
  return (
    table([
      [
        'set',
        'texts',
        ...(withShare ? [showName(data.plan.labels[1])] : []),
        ...STATISTICS.map(c => (c === 'mean' ? 'length: mean' : c)),
      ],
      row('train', facts.train),
      row('test', facts.test),
    ]) + `\n${count(data.validation.length)} texts are held out for validation; lengths are in characters.`
  )
}

/** `1,200 of 5,000 (24.00 %)`. */
export const shareOf = (part: number, whole: number): string =>
  `${count(part)} of ${count(whole)} (${percent(part / whole)})`

/** What is done with texts that are too long. */
export const treatmentOf = ({ window, maxLength }: Options): string =>
  window === undefined ? 'cut' : `read in windows of ${maxLength} that share ${window}`

/** How long the training texts are in tokens, how many of them are too long, and what helps. */
export function lengthsText(
  lengths: TokenLengths,
  options: Options,
  { config: { maxPositions } }: OpenedModel,
  texts: number,
): string {
  const { maxLength, window } = options
  const { count: measured, longer, max } = lengths
  const [middle, most] = [lengths['50%'], lengths['95%']].map(Math.round)
  const drawn = measured < texts ? ` (of ${count(measured)} drawn)` : ''
  const head = `Tokens in a training text: median ${count(middle)}, 95 % up to ${count(most)}, longest ${count(max)}${drawn}.`
  if (longer === 0) return `${head} None is longer than ${maxLength}.`
  const remedy = maxPositions > maxLength ? `--window or --max-length (up to ${maxPositions}) reads` : '--window reads'
  return `${head}\n${shareOf(longer, measured)} are longer than ${maxLength} and are ${treatmentOf(options)}${window === undefined ? `; ${remedy} more of them` : ''}.`
}

/** Texts that the model is shown at work on: those asked for; else for reviews four sentences, or the first test texts. */
export function examplesOf(
  { plan: { task, labels }, test }: Pick<Data, 'plan' | 'test'>,
  asked: readonly string[] = [],
): readonly TextInput[] {
  if (asked.length > 0) return task === 'tokens' ? asked.map(text => ({ words: text.trim().split(/\s+/) })) : asked
  if (task === 'classes' && labels.join() === 'negative,positive' && test[0].pair === undefined) return SENTENCES
  return test
    .slice(0, 2)
    .map(({ text, pair, words }) => (words ? { words } : pair === undefined ? text : { text, pair }))
}

/** An answer and its text in one line. */
export function answerLine(input: TextInput, answer: Prediction): string {
  const text = textOf(input)
  switch (answer.kind) {
    case 'label':
      return `${showName(answer.label)} (${percent(answer.probability)}): ${text}`
    case 'labels':
      return `${answer.labels.map(showName).join(', ') || 'none'}: ${text}`
    case 'number':
      return `${answer.value.toFixed(3)}: ${text}`
    case 'words':
      return answer.words.map(({ text, label }) => (label === 'O' ? text : `${text}[${showName(label)}]`)).join(' ')
  }
}
