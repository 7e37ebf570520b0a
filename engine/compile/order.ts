// The order of dispatches: as they were made, but that an update in place waits for every reader of the old value.
import { UserError } from '../errors.ts'
import type { Node } from '../graph.ts'
import { type Canonical, keyOf } from './canonical.ts'
import type { Region, Step } from './region.ts'

/** A step, and whose it is. */
export interface Made {
  readonly step: Step
  readonly node: Node
}

/**
 * `inPlace` are the regions that a node updates; values of `melted` have become parts of their readers. Throws a UserError
 * where two updates wait for one another.
 */
export function inOrder(
  made: readonly Made[], inPlace: ReadonlyMap<Node, readonly Region[]>, graph: Canonical, melted: ReadonlySet<string>,
): Step[] {
  const steps = made.map(({ step }) => step)
  if (inPlace.size === 0) return steps
  const after = steps.map(() => new Set<number>())
  const writer = new Map<Region, number>()
  const readers = new Map<Region, number[]>()
  steps.forEach(({ bindings, launch: { writes } }, i) => {
    bindings.forEach(({ region }, slot) => {
      const last = writer.get(region)
      if (last !== undefined && last !== i) after[i].add(last)
      if (writes.includes(slot)) return
      readers.set(region, [...(readers.get(region) ?? []), i])
    })
    writes.forEach(slot => writer.set(bindings[slot].region, i))
  })
  const updaters = new Map<Region, { node: Node; at: number }>()
  made.forEach(({ node }, at) => inPlace.get(node)?.forEach(region => updaters.set(region, { node, at })))
  for (const [region, { node, at }] of updaters) {
    for (const reader of readers.get(region) ?? []) {
      if (made[reader].node === node) continue
      if (after[reader].has(at)) {
        // It was made after the update; it reads the new value only if it asked for the update's output.
        if (readsOutputOf(made[reader].node, node, graph, melted)) continue
        after[reader].delete(at)
      }
      after[at].add(reader)
    }
  }
  return topological(steps, after)
}

/** Whether a node reads what another makes, itself or through an expression that has melted into it. */
function readsOutputOf(reader: Node, maker: Node, graph: Canonical, melted: ReadonlySet<string>): boolean {
  const seen = new Set<Node>()
  const visit = (node: Node): boolean => graph.inputsOf(node).some(({ base }) => {
    if (base.node === maker) return true
    if (!melted.has(keyOf(base)) || seen.has(base.node)) return false
    seen.add(base.node)
    return visit(base.node)
  })
  return visit(reader)
}

/** Steps in order, each after those it must follow. Throws where they go round in a circle. */
function topological(steps: readonly Step[], after: readonly ReadonlySet<number>[]): Step[] {
  const done = new Array<boolean>(steps.length).fill(false)
  const order: Step[] = []
  const visiting = new Set<number>()
  const visit = (i: number): void => {
    if (done[i]) return
    if (visiting.has(i)) throw new UserError('a variable is read after its own update in place: read its old value into another first')
    visiting.add(i)
    for (const before of [...after[i]].sort((a, b) => a - b)) visit(before)
    visiting.delete(i)
    done[i] = true
    order.push(steps[i])
  }
  steps.forEach((_, i) => visit(i))
  return order
}
