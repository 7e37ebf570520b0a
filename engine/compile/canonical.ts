// The graph made canonical: equal nodes are one, views are resolved to strides upon the value that holds the elements, and
// copies stand where a consumer can't read a view.
import { bytesOf } from '../../shaders/kernel.ts'
import type { Spec, View } from '../../shaders/kernel.ts'
import { exactJson } from '../exact.ts'
import { type ElementwiseOp, type Node, type Value, makeNode, specOf } from '../graph.ts'
import { detach } from '../ops/elementwise.ts'
import { contiguousView, isContiguous, sizeOf } from '../shape.ts'
import type { Storage } from '../storage.ts'
import { ALIGNMENT } from './region.ts'

/** A variable's next value. */
export interface Assignment {
  readonly storage: Storage
  readonly target: Value
  readonly value: Value
}

/** A value as strides upon the value that holds its elements. */
export interface Located {
  readonly base: Value
  readonly view: View
}

/** One reader of a value. */
export interface Use {
  readonly kind: 'elementwise' | 'reduce' | 'kernel'
  readonly view: View
  /** Elements that the reader goes over. */
  readonly elements: number
}

export interface Canonical {
  /** Reachable nodes, inputs before users, in the order of their making. */
  readonly nodes: readonly Node[]
  readonly outputs: readonly Value[]
  readonly assignments: readonly Assignment[]
  readonly uses: ReadonlyMap<string, readonly Use[]>
  /** Values that need memory of their own whoever reads them: outputs, copies, assigned values. */
  readonly kept: ReadonlySet<string>
  inputsOf(node: Node): readonly Located[]
}

export type Elementwise = Node & { readonly op: ElementwiseOp }
export const isElementwise = (node: Node): node is Elementwise => node.op.kind === 'elementwise'

/** Every element read once, in order (or the only one, by everybody): going on from it in the reader costs nothing. */
export function isTransparent(view: View, made: Spec, readerElements: number): boolean {
  const elements = sizeOf(made.shape)
  if (elements === 1) return true
  return view.offset === 0 && isContiguous(view) && sizeOf(view.shape) === elements && readerElements === elements
}

/** Whether a view has every element of its value, in order. */
export function isWhole({ base, view }: Located): boolean {
  return view.offset === 0 && isContiguous(view) && sizeOf(view.shape) === sizeOf(specOf(base).shape)
}

export const viewKey = (view: View): string => `${view.offset}:${view.shape}:${view.strides}`

export const keyOf = ({ node, index }: Value): string => `${node.id}.${index}`

/** Every node that `roots` need, in the order of their making. */
export function reachable(roots: readonly Value[]): Node[] {
  const seen = new Set<Node>()
  const stack = roots.map(value => value.node)
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (seen.has(node)) continue
    seen.add(node)
    for (const value of node.inputs) stack.push(value.node)
  }
  return [...seen].sort((a, b) => a.id - b.id)
}

