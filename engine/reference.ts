// The oracle of the tests: evaluates a graph in float64 on the CPU, op by op, without fusion, views or a device.
import { UserError } from './errors.ts'
import { type Node, type Value, reachable } from './graph.ts'
import { showShape, sizeOf } from './shape.ts'
import { broadcastView, contiguousView, readThrough } from './view.ts'
import { payloadOf } from './payload.ts'
import { inDType } from './references/dtype.ts'
import { findReference } from './references/index.ts'
import type { Tensor } from './tensor.ts'

/** Values of sources: variables, placeholders, or constants to perturb. */
export type Feeds = ReadonlyMap<Tensor, Float64Array>

/** The elements of each tensor in float64, row-major. Throws a UserError for a variable or placeholder without feed. */
export function reference(tensors: readonly Tensor[], feeds: Feeds = new Map()): Float64Array[] {
  const known = new Map<Node, Float64Array[]>()
  for (const [tensor, data] of feeds) {
    if (data.length !== tensor.size)
      throw new UserError(`reference: ${data.length} numbers for ${showShape(tensor.shape)}`)
    known.set(tensor.value.node, [data])
  }
  const values = tensors.map(t => t.value)
  for (const node of reachable(values, known)) known.set(node, evaluate(node, known))
  return values.map(value => resultOf(value, known))
}

function resultOf(value: Value, known: ReadonlyMap<Node, Float64Array[]>): Float64Array {
  const results = known.get(value.node)
  if (!results) throw new Error(`node ${value.node.id} was not evaluated`)
  return results[value.index]
}

function evaluate(node: Node, known: ReadonlyMap<Node, Float64Array[]>): Float64Array[] {
  const { op, attributes, outputs } = node
  if (op.kind === 'source') {
    const payload = payloadOf(node)
    if (payload.kind === 'host') return [Float64Array.from(payload.read())]
    if (payload.kind !== 'constant')
      throw new UserError(`reference: a ${payload.kind} of ${showShape(outputs[0].shape)} needs a feed`)
    return [Float64Array.from(payload.data)]
  }
  const specs = { inputs: node.inputs.map(({ node: from, index }) => from.outputs[index]), outputs }
  const inputs = node.inputs.map(value => resultOf(value, known))
  if (op.kind !== 'elementwise') return findReference(op)(inputs, specs, attributes)
  const [{ shape, dtype }] = outputs
  const result = new Float64Array(sizeOf(shape))
  const spread = inputs.map((data, i) =>
    data.length === result.length ? data : readThrough(data, broadcastView(contiguousView(specs.inputs[i]), shape)),
  )
  const args = new Array<number>(inputs.length)
  const dtypes = specs.inputs.map(spec => spec.dtype)
  for (let i = 0; i < result.length; i++) {
    for (let k = 0; k < args.length; k++) args[k] = spread[k][i]
    result[i] = inDType(dtype, op.scalar(args, attributes, i, dtypes))
  }
  return [result]
}
