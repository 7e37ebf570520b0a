// Which expressions a kernel's own dispatch ends with: one that reads the kernel's first output element for element, where
// nobody needs that output earlier. The dispatch then stands where the expression stood.
import type { Traits, View } from '../../shaders/kernel.ts'
import type { KernelOp, Node, Value } from '../graph.ts'
import { sizeOf } from '../shape.ts'
import { type Canonical, type Elementwise, isElementwise, isTransparent, keyOf, viewKey } from './canonical.ts'

type Kernel = Node & { readonly op: KernelOp }
const isKernel = (node: Node): node is Kernel => node.op.kind === 'kernel'

/** A kernel whose first output goes right on into an expression. */
export interface Finishing {
  readonly kernel: Kernel
  /** Whether somebody else reads the kernel's own output, later. */
  readonly keeps: boolean
  /** The only one that does, where it makes something costly of that output alone: made at once, it is kept instead. */
  readonly instead?: Elementwise
}

/** A value that an expression loads, and the views that it is read through. */
interface Leaf {
  readonly base: Value
  readonly views: View[]
}

/**
 * The finishes of a graph whose values of `melted` have become parts of their readers' expressions; by the expressions' last
 * nodes. What a finish keeps instead of its kernel's output leaves `melted`: its readers load it.
 */
export function findFinishes(graph: Canonical, melted: Set<string>, traits: Traits): ReadonlyMap<Node, Finishing> {
  const { nodes, kept } = graph
  const found = new Map<Node, Finishing>()
  const taken = new Set<Node>()
  const places = new Map(nodes.map((node, i) => [node, i]))
  const placeOf = (node: Node): number => places.get(node) ?? 0
  const readersOf = readers(graph)
  for (const root of nodes) {
    if (!isElementwise(root) || melted.has(keyOf({ node: root, index: 0 }))) continue
    const [made] = root.outputs
    if (made.dtype !== 'f32' && made.dtype !== 'f16') continue
    const { members, leaves } = expressionOf(root, graph, melted)
    const fits = ({ base: { node, index }, views }: Leaf): boolean => {
      if (!isKernel(node) || !node.op.finishes || index !== 0 || taken.has(node)) return false
      const [own] = node.outputs
      const elements = sizeOf(own.shape)
      return elements > 1 && elements === sizeOf(made.shape) && views.every(view => isTransparent(view, own, elements))
        && readersOf(node).every(reader => members.has(reader) || placeOf(reader) > placeOf(root))
    }
    // Of several products in one sum the last: it has the least to wait.
    const kernel = leaves.filter(fits).map(({ base }) => base.node).filter(isKernel).sort((a, b) => placeOf(b) - placeOf(a))[0]
    if (!kernel) continue
    const own = keyOf({ node: kernel, index: 0 })
    const reads = (reader: Node): boolean => graph.inputsOf(reader).some(({ base }) => keyOf(base) === own)
    const later = readersOf(kernel).filter(reader => !members.has(reader) && reads(reader))
    const keeps = kept.has(own) || later.length > 0
    const besides = leaves.filter(({ base }) => keyOf(base) !== own).reduce((n, { views }) => n + new Set(views.map(viewKey)).size, 0)
    // The finished result takes the place of the kernel's own, or a place besides it.
    const bindings = kernel.inputs.length + kernel.outputs.length + besides + (keeps ? 1 : 0)
    if (bindings > traits.maxStorageBuffers) continue
    const instead = kept.has(own) ? undefined : costlyReader(kernel, later, graph)
    if (instead) melted.delete(keyOf({ node: instead, index: 0 }))
    found.set(root, { kernel, keeps, instead })
    taken.add(kernel)
  }
  return found
}

/**
 * The one node of `later`, where it is a function of each element of the kernel's first output alone, of the same dtype, and
 * a costly one: GELU's slope. Its readers load a number in place of making it, and memory holds no more than before.
 */
function costlyReader(kernel: Kernel, later: readonly Node[], { inputsOf }: Canonical): Elementwise | undefined {
  const [reader, another] = later
  if (!reader || another || !isElementwise(reader) || reader.op.uniforms || !reader.op.costly) return undefined
  const [own] = kernel.outputs
  const [made] = reader.outputs
  const alone = inputsOf(reader).every(({ base, view }) => base.node === kernel && base.index === 0 && isTransparent(view, own, sizeOf(made.shape)))
  return alone && made.dtype === own.dtype ? reader : undefined
}

/** The nodes of one expression, and what it loads. */
function expressionOf(root: Elementwise, graph: Canonical, melted: ReadonlySet<string>): { members: Set<Node>, leaves: Leaf[] } {
  const members = new Set<Node>()
  const leaves = new Map<string, Leaf>()
  const collect = (node: Elementwise): void => {
    if (members.has(node)) return
    members.add(node)
    for (const { base, view } of graph.inputsOf(node)) {
      const key = keyOf(base)
      if (melted.has(key) && isElementwise(base.node)) {
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

/** Who reads any of a node's outputs, views looked through. */
function readers({ nodes, inputsOf }: Canonical): (node: Node) => readonly Node[] {
  const found = new Map<Node, Node[]>()
  for (const node of nodes) {
    if (node.op.kind === 'view') continue
    for (const { base } of inputsOf(node)) {
      const list = found.get(base.node) ?? []
      list.push(node)
      found.set(base.node, list)
    }
  }
  return node => found.get(node) ?? []
}
