// Labelled reviews of two classes, from whatever kind of data lies at a path: what `node train/imdb.ts` trains on.
import { UserError } from '../../../engine/errors.ts'
import { labelColumnOf, readExamples, type RawExample, type ReadFacts, type ReadOptions } from '../../data/examples.ts'
import { type Table, placeOf, showCell } from '../../data/table.ts'
import { stream } from '../../random.ts'
import { parseLabel, splitValidation } from './examples.ts'
import type { Example } from './examples.ts'
import { type LayoutOptions, findSplits } from './layout.ts'

export type { Example } from './examples.ts'

export interface Reviews {
  readonly train: Example[]
  readonly test: Example[]
  /** Where they come from and how they were read, in a few words. */
  readonly source: string
  /** Rows labelled −1, which the Hub's convention calls unlabelled; they are in neither set. */
  readonly unlabelled: number
}

export interface ReviewOptions extends LayoutOptions, Pick<ReadOptions, 'textColumn' | 'labelColumn' | 'skipBadRows' | 'minusOne'> {}

/** The part of a single table that becomes the test set. */
const TEST_FRACTION = 0.2

/**
 * Loads reviews for training and test from what `findSplits` finds at `path`. Without a test split that has labels the
 * validation split takes its place; without that, `seed` draws a fifth of each class for the test.
 * Labels are 0/1, neg/pos, negative/positive, or numbers to which the file itself gives such names.
 * Throws a UserError, naming file and row, on anything that cannot be read so, and on training reviews of one class.
 */
export async function loadReviews(path: string, seed = 42, options: ReviewOptions = {}): Promise<Reviews> {
  const { splits, whole, source } = await findSplits(path, options)
  const table = splits.get('train') ?? whole
  if (!table) throw new UserError(`${path} has no split for training; its splits: ${[...splits.keys()].join(', ')}`)
  const all = await readReviews(table, options)
  const held = ['test', 'validation'].filter((name) => splits.has(name))
  if (held.length > 0) requireBoth(all, path)
  const passed: string[] = []
  for (const name of held) {
    const split = splits.get(name)
    const read = split && (await readTest(split, options))
    if (!read) {
      passed.push(`${name} has no labels`)
      continue
    }
    const notes = [...passed, ...(name === 'test' ? [] : ['tested on validation']), ...all.notes, ...read.notes]
    return { train: all.examples, test: read.examples, source: told(source, notes), unlabelled: all.unlabelled + read.unlabelled }
  }
  if (all.examples.length < 2) throw new UserError(`${path} has 1 labelled row; a training and a test set need at least 2`)
  requireBoth(all, path)
  const { train, validation: test } = splitValidation(all.examples, TEST_FRACTION, stream(seed, 'train and test'))
  requireBoth({ ...all, examples: train }, `${path}, of which a fifth is for the test,`)
  const split = `${whole ? source : table.source} (split 80/20 by seed ${seed})`
  return { train, test, source: told(split, [...passed, ...all.notes]), unlabelled: all.unlabelled }
}

function told(source: string, notes: readonly string[]): string {
  return [source, ...new Set(notes)].join('; ')
}

function requireBoth({ examples, unlabelled }: Read, where: string): void {
  const [first] = examples
  if (examples.some(({ label }) => label !== first.label)) return
  const lost = unlabelled === 0 ? '' : `; ${unlabelled} rows labelled -1 were read as unlabelled: --minus-one label takes -1 for a class`
  throw new UserError(`${where} has only ${first.label === 1 ? 'positive' : 'negative'} reviews to train on; both classes are needed${lost}`)
}

interface Read {
  readonly examples: Example[]
  readonly unlabelled: number
  readonly notes: readonly string[]
}

/** A split to test on, or undefined where none of its rows has a label: nothing can be scored by it. */
async function readTest(table: Table, options: ReviewOptions): Promise<Read | undefined> {
  if (labelColumnOf(table, options) === undefined) return undefined
  const { examples } = await readExamples(table, { ...options, pairColumn: null, labels: 'optional' })
  if (examples.every(({ label }) => label === undefined)) return undefined
  return readReviews(table, options)
}

async function readReviews(table: Table, options: ReviewOptions): Promise<Read> {
  const { examples, facts } = await readExamples(table, { ...options, pairColumn: null })
  if (examples.length === 0) {
    throw new UserError(
      facts.minusOnes > 0 ? `${table.source} has no labelled rows: all ${facts.minusOnes} are labelled -1` : `${table.source} has no rows that can be used`)
  }
  return {
    examples: examples.map((example) => ({ text: textOf(example), label: classOf(example, facts, options) })),
    unlabelled: facts.minusOnes,
    notes: notesOn(facts),
  }
}

function textOf(example: RawExample): string {
  if (typeof example.text === 'string') return example.text
  throw new UserError(`${placeOf(example)}: no text, but ${showCell(example.text)}`)
}

function classOf(example: RawExample, { classNames }: ReadFacts, { minusOne }: ReviewOptions): 0 | 1 {
  const { label } = example
  // Names say which class a number is; it may be the other one than usual.
  const named = typeof label === 'number' && classNames ? parseLabel(classNames[label]) : undefined
  const found = label === -1 && minusOne === 'label' ? 0 : (named ?? parseLabel(label))
  if (found === 0 || found === 1) return found
  throw new UserError(`${placeOf(example)}: unknown label ${showCell(label)}; expected 0 or 1, neg or pos, negative or positive`)
}

/** Columns that are called otherwise than usual, and rows that were left out. */
function notesOn({ columns, skipped }: ReadFacts): string[] {
  const usual = (name: string | undefined, names: readonly string[]): boolean => names.includes(name?.trim().toLowerCase() ?? '')
  const notes: string[] = []
  if (!usual(columns.text, ['text', 'review']) || !usual(columns.label, ['label', 'sentiment'])) {
    notes.push(`texts from column ${showCell(columns.text)}, labels from ${showCell(columns.label)}`)
  }
  for (const [kind, { count, first }] of skipped) {
    notes.push(`${count.toLocaleString('en-US')} ${count === 1 ? 'row' : 'rows'} left out: ${kind} (first: ${first})`)
  }
  return notes
}

/**
 * Texts without labels, for pretraining: the split `unsupervised` of a folder in the Hub's layout, less those that also
 * stand in its test split (`dropped` rows), which no model that is to be tested there may have read.
 * Throws a UserError as `loadReviews` does.
 */
export async function loadUnlabelled(path: string): Promise<{ texts: string[]; dropped: number; source: string }> {
  const { splits } = await findSplits(path).catch((error: unknown): { splits: ReadonlyMap<string, Table> } => {
    if (error instanceof UserError && error.message.includes('is not a data folder')) return { splits: new Map() }
    throw error
  })
  const [unsupervised, test] = [splits.get('unsupervised'), splits.get('test')]
  if (!unsupervised || !test) {
    throw new UserError(
      `${path} is not a folder with Parquet files for unsupervised and test, such as IMDb's from the Hub`,
    )
  }
  const read = async (table: Table) => {
    const { examples } = await readExamples(table, { pairColumn: null, labelColumn: null })
    return examples.map(textOf)
  }
  const tested = new Set(await read(test))
  const all = await read(unsupervised)
  const texts = all.filter((text) => !tested.has(text))
  return { texts, dropped: all.length - texts.length, source: `${path} (Parquet, unsupervised)` }
}
