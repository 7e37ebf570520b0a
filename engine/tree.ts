// Arguments and results of compiled functions: tensors in any nesting, beside other values.
import { UserError } from './errors.ts'
import { tensor } from './ops/source.ts'
import { needAll } from './options.ts'
import { Tensor } from './tensor.ts'

/** What a compiled function takes and returns: tensors in any nesting. Other values are fixed when it is traced. */
export type Tree = Leaf | readonly Tree[] | { readonly [key: string]: Tree }
type Leaf = Tensor | number | string | boolean | null | undefined

/** A number that a compiled function gets as a number. See `fixed`. */
export class Fixed<N extends number = number> {
  readonly number: N

  constructor(number: N) {
    this.number = number
  }
}

/**
 * Passes a number to a compiled function as a number, for shapes and conditions: the function is traced once for each.
 * Without it a number becomes a tensor f32 [], and all numbers share one plan.
 */
export function fixed<N extends number>(number: N): Fixed<N> {
  needAll('fixed', 'a number', argument => typeof argument === 'number', { number })
  return new Fixed(number)
}

/** An argument as its caller passes it: a number where the function takes a tensor, `fixed` where it takes a number. */
export type Passed<T> = [Tree] extends [T] ? Given : PassedPart<T>
type PassedPart<T> = T extends Tensor
  ? T | number
  : T extends number
    ? Fixed<T>
    : T extends string | boolean | null | undefined
      ? T
      : { [K in keyof T]: Passed<T[K]> }

/** The arguments of a call. */
export type PassedAll<Arguments extends readonly Tree[]> = { [K in keyof Arguments]: Passed<Arguments[K]> }

/** Arguments as they are kept after a call: every number is a tensor or fixed. */
export type Given = Leaf | Fixed | readonly Given[] | { readonly [key: string]: Given }

const isRecord = (tree: Given): tree is { readonly [key: string]: Given } =>
  typeof tree === 'object' &&
  tree !== null &&
  !(tree instanceof Tensor) &&
  !(tree instanceof Fixed) &&
  !Array.isArray(tree)

/** A copy of a tree in which every leaf is replaced by the result of `change`, which gets its path, such as `0.x`. */
export function mapLeaves<T>(tree: Given, change: (leaf: Leaf | Fixed, path: string) => T, path = ''): Mapped<T> {
  const below = (key: string | number): string => (path === '' ? `${key}` : `${path}.${key}`)
  if (Array.isArray(tree)) return tree.map((part: Given, i) => mapLeaves(part, change, below(i)))
  if (isRecord(tree)) {
    // A typed array is a record of its numbers, a Map one of nothing.
    if (Symbol.iterator in tree)
      throw new UserError(
        `a compiled function takes and returns tensors, arrays and plain objects, not a ${tree.constructor.name}` +
          (path && ` (at ${path})`),
      )
    return Object.fromEntries(Object.entries(tree).map(([key, part]) => [key, mapLeaves(part, change, below(key))]))
  }
  return change(tree as Leaf | Fixed, path)
}
type Mapped<T> = T | readonly Mapped<T>[] | { readonly [key: string]: Mapped<T> }

/** A copy of a tree with every tensor replaced by the result of `change`. */
export function mapTensors(tree: Tree, change: (t: Tensor) => Tree): Tree {
  return mapLeaves<Tree>(tree, leaf => (leaf instanceof Tensor ? change(leaf) : (leaf as Leaf)))
}

/** The tensors of a tree, in order. */
export function tensorsIn(tree: Given): Tensor[] {
  const found: Tensor[] = []
  mapLeaves(tree, leaf => {
    if (leaf instanceof Tensor) found.push(leaf)
  })
  return found
}

/** The arguments of a call with every number as a tensor. Throws a UserError on a number that f32 can't represent. */
export function given(args: Given): Given {
  return mapLeaves<Leaf | Fixed>(args, leaf => (typeof leaf === 'number' ? tensor(leaf) : leaf))
}
