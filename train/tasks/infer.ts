// Which task a table of labels asks for, what its classes are called, and what number each label becomes. Nothing is
// renamed without a word: whoever calls this shows what was understood.
import { UserError } from '../../engine/errors.ts'
import { IGNORED } from '../../models/losses.ts'
import { showCell, showNames } from '../data/table.ts'

/** The kinds of task, as `--task` takes them. */
export const TASK_NAMES = ['classes', 'labels', 'regression', 'tokens'] as const
export type TaskName = (typeof TASK_NAMES)[number]

/** The kinds of task in words, for messages and reports. */
export const TASK_TEXTS: Readonly<Record<TaskName, string>> = {
  classes: 'one label per text',
  labels: 'several labels at once',
  regression: 'one number per text',
  tokens: 'one label per word',
}

/** A label as a file has it. */
export type Label = string | number | boolean | readonly (string | number | boolean)[]

/** An example's label and where it stands, for messages. */
export interface Labelled {
  readonly label: Label
  /** Words of the text, where a file has them apart: a label for each makes it a task of tokens. */
  readonly words?: readonly string[]
  /** File and row, e.g. `train.csv, row 12`. */
  readonly where: string
}

export interface InferOptions {
  /** What `--task` says. */
  readonly task?: TaskName
  /** Names from the file's own metadata, in its order: the number of a label is its place. */
  readonly declared?: readonly string[]
  /** What `--labels` says, in order. */
  readonly given?: readonly string[]
  /** The base model's `id2label`, where it has names of its own. */
  readonly model?: readonly string[]
  /** Fewer classes are refused: 2 unless given, since there is no difference to learn. */
  readonly leastClasses?: number
}

/** How labels are understood. */
export interface TaskPlan {
  readonly task: TaskName
  /** Names of the classes by their number; one name, of the number, for regression. */
  readonly labels: readonly string[]
  /** How the data spells them, in the same order, where `--labels` gave other names. */
  readonly spelled?: readonly string[]
  /** What else people write for these names, such as `neg` for `negative`. */
  readonly spellings?: (label: string | number | boolean) => string | undefined
  /** Where the names come from. */
  readonly namedBy: 'file' | 'option' | 'model' | 'data'
  /** Why it is this task, in a few words. */
  readonly why: string
}

/** More distinct whole numbers than this, and they are amounts rather than classes. */
const MOST_NUMBER_CLASSES = 50
/** If this share of the labels are numbers, the others are more likely mistakes than names. */
const MOSTLY_NUMBERS = 0.9
/** How programs write values that are missing or not finite. */
const NOT_FINITE = /^[+-]?(nan|inf|infinity)$/i

/** `1.0` and 1 are one label, as they are in a table whose column holds floats. */
function nameOf(label: string | number | boolean): string {
  if (typeof label !== 'string') return String(label)
  const trimmed = label.trim()
  const whole = /^([+-]?\d+)\.0*$/.exec(trimmed)?.[1]
  if (whole === undefined) return trimmed
  // A larger number has more digits than a JavaScript number keeps.
  return Number.isSafeInteger(Number(whole)) ? String(Number(whole)) : whole
}

const isNumber = (name: string): boolean => name !== '' && Number.isFinite(Number(name))
const isList = (label: Label): label is readonly (string | number | boolean)[] => Array.isArray(label)

/** Numbers by size, names by code point: the same order on every machine. */
function sorted(names: Iterable<string>): string[] {
  const all = [...new Set(names)]
  if (all.every(isNumber)) return all.sort((a, b) => Number(a) - Number(b))
  return all.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
}

/**
 * Understands the labels of a training set.
 * @throws UserError where they are of several kinds, where `--task` does not suit them, and where a label is not one of
 * the
 *   names that were given
 */
