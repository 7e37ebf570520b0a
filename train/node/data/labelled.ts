// Examples of any task from whatever kind of data lies at a path: which task it is, what its classes are called, and
// the sets to train, validate and test on.
import { UserError } from '../../../engine/errors.ts'
import {
  type RawExample,
  type ReadFacts,
  type ReadOptions,
  labelColumnOf,
  listIn,
  readExamples,
} from '../../data/examples.ts'
import { type Table, placeOf, showCell } from '../../data/table.ts'
import { counted } from '../../counts.ts'
import { stream } from '../../random.ts'
import { setAside } from '../../strata.ts'
import {
  type InferOptions,
  type Label,
  type Labelled,
  type Target,
  type TaskName,
  type TaskPlan,
  inferTask,
  targetOf,
} from '../../tasks/infer.ts'
import { type LayoutOptions, findSplits } from './layout.ts'

/** One example of a task. */
export interface Example {
  readonly text: string
  readonly pair?: string
  /** The words of the text, where a label belongs to each. */
  readonly words?: readonly string[]
  readonly target: Target
}

export interface DataOptions
  extends LayoutOptions, Omit<ReadOptions, 'labels'>, Pick<InferOptions, 'task' | 'given' | 'model' | 'leastClasses'> {
  /** By which a test set is drawn if there is none. */
  readonly testSeed: number
  /** How labels are spelled by people, where the data declares no names: `0`, `neg` for `negative`. */
  readonly spellings?: (label: string | number | boolean) => string | undefined
}

export interface LabelledData {
  readonly plan: TaskPlan
  readonly train: readonly Example[]
  /** The data's own, where it has a split for it beside the one that is tested on. */
  readonly validation: readonly Example[] | undefined
  readonly test: readonly Example[]
  /** Where they come from and how they were read, in a few words. */
  readonly source: string
  /** Rows labelled −1, which the Hub's convention calls unlabelled; they are in no set. */
  readonly unlabelled: number
  /** Rows that could not be used and were left out, which only happens where that was asked for. */
  readonly leftOut: readonly LeftOut[]
  readonly columns: ReadFacts['columns']
}

/** Rows of one table that were left out for the same reason. */
export interface LeftOut {
  readonly split: string
  readonly why: string
  readonly rows: number
  /** Where the first of them stands. */
  readonly first: string
}

/** The part of a single table that becomes the test set. */
const TEST_FRACTION = 0.2

/**
 * Loads the sets of a task from what `findSplits` finds at `path`. A test split without labels is never scored: the
 * validation split takes its place. Where there is neither, `testSeed` draws a fifth of each class for the test.
 * @throws UserError, naming file and row, on anything that cannot be read so, and on training examples of one class
 */
export async function loadLabelled(path: string, options: DataOptions): Promise<LabelledData> {
  const { splits, whole, source } = await findSplits(path, options)
  const table = splits.get('train') ?? whole
  if (!table) throw new UserError(`${path} has no split for training; its splits: ${[...splits.keys()].join(', ')}`)
  const read = await readSplit(table, options)
  if (read.examples.length === 0) throw new UserError(noRows(table, read.facts))
  if (!splits.has('test') && !splits.has('validation')) requireTwo(read.examples, path)
  const plan = planOf(read, options, path)
  const leftOut = leftOutOf(splits.has('train') ? 'train' : 'all', read.facts)
  const held: { name: string; examples: Example[]; notes: string[]; unlabelled: number }[] = []
  const passed: string[] = []
  for (const name of ['test', 'validation']) {
    const split = splits.get(name)
    if (!split) continue
    const part = await readHeld(split, options)
    if (!part) {
      passed.push(`${name} has no labels`)
      continue
    }
    leftOut.push(...leftOutOf(name, part.facts))
    held.push({
      name,
      examples: part.examples.map(one => exampleOf(one, plan)),
      notes: notesOn(part.facts),
      unlabelled: part.facts.minusOnes,
    })
  }
  const train = read.examples.map(one => exampleOf(one, plan))
  const common = { plan, columns: read.facts.columns, leftOut }
  const notes = [...passed, ...notesOn(read.facts)]
  const [tested, other] = held
  if (tested) {
    const isTest = tested.name === 'test'
    const all = [...notes, ...(isTest ? [] : ['tested on validation']), ...tested.notes]
    return {
      ...common,
      train,
      validation: isTest ? other?.examples : undefined,
      test: tested.examples,
      source: told(source, all),
      unlabelled: read.facts.minusOnes + held.reduce((sum, { unlabelled }) => sum + unlabelled, 0),
    }
  }
  requireTwo(train, path)
  const strata = strataOf(plan)
  const { rest, aside } = setAside(
    train,
    TEST_FRACTION,
    stream(options.testSeed, 'train and test'),
    stratumOf(plan),
    strata,
  )
  requireClasses(
    rest,
    plan,
    `${path}, of whose ${train.length} rows ${aside.length} ${aside.length === 1 ? 'is' : 'are'} for the test,`,
  )
  const split = `${whole ? source : table.source} (split 80/20)`
  return {
    ...common,
    train: rest,
    validation: undefined,
    test: aside,
    source: told(split, notes),
    unlabelled: read.facts.minusOnes,
  }
}

