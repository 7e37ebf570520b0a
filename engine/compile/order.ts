// The order of dispatches: as they were made, but that an update in place waits for every reader of the old value.
import type { Node } from '../graph.ts'
import type { Region, Step } from './region.ts'

/** A step, whose it is, and the values that it reads, as `keyOf` has them. */
export interface Made {
  readonly step: Step
  readonly node: Node
  readonly reads: ReadonlySet<string>
}

/** A node that writes its result over what it read: the region, and the keys of the value that stood and that stands there. */
export interface Update {
  readonly node: Node
  readonly region: Region
  readonly before: string
  readonly after: string
}

/** A step needs a value both before and after its update, itself or by way of others: the node must update a copy instead. */
export class Entangled extends Error {
  readonly node: Node
  constructor(node: Node) {
    super(`${node.op.name} can't update in place`)
    this.node = node
  }
}

/** Throws Entangled. */
export function inOrder(made: readonly Made[], updates: readonly Update[]): Step[] {
  if (updates.length === 0) return made.map(({ step }) => step)
  const waits = afterWriters(made, updates)
  for (const { node, region, before, after } of updates) {
    const updating = [...made.keys()].filter(i => made[i].node === node)
    made.forEach((one, reader) => {
      if (one.node === node) return
      const [readsOld, readsNew] = [one.reads.has(before), one.reads.has(after)]
      if (readsOld && readsNew) throw new Entangled(node)
      if (!one.step.bindings.some(binding => binding.region === region)) return
      for (const at of updating) {
        if (readsOld) waits[at].add(reader)
        if (readsNew) waits[reader].add(at)
      }
    })
  }
  return topological(made, waits, new Set(updates.map(({ node }) => node)))
}

/**
 * For each step those before it that were the last to write what it binds. Readers of a value that stands before or after
 * an update are left out: who made the step last says nothing of which of the two it reads.
 */
function afterWriters(made: readonly Made[], updates: readonly Update[]): Set<number>[] {
  const writers = new Map<Region, number>()
  const valuesIn = new Map<Region, string[]>()
  for (const { region, before, after } of updates) valuesIn.set(region, [...valuesIn.get(region) ?? [], before, after])
  return made.map(({ step: { bindings, launch: { writes } }, node, reads }, i) => {
    const found = bindings.flatMap(({ region }) => {
      const writer = writers.get(region)
      if (writer === undefined) return []
      const isKnown = made[writer].node !== node && valuesIn.get(region)?.some(value => reads.has(value))
      return isKnown ? [] : [writer]
    })
    for (const slot of writes) writers.set(bindings[slot].region, i)
    return new Set(found)
  })
}

/** Steps in order, each after those it must follow. Throws Entangled for an update where they go round in a circle. */
function topological(made: readonly Made[], after: readonly ReadonlySet<number>[], updating: ReadonlySet<Node>): Step[] {
  const done = new Array<boolean>(made.length).fill(false)
  const order: Step[] = []
  const visiting = new Set<number>()
  const visit = (i: number): void => {
    if (done[i]) return
    if (visiting.has(i)) {
      // What was visited before the circle was entered is no part of it.
      const path = [...visiting]
      const node = path.slice(path.indexOf(i)).map(at => made[at].node).find(node => updating.has(node))
      throw node ? new Entangled(node) : new Error('steps wait for one another, and none of them updates in place')
    }
    visiting.add(i)
    for (const before of [...after[i]].sort((a, b) => a - b)) visit(before)
    visiting.delete(i)
    done[i] = true
    order.push(made[i].step)
  }
  made.forEach((_, i) => visit(i))
  return order
}
