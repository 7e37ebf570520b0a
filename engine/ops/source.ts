// Tensors of values from outside the graph: numbers from the host, and what else has a payload.
import type { DType, Spec } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { TYPED_DTYPES, type TypedArray, dataOf, isTypedArray } from '../numbers.ts'
import { type Payload, sourceNode } from '../payload.ts'
import { needShape, showShape, sizeOf } from '../shape.ts'
import { needArray, needFunction } from '../options.ts'
import { Tensor, type TensorData, scalar } from '../tensor.ts'

/** A tensor of a payload's values. Throws a UserError on lengths that are not integers of at least 0. */
export function makeSource(shape: readonly number[], dtype: DType, payload: Payload): Tensor {
  return new Tensor({ node: sourceNode(shape, dtype, payload), index: 0 }, true)
}

/**
 * A tensor whose elements are read from the host at each run, row-major, so that a compiled function can depend on
 * numbers that change without taking them as arguments. `submitted` is called after each run that was queued with them.
 */
export function hostTensor(spec: Spec, read: () => TensorData, submitted?: () => void): Tensor {
  needShape('hostTensor', spec)
  needFunction('hostTensor', { read })
  return makeSource(spec.shape, spec.dtype, { kind: 'host', read, submitted })
}

/** Numbers, bigints or booleans, or nested arrays of them, all of one kind. */
export type Nested = number | bigint | boolean | TypedArray | readonly Nested[]

/**
 * A tensor of numbers from the host. `data` is a number, nested arrays (whose nesting gives the shape), a typed array
 * (one axis), or nested arrays of typed arrays; `shape` gives another shape with as many elements. The dtype defaults
 * to that of a typed array (f32 for Float64Array, i32 or u32 for integers of any width), else to f32 for numbers, i32
 * for bigints and u32 for booleans, which become 1 and 0.
 *
 * A typed array of `dtype` is not copied until the tensor is used: don't change it while its tensor is in use. Throws a
 * UserError if sizes disagree, if nested arrays are ragged, mixed or hold anything else, and on a number that
 * `dtype` can't represent: a fraction or a number out of range for integers, 65520 or more for f16, 2¹²⁸ or more for
 * f32. Floats are rounded to the nearest.
 */
export function tensor(data: Nested, shape?: readonly number[], dtype?: DType): Tensor {
  if (isTypedArray(data)) {
    const own = dtype ?? TYPED_DTYPES[data[Symbol.toStringTag]]
    const numbers = dataOf(data, own, i => `[${i}]`)
    return constant(numbers, shape ?? [data.length], own)
  }
  const list: Leaves = { numbers: [], kind: undefined }
  const found = flatten(data, list, [])
  const type = dtype ?? (list.kind === undefined ? 'f32' : DEFAULTS[list.kind])
  const numbers = dataOf(list.numbers, type, i => `[${indexIn(found, i)}]`)
  return constant(numbers, shape ?? found, type)
}

/** Default dtypes by the kind of elements. */
const DEFAULTS: Readonly<Record<string, DType>> = { number: 'f32', bigint: 'i32', boolean: 'u32', ...TYPED_DTYPES }

function constant(data: TensorData, shape: readonly number[], dtype: DType): Tensor {
  needArray('tensor', shape)
  if (sizeOf(shape) !== data.length) {
    const shown = `${showShape(shape)} of ${sizeOf(shape)}`
    throw new UserError(`tensor: ${data.length} numbers do not fill the shape ${shown}`)
  }
  return makeSource(shape, dtype, { kind: 'constant', data })
}

/** The elements of nested arrays, in order, and their kind: number, bigint, boolean, or a typed array's name. */
interface Leaves {
  readonly numbers: (number | bigint | boolean)[]
  kind: string | undefined
}

/** Limit on nesting, for arrays that contain themselves. */
const MOST_AXES = 64

/** Adds the elements of `data`, which is at index `path`, and returns its shape. */
function flatten(data: unknown, into: Leaves, path: readonly number[]): number[] {
  const at = `at [${path.join(', ')}]`
  const noteKind = (kind: string): void => {
    into.kind ??= kind
    if (into.kind !== kind) throw new UserError(`tensor: a ${kind} ${at} among ${into.kind}s`)
  }
  if (typeof data === 'number' || typeof data === 'bigint' || typeof data === 'boolean') {
    noteKind(typeof data)
    into.numbers.push(data)
    return []
  }
  if (isTypedArray(data)) {
    noteKind(data[Symbol.toStringTag])
    for (const number of data) into.numbers.push(number)
    return [data.length]
  }
  if (!Array.isArray(data)) {
    const found = data === undefined ? 'nothing' : data === null ? 'null' : `one ${typeof data}`
    throw new UserError(`tensor: ${found} ${at} where a number was expected`)
  }
  if (path.length >= MOST_AXES) throw new UserError(`tensor: arrays are nested more than ${MOST_AXES} deep`)
  let first: number[] | undefined
  // By index, since some iterations skip holes, which are errors here.
  for (let i = 0; i < data.length; i++) {
    const shape = flatten(data[i], into, [...path, i])
    first ??= shape
    if (shape.length !== first.length || shape.some((n, axis) => n !== first?.[axis])) {
      const where = [...path, i].join(', ')
      const [one, other] = [shape.join(', '), first.join(', ')]
      throw new UserError(`tensor: nested arrays are ragged: [${one}] at [${where}] beside [${other}]`)
    }
  }
  return [data.length, ...(first ?? [])]
}

/** The index of the i-th element of a shape. */
function indexIn(shape: readonly number[], i: number): string {
  const index: number[] = []
  for (let axis = shape.length - 1, rest = i; axis >= 0; axis--) {
    index.unshift(rest % shape[axis])
    rest = Math.floor(rest / shape[axis])
  }
  return index.join(', ')
}

/** A tensor of this shape filled with a number. Throws a UserError if the dtype can't represent it. */
export function full(shape: readonly number[], number: number, dtype: DType = 'f32'): Tensor {
  return scalar(number, dtype).broadcastTo(shape)
}

/** What an op that sums gives of nothing, or that multiplies: the same number everywhere. */
export const filled =
  (number: number) =>
  ({ outputs }: { readonly outputs: readonly Spec[] }): Tensor[] =>
    outputs.map(({ shape, dtype }) => full(shape, number, dtype))

export function zeros(shape: readonly number[], dtype: DType = 'f32'): Tensor {
  return full(shape, 0, dtype)
}

export function ones(shape: readonly number[], dtype: DType = 'f32'): Tensor {
  return full(shape, 1, dtype)
}
