// Expressions: which elementwise values melt into the one that reads them, and the WGSL of what is left to be one dispatch,
// or the start of a reduction, or the end of a kernel.
import { type Body, type Draw, type UniformScalar, scalarType } from '../../shaders/elementwise.ts'
import type { Traits, View } from '../../shaders/kernel.ts'
import type { Value } from '../graph.ts'
import { broadcastView, reshapeView, sizeOf } from '../shape.ts'
import { type Canonical, type Elementwise, type Located, isElementwise, isTransparent, keyOf, viewKey } from './canonical.ts'

/** Longest expression that one dispatch carries, in ops. */
const MAX_FUSED_OPS = 48

export interface Expression {
  /** Its ops' names. */
  readonly label: string
  readonly body: Body
  /** What it loads, each in the shape that it goes over. */
  readonly inputs: readonly Located[]
}

/** An expression whose inputs can't be read in its consumer's shape: it gets memory of its own after all. */
export class Unfusable extends Error {
  readonly key: string
  constructor(key: string) {
    super(key)
    this.key = key
  }
}

/**
 * Which elementwise values melt into their consumer, by `keyOf`: those with one reader, element for element. Those of
 * `forced` do not.
 */
export function findMelted(graph: Canonical, traits: Traits, forced: ReadonlySet<string>): Set<string> {
  const { nodes, uses, kept } = graph
  const melted = new Set<string>()
  const leaves = new Map<string, Set<string>>()
  const size = new Map<string, number>()
  const limit = traits.maxStorageBuffers - 1
  for (const node of nodes) {
    if (!isElementwise(node) && node.op.kind !== 'reduce') continue
    const key = keyOf({ node, index: 0 })
    const parts = graph.inputsOf(node).map(({ base, view }) => {
      const from = keyOf(base)
      const melts = melted.has(from)
      return { from, melts, set: melts ? leaves.get(from) ?? new Set<string>() : new Set([from + viewKey(view)]) }
    })
    const union = (): Set<string> => new Set(parts.flatMap(part => [...part.set]))
    const ops = (): number => 1 + parts.reduce((n, part) => n + (part.melts ? size.get(part.from) ?? 0 : 0), 0)
    // Too many buffers, or too long an expression: the widest part gets memory of its own.
    while (union().size > limit || ops() > MAX_FUSED_OPS) {
      const widest = parts.filter(part => part.melts).sort((a, b) => b.set.size - a.set.size)[0]
      if (!widest) break
      melted.delete(widest.from)
      widest.melts = false
      widest.set = new Set([widest.from])
    }
    leaves.set(key, union())
    size.set(key, ops())
    if (!isElementwise(node) || kept.has(key) || forced.has(key)) continue
    const readers = uses.get(key) ?? []
    const transparent = readers.every(use => use.kind !== 'kernel' && isTransparent(use.view, node.outputs[0], use.elements))
    if (transparent && (readers.length === 1 || node.inputs.length === 0)) melted.add(key)
  }
  return melted
}

/** The WGSL of one expression. Throws Unfusable. */
export class ExpressionWriter {
  readonly #graph: Canonical
  readonly #melted: ReadonlySet<string>
  readonly #shape: readonly number[]
  /** The value that stands in the variable `value`, where the expression ends the kernel that makes it. */
  readonly #finishes?: string
  readonly #inputs: Located[] = []
  readonly #draws: Draw[] = []
  readonly #lines: string[] = []
  /** Variables that hold what was loaded or computed before. */
  readonly #names = new Map<string, string>()
  readonly #helpers = new Set<string>()
  readonly #scalars: UniformScalar[] = []
  readonly #ops: string[] = []

  /** `shape` is what it goes over. */
  constructor(graph: Canonical, melted: ReadonlySet<string>, shape: readonly number[], finishes?: Value) {
    this.#graph = graph
    this.#melted = melted
    this.#shape = shape
    this.#finishes = finishes && keyOf(finishes)
  }

  /** The expression that makes a node's value. */
  ofNode(node: Elementwise): Expression {
    return this.#finish(this.#emit(node, true))
  }

  /** The expression of a value as it is read through a view. */
  ofValue({ base, view }: Located): Expression {
    return this.#finish(this.#load(base, view, this.#shape, keyOf(base)))
  }

  #finish(result: string): Expression {
    const body = { draws: this.#draws, lines: this.#lines, result, helpers: [...this.#helpers], scalars: this.#scalars }
    return { label: this.#ops.join(' '), body, inputs: this.#inputs }
  }

  /** A value inside the expression: melted in, or loaded. `reader` is who can't be fused where that can't be read. */
  #load(base: Value, view: View, within: readonly number[], reader: string): string {
    const key = keyOf(base)
    if (key === this.#finishes) return 'value'
    if (this.#melted.has(key) && isElementwise(base.node)) return this.#emit(base.node)
    const spread = inShape(broadcastView(view, within), this.#shape)
    if (!spread) throw new Unfusable(reader)
    const id = `${key}@${viewKey(spread)}`
    const known = this.#names.get(id)
    if (known) return known
    const name = `x${this.#inputs.length}`
    this.#inputs.push({ base, view: spread })
    this.#names.set(id, name)
    return name
  }

  #emit(node: Elementwise, stored = false): string {
    const key = keyOf({ node, index: 0 })
    const known = this.#names.get(key)
    if (known) return known
    const { op, attributes } = node
    const [out] = node.outputs
    const inputs = this.#graph.inputsOf(node)
    const args = inputs.map(({ base, view }) => this.#load(base, view, out.shape, key))
    const uniforms = (op.uniforms?.(attributes) ?? []).map(scalar => {
      this.#scalars.push(scalar)
      return `u.s${this.#scalars.length - 1}`
    })
    const index = sizeOf(out.shape) === 1 ? '0u' : 'i'
    const random = (stream: string, step: string, seed: string): string => {
      // A word for all elements, or of a step that is computed on the way, is drawn where it stands.
      if (index !== 'i' || !/^x\d+$/.test(step)) return `randomWord(${index}, ${stream}, ${step}, ${seed})`
      return `random${this.#draws.push({ stream, step, seed }) - 1}`
    }
    const context = { attributes, inputs: inputs.map(({ view }) => view.dtype), output: out.dtype, stored, index, random, uniforms }
    const text = op.wgsl(args, context)
    for (const helper of (typeof op.helpers === 'function' ? op.helpers(context) : op.helpers) ?? []) this.#helpers.add(helper)
    const name = `v${this.#lines.length}`
    this.#lines.push(`let ${name}: ${scalarType(out.dtype)} = ${text};`)
    this.#names.set(key, name)
    if (node.inputs.length > 0) this.#ops.push(op.name)
    return name
  }
}

function inShape(view: View, shape: readonly number[]): View | undefined {
  const elements = sizeOf(view.shape)
  if (elements === sizeOf(shape)) return reshapeView(view, shape)
  if (elements !== 1) return undefined
  return { ...view, shape, strides: shape.map(() => 0) }
}
