// Expressions: which elementwise values are fused into their reader, and the WGSL of one fused expression, which
// becomes a dispatch of its own, the input of a reduction, or the epilogue of a kernel.
import type { Body, Draw, UniformScalar } from '../../shaders/expression.ts'
import type { Traits, View } from '../../shaders/kernel.ts'
import { functionsIn } from '../../shaders/math.ts'
import { randomWgsl } from '../../shaders/random.ts'
import { computed } from '../../shaders/wgsl.ts'
import type { Value } from '../graph.ts'
import { sizeOf } from '../shape.ts'
import { broadcastView, reshapeView } from '../view.ts'
import type { Canonical } from './canonical.ts'
import { type Elementwise, type Located, isElementwise, isTransparent, keyOf, viewKey } from './located.ts'

/** Longest expression that one dispatch carries, in ops. */
const MAX_FUSED_OPS = 48

export interface Expression {
  /** The names of its ops. */
  readonly label: string
  readonly body: Body
  /** The values it loads, as views in the shape of the iteration space. */
  readonly inputs: readonly Located[]
}

/** Thrown if inputs can't be read in the consumer's shape: the value `key` has to be materialized. */
export class Unfusable extends Error {
  readonly key: string
  constructor(key: string) {
    super(key)
    this.key = key
  }
}

/**
 * Keys of the elementwise values that are fused into their consumer: those with one reader, which reads them element
 * for element. Keys in `materialized` are excluded.
 */
export function findFused(graph: Canonical, traits: Traits, materialized: ReadonlySet<string>): Set<string> {
  const { nodes, uses, kept } = graph
  const fused = new Set<string>()
  const leaves = new Map<string, Set<string>>()
  const size = new Map<string, number>()
  const limit = traits.maxStorageBuffers - 1
  for (const node of nodes) {
    if (!isElementwise(node) && node.op.kind !== 'reduce') continue
    const key = keyOf({ node, index: 0 })
    const parts = graph.inputsOf(node).map(({ base, view }) => {
      const from = keyOf(base)
      const isFused = fused.has(from)
      return { from, isFused, set: isFused ? (leaves.get(from) ?? new Set<string>()) : new Set([from + viewKey(view)]) }
    })
    const union = (): Set<string> => new Set(parts.flatMap(part => [...part.set]))
    const ops = (): number => 1 + parts.reduce((n, part) => n + (part.isFused ? (size.get(part.from) ?? 0) : 0), 0)
    // Too many buffers or too long an expression: materialize the part with the most inputs.
    while (union().size > limit || ops() > MAX_FUSED_OPS) {
      const widest = parts.filter(part => part.isFused).sort((a, b) => b.set.size - a.set.size)[0]
      if (!widest) break
      fused.delete(widest.from)
      widest.isFused = false
      widest.set = new Set([widest.from])
    }
    leaves.set(key, union())
    size.set(key, ops())
    if (!isElementwise(node) || kept.has(key) || materialized.has(key)) continue
    const readers = uses.get(key) ?? []
    const [made] = node.outputs
    const transparent = readers.every(use => use.kind !== 'kernel' && isTransparent(use.view, made, use.elements))
    if (transparent && (readers.length === 1 || node.inputs.length === 0)) fused.add(key)
  }
  return fused
}

/** The WGSL of one expression. Throws Unfusable. */
export class ExpressionWriter {
  readonly #graph: Canonical
  readonly #fused: ReadonlySet<string>
  readonly #shape: readonly number[]
  /** In an epilogue: the kernel's result, which is in the WGSL variable `value`. */
  readonly #epilogueOf?: string
  readonly #inputs: Located[] = []
  readonly #draws: Draw[] = []
  readonly #lines: string[] = []
  /** WGSL variables of values that are already loaded or computed. */
  readonly #names = new Map<string, string>()
  readonly #helpers = new Set<string>()
  readonly #scalars: UniformScalar[] = []
  readonly #ops: string[] = []

  /** `shape` is the iteration space; `epilogueOf` the kernel's result that an epilogue begins with. */
  constructor(graph: Canonical, fused: ReadonlySet<string>, shape: readonly number[], epilogueOf?: Value) {
    this.#graph = graph
    this.#fused = fused
    this.#shape = shape
    this.#epilogueOf = epilogueOf && keyOf(epilogueOf)
  }

  /** The expression that makes a node's value. */
  ofNode(node: Elementwise): Expression {
    return this.#expression(this.#emit(node, true))
  }

  /** The expression of a value as it is read through a view. */
  ofValue({ base, view }: Located): Expression {
    return this.#expression(this.#load(base, view, this.#shape, keyOf(base)))
  }

  #expression(result: string): Expression {
    const body = { draws: this.#draws, lines: this.#lines, result, helpers: [...this.#helpers], scalars: this.#scalars }
    return { label: this.#ops.join(' '), body, inputs: this.#inputs }
  }

  /** A value within the expression, computed or loaded. Throws Unfusable for `reader`. */
  #load(base: Value, view: View, within: readonly number[], reader: string): string {
    const key = keyOf(base)
    if (key === this.#epilogueOf) return 'value'
    if (this.#fused.has(key) && isElementwise(base.node)) return this.#emit(base.node)
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
      this.#helpers.add(randomWgsl)
      // A word shared by all elements, or one whose step is computed in this expression, is drawn inline.
      if (index !== 'i' || !/^x\d+$/.test(step)) return `randomWord(${index}, ${stream}, ${step}, ${seed})`
      return `random${this.#draws.push({ stream, step, seed }) - 1}`
    }
    const dtypes = inputs.map(({ view }) => view.dtype)
    const text = op.wgsl(args, { attributes, inputs: dtypes, output: out.dtype, stored, index, random, uniforms })
    for (const helper of functionsIn(text)) this.#helpers.add(helper)
    const name = `v${this.#lines.length}`
    this.#lines.push(`let ${name}: ${computed(out.dtype)} = ${text};`)
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