/** Examples of one table, each with where it stands, for messages. */
type Raw = Labelled & Pick<RawExample, 'pair'> & { readonly text: string }

interface Read {
  readonly examples: readonly Raw[]
  readonly facts: ReadFacts
}

export async function readSplit(table: Table, options: DataOptions): Promise<Read> {
  const { examples, facts } = await readExamples(table, options)
  return {
    facts,
    examples: examples.flatMap(example =>
      example.label === undefined ? [] : [rawOf(example, labelOf(example.label, options.task))],
    ),
  }
}

/** Strings that look like lists are lists, where several labels are wanted. */
export const labelOf = (label: Label, task: TaskName | undefined): Label =>
  task === 'labels' && typeof label === 'string' ? (listIn(label) ?? label) : label

const rawOf = (example: RawExample, label: Label): Raw => ({ label, ...textsOf(example), where: placeOf(example) })

/** The texts of an example as the tasks take them. */
export function textsOf({ text, pair }: RawExample): Omit<Example, 'target'> {
  const words = typeof text === 'string' ? undefined : text
  return {
    text: words ? words.join(' ') : String(text),
    ...(words && { words }),
    ...(pair !== undefined && { pair }),
  }
}

/** A split to test on, or undefined where none of its rows has a label: nothing can be scored by it. */
async function readHeld(table: Table, options: DataOptions): Promise<Read | undefined> {
  if (labelColumnOf(table, options) === undefined) return undefined
  const { examples } = await readExamples(table, { ...options, labels: 'optional' })
  if (examples.every(({ label }) => label === undefined)) return undefined
  return readSplit(table, options)
}

export function planOf(
  { examples, facts }: Read,
  { task, given, model, spellings, leastClasses }: DataOptions,
  path: string,
): TaskPlan {
  const declared = facts.classNames
  const spell = declared || given ? undefined : spellings
  const spelled = spell && examples.every(({ label }) => !isList(label) && spell(label) !== undefined)
  try {
    const plan = inferTask(spelled ? examples.map(one => ({ ...one, label: spellOf(one.label, spell) })) : examples, {
      task,
      declared,
      given,
      model,
      leastClasses,
    })
    // The data's own spellings come again in other splits.
    return spelled ? { ...plan, spellings: spell } : plan
  } catch (error) {
    const lost =
      facts.minusOnes === 0
        ? ''
        : `; ${facts.minusOnes} rows labelled -1 were read as unlabelled: --minus-one label takes -1 for a class`
    const where = error instanceof Error && error.message.includes(path) ? '' : `${path}: `
    throw error instanceof UserError ? new UserError(`${where}${error.message}${lost}`) : error
  }
}

const isList = (label: Label): label is readonly (string | number | boolean)[] => Array.isArray(label)
const spellOf = (label: Label, spell: (label: string | number | boolean) => string | undefined): Label =>
  isList(label) ? label : (spell(label) ?? label)

export function exampleOf(raw: Raw, plan: TaskPlan): Example {
  const { text, pair, words } = raw
  return { text, ...(pair !== undefined && { pair }), ...(words && { words }), target: targetOf(raw, plan) }
}

/** By which draws are balanced: the classes of a single label; all examples together otherwise. */
export const strataOf = ({ task, labels }: TaskPlan): number => (task === 'classes' ? labels.length : 1)
export const stratumOf =
  ({ task }: TaskPlan) =>
  ({ target }: Example): number =>
    task === 'classes' ? Number(target) : 0

/** Throws a UserError if a set of single labels has one class alone. */
export function requireClasses(examples: readonly Example[], { task, labels }: TaskPlan, where: string): void {
  if (task !== 'classes') return
  const [first] = examples
  if (examples.some(({ target }) => target !== first.target)) return
  throw new UserError(
    `${where} has only the label ${JSON.stringify(labels[Number(first.target)])} to train on; at least two are needed`,
  )
}

function requireTwo({ length }: readonly unknown[], path: string): void {
  if (length < 2) throw new UserError(`${path} has 1 labelled row; a training and a test set need at least 2`)
}

function noRows({ source }: Table, { minusOnes }: ReadFacts): string {
  return minusOnes > 0
    ? `${source} has no labelled rows: all ${minusOnes} are labelled -1`
    : `${source} has no rows that can be used`
}

/** A source with how it was read, each note once. */
export function told(source: string, notes: readonly string[]): string {
  return [source, ...new Set(notes)].join('; ')
}

export const leftOutOf = (split: string, { skipped }: ReadFacts): LeftOut[] =>
  Array.from(skipped, ([why, { count, first }]) => ({ split, why, rows: count, first }))

/** The columns that were taken, and rows that were left out. */
export function notesOn({ columns, skipped }: ReadFacts): string[] {
  const second = columns.pair === undefined ? '' : ` with ${showCell(columns.pair)}`
  const labels = columns.label === undefined ? '' : `, labels from ${showCell(columns.label)}`
  const notes = [`texts from column ${showCell(columns.text)}${second}${labels}`]
  for (const [kind, { count, first }] of skipped) {
    notes.push(`${counted(count, 'row')} left out: ${kind} (first: ${first})`)
  }
  return notes
}
