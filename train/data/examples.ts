// Examples from a table: a text or a pair of texts, its label as the file has it, and where it stands. What the labels
// mean (classes, several at once, numbers, one a token) is for a task to say; this file only makes equal labels equal:
// `1`, `1.0` and the string "1" of a CSV file are one number.
import { UserError } from '../../engine/errors.ts'
import {
  type ColumnOptions,
  type TakenColumns,
  LABEL_COLUMNS,
  TEXT_COLUMNS,
  chooseColumns,
  findName,
  noLabelColumn,
  withTrained,
} from './columns.ts'
import { type Cell, type Place, type Row, type Table, isList, placeOf, showCell } from './table.ts'

export type LabelValue = string | number | boolean
/** One label, or several of one text (or one for each of its tokens). */
export type RawLabel = LabelValue | readonly LabelValue[]

export interface RawExample extends Place {
  /** A list where the text is given as tokens or words. */
  readonly text: string | readonly string[]
  readonly pair?: string
  /** Undefined only where labels are not needed. */
  readonly label?: RawLabel
}

export interface ReadOptions extends ColumnOptions {
  /** Rows that cannot be used are left out and counted. Otherwise the first one is an error. */
  readonly skipBadRows?: boolean
  /**
   * Whether −1 among labels that are class numbers means that the row is unlabelled, as on the Hub. Default: it does.
   * Where labels are other numbers (fractions, less than −1), −1 is a number like any other.
   */
  readonly minusOne?: 'unlabelled' | 'label'
  /** Separates the labels of a string, which then are a list. Default: a string is one label. */
  readonly labelSeparator?: string
  /**
   * `optional`: rows without a label are examples without one, and the label column may be missing. Default `required`.
   */
  readonly labels?: 'required' | 'optional'
}

/** What was read, to be told to the user. */
export interface ReadFacts {
  readonly columns: TakenColumns
  /** All columns of the table. */
  readonly available: readonly string[]
  /** Rows of the table, used or not. */
  readonly rows: number
  /** Rows labelled −1 that were taken for unlabelled; they are left out unless labels are optional. */
  readonly minusOnes: number
  /** Rows that could not be used and were left out: each reason with the number of rows and the first of them. */
  readonly skipped: ReadonlyMap<string, { readonly count: number; readonly first: string }>
  /** Of what kind the labels are; `none` where no example has one. */
  readonly labelKind: 'string' | 'number' | 'boolean' | 'list' | 'none'
  /** Names that the file itself gives to the class numbers 0, 1, … */
  readonly classNames: readonly string[] | undefined
}

export interface ReadExamples {
  readonly examples: readonly RawExample[]
  readonly facts: ReadFacts
}

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i

/** Why a row is not an example. `kind` is the same for all rows with the same fault. */
class Unusable {
  readonly kind: string
  readonly detail: string
  constructor(kind: string, detail = kind) {
    this.kind = kind
    this.detail = detail
  }
}

/**
 * Reads all examples of a table. Throws a UserError, naming file and row, on a row that cannot be used (no text, no
 * label, not UTF-8, a wrong number of columns) unless `skipBadRows`; and on columns that are not there, and a table
 * without rows.
 */
export async function readExamples(table: Table, options: ReadOptions = {}): Promise<ReadExamples> {
  const columns = chooseColumns(table, options)
  const needed = options.labels !== 'optional'
  if (needed && columns.label === undefined && options.labelColumn !== null) throw noLabelColumn(table)
  const skipped = new Map<string, { count: number; first: string }>()
  const skip = (place: Place, { kind, detail }: Unusable): void => {
    if (!options.skipBadRows) throw new UserError(`${placeOf(place)}: ${detail} (--skip-bad-rows leaves such rows out)`)
    const entry = skipped.get(kind) ?? { count: 0, first: placeOf(place) }
    entry.count++
    skipped.set(kind, entry)
  }
  const found: { place: Place; text: string | readonly string[]; pair: string | undefined; label: Cell }[] = []
  let rows = 0
  const cellsOf = reader(table, columns, options)
  for await (const row of table.rows(cellsOf.wanted)) {
    rows++
    const place: Place = { file: row.file, unit: row.unit, number: row.number }
    const example =
      row.problem === undefined
        ? check(cellsOf.take(row), columns, needed)
        : new Unusable('cannot be read', row.problem)
    if (example instanceof Unusable) skip(place, example)
    else found.push({ place, ...example, label: separated(example.label, options.labelSeparator) })
  }
  if (rows === 0) throw new UserError(`${table.source} has no rows`)

  const classNames = table.columns.find(({ name }) => name === columns.label)?.classNames
  const reading = readingOf(
    found.map(({ label }) => label),
    classNames,
    options.minusOne ?? 'unlabelled',
  )
  const examples: RawExample[] = []
  let minusOnes = 0
  for (const { place, text, pair, label: cell } of found) {
    const label = reading.read(cell)
    const base = pair === undefined ? { ...place, text } : { ...place, text, pair }
    if (label instanceof Unusable) skip(place, label)
    else if (label === UNLABELLED) {
      minusOnes++
      if (!needed) examples.push(base)
    } else examples.push(label === undefined ? base : { ...base, label })
  }
  const available = table.columns.map(({ name }) => name)
  return { examples, facts: { columns, available, rows, minusOnes, skipped, labelKind: reading.kind, classNames } }
}

