// Concat and pad, as strided copies into parts of their output.
import { elementwiseLaunch } from '../../shaders/elementwise.ts'
import { copied } from '../../shaders/expression.ts'
import { type Launch, type Spec, type View, input } from '../../shaders/kernel.ts'
import { computed } from '../../shaders/wgsl.ts'
import { UserError } from '../errors.ts'
import { type LoweringContext, defineOp } from '../graph.ts'
import { isEmpty, sameShape, showShape, showSpec, sizeOf } from '../shape.ts'
import { contiguousView, sliceView } from '../view.ts'
import { type Tensor, apply, needTensorList } from '../tensor.ts'
import { full } from './source.ts'

declare module '../graph.ts' {
  interface OpAttributes {
    readonly concat: { readonly axis: number }
    readonly pad: { readonly before: readonly number[]; readonly after: readonly number[]; readonly fill: number }
  }
}

type LoweringInputs = Pick<LoweringContext, 'inputs' | 'outputs' | 'traits'>

/** Copies input `from` into the part of output 0 that starts at `start`. */
function copyInto(context: LoweringInputs, from: number, start: readonly number[]): Launch {
  const view = context.inputs[from]
  const part = partOf(context.outputs[0], start, view.shape)
  const launch = elementwiseLaunch({ label: 'copy', inputs: [view], output: part, body: copied }, context.traits)
  return { ...launch, slots: [input(from), launch.slots[1]] }
}

/** The part of `shape` at `start` in a contiguous value. */
export function partOf(whole: Spec, start: readonly number[], shape: readonly number[]): View {
  const end = start.map((from, i) => from + shape[i])
  return sliceView(contiguousView(whole), start, end)
}

/** The first index of each input along a concat's axis. */
export function concatStarts(inputs: readonly Spec[], axis: number): number[] {
  return inputs.map((_, k) => inputs.slice(0, k).reduce((sum, { shape }) => sum + shape[axis], 0))
}

export const corner = (shape: readonly number[], axis: number, at: number): number[] =>
  shape.map((_, i) => (i === axis ? at : 0))

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
  ofNothing: ({ inputs, attributes: { axis } }) => [
    concat(
      inputs.filter(x => !isEmpty(x)),
      axis,
    ),
  ],
  strided: () => true,
  starts: (inputs, { shape }, { axis }) => {
    if (sizeOf(shape.slice(0, axis)) !== 1) return undefined
    return concatStarts(inputs, axis).map(at => at * sizeOf(shape.slice(axis + 1)))
  },
  lower: context => {
    const { axis } = context.attributes
    const starts = concatStarts(context.inputs, axis)
    return { launches: starts.map((at, i) => copyInto(context, i, corner(context.outputs[0].shape, axis, at))) }
  },
  gradient: ({ inputs, attributes: { axis }, upstream: [dy], needs }) => {
    const starts = concatStarts(inputs, axis)
    return inputs.map((x, i) => {
      if (!dy || !needs[i]) return undefined
      return dy.slice(corner(x.shape, axis, starts[i]), dy.shape.with(axis, starts[i] + x.shape[axis]))
    })
  },
})

defineOp({
  name: 'pad',
  kind: 'kernel',
  rounding: 'none',
  infer: ([x], { before, after }) => {
    const isPadding = (lengths: readonly number[]): boolean =>
      Array.isArray(lengths) && lengths.length === x.shape.length && lengths.every(n => Number.isInteger(n) && n >= 0)
    const shown = `${showShape(before)} before and ${showShape(after)} after`
    if (!isPadding(before) || !isPadding(after)) throw new UserError(`pad: ${shown} do not fit ${showSpec(x)}`)
    return [{ shape: x.shape.map((n, i) => before[i] + n + after[i]), dtype: x.dtype }]
  },
  ofNothing: ({ outputs: [{ shape, dtype }], attributes: { fill } }) => [full(shape, fill, dtype)],
  strided: () => true,
  lower: context => {
    const { before, fill } = context.attributes
    const [out] = context.outputs
    const body = { ...copied, result: 'u.s0', scalars: [{ type: computed(out.dtype), value: fill }] }
    const clear = elementwiseLaunch({ label: 'fill', inputs: [], output: contiguousView(out), body }, context.traits)
    return { launches: [clear, copyInto(context, 0, before)] }
  },
  gradient: ({ inputs: [x], attributes: { before }, upstream: [dy] }) => {
    const end = before.map((n, i) => n + x.shape[i])
    return [dy?.slice(before, end)]
  },
})

/** Concatenates tensors along `axis`, which may be negative. Throws a UserError on shapes or dtypes that don't fit. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  needTensorList('concat', tensors)
  const [first] = tensors
  if (!first) throw new UserError('concat: no tensors to join')
  const at = axis < 0 ? axis + first.rank : axis
  if (!(at >= 0 && at < first.rank)) throw new UserError(`concat: axis ${axis} is not one of ${first.rank} axes`)
  return tensors.length === 1 ? first : apply('concat', tensors, { axis: at })
}
