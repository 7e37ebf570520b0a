// Where values come from: constants from the host, variables that persist on the device, placeholders of a compiled
// function, results of an earlier run. A source's node says its shape; its payload says what stands behind it.
import type { DType } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { toFloat16, toFloat32 } from '../float16.ts'
import { type Node, type SourceOp, defineOp, makeNode } from '../graph.ts'
import { sizeOf } from '../shape.ts'
import type { Storage } from '../storage.ts'
import { Tensor, type TensorData, scalar } from '../tensor.ts'

/** What stands behind a source. */
export type Payload =
  | { readonly kind: 'constant'; readonly data: TensorData }
  | { readonly kind: 'storage'; readonly storage: Storage }
  /** An argument of one trace, which has values in runs of that alone. */
  | { readonly kind: 'placeholder'; readonly position: number; readonly trace: object }

interface SourceAttributes {
  readonly [name: string]: string | readonly number[]
  readonly shape: readonly number[]
  readonly dtype: DType
}

const source = defineOp<SourceAttributes>({
  name: 'source',
  kind: 'source',
  infer: (_, { shape, dtype }) => [{ shape, dtype }],
} satisfies SourceOp<SourceAttributes>)

const payloads = new WeakMap<Node, Payload>()

/** What stands behind a source node. */
export function payloadOf(node: Node): Payload {
  const payload = payloads.get(node)
  if (!payload) throw new Error(`node ${node.id} (${node.op.name}) is no source`)
  return payload
}

/** A tensor that stands for `payload`. Throws a UserError on a shape that is not made of positive whole numbers. */
export function makeSource(shape: readonly number[], dtype: DType, payload: Payload): Tensor {
  const node = makeNode(source as never, [], { shape: [...shape], dtype })
  payloads.set(node, payload)
  return new Tensor({ node, index: 0 }, true)
}

/** Numbers, nested as deep as they like. */
export type Nested = number | readonly Nested[]

/**
 * A tensor of numbers from the host. `data` is a number, nested arrays (their nesting is the shape) or a typed array with
 * its `shape` (default: one axis). dtype defaults to the typed array's own, else f32. The data is not copied until the
 * tensor is used: leave a typed array alone while its tensor lives. Throws a UserError where the sizes disagree.
 */
export function tensor(data: Nested | TensorData, shape?: readonly number[], dtype?: DType): Tensor {
  if (data instanceof Float32Array || data instanceof Int32Array || data instanceof Uint32Array) {
    const own: DType = data instanceof Float32Array ? 'f32' : data instanceof Int32Array ? 'i32' : 'u32'
    return constant(data, shape ?? [data.length], dtype ?? own)
  }
  const flat: number[] = []
  const found = flatten(data, flat, 0)
  const type = dtype ?? 'f32'
  const typed = type === 'i32' ? Int32Array.from(flat) : type === 'u32' ? Uint32Array.from(flat) : Float32Array.from(flat)
  return constant(typed, shape ?? found, type)
}

function constant(data: TensorData, shape: readonly number[], dtype: DType): Tensor {
  if (sizeOf(shape) !== data.length) {
    throw new UserError(`tensor: ${data.length} numbers do not fill the shape [${shape.join(', ')}] of ${sizeOf(shape)}`)
  }
  const fits = dtype === 'i32' ? data instanceof Int32Array : dtype === 'u32' ? data instanceof Uint32Array : data instanceof Float32Array
  if (!fits) throw new UserError(`tensor: a ${data.constructor.name} does not hold ${dtype}`)
  // What half precision can't hold is lost here, so that host and device agree on the numbers.
  return makeSource(shape, dtype, { kind: 'constant', data: dtype === 'f16' ? toFloat32(toFloat16(data)) : data })
}

function flatten(data: Nested, into: number[], depth: number): number[] {
  if (typeof data === 'number') {
    into.push(data)
    return []
  }
  const shapes = data.map(part => flatten(part, into, depth + 1))
  const [first = []] = shapes
  for (const shape of shapes) {
    if (shape.length !== first.length || shape.some((n, i) => n !== first[i])) {
      throw new UserError(`tensor: nested arrays are ragged at depth ${depth}: [${shape.join(', ')}] beside [${first.join(', ')}]`)
    }
  }
  return [data.length, ...first]
}

/** A tensor with one number everywhere. Throws a UserError on one that an integer dtype does not have. */
export function full(shape: readonly number[], number: number, dtype: DType = 'f32'): Tensor {
  return scalar(number, dtype).broadcastTo(shape)
}

export function zeros(shape: readonly number[], dtype: DType = 'f32'): Tensor {
  return full(shape, 0, dtype)
}

export function ones(shape: readonly number[], dtype: DType = 'f32'): Tensor {
  return full(shape, 1, dtype)
}