export function inferTask(examples: readonly Labelled[], options: InferOptions = {}): TaskPlan {
  if (examples.length === 0) throw new UserError('no labelled examples to train on')
  const lists = examples.filter(({ label }) => isList(label)).length
  if (lists > 0 && lists < examples.length) {
    const other = examples.find(({ label }) => isList(label) !== isList(examples[0].label))
    throw new UserError(`${other?.where}: some labels are lists and others are not`)
  }
  if (!options.task && !options.declared && !options.given) refuseStrays(examples)
  const { task, why } = options.task
    ? { task: options.task, why: `--task ${options.task}` }
    : guess(examples, lists > 0)
  const unwrapped = examples.map(example => ({ ...example, label: unwrap(example.label, task) }))
  checkTask(task, unwrapped)
  if (task === 'regression') return { task, labels: ['LABEL_0'], namedBy: 'data', why }
  const { labels, namedBy, spelled } = namesOf(unwrapped, options)
  // Names are not enough: at least two classes must occur among the examples.
  const present =
    task === 'classes' ? sorted(unwrapped.map(({ label }) => (isList(label) ? '' : nameOf(label)))) : labels
  if (present.length < (options.leastClasses ?? 2)) {
    throw new UserError(
      `the training examples have ${present.length === 1 ? `only the label ${JSON.stringify(present[0])}` : 'no labels'}: ` +
        'at least two are needed to learn a difference',
    )
  }
  return { task, labels, namedBy, why, ...(spelled && { spelled }) }
}

/** A list of one label as that label, for a task of one label per text. */
const unwrap = (label: Label, task: TaskName): Label =>
  (task === 'classes' || task === 'regression') && isList(label) && label.length === 1 ? label[0] : label

const differing = (count: number, what: string): string =>
  count === 1 ? `one ${what} alone` : `${count} different ${what}s`

function guess(examples: readonly Labelled[], lists: boolean): { task: TaskName; why: string } {
  if (lists) {
    const eachWord = examples.every(
      ({ label, words }) => words !== undefined && isList(label) && label.length === words.length,
    )
    if (eachWord) return { task: 'tokens', why: 'a label for each word' }
    // Two tasks read such a file differently, and nothing in it says which one is meant.
    if (examples.every(({ label }) => isList(label) && label.length === 1)) {
      throw new UserError(
        `${examples[0].where}: the label of every text is a list of one: choose --task classes (one label per text) ` +
          'or --task labels (several labels at once)',
      )
    }
    return { task: 'labels', why: 'a list of labels for each text' }
  }
  const names = new Set(examples.map(({ label }) => (isList(label) ? '' : nameOf(label))))
  if (![...names].every(isNumber)) return { task: 'classes', why: differing(names.size, 'label') }
  const whole = [...names].every(name => Number.isInteger(Number(name)))
  if (!whole) return { task: 'regression', why: 'labels are numbers with fractions' }
  if (names.size > MOST_NUMBER_CLASSES) return { task: 'regression', why: `${names.size} different whole numbers` }
  return { task: 'classes', why: differing(names.size, 'whole number') }
}

/**
 * Throws a UserError if nearly all labels are numbers and the others would make classes of them, or are NaN or
 * infinite.
 */
function refuseStrays(examples: readonly Labelled[]): void {
  const single = examples.flatMap(({ label, where }) => (isList(label) ? [] : [{ label, where, name: nameOf(label) }]))
  const strays = single.filter(({ name }) => !isNumber(name))
  const numbers = single.length - strays.length
  const [first] = strays
  if (first === undefined || numbers === 0) return
  const names = new Set(single.map(({ name }) => name).filter(isNumber))
  const amounts = names.size > MOST_NUMBER_CLASSES || [...names].some(name => !Number.isInteger(Number(name)))
  const isMistake =
    strays.every(({ name }) => NOT_FINITE.test(name)) || (amounts && numbers >= MOSTLY_NUMBERS * single.length)
  if (!isMistake) return
  throw new UserError(
    `${numbers} of ${single.length} labels are numbers; ${first.where} is ${showCell(first.label)}: ` +
      'correct or remove such rows, or take all labels as names with --task classes',
  )
}

function checkTask(task: TaskName, examples: readonly Labelled[]): void {
  const wantsLists = task === 'labels' || task === 'tokens'
  const other = examples.find(({ label }) => isList(label) !== wantsLists)
  if (other) {
    throw new UserError(
      `${other.where}: --task ${task} takes ${wantsLists ? 'a list of labels' : 'one label'} for each text`,
    )
  }
  for (const { label, words, where } of examples) {
    if (task === 'tokens' && isList(label) && label.length !== words?.length) {
      throw new UserError(`${where}: ${label.length} labels for ${words?.length ?? 0} words`)
    }
    if (task === 'regression' && !isList(label) && !isNumber(nameOf(label))) {
      throw new UserError(`${where}: the label ${JSON.stringify(label)} is not a number, and the task is regression`)
    }
  }
}

