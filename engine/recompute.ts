// Recomputation of activations (Chen et al. 2016): between two boundaries of the forward pass nothing need be kept for the
// backward pass, which makes it again when it gets there. A boundary is a tensor that everything after it goes through,
// such as a layer's output; the graph between two boundaries is copied with the first one as its only beginning.
import { type Node, type Value, makeNode } from './graph.ts'
import { type Tensor, apply } from './tensor.ts'

/** For a value of the forward pass, the value to use in its place in the backward pass. */
export type Again = (value: Value) => Value

/**
 * `boundaries` in the order in which they were made. What was made after the last one, or up to the first, is used as
 * it is. Copies are made when first asked for, so that they run where the backward pass needs them.
 */
export function recomputed(boundaries: readonly Tensor[]): Again {
  const ends = boundaries.map(t => t.value.node.id)
  /** The part between boundaries k − 1 and k that a node was made in; 0 and past the last are not copied. */
  const partOf = ({ id }: Node): number => {
    const at = ends.findIndex(end => id <= end)
    return at < 0 ? ends.length : at
  }
  const isCopied = (node: Node): boolean => {
    const part = partOf(node)
    return node.inputs.length > 0 && part > 0 && part < ends.length
  }
  const copies = new Map<Node, Node>()
  const beginnings = new Map<number, Value>()
  /** The boundary that part k begins at, as another node, so that the copy is not taken for the same as the original. */
  const beginning = (part: number): Value => {
    const known = beginnings.get(part)
    if (known) return known
    const boundary = boundaries[part - 1]
    const made = apply('reshape', [boundary], { shape: boundary.shape, again: part }).value
    beginnings.set(part, made)
    return made
  }
  const copy = (node: Node): Node => {
    const known = copies.get(node)
    if (known) return known
    const part = partOf(node)
    const inputs = node.inputs.map(value => {
      const { value: start } = boundaries[part - 1]
      if (value.node === start.node && value.index === start.index) return beginning(part)
      return partOf(value.node) === part && isCopied(value.node) ? { node: copy(value.node), index: value.index } : value
    })
    // What depends on no boundary is the same as before.
    const made = inputs.every((value, i) => value === node.inputs[i]) ? node : makeNode(node.op, inputs, node.attributes)
    copies.set(node, made)
    return made
  }
  return value => (isCopied(value.node) ? { node: copy(value.node), index: value.index } : value)
}
