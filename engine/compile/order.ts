// The order of dispatches: as they were made, but that an update in place waits for every reader of the old value.
import { UserError } from '../errors.ts'
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

/** A step reads a value both before and after its update: the node must update a copy instead. */
export class Entangled extends Error {
  readonly node: Node
  constructor(node: Node) {
    super(`${node.op.name} can't update in place`)
    this.node = node
  }
}

/** Throws Entangled, and a UserError where two updates wait for one another. */
export function inOrder(made: readonly Made[], updates: readonly Update[]): Step[] {
  const steps = made.map(({ step }) => step)
  if (updates.length === 0) return steps
  const waits = afterWriters(steps)
  for (const { node, region, before, after } of updates) {
    const updating = [...made.keys()].filter(i => made[i].node === node)
    made.forEach((one, reader) => {
      if (one.node === node || !one.reads.has(before)) return
      if (one.reads.has(after)) throw new Entangled(node)
      if (!one.step.bindings.some(binding => binding.region === region)) return
      for (const at of updating) {
        waits[reader].delete(at)
        waits[at].add(reader)
      }
    })
  }
  return topological(steps, waits)
}

/** For each step those before it that were the last to write what it binds. */
function afterWriters(steps: readonly Step[]): Set<number>[] {
  const writers = new Map<Region, number>()
  return steps.map(({ bindings, launch: { writes } }, i) => {
    const found = bindings.flatMap(({ region }) => writers.get(region) ?? [])
    for (const slot of writes) writers.set(bindings[slot].region, i)
    return new Set(found)
  })
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
