// Epilogues: elementwise expressions that a kernel evaluates before it stores its result. An expression qualifies if it
// reads the kernel's first output element for element and nothing reads that output earlier. The kernel then runs in
// the expression's place.
import { type Traits, type View, isFloat } from '../../shaders/kernel.ts'
import type { KernelOp, Node, Value } from '../graph.ts'
import { sizeOf } from '../shape.ts'
import type { Canonical } from './canonical.ts'
import { type Elementwise, isElementwise, isTransparent, keyOf, viewKey } from './located.ts'

type Kernel = Node & { readonly op: KernelOp }
const isKernel = (node: Node): node is Kernel => node.op.kind === 'kernel'

/** A kernel that evaluates an expression of its first output. */
export interface FusedEpilogue {
  readonly kernel: Kernel
  /** Whether the kernel's own output is stored too, since something reads it later. */
  readonly storesResult: boolean
  /** Its only later reader, if that is an expensive function of this output alone, to be stored in its place. */
  readonly storedInstead?: Elementwise
}

/** A value that an expression loads, and the views through which it does. */
interface Leaf {
  readonly base: Value
  readonly views: View[]
}

/**
 * The epilogues of a graph, by the last node of their expressions. `fused` are the values that are part of their
 * readers' expressions; a value that is stored instead of a kernel's output is removed from it, since its readers then
 * load it.
 */
export function findEpilogues(graph: Canonical, fused: Set<string>, traits: Traits): ReadonlyMap<Node, FusedEpilogue> {
  const { nodes, kept } = graph
  const found = new Map<Node, FusedEpilogue>()
  const taken = new Set<Node>()
  const places = new Map(nodes.map((node, i) => [node, i]))
  const placeOf = (node: Node): number => places.get(node) ?? 0
  const readersOf = readers(graph)
  for (const root of nodes) {
    if (!isElementwise(root) || fused.has(keyOf({ node: root, index: 0 }))) continue
    const [made] = root.outputs
    if (!isFloat(made.dtype)) continue
    const { members, leaves } = expressionOf(root, graph, fused)
    const fits = ({ base: { node, index }, views }: Leaf): boolean => {
      if (!isKernel(node) || !node.op.takesEpilogue || index !== 0 || taken.has(node)) return false
      const [own] = node.outputs
      const elements = sizeOf(own.shape)
      return (
        elements > 1 &&
        elements === sizeOf(made.shape) &&
        views.every(view => isTransparent(view, own, elements)) &&
        readersOf(node).every(reader => members.has(reader) || placeOf(reader) > placeOf(root))
      )
    }
    // Of several products in one sum, the last one: the others are complete by then.
    const kernels = leaves.filter(fits).map(({ base }) => base.node)
    const kernel = kernels.filter(isKernel).sort((a, b) => placeOf(b) - placeOf(a))[0]
    if (!kernel) continue
    const own = keyOf({ node: kernel, index: 0 })
    const reads = (reader: Node): boolean => graph.inputsOf(reader).some(({ base }) => keyOf(base) === own)
    const later = readersOf(kernel).filter(reader => !members.has(reader) && reads(reader))
    const storesResult = kept.has(own) || later.length > 0
    const besides = leaves
      .filter(({ base }) => keyOf(base) !== own)
      .reduce((n, { views }) => n + new Set(views.map(viewKey)).size, 0)
    // The epilogue's result is stored instead of the kernel's own, or in addition to it.
    const ofKernel = kernel.inputs.length + kernel.outputs.length + (kernel.op.otherBindings ?? 0)
    const bindings = ofKernel + besides + (storesResult ? 1 : 0)
    if (bindings > traits.maxStorageBuffers) continue
    const storedInstead = kept.has(own) ? undefined : costlyReader(kernel, later, graph)
    if (storedInstead) fused.delete(keyOf({ node: storedInstead, index: 0 }))
    found.set(root, { kernel, storesResult, storedInstead })
    taken.add(kernel)
  }
  return found
}

/**
 * The one node of `later`, if it is an expensive elementwise function of the kernel's first output alone, in the same
 * dtype (GELU's derivative, for example). Storing it instead of that output takes no more memory, and its readers load
 * it instead of computing it.
 */
function costlyReader(kernel: Kernel, later: readonly Node[], { inputsOf }: Canonical): Elementwise | undefined {
  const [reader, another] = later
  if (!reader || another || !isElementwise(reader) || reader.op.uniforms || !reader.op.costly) return undefined
  const [own] = kernel.outputs
  const [made] = reader.outputs
  const alone = inputsOf(reader).every(
    ({ base, view }) => base.node === kernel && base.index === 0 && isTransparent(view, own, sizeOf(made.shape)),
  )
  return alone && made.dtype === own.dtype ? reader : undefined
}

/** The nodes of one expression, and the values it loads. */
function expressionOf(root: Elementwise, graph: Canonical, fused: ReadonlySet<string>) {
  const members = new Set<Node>()
  const leaves = new Map<string, Leaf>()
  const collect = (node: Elementwise): void => {
    if (members.has(node)) return
    members.add(node)
    for (const { base, view } of graph.inputsOf(node)) {
      const key = keyOf(base)
      if (fused.has(key) && isElementwise(base.node)) {
        collect(base.node)
        continue
      }
      const leaf = leaves.get(key) ?? { base, views: [] }
      leaf.views.push(view)
      leaves.set(key, leaf)
    }
  }
  collect(root)
  return { members, leaves: [...leaves.values()] }
}

/** The readers of any output of a node, directly or through views. */
function readers({ nodes, inputsOf }: Canonical): (node: Node) => readonly Node[] {
  const found = new Map<Node, Node[]>()
  for (const node of nodes) {
    for (const { base } of inputsOf(node)) {
      const list = found.get(base.node) ?? []
      list.push(node)
      found.set(base.node, list)
    }
  }
  return node => found.get(node) ?? []
}
