// Concat and pad, as strided copies into parts of their output.
import { elementwiseLaunch } from '../../shaders/elementwise.ts'
import { type Launch, type Spec, type View, input, rowMajorStrides } from '../../shaders/kernel.ts'
import { computed } from '../../shaders/wgsl.ts'
import { UserError } from '../errors.ts'
import { type LoweringContext, defineOp } from '../graph.ts'
import { contiguousView, sameShape, showSpec, sizeOf } from '../shape.ts'
import { type Tensor, apply } from '../tensor.ts'

declare module '../graph.ts' {
  interface OpAttributes {
    readonly concat: { readonly axis: number }
    readonly pad: { readonly before: readonly number[]; readonly after: readonly number[]; readonly fill: number }
  }
}

/** Copies input `from` into the part of output 0 that starts at `start`. */
function copyInto(
  context: Pick<LoweringContext, 'inputs' | 'outputs' | 'traits'>,
  from: number,
  start: readonly number[],
): Launch {
  const view = context.inputs[from]
  const part = partOf(context.outputs[0], start, view.shape)
  const body = { draws: [], lines: [], result: 'x0', helpers: [], scalars: [] }
  const launch = elementwiseLaunch({ label: 'copy', inputs: [view], output: part, body }, context.traits)
  return { ...launch, slots: [input(from), launch.slots[1]] }
}

/** The box of `shape` at `start` in a contiguous value. */
function partOf(whole: Spec, start: readonly number[], shape: readonly number[]): View {
  const strides = rowMajorStrides(whole.shape)
  return { shape, dtype: whole.dtype, strides, offset: start.reduce((offset, s, i) => offset + s * strides[i], 0) }
}

/** Writes a contiguous float64 array into a box of another. */
function writeBox(from: Float64Array, box: View, into: Float64Array): void {
  const coordinates = new Array<number>(box.shape.length).fill(0)
  for (let i = 0; i < from.length; i++) {
    into[coordinates.reduce((at, c, axis) => at + c * box.strides[axis], box.offset)] = from[i]
    for (let axis = coordinates.length - 1; axis >= 0 && ++coordinates[axis] === box.shape[axis]; axis--)
      coordinates[axis] = 0
  }
}

/** The start of each input along a concat's axis. */
function concatStarts(inputs: readonly Spec[], axis: number): number[] {
  let at = 0
  return inputs.map(spec => {
    const start = at
    at += spec.shape[axis]
    return start
  })
}

const corner = (rank: number, axis: number, at: number): number[] =>
  Array.from({ length: rank }, (_, i) => (i === axis ? at : 0))

defineOp({
  name: 'concat',
  kind: 'kernel',
  rounding: 'none',
  infer: (inputs, { axis }) => {
    const [first] = inputs
    for (const spec of inputs) {
      const fits =
        spec.dtype === first.dtype &&
        spec.shape.length === first.shape.length &&
        sameShape(spec.shape.toSpliced(axis, 1), first.shape.toSpliced(axis, 1))
      if (!fits)
        throw new UserError(`concat along axis ${axis}: ${showSpec(spec)} does not fit beside ${showSpec(first)}`)
    }
    const length = inputs.reduce((n, spec) => n + spec.shape[axis], 0)
    return [{ shape: first.shape.with(axis, length), dtype: first.dtype }]
  },
  strided: () => true,
  starts: (inputs, { shape }, { axis }) => {
    if (sizeOf(shape.slice(0, axis)) !== 1) return undefined
    return concatStarts(inputs, axis).map(at => at * sizeOf(shape.slice(axis + 1)))
  },
  lower: context => {
    const { axis } = context.attributes
    const starts = concatStarts(context.inputs, axis)
    return { launches: starts.map((at, i) => copyInto(context, i, corner(context.outputs[0].shape.length, axis, at))) }
  },
  gradient: ({ inputs, attributes: { axis }, upstream: [dy], needs }) => {
    const starts = concatStarts(inputs, axis)
    return inputs.map((x, i) => {
      if (!dy || !needs[i]) return undefined
      return dy.slice(corner(x.rank, axis, starts[i]), dy.shape.with(axis, starts[i] + x.shape[axis]))
    })
  },
  reference: (arrays, { inputs, outputs: [out] }, { axis }) => {
    const result = new Float64Array(sizeOf(out.shape))
    concatStarts(inputs, axis).forEach((at, i) =>
      writeBox(arrays[i], partOf(out, corner(out.shape.length, axis, at), inputs[i].shape), result),
    )
    return [result]
  },
})

defineOp({
  name: 'pad',
  kind: 'kernel',
  rounding: 'none',
  infer: ([x], { before, after }) => {
    const ok =
      before.length === x.shape.length &&
      after.length === x.shape.length &&
      [...before, ...after].every(n => Number.isInteger(n) && n >= 0)
    if (!ok)
      throw new UserError(
        `pad: [${before.join(', ')}] before and [${after.join(', ')}] after do not fit ${showSpec(x)}`,
      )
    return [{ shape: x.shape.map((n, i) => before[i] + n + after[i]), dtype: x.dtype }]
  },
  strided: () => true,
  lower: context => {
    const { before, fill } = context.attributes
    const [out] = context.outputs
    const body = {
      draws: [],
      lines: [],
      result: 'u.s0',
      helpers: [],
      scalars: [{ type: computed(out.dtype), value: fill }],
    } as const
    const clear = elementwiseLaunch({ label: 'fill', inputs: [], output: contiguousView(out), body }, context.traits)
    return { launches: [clear, copyInto(context, 0, before)] }
  },
  gradient: ({ inputs: [x], attributes: { before }, upstream: [dy] }) => [
    dy?.slice(
      before,
      before.map((n, i) => n + x.shape[i]),
    ),
  ],
  reference: ([x], { inputs: [spec], outputs: [out] }, { before, fill }) => {
    const result = new Float64Array(sizeOf(out.shape)).fill(fill)
    writeBox(x, partOf(out, before, spec.shape), result)
    return [result]
  },
})

/** Concatenates tensors along `axis`, which may be negative. Throws a UserError on shapes or dtypes that don't fit. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  const [first] = tensors
  if (!first) throw new UserError('concat: no tensors to join')
  const at = axis < 0 ? axis + first.rank : axis
  if (!(at >= 0 && at < first.rank)) throw new UserError(`concat: axis ${axis} is not one of ${first.rank} axes`)
  return tensors.length === 1 ? first : apply('concat', tensors, { axis: at })
}
