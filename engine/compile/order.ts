// The order of dispatches: that in which they were made, except that an update in place waits for every reader of the
// old value.
import type { Node } from '../graph.ts'
import type { Region, Step } from './region.ts'

/** A step with its node and the keys of the values that it reads. */
export interface NodeStep {
  readonly step: Step
  readonly node: Node
  readonly reads: ReadonlySet<string>
}

/** A node that overwrites one of its inputs: the region, and the keys of the old and the new value in it. */
export interface Update {
  readonly node: Node
  readonly region: Region
  readonly before: string
  readonly after: string
}

/** Thrown if a step depends on a value both before and after its update: the node has to update a copy. */
export class UpdateConflict extends Error {
  readonly node: Node
  constructor(node: Node) {
    super(`${node.op.name} can't update in place`)
    this.node = node
  }
}

/** Throws UpdateConflict. */
export function orderSteps(made: readonly NodeStep[], updates: readonly Update[]): Step[] {
  if (updates.length === 0) return made.map(({ step }) => step)
  const waits = afterWriters(made, updates)
  for (const { node, region, before, after } of updates) {
    const updating = [...made.keys()].filter(i => made[i].node === node)
    made.forEach((other, reader) => {
      if (other.node === node) return
      const [readsOld, readsNew] = [other.reads.has(before), other.reads.has(after)]
      if (readsOld && readsNew) throw new UpdateConflict(node)
      if (!other.step.bindings.some(binding => binding.region === region)) return
      for (const at of updating) {
        if (readsOld) waits[at].add(reader)
        if (readsNew) waits[reader].add(at)
      }
    })
  }
  return topological(made, waits, new Set(updates.map(({ node }) => node)))
}

/**
 * For each step, the last steps before it that wrote what it binds. Readers of a region that is updated are left out:
 * the last step that was made need not be the one whose value they read.
 */
function afterWriters(made: readonly NodeStep[], updates: readonly Update[]): Set<number>[] {
  const writers = new Map<Region, number>()
  const valuesIn = new Map<Region, string[]>()
  for (const { region, before, after } of updates)
    valuesIn.set(region, [...(valuesIn.get(region) ?? []), before, after])
  return made.map(({ step, node, reads }, i) => {
    const { bindings, launch } = step
    const found = bindings.flatMap(({ region }) => {
      const writer = writers.get(region)
      if (writer === undefined) return []
      const readsUpdated = made[writer].node !== node && valuesIn.get(region)?.some(value => reads.has(value))
      return readsUpdated ? [] : [writer]
    })
    for (const slot of launch.writes) writers.set(bindings[slot].region, i)
    return new Set(found)
  })
}

/** Steps, each after those that it waits for. Throws UpdateConflict for an update within a cycle. */
function topological(
  made: readonly NodeStep[],
  after: readonly ReadonlySet<number>[],
  updating: ReadonlySet<Node>,
): Step[] {
  const done = new Array<boolean>(made.length).fill(false)
  const order: Step[] = []
  const visiting = new Set<number>()
  const visit = (i: number): void => {
    if (done[i]) return
    if (visiting.has(i)) {
      // Steps visited before the first one of the cycle are not part of it.
      const path = [...visiting]
      const cycle = path.slice(path.indexOf(i)).map(at => made[at].node)
      const node = cycle.find(one => updating.has(one))
      throw node ? new UpdateConflict(node) : new Error('steps wait for each other, and none of them updates in place')
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
