// What every kind of data file becomes: named columns, and rows that say which file and which row they come from.
import { printable } from '../../engine/errors.ts'

/** A value in a table. Integers that a JavaScript number cannot hold are strings of digits, dates ISO 8601. */
export type Cell = string | number | boolean | null | undefined | readonly Cell[] | { readonly [name: string]: Cell }

/** `Array.isArray`, which forgets the type of a readonly array's elements. */
export const isList = (cell: Cell): cell is readonly Cell[] => Array.isArray(cell)

/** A column. `classNames` are those that the file itself gives to the integers 0, 1, … (the Hub's ClassLabel). */
export interface Column {
  readonly name: string
  readonly classNames?: readonly string[]
}

/** Where a row comes from, for messages. Rows are numbered from 1. */
export interface Place {
  readonly file: string
  /** What is counted: rows of data, lines of the file, elements of a JSON array, files of an archive. */
  readonly unit: 'row' | 'data row' | 'line' | 'element' | 'file'
  readonly number: number | string
}

/** One row; `cells` are the columns that were asked for, in that order, undefined where the row lacks one. */
export interface Row extends Place {
  readonly cells: readonly Cell[]
  /** Why the row cannot be used, such as a wrong number of columns; its cells mean nothing then. */
  readonly problem?: string
}

export interface Table {
  /** The file or files, as messages name them. */
  readonly source: string
  /** Where the column names stand: the file of the header or the schema. */
  readonly file: string
  readonly columns: readonly Column[]
  /** Whether a row may have other columns than those listed: JSON's objects say each for itself which they have. */
  readonly columnsVary: boolean
  /**
   * Reads the table from its start, a piece at a time. Only `columns` are given, and only they may be decoded; names
   * that are not in the table give undefined. Throws a UserError if the file is damaged or a record is too long; a
   * single row that cannot be used is a `problem` instead.
   */
  rows(columns: readonly string[]): AsyncIterable<Row>
}

/** `reviews.csv, data row 7`. */
export function placeOf({ file, unit, number }: Place): string {
  return unit === 'file' ? `${file}: ${number}` : `${file}, ${unit} ${number}`
}

/** A cell as a message shows it: short, on one line, with strings in quotes. */
export function showCell(cell: Cell): string {
  if (cell === undefined || cell === null) return String(cell)
  if (typeof cell === 'object') return Array.isArray(cell) ? `a list of ${cell.length}` : 'an object'
  if (typeof cell !== 'string') return String(cell)
  return printable(JSON.stringify(cell.length > 60 ? `${cell.slice(0, 57)}...` : cell))
}

/** Longest name of a class that is shown whole, in UTF-16 units. */
const LONGEST_NAME = 40

/** The name of a class as the console shows it: printable, on one line, cut where it is long. */
export function showName(name: string): string {
  const line = printable(name)
  return line.length > LONGEST_NAME
    ? `${line
        .slice(0, LONGEST_NAME - 1)
        .toWellFormed()
        .replace(/\ufffd$/, '')}…`
    : line
}

/** Names of classes as a message lists them. */
export function showNames(names: readonly string[], most = 12): string {
  const more = names.length > most ? ` and ${names.length - most} more` : ''
  return names.slice(0, most).map(showName).join(', ') + more
}

/** Names of columns as a message lists them. */
export function listNames(names: readonly string[]): string {
  const shown = names.slice(0, 8).map(name => showCell(name.slice(0, 40)))
  return (shown.join(', ') || 'none') + (names.length > 8 ? ` and ${names.length - 8} more` : '')
}

/** A cell inside of objects: by its whole name if there is one such, else by the names between its dots. */
export function lookUp(object: Cell, name: string): Cell {
  if (typeof object !== 'object' || object === null || isList(object)) return undefined
  if (Object.hasOwn(object, name)) return object[name]
  const dot = name.indexOf('.')
  const outer = name.slice(0, dot)
  return dot >= 0 && Object.hasOwn(object, outer) ? lookUp(object[outer], name.slice(dot + 1)) : undefined
}

/** Several tables with the same meaning, such as the shards of a split, one after another. */
export function concatenate(tables: readonly Table[], source: string): Table {
  const [first] = tables
  return {
    source,
    file: first.file,
    columns: first.columns,
    columnsVary: first.columnsVary,
    async *rows(columns) {
      for (const table of tables) yield* table.rows(columns)
    },
  }
}
