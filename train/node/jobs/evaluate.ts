// `tilegrad evaluate`: what was trained against labelled texts: metrics of the field, their interval, and each text's
// answer.
import { UserError } from '../../../engine/errors.ts'
import { IGNORED } from '../../../models/losses.ts'
import type { TextClassifier } from '../../../models/classifier.ts'
import type { Scored, TextInput } from '../../../models/prediction.ts'
import { counted } from '../../counts.ts'
import { type RawExample, type ReadFacts, type ReadOptions, labelColumnOf, readExamples } from '../../data/examples.ts'
import { type Table, listNames, placeOf, showCell } from '../../data/table.ts'
import { type MetricInfo, type Results, type Summary, intervalOf, metricsOf, summarise } from '../../metrics/summary.ts'
import { INTERVAL_SEED, type Interval } from '../../metrics/uncertainty.ts'
import type { ExampleOutput } from '../../task.ts'
import { type Label, type Target, TASK_NAMES, type TaskName, type TaskPlan, targetOf } from '../../tasks/infer.ts'
import { PROBLEM_OF } from '../../tasks/index.ts'
import { resultsOf } from '../../tasks/results.ts'
import { labelOf } from '../data/labelled.ts'
import { onlyTable, splitNames } from '../data/layout.ts'
import { splitsAt } from './texts.ts'

export interface EvaluateOptions extends Pick<
  ReadOptions,
  'textColumn' | 'labelColumn' | 'labelSeparator' | 'skipBadRows' | 'minusOne' | 'like'
> {
  readonly pairColumn?: string
  readonly split?: string
  readonly encoding?: string
  /** How the data spells the model's labels, in the model's order. */
  readonly labels?: readonly string[]
}

/** Labelled texts, as they were found. */
export interface Labelled {
  readonly examples: readonly RawExample[]
  readonly facts: ReadFacts
  /** Where they come from and how they were read, one sentence each. */
  readonly notes: readonly string[]
}

/** How good the answers are. */
export interface Evaluated {
  readonly plan: TaskPlan
  readonly task: TaskName
  /** What the metrics are computed from, as the model answers. */
  readonly results: Results
  readonly summary: Summary
  readonly metrics: readonly MetricInfo[]
  /** The metric that decides, with its 95 % interval if there is one. */
  readonly main: string
  readonly interval: Interval | undefined
  readonly inputs: readonly TextInput[]
  readonly scored: readonly Scored[]
  /** What each label asks for, and beside it what the model computed. */
  readonly targets: readonly Target[]
  readonly outputs: readonly ExampleOutput<Target>[]
}

/**
 * The labelled texts at a path or of a Hub dataset: of the split that is named, else of the test split, else, where
 * that has no labels, of the validation split; of a single table all.
 * @throws UserError if there are none
 */
export async function openLabelled(data: string, options: Omit<EvaluateOptions, 'labels'>): Promise<Labelled> {
  const found = await splitsAt(data, options.encoding)
  const read = async (table: Table, name?: string, passed: readonly string[] = []): Promise<Labelled> => {
    const { examples, facts } = await readExamples(table, options)
    if (examples.length === 0) throw new UserError(`${table.source} has no labelled rows`)
    return { examples, facts, notes: [...passed, ...notesOn(table, name, examples.length, facts)] }
  }
  const only = onlyTable(found)
  if (options.split !== undefined || !only) {
    const names = options.split === undefined ? ['test', 'validation'] : [options.split]
    const passed: string[] = []
    for (const name of names) {
      const table = found.splits.get(name)
      if (!table) continue
      if (options.split !== undefined || (await hasLabels(table, options))) return read(table, name, passed)
      passed.push(`The split ${name} has no labels.`)
    }
    throw new UserError(`${data} has no labelled split ${names.join(' or ')}; its splits: ${splitNames(found)}`)
  }
  return read(only)
}

async function hasLabels(table: Table, options: EvaluateOptions): Promise<boolean> {
  if (labelColumnOf(table, options) === undefined) return false
  const { examples } = await readExamples(table, { ...options, labels: 'optional' })
  return examples.some(({ label }) => label !== undefined)
}