function namesOf(
  examples: readonly Labelled[],
  { declared, given, model }: InferOptions,
): Pick<TaskPlan, 'labels' | 'namedBy' | 'spelled'> {
  const found = sorted(examples.flatMap(({ label }) => (isList(label) ? label : [label]).map(nameOf)))
  if (given) {
    const twice = given.find((name, i) => given.indexOf(name) !== i)
    if (twice !== undefined) throw new UserError(`--labels names ${JSON.stringify(twice)} twice`)
  }
  // Declared names come first in a file that has them; an option may rename them, in the same order.
  if (declared) {
    if (given && given.length !== declared.length) {
      throw new UserError(
        `--labels gives ${given.length} names, but the file declares ${declared.length}: ${showNames(declared)}`,
      )
    }
    checkFits(examples, declared)
    return given ? { labels: given, namedBy: 'option' } : { labels: declared, namedBy: 'file' }
  }
  if (given) {
    // Ratings of 1 to 5 and five names: in the order of the numbers.
    if (found.length === given.length && found.every(isNumber) && !given.every(isNumber)) {
      return { labels: given, namedBy: 'option', spelled: found }
    }
    checkFits(examples, given)
    return { labels: given, namedBy: 'option' }
  }
  if (model && found.every(name => placeOf(name, model) !== undefined)) return { labels: model, namedBy: 'model' }
  return { labels: found, namedBy: 'data' }
}

/** The number of a label among names: by its name, or as a whole number that counts them. */
function placeOf(label: string, labels: readonly string[]): number | undefined {
  const byName = labels.indexOf(label)
  if (byName >= 0) return byName
  const lower = label.toLowerCase()
  const loosely = labels.findIndex(name => name.toLowerCase() === lower)
  if (loosely >= 0) return loosely
  const place = Number(label)
  return isNumber(label) && Number.isInteger(place) && place >= 0 && place < labels.length ? place : undefined
}

function checkFits(examples: readonly Labelled[], labels: readonly string[]): void {
  for (const { label, where } of examples) {
    const bad = (isList(label) ? label : [label]).map(nameOf).find(name => placeOf(name, labels) === undefined)
    if (bad !== undefined)
      throw new UserError(`${where}: the label ${JSON.stringify(bad)} is not one of ${showNames(labels)}`)
  }
}

/** A label as the number, or the numbers, that a task trains on. */
export type Target = number | ArrayLike<number>

/**
 * The target of a label: a class number; 0 or 1 for each of several labels; the number itself; or the class number of
 * each word, which −100 stands for if there is none.
 * @throws UserError where a label is not one of the plan's
 */
export function targetOf({ label: given, where }: Labelled, { task, labels, spelled, spellings }: TaskPlan): Target {
  const label = unwrap(given, task)
  const numberOf = (given: string | number | boolean): number => {
    const one = spellings?.(given) ?? given
    const place = spelled?.includes(nameOf(one)) ? spelled.indexOf(nameOf(one)) : placeOf(nameOf(one), labels)
    if (place === undefined)
      throw new UserError(`${where}: the label ${JSON.stringify(one)} is not one of ${showNames(spelled ?? labels)}`)
    return place
  }
  if (task === 'regression') {
    const value = isList(label) ? NaN : Number(nameOf(label))
    if (!Number.isFinite(value)) throw new UserError(`${where}: the label ${JSON.stringify(label)} is not a number`)
    return value
  }
  const list = isList(label) ? label : [label]
  if (task === 'classes') {
    if (isList(label)) throw new UserError(`${where}: one label was expected, not a list`)
    return numberOf(label)
  }
  if (task === 'labels') {
    const wanted = new Float32Array(labels.length)
    for (const one of list) wanted[numberOf(one)] = 1
    return wanted
  }
  return Int32Array.from(list, one => (one === IGNORED ? IGNORED : numberOf(one)))
}
