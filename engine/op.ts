// `tilegrad/op`: what an op or a kernel of one's own is written with. `defineOp` registers an op and gives the function
// that applies it. Its kinds are those of the engine's own ops: an elementwise op is an expression in WGSL, which is fused
// with its neighbours; a kernel op lowers to launches of shaders, which `Shader` and the tag `wgsl` write.
import { UserError } from './errors.ts'
import { type Attributes, type ForEach, type NoAttributes, type Op, registerOp } from './graph.ts'
import { type Tensor, applyOp } from './tensor.ts'

export type {
  Attribute,
  Attributes,
  ElementContext,
  ElementwiseOp,
  ForEach,
  GradientContext,
  KernelOp,
  LoweringContext,
  NoAttributes,
  NothingContext,
  Op,
  ReduceOp,
  Specs,
  ViewOp,
} from './graph.ts'
export { registeredOps } from './graph.ts'
export type { Choose, Question } from './tune.ts'

// Gradient rules, and their tests.
export { gradientOfFormula } from './ops/formula.ts'
export { type GradientCheckOptions, type GradientCheckReport, checkGradients } from './gradcheck.ts'
export { type Feeds, reference } from './reference.ts'

// Shape rules.
export { broadcastShapes, completeShape, normalizeAxes, sameShape, showShape, showSpec } from './shape.ts'
export { UserError } from './errors.ts'

// Kernels.
export { Shader, MAIN, each, list, packed, paragraphs, scope, updated, wgsl, when, written } from '../shaders/wgsl.ts'
export type { Binding, Part, ScalarType, ShaderParts } from '../shaders/wgsl.ts'
export { bytesOf, input, isFloat, output, rowMajorStrides, sizeOf, spread, temporary } from '../shaders/kernel.ts'
export type { DType, FloatType, Launch, Lowering, Slot, Spec, Traits, View } from '../shaders/kernel.ts'
export type { UniformScalar } from '../shaders/expression.ts'
export type { Epilogue } from '../shaders/epilogue.ts'

/** Applies an op to its inputs: a tensor for each of its outputs. Throws the UserErrors of the op's shape rule. */
export type Apply<A extends Attributes, N extends number = number> = (
  inputs: ForEach<N, Tensor>,
  ...attributes: NoAttributes extends A ? [attributes?: A] : [attributes: A]
) => [Tensor, ...Tensor[]]

/** An op of one's own. */
export type OwnOp<A extends Attributes = Attributes, N extends number = number> = Op<A, N> & {
  /** How many inputs it takes, if that is always the same: up to three, its functions get lists of just as many. */
  readonly inputs?: N
}

/**
 * Registers an op of one's own, and returns the function that applies it. Throws if an op has this name already; a
 * prefix such as `myapp.` keeps it apart from the engine's own.
 */
export function defineOp<A extends Attributes = NoAttributes, N extends number = number>(op: OwnOp<A, N>): Apply<A, N> {
  const registered = registerOp(op)
  return (inputs, ...[attributes]) => {
    if (op.inputs !== undefined && inputs.length !== op.inputs)
      throw new UserError(`${op.name}: ${inputs.length} inputs were given, but it takes ${op.inputs}`)
    const [first, ...others] = applyOp(registered, inputs, attributes ?? {})
    if (!first) throw new UserError(`${op.name}: its shape rule gives no outputs`)
    return [first, ...others]
  }
}
