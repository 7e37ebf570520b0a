// The graph made canonical, in passes: equal nodes are merged; views become strides over the value that holds the
// elements; kernels get copies of what they can't read or must not overwrite; results get memory of their own; readers
// are counted.
import { type View, bytesOf } from '../../shaders/kernel.ts'
import { exactJson } from '../exact.ts'
import { type KernelOp, type Node, type Value, reachable } from '../graph.ts'
import { sizeOf } from '../shape.ts'
import { isContiguous } from '../view.ts'
import type { Storage } from '../storage.ts'
import { type Located, LocatedGraph, isWhole, keyOf, viewKey } from './located.ts'
import { ALIGNMENT } from './region.ts'

/** A variable's next value. */
export interface Assignment {
  readonly storage: Storage
  readonly target: Value
  readonly value: Value
}

/** One reader of a value. */
export interface Use {
  readonly kind: Node['op']['kind']
  readonly view: View
  /** Number of elements that the reader iterates over. */
  readonly elements: number
}

export interface Canonical {
  /** All nodes that compute something, inputs before users, in the order in which they were made. */
  readonly nodes: readonly Node[]
  readonly outputs: readonly Value[]
  readonly assignments: readonly Assignment[]
  readonly uses: ReadonlyMap<string, readonly Use[]>
  /** Keys of values that need their own memory regardless of readers: outputs, copies, assigned values. */
  readonly kept: ReadonlySet<string>
  inputsOf(node: Node): readonly Located[]
}

/** Nodes whose ids are in `copied` update a copy, even where an update in place is possible. */
export function canonical(
  outputs: readonly Value[],
  assignments: readonly Assignment[],
  copied: ReadonlySet<number> = new Set(),
): Canonical {
  const { nodes, now } = mergeEqual([...outputs, ...assignments.flatMap(a => [a.value, a.target])])
  const wanted = assignments.map(assignment => ({ ...assignment, value: now(assignment.value) }))
  const graph = new LocatedGraph()
  for (const node of nodes) {
    const { op } = node
    if (op.kind === 'source') graph.addOutputs(node)
    else if (op.kind === 'view') graph.addView(node)
    else if (op.kind === 'kernel')
      graph.add({ ...node, inputs: kernelInputs(node, op, graph, copied.has(node.id) ? [] : wanted) })
    else graph.add(node)
  }
  const results = placeResults(graph, outputs.map(now), wanted)
  return { ...results, nodes: graph.nodes, uses: usesIn(graph), inputsOf: node => graph.inputsOf(node) }
}

/** The nodes that `roots` need, equal ones merged, and for each value the one that replaces it. */
function mergeEqual(roots: readonly Value[]): { nodes: readonly Node[]; now: (value: Value) => Value } {
  const merged = new Map<Node, Node>()
  const byKey = new Map<string, Node>()
  const now = ({ node, index }: Value): Value => ({ node: merged.get(node) ?? node, index })
  for (const original of reachable(roots)) {
    const { id, op, attributes } = original
    const inputs = original.inputs.map(now)
    const key =
      op.kind === 'source' ? `source ${id}` : `${op.name}|${exactJson(attributes)}|${inputs.map(keyOf).join(' ')}`
    const node = byKey.get(key) ?? (op.kind === 'source' ? original : { ...original, inputs })
    byKey.set(key, node)
    merged.set(original, node)
  }
  return { nodes: [...byKey.values()], now }
}

/** A kernel's inputs, with copies of those that it can't read or that its update would change for others. */
function kernelInputs(node: Node, op: KernelOp, graph: LocatedGraph, assignments: readonly Assignment[]): Value[] {
  const values = node.inputs.map((value, i) => {
    const { view } = graph.locate(value)
    const isAligned = (view.offset * bytesOf(view.dtype)) % ALIGNMENT === 0
    return (isContiguous(view) && isAligned) || op.strided?.(view, i, node.attributes) ? value : graph.copy(value)
  })
  op.aliases?.forEach((alias, index) => {
    // Only a variable that takes the new value is updated in place.
    const target = graph.locate(values[alias]).base.node
    const isOwned = assignments.some(a => a.target.node === target && keyOf(a.value) === keyOf({ node, index }))
    if (!isOwned) values[alias] = graph.copy(values[alias], { fresh: true })
    // A dispatch may not bind one buffer for both writing and reading: other inputs in the same memory are copied.
    const written = keyOf(graph.locate(values[alias]).base)
    values.forEach((value, i) => {
      if (i !== alias && keyOf(graph.locate(value).base) === written) values[i] = graph.copy(value)
    })
  })
  return values
}

/** Outputs and assigned values: contiguous in planned memory, or in the variable updated; copied if necessary. */
function placeResults(
  graph: LocatedGraph,
  outputs: readonly Value[],
  assignments: readonly Assignment[],
): Pick<Canonical, 'outputs' | 'assignments' | 'kept'> {
  const kept = new Set<string>()
  const keep = (value: Value): Value => {
    kept.add(keyOf(value))
    return value
  }
  const isUpdate = ({ node: { op }, index }: Value): boolean =>
    op.kind === 'kernel' && op.aliases?.[index] !== undefined
  const planned = (value: Value): Value => {
    const located = graph.locate(value)
    return isWhole(located) && located.base.node.op.kind !== 'source' ? located.base : graph.copy(value)
  }
  // An output that was updated in place is in its variable's memory, which the next run overwrites.
  const final = (value: Value): Value => (isUpdate(graph.locate(value).base) ? graph.copy(value) : planned(value))
  const finalOutputs = outputs.map(value => keep(final(value)))
  const finalAssignments = assignments.map(each => ({ ...each, value: keep(planned(each.value)) }))
  return { outputs: finalOutputs, assignments: finalAssignments, kept: new Set([...graph.copied, ...kept]) }
}

/** The readers of every value. An operand that occurs twice in one operation (x·x) is one use: it is loaded once. */
function usesIn(graph: LocatedGraph): Map<string, Use[]> {
  const uses = new Map<string, Use[]>()
  for (const node of graph.nodes) {
    const { kind } = node.op
    const distinct = new Map(graph.inputsOf(node).map(input => [`${keyOf(input.base)} ${viewKey(input.view)}`, input]))
    for (const { base, view } of distinct.values()) {
      const list = uses.get(keyOf(base)) ?? []
      list.push({ kind, view, elements: kind === 'elementwise' ? sizeOf(node.outputs[0].shape) : sizeOf(view.shape) })
      uses.set(keyOf(base), list)
    }
  }
  return uses
}
