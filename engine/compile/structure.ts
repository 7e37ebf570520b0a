// The structure of a graph: everything that its plan depends on, as a text, and what the plan does not depend on, as lists:
// the sources (which host data, which variable, which result) and the numbers of its scalars. Two graphs of equal structure
// run the same dispatches on other memory with other numbers.
import { uniformWords, type DType } from '../../shaders/kernel.ts'
import { type Attribute, type Attributes, type Node, type Value, makeNode } from '../graph.ts'
import { makeSource } from '../ops/source.ts'
import { reachable } from './canonical.ts'
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
    if (op.name === 'scalar') {
      const number = Number(attributes.number)
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
 * The numbers that stand in for a template's scalars, as bits: which words of a schedule are scalars shows by scheduling it
 * twice, with each of these in turn. They are finite and small as f32, and below 2³¹ as integers.
 */
const STAND_INS = [0x3a000000, 0x3b000000] as const

const numberOfBits = (bits: number, dtype: DType): number => {
  if (dtype === 'i32' || dtype === 'u32') return bits
  return new Float32Array(Uint32Array.of(bits).buffer)[0]
}

/** A graph of the same structure that holds neither data nor numbers: every source is a placeholder of `trace`. */
export function templateOf(outputs: readonly Value[], trace: object, standIn: 0 | 1): Value[] {
  const { nodes, sources, numberOf } = walk(outputs)
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
    const attributes = place === undefined ? node.attributes
      : { ...node.attributes, number: numberOfBits(STAND_INS[standIn] + place, node.outputs[0].dtype) }
    copies.set(node, makeNode(node.op, node.inputs.map(copied), attributes))
  }
  return outputs.map(copied)
}

/** A uniform word that holds a scalar's number. */
export interface NumberPlace {
  readonly step: number
  readonly word: number
  /** Its place in a structure's `numbers`. */
  readonly number: number
}

/**
 * Where a template's numbers stand in its schedule's uniforms. `first` and `second` are its schedules with either stand-in;
 * throws where they differ in anything but these words, for then a number shapes more than its own word.
 */
export function numberPlaces(first: Schedule, second: Schedule, count: number): NumberPlace[] {
  if (first.steps.length !== second.steps.length) throw new Error('a number changes which dispatches a graph becomes')
  return first.steps.flatMap(({ launch }, step) => {
    const other = second.steps[step].launch
    const isSame = launch.wgsl === other.wgsl && launch.uniforms.length === other.uniforms.length && launch.workgroups.join() === other.workgroups.join()
    if (!isSame) throw new Error(`${launch.label}: a number shapes the kernel`)
    return [...launch.uniforms].flatMap((bits, word) => {
      if (bits === other.uniforms[word]) return []
      const number = bits - STAND_INS[0]
      if (number < 0 || number >= count || other.uniforms[word] !== STAND_INS[1] + number) throw new Error(`${launch.label}: uniform ${word} is made of a number`)
      return [{ step, word, number }]
    })
  })
}

/** A number as the uniform word that it is. */
export function wordOf({ number, dtype }: ScalarNumber): Uint32Array<ArrayBuffer> {
  return uniformWords([dtype === 'i32' || dtype === 'u32' ? number : { f32: number }])
}