/** What of a table's rows is asked for, and how a row's text, pair and label are taken from it. */
export function reader(
  table: Table,
  { text, pair, label }: TakenColumns,
  options: ColumnOptions,
): {
  wanted: readonly string[]
  take: (row: Row) => { text: Cell; pair: Cell; label: Cell }
} {
  const chosen = [text, pair ?? '', label ?? '']
  const { textColumn, labelColumn } = withTrained(
    options,
    table.columns.map(({ name }) => name),
  )
  // JSON says for each row which columns it has: where none was named, each row may call them as it likes.
  const spare = {
    text: table.columnsVary && textColumn === undefined && pair === undefined ? TEXT_COLUMNS : [],
    label: table.columnsVary && labelColumn === undefined && label !== undefined ? LABEL_COLUMNS : [],
  }
  const wanted = [...chosen, ...spare.text, ...spare.label]
  const firstOf = (cells: readonly Cell[], from: number, count: number): Cell =>
    cells.slice(from, from + count).find(cell => cell !== undefined)
  return {
    wanted,
    take: ({ cells }) => ({
      text: cells[0] === undefined ? firstOf(cells, 3, spare.text.length) : cells[0],
      pair: cells[1],
      label: cells[2] === undefined ? firstOf(cells, 3 + spare.text.length, spare.label.length) : cells[2],
    }),
  }
}

function check(
  cells: { text: Cell; pair: Cell; label: Cell },
  { pair: pairColumn, label: labelColumn }: TakenColumns,
  needed: boolean,
): { text: string | readonly string[]; pair: string | undefined; label: Cell } | Unusable {
  const text = textOf(cells.text)
  if (text === undefined) return new Unusable('no text', `no text, but ${showCell(cells.text)}`)
  const pair = pairColumn === undefined ? undefined : textOf(cells.pair)
  if (pairColumn !== undefined && typeof pair !== 'string') {
    return new Unusable('no second text', `no second text (${pairColumn}), but ${showCell(cells.pair)}`)
  }
  const { label } = cells
  const missing = label === undefined || label === null || (typeof label === 'string' && label.trim() === '')
  if (missing && needed && labelColumn !== undefined) return new Unusable('no label', `no label (${labelColumn})`)
  return { text, pair: typeof pair === 'string' ? pair : undefined, label: missing ? undefined : label }
}

function separated(label: Cell, separator: string | undefined): Cell {
  if (typeof label !== 'string' || separator === undefined) return label
  return label
    .split(separator)
    .map(name => name.trim())
    .filter(name => name !== '')
}

/**
 * The labels of a string that JSON or Python wrote for a list, such as `["a", "b"]` or `['a', 'b']`; undefined for
 * others.
 */
export function listIn(text: string): readonly LabelValue[] | undefined {
  const whole = /^\s*\[(.*)\]\s*$/s.exec(text)?.[1]
  if (whole === undefined) return undefined
  try {
    const list: unknown = JSON.parse(text)
    if (
      Array.isArray(list) &&
      list.every(one => typeof one === 'string' || typeof one === 'number' || typeof one === 'boolean')
    )
      return list
  } catch {
    // Python's quotes are tried below.
  }
  const quoted = /'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"/gs
  if (/[^\s,]/.test(whole.replace(quoted, ''))) return undefined
  return [...whole.matchAll(quoted)].map(([, single, double]) => (single ?? double).replace(/\\(.)/gs, '$1'))
}

