// Elements that are known without a device.
import { type Value, specOf } from './graph.ts'
import { payloadOf } from './payload.ts'
import { sizeOf } from './shape.ts'
import { contiguousView, readThrough } from './view.ts'

/**
 * Whether it is the same whenever it is computed: no variable takes part, whose contents change, nor what the host is
 * asked for anew.
 */
export function staysTheSame(value: Value): boolean {
  const seen = new Set([value.node])
  for (const node of seen) {
    if (node.op.kind === 'source') {
      const payload = payloadOf(node)
      if (payload.kind !== 'constant' && !(payload.kind === 'storage' && payload.storage.isResult)) return false
    }
    for (const { node: input } of node.inputs) seen.add(input)
  }
  return true
}

/** Views of more elements are not worth a copy. */
const MOST_COPIED = 2 ** 16

/** The elements of numbers from the host and of views of them; undefined for all that a device computes. */
export function elementsAtHand({ node, index }: Value): ArrayLike<number> | undefined {
  const { op, attributes, inputs, outputs } = node
  if (op.kind === 'source') {
    const payload = payloadOf(node)
    return payload.kind === 'constant' ? payload.data : undefined
  }
  if (op.kind === 'elementwise' && op.number) return [op.number.of(attributes)]
  if (op.kind !== 'view' || sizeOf(outputs[index].shape) > MOST_COPIED) return undefined
  const from = elementsAtHand(inputs[0])
  const view = op.view(contiguousView(specOf(inputs[0])), attributes, outputs[0])
  return from && view && readThrough(from, view)
}
