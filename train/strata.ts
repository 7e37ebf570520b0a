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
 * `n` examples, as many of each of the strata `names` (the last ones get one more where `n` does not divide), drawn without
 * repetition and in shuffled order. The same generator state draws the same examples. Throws a UserError when the set has too
 * few.
 */
export function balancedSample<T>(
  examples: readonly T[], n: number, random: Random, stratumOf: StratumOf<T>, names: readonly string[],
): T[] {
  if (!Number.isInteger(n) || n < 1) throw new UserError(`A sample has at least 1 example; asked for ${n}`)
  if (n > examples.length) throw new UserError(`Cannot draw ${n} examples from a set of ${examples.length}`)
  const strata = names.length
  const drawn = indicesOf(examples, stratumOf, strata).flatMap((indices, stratum) => {
    const wanted = Math.floor(n / strata) + (stratum >= strata - n % strata ? 1 : 0)
    if (indices.length < wanted) {
      throw new UserError(
        `Cannot draw ${n} balanced examples: they need ${wanted} ${names[stratum]} ones, the set has ${indices.length}`)
    }
    return random.shuffle(indices).slice(0, wanted)
  })
  return random.shuffle(drawn).map(index => examples[index])
}

/**
 * Takes a part of a set aside: a count (≥ 1) of examples or a fraction (< 1) of them, of each stratum its share to within
 * one example. Both parts keep the set's order. 0 takes nothing aside; at least one example stays in `rest`, and a fraction
 * takes at least one if there are two. Throws a UserError on a part that is no part of the set.
 */
export function setAside<T>(
  examples: readonly T[], part: number, random: Random, stratumOf: StratumOf<T>, strata: number,
): { rest: T[], aside: T[] } {
  const total = examples.length
  if (part === 0) return { rest: [...examples], aside: [] }
  if (!(part > 0) || (part >= 1 && !Number.isInteger(part))) {
    throw new UserError(`A part to set aside is a count of examples or a fraction below 1; got ${part}`)
  }
  const count = part < 1 ? Math.max(1, Math.round(part * total)) : part
  if (count >= total) throw new UserError(`Cannot set ${count} of ${total} examples aside: none would be left to train on`)
  const chosen = new Set<number>()
  let before = 0
  // By rounding running totals each stratum gets its share, and all of them the whole.
  for (const indices of indicesOf(examples, stratumOf, strata)) {
    const [from, to] = [before, before + indices.length].map(end => Math.round(count * end / total))
    for (const index of random.shuffle(indices).slice(0, to - from)) chosen.add(index)
    before += indices.length
  }
  return { rest: examples.filter((_, i) => !chosen.has(i)), aside: examples.filter((_, i) => chosen.has(i)) }
}
