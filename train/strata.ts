// Drawing from a set of examples so that each class keeps its share: balanced samples, and parts set aside.
import { UserError } from '../engine/errors.ts'
import type { Random } from './random.ts'

/** The stratum of an example, counted from 0: its class; 0 for all if there are none. */
export type StratumOf<T> = (example: T) => number

/** Indices of each stratum, in the set's order. */
function indicesOf<T>(examples: readonly T[], stratumOf: StratumOf<T>, strata: number): number[][] {
  const indices: number[][] = Array.from({ length: strata }, () => [])
  examples.forEach((example, index) => indices[stratumOf(example)].push(index))
  return indices
}

/**
 * `n` examples, equally many of each of `strata` classes, drawn without repetition and in shuffled order. If `n` does
 * not divide, the last classes get one more each; if a class has too few, the others make up for it. The same generator
 * state draws the same examples. Throws a UserError if the set has no `n` examples, or `n` is not a whole number from
 * 1.
 */
export function balancedSample<T>(
  examples: readonly T[],
  n: number,
  random: Random,
  stratumOf: StratumOf<T>,
  strata: number,
): T[] {
  if (!Number.isInteger(n) || n < 1) throw new UserError(`A sample has at least 1 example; asked for ${n}`)
  if (n > examples.length) throw new UserError(`Cannot draw ${n} examples from a set of ${examples.length}`)
  const all = indicesOf(examples, stratumOf, strata)
  const counts = shares(
    all.map(({ length }) => length),
    n,
  )
  const drawn = all.flatMap((indices, stratum) => random.shuffle(indices).slice(0, counts[stratum]))
  return random.shuffle(drawn).map(index => examples[index])
}

/** `n` divided as evenly as `sizes` allow; what does not divide goes to the last ones. `n` is at most their sum. */
function shares(sizes: readonly number[], n: number): number[] {
  const upTo = (level: number): number[] => sizes.map(size => Math.min(size, level))
  const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0)
  // The highest level that all can be filled to, by bisection.
  let [level, above] = [0, n + 1]
  while (above - level > 1) {
    const middle = Math.floor((level + above) / 2)
    if (sum(upTo(middle)) <= n) level = middle
    else above = middle
  }
  const counts = upTo(level)
  const left = n - sum(counts)
  const open = sizes.flatMap((size, i) => (size > level ? [i] : []))
  for (const i of open.slice(open.length - left)) counts[i] += 1
  return counts
}

/**
 * Takes a part of a set aside: a count (≥ 1) of examples or a fraction (< 1) of them, of each stratum its share to
 * within one example. Both parts keep the set's order. 0 takes nothing aside; at least one example stays in `rest`, and
 * a fraction takes at least one if there are two. Throws a UserError on a part that is no part of the set.
 */
export function setAside<T>(
  examples: readonly T[],
  part: number,
  random: Random,
  stratumOf: StratumOf<T>,
  strata: number,
): { rest: T[]; aside: T[] } {
  const total = examples.length
  if (part === 0) return { rest: [...examples], aside: [] }
  if (!(part > 0) || (part >= 1 && !Number.isInteger(part))) {
    throw new UserError(`A part to set aside is a count of examples or a fraction below 1; got ${part}`)
  }
  const count = part < 1 ? Math.max(1, Math.round(part * total)) : part
  if (count >= total)
    throw new UserError(`Cannot set ${count} of ${total} examples aside: none would be left to train on`)
  const chosen = new Set<number>()
  let before = 0
  // By rounding running totals each stratum gets its share, and all of them the whole.
  for (const indices of indicesOf(examples, stratumOf, strata)) {
    const [from, to] = [before, before + indices.length].map(end => Math.round((count * end) / total))
    for (const index of random.shuffle(indices).slice(0, to - from)) chosen.add(index)
    before += indices.length
  }
  return { rest: examples.filter((_, i) => !chosen.has(i)), aside: examples.filter((_, i) => chosen.has(i)) }
}
