// Recomputation of activations (Chen et al. 2016): values between two boundaries of the forward pass are not kept for
// the backward pass, which recomputes them when it needs them. A boundary is a tensor that everything after it depends
// on, such as a layer's output. The graph between two boundaries is copied, starting from the first.
import { type Node, type Value, makeNode } from './graph.ts'
import { type Tensor, apply } from './tensor.ts'

/**
 * Maps a value of the forward pass to the value that the backward pass uses instead. `boundaries` are in the order in
 * which they were made. Values up to the first and after the last are used as they are. Copies are made on demand, so
 * that they run when the backward pass needs them.
 */
export function recomputed(boundaries: readonly Tensor[]): (value: Value) => Value {
  const ends = boundaries.map(t => t.value.node.id)
  /** The part of a node: part k is between boundaries k − 1 and k. The first and the last are not copied. */
  const partOf = ({ id }: Node): number => {
    const at = ends.findIndex(end => id <= end)
    return at < 0 ? ends.length : at
  }
  const isCopied = (node: Node): boolean => {
    const part = partOf(node)
    return node.inputs.length > 0 && part > 0 && part < ends.length
  }
  const copies = new Map<Node, Node>()
  const starts = new Map<number, Value>()
  /** The boundary at the start of part k, as a different node, so that the copies aren't merged with the originals. */
  const startOf = (part: number): Value => {
    const known = starts.get(part)
    if (known) return known
    const boundary = boundaries[part - 1]
    const made = apply('reshape', [boundary], { shape: boundary.shape, again: part }).value
    starts.set(part, made)
    return made
  }
  const copy = (node: Node): Node => {
    const known = copies.get(node)
    if (known) return known
    const part = partOf(node)
    const inputs = node.inputs.map(value => {
      const { value: start } = boundaries[part - 1]
      if (value.node === start.node && value.index === start.index) return startOf(part)
      return partOf(value.node) === part && isCopied(value.node)
        ? { node: copy(value.node), index: value.index }
        : value
    })
    // A node that depends on no boundary needs no copy.
    const made = inputs.every((value, i) => value === node.inputs[i])
      ? node
      : makeNode(node.op, inputs, node.attributes)
    copies.set(node, made)
    return made
  }
  return value => (isCopied(value.node) ? { node: copy(value.node), index: value.index } : value)
}
