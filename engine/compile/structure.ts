// The structure of a graph: everything that its plan depends on, as a text, and what the plan does not depend on, as lists:
// the sources (which host data, which variable, which result) and the numbers of its scalars. Two graphs of equal structure
// run the same dispatches on other memory with other numbers.
import { uniformWords, type DType } from '../../shaders/kernel.ts'
import { type Attribute, type Attributes, type Node, type Value, makeNode, reachable } from '../graph.ts'
import { makeSource } from '../ops/source.ts'
import type { Schedule } from './schedule.ts'

/** A scalar's number. Equal ones of one dtype are one, as they are in the canonical graph. */
export interface ScalarNumber {
  readonly number: number
  readonly dtype: DType
}

export interface Structure {
  /** Equal for graphs that run the same dispatches. */
  readonly key: string
  /** In the order in which `templateOf` numbers its placeholders. */
  readonly sources: readonly Node[]
  readonly numbers: readonly ScalarNumber[]
}

interface Walk extends Structure {
  readonly nodes: readonly Node[]
  /** By scalar node: its number's place in `numbers`. */
  readonly numberOf: ReadonlyMap<Node, number>
}

/** Of the graph that leads to `outputs`. The order of its nodes' making counts: dispatches follow it. */
export function structureOf(outputs: readonly Value[]): Structure {
  const { key, sources, numbers } = walk(outputs)
  return { key, sources, numbers }
}

function walk(outputs: readonly Value[]): Walk {
  const nodes = reachable(outputs)
  const places = new Map<Node, number>()
  const sources: Node[] = []
  const numbers: ScalarNumber[] = []
  const numberOf = new Map<Node, number>()
  const known = new Map<string, number>()
  const refer = ({ node, index }: Value): string => `${places.get(node)}.${index}`
  const lines = nodes.map((node, i) => {
    places.set(node, i)
    const { op, attributes, inputs, outputs: [{ shape, dtype }] } = node
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

/** Tells all values apart, −0 and NaN included. */
function textOf(attribute: Attribute): string {
  if (typeof attribute === 'number') return Object.is(attribute, -0) ? '-0' : `${attribute}`
  if (typeof attribute === 'string') return JSON.stringify(attribute)
  if (attribute === null || typeof attribute === 'boolean') return `${attribute}`
  return `[${attribute.map(textOf).join()}]`
}

/**
 * The numbers of a template's scalars are n, n + 1, … as bits, so that it shows which uniform words of its schedule are theirs.
 * No size or stride is such a word, since they are below 2³¹; as f32 they are denormal, so nothing that a kernel computes is; and
 * what comes from attributes is looked at: n is larger where an attribute is such a number.
 */
function firstStandIn(nodes: readonly Node[], count: number): number {
  const words = nodes.filter(({ op }) => !(op.kind === 'elementwise' && op.number)).flatMap(({ op, attributes }) => [
    ...Object.values(attributes).flat().filter(value => typeof value === 'number').flatMap(value => [wordOf({ number: value, dtype: 'f32' }), value >>> 0]),
    ...(op.kind === 'elementwise' ? op.uniforms?.(attributes) ?? [] : []).map(({ type, value }) => wordOf({ number: value, dtype: type })),
  ])
  let first = 0x80000001
  while (words.some(word => word >= first && word < first + count)) first += count
  return first
}

const numberOfBits = (bits: number, dtype: DType): number =>
  (dtype === 'u32' ? bits : dtype === 'i32' ? bits | 0 : new Float32Array(Uint32Array.of(bits).buffer)[0])

export interface Template {
  readonly outputs: readonly Value[]
  /** The first of its numbers, as bits. */
  readonly standIn: number
}

/** A graph of the same structure that holds neither data nor numbers: every source is a placeholder of `trace`. */
export function templateOf(outputs: readonly Value[], trace: object): Template {
  const { nodes, sources, numbers, numberOf } = walk(outputs)
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
    const attributes = place === undefined || !number
      ? node.attributes
      : number.replaced(node.attributes, numberOfBits(standIn + place, node.outputs[0].dtype))
    copies.set(node, makeNode(node.op, node.inputs.map(copied), attributes))
  }
  return { outputs: outputs.map(copied), standIn }
}

/** Where the numbers of a template, so many of them, stand in the uniforms of its schedule: by number, by step and word. */
export function numberPlaces({ steps }: Schedule, { standIn }: Template, count: number): { step: number, word: number }[][] {
  const places = Array.from({ length: count }, (): { step: number, word: number }[] => [])
  steps.forEach(({ launch: { uniforms } }, step) => uniforms.forEach((bits, word) => places[bits - standIn]?.push({ step, word })))
  return places
}

/** A number as the uniform word that it is. */
export function wordOf({ number, dtype }: ScalarNumber): number {
  return uniformWords([dtype === 'i32' || dtype === 'u32' ? number : { f32: number }])[0]
}
