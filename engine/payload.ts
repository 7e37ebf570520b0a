// Sources of graphs: constants from the host, variables that persist on the device, placeholders of a compiled
// function, results of an earlier run. A source's node has its shape and dtype, its payload the origin of its values.
import type { DType } from '../shaders/kernel.ts'
import { type Node, defineOp, makeNode } from './graph.ts'
import type { Storage } from './storage.ts'
import type { TensorData } from './tensor.ts'

/** The origin of a source's values. */
export type Payload =
  | { readonly kind: 'constant'; readonly data: TensorData }
  | { readonly kind: 'storage'; readonly storage: Storage }
  /** Read from the host at each run. `submitted` is called when a run with these values has been queued. */
  | { readonly kind: 'host'; read(): TensorData; submitted?(): void }
  /** An argument of one trace, which has values only in its runs. */
  | { readonly kind: 'placeholder'; readonly position: number; readonly trace: object }

declare module './graph.ts' {
  interface OpAttributes {
    readonly source: { readonly shape: readonly number[]; readonly dtype: DType }
  }
}

const source = defineOp({
  name: 'source',
  kind: 'source',
  infer: (_, { shape, dtype }) => [{ shape, dtype }],
})

const payloads = new WeakMap<Node, Payload>()

/** The payload of a source node. */
export function payloadOf(node: Node): Payload {
  const payload = payloads.get(node)
  if (!payload) throw new Error(`node ${node.id} (${node.op.name}) is not a source`)
  return payload
}

/** The node of a payload's values. Throws a UserError on lengths that are not integers of at least 0. */
export function sourceNode(shape: readonly number[], dtype: DType, payload: Payload): Node {
  const node = makeNode(source, [], { shape: [...shape], dtype })
  payloads.set(node, payload)
  return node
}
