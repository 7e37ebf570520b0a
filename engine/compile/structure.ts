// The structure of a graph: everything that its plan depends on, as text. The rest is in lists: the sources (host data,
// variables, results) and the numbers of its scalars. Graphs of equal structure run the same dispatches on other
// memory, with other numbers.
import type { DType } from '../../shaders/kernel.ts'
import { computed, packed } from '../../shaders/wgsl.ts'
import { type Attribute, type Attributes, type Node, type Value, makeNode, reachable } from '../graph.ts'
import { makeSource } from '../ops/source.ts'
import type { Schedule } from './schedule.ts'

/** A scalar's number. Equal numbers of one dtype are one entry, as they are one node in the canonical graph. */
export interface ScalarNumber {
  readonly number: number
  readonly dtype: DType
}

export interface Structure {
  /** Equal for graphs that run the same dispatches. */
  readonly key: string
  /** In the order of the placeholders of `templateOf`. */
  readonly sources: readonly Node[]
  readonly numbers: readonly ScalarNumber[]
  readonly nodes: readonly Node[]
  /** By scalar node: the index of its number in `numbers`. */
  readonly numberOf: ReadonlyMap<Node, number>
}

/** The structure of the graph of `outputs`, including the order of its nodes, which dispatches follow. */
export function structureOf(outputs: readonly Value[]): Structure {
  const nodes = reachable(outputs)
  const places = new Map<Node, number>()
  const sources: Node[] = []
  const numbers: ScalarNumber[] = []
  const numberOf = new Map<Node, number>()
  const known = new Map<string, number>()
  const refer = ({ node, index }: Value): string => `${places.get(node)}.${index}`
  const lines = nodes.map((node, i) => {
    places.set(node, i)
    const { op, attributes, inputs } = node
    const [{ shape, dtype }] = node.outputs
    if (op.kind === 'source') {
      sources.push(node)
      return `${dtype}[${shape.join()}]`
    }
    if (op.kind === 'elementwise' && op.number) {
      const number = op.number.of(attributes)
      const text = `${dtype}${textOf(number)}`
      const place = known.get(text) ?? numbers.push({ number, dtype }) - 1
      known.set(text, place)
      numberOf.set(node, place)
      return `${dtype}#${place}`
    }
    return `${op.name}{${attributesText(attributes)}}(${inputs.map(refer).join()})`
  })
  return { key: `${lines.join(' ')} > ${outputs.map(refer).join()}`, sources, numbers, nodes, numberOf }
}

function attributesText(attributes: Attributes): string {
  let text = ''
  for (const name in attributes) text += `${name}:${textOf(attributes[name])};`
  return text
}

/** Text that distinguishes all values, −0 and NaN included. */
function textOf(attribute: Attribute): string {
  if (typeof attribute === 'number') return Object.is(attribute, -0) ? '-0' : `${attribute}`
  if (typeof attribute === 'string') return JSON.stringify(attribute)
  if (attribute === null || typeof attribute === 'boolean') return `${attribute}`
  return `[${attribute.map(textOf).join()}]`
}

/**
 * The bits of a template's first number. Its scalars have the numbers n, n + 1, … as bits, which identify their uniform
 * words in the schedule. Sizes and strides are below 2³¹, negative strides have larger words than those, and
 * constants of kernels are not denormal, so only attributes could give the same words: n is increased until none does.
 */
function firstStandIn(nodes: readonly Node[], count: number): number {
  const words = nodes.flatMap(({ op, attributes }) => {
    if (op.kind === 'elementwise' && op.number) return []
    const numbers = Object.values(attributes).flat()
    const uniforms = op.kind === 'elementwise' ? (op.uniforms?.(attributes) ?? []) : []
    return [
      ...numbers.flatMap(n => (typeof n === 'number' ? [wordOf({ number: n, dtype: 'f32' }), n >>> 0] : [])),
      ...uniforms.map(({ type, value }) => wordOf({ number: value, dtype: type })),
    ]
  })
  let first = 0x80000001
  while (words.some(word => word >= first && word < first + count)) first += count
  return first
}

const numberOfBits = (bits: number, dtype: DType): number =>
  dtype === 'u32' ? bits : dtype === 'i32' ? bits | 0 : new Float32Array(Uint32Array.of(bits).buffer)[0]

export interface Template {
  readonly outputs: readonly Value[]
  /** The bits of its first number; the others follow. */
  readonly standIn: number
}

/** A graph of the same structure without data and numbers: every source is a placeholder of `trace`. */
export function templateOf(outputs: readonly Value[], structure: Structure, trace: object): Template {
  const { nodes, sources, numbers, numberOf } = structure
  const standIn = firstStandIn(nodes, numbers.length)
  const positions = new Map(sources.map((node, position) => [node, position]))
  const copies = new Map<Node, Node>()
  const copied = ({ node, index }: Value): Value => ({ node: copies.get(node) ?? node, index })
  for (const node of nodes) {
    const position = positions.get(node)
    if (position !== undefined) {
      const [{ shape, dtype }] = node.outputs
      copies.set(node, makeSource(shape, dtype, { kind: 'placeholder', position, trace }).value.node)
      continue
    }
    const place = numberOf.get(node)
    const number = node.op.kind === 'elementwise' ? node.op.number : undefined
    const attributes =
      place === undefined || !number
        ? node.attributes
        : number.replaced(node.attributes, numberOfBits(standIn + place, node.outputs[0].dtype))
    copies.set(node, makeNode(node.op, node.inputs.map(copied), attributes))
  }
  return { outputs: outputs.map(copied), standIn }
}

/** A uniform word of a step. */
interface WordPlace {
  readonly step: number
  readonly word: number
}

/** The uniform words of a template's numbers in its schedule: for each of the `count` numbers, steps and words. */
export function numberPlaces({ steps }: Schedule, { standIn }: Template, count: number): WordPlace[][] {
  const places = Array.from({ length: count }, (): WordPlace[] => [])
  steps.forEach(({ launch: { uniforms } }, step) =>
    uniforms.forEach((bits, word) => places[bits - standIn]?.push({ step, word })),
  )
  return places
}

/** The uniform word of a number. */
export function wordOf({ number, dtype }: ScalarNumber): number {
  return packed([[computed(dtype), number]])[0]
}