/** Nodes whose ids are in `copied` update a copy, even where an update in place is possible. */
export function canonical(outputs: readonly Value[], assignments: readonly Assignment[], copied: ReadonlySet<number> = new Set()): Canonical {
  const nodes: Node[] = []
  const same = new Map<Node, Node>()
  const byKey = new Map<string, Node>()
  const located = new Map<string, Located>()
  const inputs = new Map<Node, Located[]>()
  const kept = new Set<string>()
  const targets = new Set(assignments.map(a => a.target.node))

  const now = ({ node, index }: Value): Value => ({ node: same.get(node) ?? node, index })
  const locate = (value: Value): Located => {
    const found = located.get(keyOf(value))
    if (!found) throw new Error(`${value.node.op.name} is used before it is made`)
    return found
  }
  const add = (node: Node): Node => {
    nodes.push(node)
    node.outputs.forEach((spec, index) => located.set(keyOf({ node, index }), { base: { node, index }, view: contiguousView(spec) }))
    return node
  }
  /** A contiguous copy of a value, with memory of its own. */
  const copy = (value: Value, fresh = false): Value => {
    const key = `copy ${keyOf(value)}`
    const known = fresh ? undefined : byKey.get(key)
    if (known) return { node: known, index: 0 }
    const node = add(makeNode(detach, [value], {}))
    inputs.set(node, [locate(value)])
    kept.add(keyOf({ node, index: 0 }))
    if (!fresh) byKey.set(key, node)
    return { node, index: 0 }
  }

  for (const original of reachable([...outputs, ...assignments.flatMap(a => [a.value, a.target])])) {
    if (original.op.kind === 'source') {
      add(original)
      continue
    }
    const key = `${original.op.name}|${exactJson(original.attributes)}|${original.inputs.map(value => keyOf(now(value))).join(' ')}`
    const twin = byKey.get(key)
    if (twin) {
      same.set(original, twin)
      continue
    }
    const { op, attributes } = original
    const values = original.inputs.map(now)
    if (op.kind === 'view') {
      const from = locate(values[0])
      const view = op.view(from.view, attributes, original.outputs[0])
      const node: Node = { ...original, inputs: values }
      nodes.push(node)
      byKey.set(key, node)
      same.set(original, node)
      if (view) located.set(keyOf({ node, index: 0 }), { base: from.base, view })
      else {
        const whole = locate(copy(values[0]))
        const again = op.view(whole.view, attributes, original.outputs[0])
        if (!again) throw new Error(`${op.name}: no view upon a contiguous value`)
        located.set(keyOf({ node, index: 0 }), { base: whole.base, view: again })
      }
      continue
    }
    if (op.kind === 'kernel') {
      values.forEach((value, i) => {
        const { view } = locate(value)
        const aligned = view.offset * bytesOf(view.dtype) % ALIGNMENT === 0
        if (!(isContiguous(view) && aligned) && !op.strided?.(view, i, attributes)) values[i] = copy(value)
      })
      op.aliases?.forEach((alias, index) => {
        if (alias === null || alias === undefined) return
        // In place only where the variable itself takes the new value; everything else is updated in a copy.
        const { base } = locate(values[alias])
        const owned = !copied.has(original.id) && assignments.some(a => a.target.node === base.node && a.value.node === original && a.value.index === index)
        if (!owned) values[alias] = copy(values[alias], true)
        // A dispatch may not bind a buffer both to write and to read: other inputs on the same memory read a copy of it.
        const { base: written } = locate(values[alias])
        values.forEach((value, i) => {
          if (i !== alias && keyOf(locate(value).base) === keyOf(written)) values[i] = copy(value)
        })
      })
    }
    const node: Node = { ...original, inputs: values }
    add(node)
    inputs.set(node, values.map(locate))
    byKey.set(key, node)
    same.set(original, node)
  }

  /** A value contiguous from the start of planned memory. */
  const settled = (value: Value): Value => {
    const { base, view } = locate(now(value))
    const planned = base.node.op.kind !== 'source'
    const final = isWhole({ base, view }) && planned && !(targets.has(base.node)) ? base : copy(now(value))
    kept.add(keyOf(final))
    return final
  }
  const finalOutputs = outputs.map(value => {
    const { base } = locate(now(value))
    // An output that was updated in place stands in its variable's memory: copy it out.
    const inPlace = base.node.op.kind === 'kernel' && base.node.op.aliases?.[base.index] !== undefined
    return inPlace ? copy(now(value)) : settled(value)
  })
  const finalAssignments = assignments.map(({ storage, target, value }) => {
    const { base, view } = locate(now(value))
    if (!isWhole({ base, view }) || base.node.op.kind !== 'kernel') return { storage, target, value: settled(value) }
    kept.add(keyOf(base))
    return { storage, target, value: base }
  })

  const uses = new Map<string, Use[]>()
  for (const node of nodes) {
    const { kind } = node.op
    if (kind === 'source' || kind === 'view') continue
    const elements = kind === 'elementwise' ? sizeOf(node.outputs[0].shape) : undefined
    const counted = new Set<string>()
    for (const { base, view } of inputs.get(node) ?? []) {
      // An operand that stands twice in one operation (x·x) is one use: it is loaded or computed once.
      const same = `${keyOf(base)} ${viewKey(view)}`
      if (counted.has(same)) continue
      counted.add(same)
      const list = uses.get(keyOf(base)) ?? []
      list.push({ kind, view, elements: elements ?? sizeOf(view.shape) })
      uses.set(keyOf(base), list)
    }
  }
  return {
    nodes, outputs: finalOutputs, assignments: finalAssignments, uses, kept,
    inputsOf: node => inputs.get(node) ?? [],
  }
}
