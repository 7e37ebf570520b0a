// Values as strided views of the base values that hold their elements. A view gets no memory: its readers are given the
// base value and strides. Where strides can't express a view, or a reader can't follow them, a copy is inserted.
import type { Spec, View } from '../../shaders/kernel.ts'
import { type ElementwiseOp, type Node, type Value, makeNode, specOf } from '../graph.ts'
import { detach } from '../ops/elementwise.ts'
import { sizeOf } from '../shape.ts'
import { contiguousView, isContiguous } from '../view.ts'

/** A value as a strided view of the base value that holds its elements. */
export interface Located {
  readonly base: Value
  readonly view: View
}

export type Elementwise = Node & { readonly op: ElementwiseOp }
export const isElementwise = (node: Node): node is Elementwise => node.op.kind === 'elementwise'

/** Whether a reader goes through every element once, in order, or reads a single element: fusing it costs nothing. */
export function isTransparent(view: View, made: Spec, readerElements: number): boolean {
  const elements = sizeOf(made.shape)
  if (elements === 1) return true
  return view.offset === 0 && isContiguous(view) && sizeOf(view.shape) === elements && readerElements === elements
}

/** Whether a view has every element of its base, in order. */
export function isWhole({ base, view }: Located): boolean {
  return view.offset === 0 && isContiguous(view) && sizeOf(view.shape) === sizeOf(specOf(base).shape)
}

export const viewKey = (view: View): string => `${view.offset}:${view.shape}:${view.strides}`

export const keyOf = ({ node, index }: Value): string => `${node.id}.${index}`

/** A graph under construction without views. Nodes are added after their inputs. */
export class LocatedGraph {
  /** All nodes but sources and views, in order. */
  readonly nodes: Node[] = []
  readonly #located = new Map<string, Located>()
  readonly #inputs = new Map<Node, readonly Located[]>()
  readonly #copies = new Map<string, Value>()
  readonly #copied = new Set<string>()

  /** Keys of the values that are copies, which have memory of their own. */
  get copied(): ReadonlySet<string> {
    return this.#copied
  }

  locate(value: Value): Located {
    const found = this.#located.get(keyOf(value))
    if (!found) throw new Error(`${value.node.op.name} is used before it is made`)
    return found
  }

  inputsOf(node: Node): readonly Located[] {
    return this.#inputs.get(node) ?? []
  }

  add(node: Node): void {
    this.nodes.push(node)
    const inputs = node.inputs.map(value => this.locate(value))
    this.#inputs.set(node, inputs)
    this.addOutputs(node)
  }

  addView(node: Node): void {
    const { op, attributes } = node
    const [from] = node.inputs
    const [spec] = node.outputs
    if (op.kind !== 'view') throw new Error(`${op.name} is not a view`)
    const viewOf = (value: Value): Located | undefined => {
      const { base, view } = this.locate(value)
      const viewed = op.view(view, attributes, spec)
      return viewed && { base, view: viewed }
    }
    const located = viewOf(from) ?? viewOf(this.copy(from))
    if (!located) throw new Error(`${op.name} has no view of a contiguous value`)
    this.#located.set(keyOf({ node, index: 0 }), located)
  }

  /** A contiguous copy of a value, with memory of its own: the same for all readers, unless `fresh`. */
  copy(value: Value, { fresh = false } = {}): Value {
    const known = fresh ? undefined : this.#copies.get(keyOf(value))
    if (known) return known
    const copy = { node: makeNode(detach, [value], {}), index: 0 }
    this.add(copy.node)
    this.#copied.add(keyOf(copy))
    if (!fresh) this.#copies.set(keyOf(value), copy)
    return copy
  }

  /** Locates each output of a node in itself. */
  addOutputs(node: Node): void {
    node.outputs.forEach((spec, index) =>
      this.#located.set(keyOf({ node, index }), { base: { node, index }, view: contiguousView(spec) }),
    )
  }
}
