// Which columns of a table are texts and labels: those that are named, else those with one of the names that people
// use.
import { UserError } from '../../engine/errors.ts'
import type { NamedColumns } from '../../models/answers.ts'
import { type Table, listNames } from './table.ts'

/** Names of columns, in any case, by preference. */
export const TEXT_COLUMNS = [
  'text',
  'review',
  'sentence',
  'content',
  'comment',
  'tweet',
  'message',
  'body',
  'document',
  'article',
  'review_body',
  'comment_text',
  'question',
  'utterance',
  'headline',
  'tokens',
  'words',
] as const
export const LABEL_COLUMNS = [
  'label',
  'labels',
  'sentiment',
  'class',
  'category',
  'target',
  'intent',
  'emotion',
  'topic',
  'gold_label',
  'ner_tags',
  'score',
  'rating',
] as const
/** Two texts that belong together, as the data sets of GLUE and others call them. */
export const PAIR_COLUMNS = [
  ['sentence1', 'sentence2'],
  ['premise', 'hypothesis'],
  ['question1', 'question2'],
  ['question', 'sentence'],
  ['text1', 'text2'],
  ['text_a', 'text_b'],
  ['query', 'passage'],
] as const

/** Columns by name. What is left out is found by the names above. */
export interface ColumnOptions {
  readonly textColumn?: string
  /** `null`: there is none, whatever the columns are called. */
  readonly pairColumn?: string | null
  /** `null`: rows have no labels, or none that matter. */
  readonly labelColumn?: string | null
  /**
   * The columns that a model was trained on. Where the table has them they are taken before the names above; those of
   * texts only if neither of them is named.
   */
  readonly like?: NamedColumns
}

/** The columns that were taken. */
export interface TakenColumns {
  readonly text: string
  readonly pair: string | undefined
  readonly label: string | undefined
}

/**
 * The columns that hold texts, second texts and labels. A table without a label column has `label` undefined. Throws a
 * UserError that lists the table's columns where one that is named is not there, and if there are no texts.
 */
export function chooseColumns(table: Table, options: ColumnOptions): TakenColumns {
  const names = table.columns.map(({ name }) => name)
  const { textColumn, pairColumn, labelColumn } = withTrained(options, names)
  const named = (what: string, name: string): string => {
    const found = columnCalled(names, name)
    if (found !== undefined) return found
    throw new UserError(
      `${table.file} has no column ${JSON.stringify(name)} for ${what}; its columns are ${listNames(names)}`,
    )
  }
  let text = textColumn === undefined ? undefined : named('texts', textColumn)
  let pair = typeof pairColumn === 'string' ? named('second texts', pairColumn) : undefined
  const others = names.filter(name => name !== text && name !== pair)
  const label =
    labelColumn === null
      ? undefined
      : labelColumn === undefined
        ? findName(others, LABEL_COLUMNS)
        : named('labels', labelColumn)
  if (pair !== undefined && pair === text)
    throw new UserError(`${table.file}: column ${JSON.stringify(pair)} cannot be both texts of a pair`)
  if (label !== undefined && (label === text || label === pair)) {
    throw new UserError(
      `${table.file}: column ${JSON.stringify(label)} cannot be both ${label === text ? 'the text' : 'the second text'} and the label`,
    )
  }
  if (pairColumn === undefined) {
    for (const [first, second] of PAIR_COLUMNS) {
      const found = [findName(names, [first]), findName(names, [second])]
      if (found[0] === undefined || found[1] === undefined || (text !== undefined && text !== found[0])) continue
      // A table of texts that also has such columns is one of texts.
      if (text === undefined && findName(names, TEXT_COLUMNS.slice(0, 2)) !== undefined) break
      text = found[0]
      pair = found[1]
      break
    }
  } else if (text === undefined && pair !== undefined) {
    const second = pair.trim().toLowerCase()
    text = findName(
      names,
      PAIR_COLUMNS.filter(([, other]) => other === second).map(([first]) => first),
    )
  }
  text ??= findName(
    names.filter(name => name !== label && name !== pair),
    TEXT_COLUMNS,
  )
  if (text === undefined) {
    if (label !== undefined && labelColumn !== undefined && findName([label], TEXT_COLUMNS) !== undefined) {
      throw new UserError(
        `${table.file} has no text column: ${JSON.stringify(label)} is already the label column (--label-column), ` +
          `and its other columns are ${listNames(others.filter(name => name !== label))}; name the texts with --text-column`,
      )
    }
    throw new UserError(
      `${table.file} has no text column${pair === undefined ? '' : ` beside ${JSON.stringify(pair)}, which is the second text`}: ` +
        `expected "text", "review", "sentence" or the like, found ${listNames(names)}; name the one to take with --text-column`,
    )
  }
  const twice = [text, pair, label].find(name => name !== undefined && names.indexOf(name) !== names.lastIndexOf(name))
  if (twice !== undefined)
    throw new UserError(`${table.file} has several columns called ${JSON.stringify(twice)}: rename all but one`)
  return { text, pair, label }
}

/** A column by its name in any case, or by that of a field of a nested one; undefined where there is none. */
function columnCalled(names: readonly string[], name: string): string | undefined {
  return findName(names, [name]) ?? (names.includes(name.split('.')[0]) ? name : undefined)
}

/** The options with the columns of `like` for those that are left open, where a table of these columns has them. */
export function withTrained({ like, ...options }: ColumnOptions, names: readonly string[]): ColumnOptions {
  if (!like) return options
  const { textColumn, pairColumn, labelColumn } = options
  const has = (name: string | undefined): boolean => name !== undefined && columnCalled(names, name) !== undefined
  const isLike =
    textColumn === undefined &&
    pairColumn === undefined &&
    has(like.text) &&
    (like.pair === undefined || has(like.pair))
  const texts = isLike ? { textColumn: like.text, pairColumn: like.pair ?? null } : { textColumn, pairColumn }
  const isLabel = labelColumn === undefined && has(like.label) && like.label !== textColumn && like.label !== pairColumn
  return { ...texts, labelColumn: isLabel ? like.label : labelColumn }
}

/** What is wrong with a table whose label column was not found. */
export function noLabelColumn(table: Table): UserError {
  return new UserError(
    `${table.file} has no label column: expected "label" or "sentiment" or the like, ` +
      `found ${listNames(table.columns.map(({ name }) => name))}; name the one to take with --label-column`,
  )
}

/** The first of `wanted` that is among the names, exactly where possible, else in any case. */
export function findName(names: readonly string[], wanted: readonly string[]): string | undefined {
  for (const want of wanted) {
    const lower = want.trim().toLowerCase()
    const found = names.find(name => name === want) ?? names.find(name => name.trim().toLowerCase() === lower)
    if (found !== undefined) return found
  }
  return undefined
}