function notesOn(
  table: Table,
  split: string | undefined,
  count: number,
  { columns, skipped, minusOnes }: ReadFacts,
): string[] {
  const { text, pair, label } = columns
  const texts =
    pair === undefined
      ? `texts from column ${showCell(text)}`
      : `pairs from columns ${showCell(text)} and ${showCell(pair)}`
  const part = split === undefined ? '' : `, split ${split}`
  return [
    `Data: ${table.source}${part}: ${counted(count, 'row')}; ${texts}, labels from ${showCell(label)}`,
    ...(minusOnes > 0
      ? [`${counted(minusOnes, 'row')} without a label (-1) left out (--minus-one label takes -1 for a class)`]
      : []),
    ...[...skipped].map(([kind, { count, first }]) => `${counted(count, 'row')} left out: ${kind} (first: ${first})`),
  ]
}

/**
 * Classifies labelled texts and compares. `say` hears how labels were understood where that is not plain.
 * @throws UserError on a label that the model does not know, and on texts that do not suit its task
 */
export async function evaluateOn(
  classifier: Pick<TextClassifier, 'score' | 'options'>,
  { examples, facts }: Labelled,
  { labels: spelled }: Pick<EvaluateOptions, 'labels'> = {},
  { say, onProgress }: { say?: (line: string) => void; onProgress?: (done: number) => void } = {},
): Promise<Evaluated> {
  const { problem, labels, temperature, thresholds } = classifier.options
  const task = TASK_NAMES.find(name => PROBLEM_OF[name] === problem)
  if (!task) throw new Error(`no task for ${problem}`)
  if (spelled && spelled.length !== labels.length) {
    throw new UserError(
      `--labels gives ${spelled.length} names, but the model has ${labels.length} labels: ${listNames(labels)}`,
    )
  }
  const plan: TaskPlan = {
    task,
    labels,
    namedBy: 'model',
    why: 'as the model was trained',
    ...(spelled && { spelled }),
  }
  const named = namer(facts.classNames, plan, say)
  // Every label is understood before anything is computed.
  const targets = examples.map(example => {
    const where = placeOf(example)
    if (example.label === undefined) throw new UserError(`${where}: no label`)
    return targetOf({ label: named(labelOf(example.label, task)), where, words: wordsOf(example) }, plan)
  })
  const inputs = examples.map(example => inputOf(example, task))
  const scored = await classifier.score(inputs, onProgress)
  const outputs = scored.map((score, i): ExampleOutput<Target> => outputOf(score, targets[i], placeOf(examples[i])))
  const results = resultsOf(task, labels, outputs, { temperature, thresholds })
  const metrics = metricsOf(task, labels.length)
  const [{ name: main }] = metrics
  const interval = intervalOf(results, main, { seed: INTERVAL_SEED })
  const summary = summarise(results)
  return { plan, task, results, summary, metrics, main, interval, inputs, scored, targets, outputs }
}

/**
 * Labels that are numbers of classes, by the names that the file itself gives them where the model has the same names.
 */
function namer(
  classNames: readonly string[] | undefined,
  { labels, spelled = labels }: TaskPlan,
  say?: (line: string) => void,
): (label: Label) => Label {
  if (!classNames) return label => label
  const known = new Set([...labels, ...spelled].map(name => name.toLowerCase()))
  const byName = classNames.every(name => known.has(name.toLowerCase()))
  if (!byName && classNames.length === labels.length) {
    say?.(
      `The file calls the classes ${listNames(classNames)}, the model ${listNames(labels)}: taken by their numbers.`,
    )
    return label => label
  }
  const nameOf = (one: string | number | boolean) => (typeof one === 'number' ? (classNames[one] ?? one) : one)
  return label => (typeof label === 'object' ? label.map(nameOf) : nameOf(label))
}

const wordsOf = ({ text }: RawExample): readonly string[] | undefined => (typeof text === 'string' ? undefined : text)

function inputOf({ text, pair, ...place }: RawExample, task: TaskName): TextInput {
  if (typeof text !== 'string') return { words: text }
  if (task === 'tokens')
    throw new UserError(`${placeOf(place)}: the model labels words, but the text is not a list of words`)
  return pair === undefined ? text : { text, pair }
}

/** A text's logits beside its target; for labels of words both by token, where only the first of each word counts. */
function outputOf({ logits, firstOf }: Scored, target: Target, where: string): ExampleOutput<Target> {
  if (!firstOf) return { target, output: logits }
  if (typeof target === 'number') throw new UserError(`${where}: a label for each word was expected`)
  if (firstOf.some(word => word >= target.length))
    throw new UserError(`${where}: ${target.length} labels for more words`)
  return { target: Int32Array.from(firstOf, word => (word < 0 ? IGNORED : target[word])), output: logits }
}