function textOf(cell: Cell): string | readonly string[] | undefined {
  if (typeof cell === 'string') return cell.trim() === '' ? undefined : cell
  if (!Array.isArray(cell) || cell.length === 0) return undefined
  const words = cell.filter(word => typeof word === 'string')
  return words.length === cell.length ? words : undefined
}

/** What a −1 that stands for no label is read as. Not a string: a class may be called 'unlabelled'. */
const UNLABELLED = Symbol('unlabelled')

/**
 * The number that text is; a whole one of more digits than a JavaScript number keeps stays text, so that no two become
 * one.
 */
function numberIn(text: string): number | string | undefined {
  const value = Number(text)
  if (!Number.isFinite(value)) return undefined
  return /^[+-]?\d+(\.0*)?$/.test(text) && !Number.isSafeInteger(value) ? text : value + 0
}

/** How the labels of one column are to be read, which only all of them together say. */
function readingOf(
  labels: readonly Cell[],
  classNames: readonly string[] | undefined,
  minusOne: 'unlabelled' | 'label',
): {
  kind: ReadFacts['labelKind']
  read: (cell: Cell) => RawLabel | Unusable | typeof UNLABELLED | undefined
} {
  const values = labels
    .flatMap<Cell>(label => (isList(label) ? label : [label]))
    .filter(value => value !== undefined && value !== null)
  const strings = values.filter(value => typeof value === 'string')
  const numeric = strings.length > 0 && strings.every(value => NUMBER.test(value.trim()))
  const logical = strings.length > 0 && !numeric && strings.every(value => /^(true|false)$/i.test(value.trim()))
  const single = (cell: Cell): LabelValue | undefined => {
    if (typeof cell === 'number') return Number.isFinite(cell) ? cell + 0 : undefined
    if (typeof cell === 'boolean') return cell
    if (typeof cell !== 'string') return undefined
    const text = cell.trim()
    if (numeric) return numberIn(text)
    return logical ? text.toLowerCase() === 'true' : text
  }
  const read = values.map(single).filter(value => value !== undefined)
  const numbers = read.filter(value => typeof value === 'number')
  const classNumbers = numbers.every(value => Number.isInteger(value) && value >= -1)
  const lists = labels.some(isList)
  // In a column of words "-1" is no word of the others' kind: it too says that there is no label.
  const isMissing = (value: LabelValue): boolean =>
    minusOne === 'unlabelled' &&
    !lists &&
    ((value === -1 && classNumbers) || (value === '-1' && read.some(other => other !== '-1')))
  const isNamed = (value: LabelValue): boolean =>
    classNames === undefined ||
    typeof value !== 'number' ||
    (Number.isInteger(value) && value >= 0 && value < classNames.length)
  const kinds = new Set(read.filter(value => !isMissing(value)).map(value => typeof value))
  const [only] = kinds
  const kind = lists
    ? 'list'
    : read.length === 0
      ? 'none'
      : kinds.size === 1 && (only === 'number' || only === 'boolean')
        ? only
        : kinds.size === 0
          ? 'number'
          : 'string'
  return {
    kind,
    read(cell) {
      if (cell === undefined) return undefined
      if (isList(cell)) {
        const list = cell.map(single)
        const good = list.filter(value => value !== undefined)
        if (good.length < list.length)
          return new Unusable(
            'not a label',
            `the label is a list with ${showCell(cell[list.indexOf(undefined)])} in it`,
          )
        // −100 is what Transformers leaves out of the loss of tokens.
        const odd = good.find(value => value !== -100 && !isNamed(value))
        return odd === undefined ? good : outside(odd, classNames)
      }
      const value = single(cell)
      if (value === undefined) return new Unusable('not a label', `the label is ${showCell(cell)}`)
      if (isMissing(value)) return UNLABELLED
      return isNamed(value) ? value : outside(value, classNames)
    },
  }
}

function outside(value: LabelValue, classNames: readonly string[] | undefined): Unusable {
  return new Unusable(
    'unknown label',
    `unknown label ${showCell(value)}; the file names ${classNames?.length} classes, numbered from 0`,
  )
}

/**
 * The name by which a column of the same meaning goes in another table, such as a test set's; undefined without one.
 */
export function labelColumnOf(table: Table, options: ColumnOptions): string | undefined {
  const names = table.columns.map(({ name }) => name)
  const { labelColumn } = withTrained(options, names)
  if (labelColumn === null) return undefined
  return findName(names, labelColumn === undefined ? LABEL_COLUMNS : [labelColumn])
}
