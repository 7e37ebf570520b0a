// What an example is, how its label may be spelled, and drawing from a set: balanced samples, stratified splits.
import { UserError } from '../../../engine/errors.ts'
import type { Random } from '../../random.ts'

/** One review: 1 is positive, 0 negative. */
export interface Example {
  readonly text: string
  readonly label: 0 | 1
}

/** How people write the two classes, and −1 for a row that has no label (the Hub's convention). */
const spellings: ReadonlyMap<string, 0 | 1 | -1> = new Map([
  ['0', 0],
  ['neg', 0],
  ['negative', 0],
  ['1', 1],
  ['pos', 1],
  ['positive', 1],
  ['-1', -1],
])

/** The class that a cell of a label column names: 0, 1, −1 where the row is unlabelled, undefined for anything else. */
export function parseLabel(cell: unknown): 0 | 1 | -1 | undefined {
  if (typeof cell === 'boolean') return cell ? 1 : 0
  if (typeof cell === 'number' || typeof cell === 'bigint') return spellings.get(String(cell))
  return typeof cell === 'string' ? spellings.get(cell.trim().toLowerCase()) : undefined
}

interface Labelled {
  readonly label: 0 | 1
}

/** Indices of each class, in the set's order. */
const byClass = (examples: readonly Labelled[]): [number[], number[]] => {
  const classes: [number[], number[]] = [[], []]
  examples.forEach(({ label }, index) => classes[label].push(index))
  return classes
}

/**
 * `n` examples, half of each class (of an odd `n` the positives get one more), drawn without repetition and in shuffled
 * order. The same generator state draws the same examples. Throws a UserError when the set has too few.
 */
export function balancedSample<T extends Labelled>(examples: readonly T[], n: number, random: Random): T[] {
  if (!Number.isInteger(n) || n < 1) throw new UserError(`A sample has at least 1 example; asked for ${n}`)
  if (n > examples.length) throw new UserError(`Cannot draw ${n} examples from a set of ${examples.length}`)
  const classes = byClass(examples)
  const wanted = [Math.floor(n / 2), Math.ceil(n / 2)]
  const drawn = classes.flatMap((indices, label) => {
    if (indices.length < wanted[label]) {
      const name = label === 1 ? 'positive' : 'negative'
      throw new UserError(
        `Cannot draw ${n} balanced examples: they need ${wanted[label]} ${name} ones, the set has ${indices.length}`,
      )
    }
    return random.shuffle(indices).slice(0, wanted[label])
  })
  return random.shuffle(drawn).map((index) => examples[index])
}

/**
 * Takes a part of a set aside: a count (≥ 1) of examples or a fraction (< 1) of them, of each class its share to within
 * one example. Both parts keep the set's order. 0 takes nothing aside; at least one example stays in `train`, and a
 * fraction takes at least one where there are two. Throws a UserError on a part that is no part of the set.
 */
export function splitValidation<T extends Labelled>(
  examples: readonly T[],
  part: number,
  random: Random,
): { train: T[]; validation: T[] } {
  const total = examples.length
  if (part === 0) return { train: [...examples], validation: [] }
  if (!(part > 0) || (part >= 1 && !Number.isInteger(part))) {
    throw new UserError(`A part to set aside is a count of examples or a fraction below 1; got ${part}`)
  }
  const count = part < 1 ? Math.max(1, Math.round(part * total)) : part
  if (count >= total)
    throw new UserError(`Cannot set ${count} of ${total} examples aside: none would be left to train on`)
  const classes = byClass(examples)
  const negatives = Math.round((count * classes[0].length) / total)
  const takes = [negatives, count - negatives]
  const aside = new Set(classes.flatMap((indices, label) => random.shuffle(indices).slice(0, takes[label])))
  return {
    train: examples.filter((_, index) => !aside.has(index)),
    validation: examples.filter((_, index) => aside.has(index)),
  }
}
