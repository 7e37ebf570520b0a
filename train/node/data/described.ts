// Data that is only to be described: any readable table, also of one row, of one class or without labels, which no run
// would train on. Nothing is drawn from it.
import { UserError } from '../../../engine/errors.ts'
import { readExamples } from '../../data/examples.ts'
import type { Table } from '../../data/table.ts'
import type { TaskPlan } from '../../tasks/infer.ts'
import {
  type DataOptions,
  type Example,
  type LabelledData,
  exampleOf,
  leftOutOf,
  notesOn,
  planOf,
  readSplit,
  textsOf,
  told,
} from './labelled.ts'
import { findSplits } from './layout.ts'

/** The target of an example without a label. */
const NO_LABEL = -1

/** Of data whose labels are not taken: no classes, and every target is `NO_LABEL`. */
const UNLABELLED: TaskPlan = { task: 'classes', labels: [], namedBy: 'data', why: 'the labels are not taken' }

/**
 * Reads all rows of what `findSplits` finds at `path`, a single table as the training set. Labels that a task cannot be
 * made of are not taken: the plan has none then. Throws a UserError on what cannot be read at all.
 */
export async function readDescribed(path: string, options: DataOptions): Promise<LabelledData> {
  const { splits, whole, source } = await findSplits(path, options)
  const train = splits.get('train') ?? whole
  if (!train) throw new UserError(`${path} has no split for training; its splits: ${[...splits.keys()].join(', ')}`)
  const tables = ['validation', 'test'].flatMap(name => {
    const table = splits.get(name)
    return table ? [{ name, table }] : []
  })
  const sets = [{ name: whole ? 'all' : 'train', table: train }, ...tables]
  const read = await readLabelled(sets, path, options).catch((error: unknown) => {
    if (!(error instanceof UserError)) throw error
    return readTexts(sets, options)
  })
  const [{ facts, examples }, ...others] = read.sets
  const heldOut = (name: string): readonly Example[] | undefined => others.find(one => one.name === name)?.examples
  return {
    plan: read.plan,
    train: examples,
    validation: heldOut('validation'),
    test: heldOut('test') ?? [],
    source: told(
      source,
      read.sets.flatMap(one => notesOn(one.facts)),
    ),
    unlabelled: read.sets.reduce((sum, one) => sum + one.facts.minusOnes, 0),
    leftOut: read.sets.flatMap(one => leftOutOf(one.name, one.facts)),
    columns: facts.columns,
  }
}

interface NamedTable {
  readonly name: string
  readonly table: Table
}

interface ReadSets {
  readonly plan: TaskPlan
  readonly sets: readonly {
    readonly name: string
    readonly examples: readonly Example[]
    readonly facts: Awaited<ReturnType<typeof readExamples>>['facts']
  }[]
}

/** With labels, be they all the same. Throws a UserError where they are missing or of no kind that is known. */
async function readLabelled(tables: readonly NamedTable[], path: string, options: DataOptions): Promise<ReadSets> {
  const read = []
  for (const { name, table } of tables) read.push({ name, ...(await readSplit(table, options)) })
  const plan = planOf(read[0], { ...options, leastClasses: 1 }, path)
  return { plan, sets: read.map(one => ({ ...one, examples: one.examples.map(raw => exampleOf(raw, plan)) })) }
}

/** Texts alone; a column of labels that was named must exist all the same. */
async function readTexts(tables: readonly NamedTable[], options: DataOptions): Promise<ReadSets> {
  const sets = []
  for (const { name, table } of tables) {
    const { labelColumn = null } = options
    const { examples, facts } = await readExamples(table, { ...options, labelColumn, labels: 'optional' })
    sets.push({ name, facts, examples: examples.map(one => ({ ...textsOf(one), target: NO_LABEL })) })
  }
  return { plan: UNLABELLED, sets }
}
