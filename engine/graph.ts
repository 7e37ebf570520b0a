// The nodes behind tensors, and the interface of an op: its shape rule, its gradient rule, and how it lowers to kernels.
// Ops register by name. Whatever the compiler needs to know of an op is one of these properties; no other file compares
// names of ops, except references/, which has the engine's ops in float64.
import type { Epilogue } from '../shaders/epilogue.ts'
import type { UniformScalar } from '../shaders/expression.ts'
import type { DType, Lowering, Spec, Traits, View } from '../shaders/kernel.ts'
import type { Fold } from '../shaders/reduce.ts'
import { UserError } from './errors.ts'
import type { OnDemand } from './on-demand.ts'
import type { Tensor } from './tensor.ts'
import type { Choose } from './tune.ts'

export type Attribute = number | string | boolean | null | readonly number[]
export type Attributes = Readonly<Record<string, Attribute>>
export type NoAttributes = Readonly<Record<string, never>>

/** Attributes by the op's name. Each file in ops/ adds its own ops, so that `apply` checks names and attributes. */
export interface OpAttributes {}
export type OpName = keyof OpAttributes
/** Names of ops that can be applied without attributes. */
export type PlainOpName = { [N in OpName]: NoAttributes extends OpAttributes[N] ? N : never }[OpName]

/** One output of one node. */
export interface Value {
  readonly node: Node
  readonly index: number
}

export interface Node {
  readonly id: number
  readonly op: Op
  readonly inputs: readonly Value[]
  readonly attributes: Attributes
  readonly outputs: readonly Spec[]
}

/** A list with an element for each of `N` inputs; any list if their number is not known. */
export type ForEach<N extends number, T> = N extends 1
  ? readonly [T]
  : N extends 2
    ? readonly [T, T]
    : N extends 3
      ? readonly [T, T, T]
      : readonly T[]

/** Arguments of a gradient rule. */
export interface GradientContext<A extends Attributes = Attributes, N extends number = number> {
  readonly inputs: ForEach<N, Tensor>
  readonly outputs: readonly Tensor[]
  readonly attributes: A
  /** dLoss/dOutput by output; undefined if the loss does not depend on that output. At least one is defined. */
  readonly upstream: readonly (Tensor | undefined)[]
  /** Which inputs need a gradient. Those of the others may be undefined. */
  readonly needs: ForEach<N, boolean>
}

/** What an op has to give of inputs among which are some without elements. */
export interface NothingContext<A extends Attributes = Attributes, N extends number = number> {
  readonly inputs: ForEach<N, Tensor>
  readonly outputs: readonly Spec[]
  readonly attributes: A
}

/** Arguments of lowering. */
export interface LoweringContext<A extends Attributes = Attributes, N extends number = number> {
  /** Shapes, dtypes and strides as bound. An input is contiguous with offset 0 unless `strided` allows otherwise. */
  readonly inputs: ForEach<N, View>
  readonly outputs: readonly Spec[]
  readonly attributes: A
  readonly traits: Traits
  /** What the op's kernel does to each element of its first output before storing it; for ops with `takesEpilogue`. */
  readonly epilogue?: Epilogue
  /** Picks one of a kernel's candidates, which come best guess first. */
  readonly choose: Choose
}

/** The properties common to all kinds of ops. */
interface OpBase<A extends Attributes, N extends number> {
  readonly name: string
  /** Shapes and dtypes of the outputs. Throws a UserError that names the op and the shapes. */
  infer(inputs: ForEach<N, Spec>, attributes: A): Spec[]
  /** Input gradients from upstream gradients, in tensor operations. Absent for integers and with `noGradient`. */
  gradient?(context: GradientContext<A, N>): (Tensor | undefined)[]
  /** Why there is no gradient, for the error. Absent if the gradient is zero everywhere (comparisons, integers). */
  readonly noGradient?: string
  /**
   * Its outputs where inputs lack elements but outputs have some, such as the zeros that are sums of nothing. Without it
   * such inputs are refused. Outputs without elements need no rule.
   */
  ofNothing?(context: NothingContext<A, N>): Tensor[]
  /**
   * How its arithmetic rounds floats. `none`: results are numbers of the inputs, their negatives or small integers.
   * `result`: only the conversion to the result's dtype rounds. Any other op may round everywhere.
   */
  readonly rounding?: 'none' | 'result'
}

/** What an elementwise op generates its WGSL from. */
export interface ElementContext<A extends Attributes = Attributes, N extends number = number> {
  readonly attributes: A
  readonly inputs: ForEach<N, DType>
  readonly output: DType
  /** Whether the result is stored right away, and so rounded to its dtype. */
  readonly stored: boolean
  /** WGSL expression (u32) of the element's linear index in the op's output. */
  readonly index: string
  /** WGSL of the element's random word (`randomWord` in random.ts): stream and seed are uniforms, step an argument. */
  random(stream: string, step: string, seed: string): string
  /** WGSL expressions of the op's uniforms, in order. */
  readonly uniforms: readonly string[]
}

/** Elementwise over broadcast inputs. Chains of these become one dispatch. */
export interface ElementwiseOp<A extends Attributes = Attributes, N extends number = number> extends OpBase<A, N> {
  readonly kind: 'elementwise'
  /**
   * WGSL expression of one element, which may call the functions of shaders/math.ts. Arguments of f16 and f32 are f32,
   * others of their own type.
   */
  wgsl(args: ForEach<N, string>, context: ElementContext<A, N>): string
  /** What has to be loaded before its WGSL is used: functions that it calls. */
  readonly functions?: OnDemand<unknown>
  /** Numbers in the uniform buffer, so that their values don't change the code. */
  uniforms?(attributes: A): readonly UniformScalar[]
  /** For ops without inputs that give a number: access to it. It is a uniform, so that one plan serves all values. */
  readonly number?: NumberAttribute<A>
  /** Takes so many instructions that loading the result is cheaper than computing it again. */
  readonly costly?: true
  /** The same element in float64, for inputs of these dtypes. */
  scalar(args: ForEach<N, number>, attributes: A, index: number, inputs: ForEach<N, DType>): number
}

export interface NumberAttribute<A extends Attributes = Attributes> {
  of(attributes: A): number
  replaced(attributes: A, number: number): A
}

/** The same elements in another shape or order: no work unless a reader can't follow the strides. */
export interface ViewOp<A extends Attributes = Attributes, N extends number = number> extends OpBase<A, N> {
  readonly kind: 'view'
  /** The output as a view of the input's memory, or undefined if strides can't express it: never of a contiguous one. */
  view(input: View, attributes: A, output: Spec): View | undefined
}

/** What an op has whose result in float64 does not follow from its other properties. */
interface Referenced<A extends Attributes, N extends number> {
  /**
   * The outputs in float64, for gradient checks and tests; inputs and outputs are contiguous. An op of one's own has it
   * here. References of the engine's ops are in references/, so that programs don't load them.
   */
  reference?(inputs: ForEach<N, Float64Array>, specs: Specs, attributes: A): Float64Array[]
}

/** The outputs of an op in float64. */
export type Reference<A extends Attributes = Attributes> = NonNullable<Referenced<A, number>['reference']>

/** References of these ops. */
export type References<N extends OpName> = { readonly [K in N]: Reference<OpAttributes[K]> }

/** Reduces axes of its input, an expression that may be fused into it. Reduced axes have length 1 in the output. */
export interface ReduceOp<A extends Attributes = Attributes, N extends number = number>
  extends OpBase<A, N>, Referenced<A, N> {
  readonly kind: 'reduce'
  readonly fold: Fold
  /** The axes that are reduced, as numbers from 0 to rank − 1. */
  axes(attributes: A): readonly number[]
}

/** An op with kernels of its own. */
export interface KernelOp<A extends Attributes = Attributes, N extends number = number>
  extends OpBase<A, N>, Referenced<A, N> {
  readonly kind: 'kernel'
  /** Whether the kernel can read input `i` through these strides and offset (a transposed view, for example). */
  strided?(view: View, i: number, attributes: A): boolean
  /** True if its kernel can evaluate an elementwise expression of its first output before storing it. */
  readonly takesEpilogue?: boolean
  /** Buffers that the kernel with the epilogue binds besides inputs and outputs; none when left out. */
  readonly otherBindings?: number
  /** Output o is input aliases[o], updated in place. The kernel binds only the output slot. */
  readonly aliases?: readonly number[]
  /**
   * For ops that put their inputs side by side: the first element of each input in output 0, or undefined where an
   * input's elements are not contiguous there. Launch i has to copy input i; it is dropped if that input is computed in
   * place.
   */
  starts?(inputs: readonly Spec[], output: Spec, attributes: A): readonly number[] | undefined
  /** What `lower` needs of a module that is loaded first. */
  readonly kernels?: OnDemand<unknown>
  /** Its launches. A plan leaves out launches whose outputs are all dead. */
  lower(context: LoweringContext<A, N>): Lowering
}

/** Values from outside the graph: constants, variables, placeholders of a compiled function. */
export interface SourceOp<A extends Attributes = Attributes, N extends number = number> extends OpBase<A, N> {
  readonly kind: 'source'
}

export interface Specs {
  readonly inputs: readonly Spec[]
  readonly outputs: readonly Spec[]
}

export type Op<A extends Attributes = Attributes, N extends number = number> =
  | ElementwiseOp<A, N>
  | ViewOp<A, N>
  | ReduceOp<A, N>
  | KernelOp<A, N>
  | SourceOp<A, N>

const registry = new Map<string, Op>()

/** Registers an op under its name. */
export function registerOp<A extends Attributes>(op: Op<A>): Op {
  if (registry.has(op.name)) throw new Error(`op ${op.name} is defined twice`)
  registry.set(op.name, op)
  return op
}

/** Registers an op of the engine, whose attributes `OpAttributes` declares. */
export function defineOp<N extends OpName>(op: Op<OpAttributes[N]> & { readonly name: N }): Op {
  return registerOp(op)
}

/** Every op, for the test that requires a property test of each. */
export function registeredOps(): readonly Op[] {
  return [...registry.values()]
}

/** Loads what these ops need and is not loaded yet: kernels, functions; undefined if all is. */
export function loadKernels(ops: Iterable<Op>): Promise<unknown> | undefined {
  const missing = new Set<OnDemand<unknown>>()
  for (const op of ops) {
    const needed = op.kind === 'kernel' ? op.kernels : op.kind === 'elementwise' ? op.functions : undefined
    if (needed && !needed.isLoaded) missing.add(needed)
  }
  return missing.size === 0 ? undefined : Promise.all(Array.from(missing, kernels => kernels.load()))
}

export function findOp(name: string): Op {
  const op = registry.get(name)
  if (!op) throw new Error(`no op is called ${name}`)
  return op
}

const DTYPES: readonly DType[] = ['f32', 'f16', 'i32', 'u32']

let nextId = 0

/**
 * Makes a node. Throws the UserErrors of the op's shape rule, and one on lengths that are not integers of at least 0 or
 * an unknown dtype.
 */
export function makeNode(op: Op, inputs: readonly Value[], attributes: Attributes): Node {
  const outputs = op.infer(inputs.map(specOf), attributes)
  for (const { shape, dtype } of outputs) {
    const bad = shape.findIndex(n => !Number.isInteger(n) || n < 0)
    if (bad >= 0) {
      const shown = `${shape[bad]} in [${shape.join(', ')}]`
      throw new UserError(`a tensor's lengths have to be 0 or positive integers, not ${shown}`)
    }
    if (!DTYPES.includes(dtype)) throw new UserError(`${dtype} is not a dtype: ${DTYPES.join(', ')} are`)
  }
  return { id: nextId++, op, inputs, attributes, outputs }
}

/** Every node that `roots` need, in the order of creation; without `known` nodes and what only they need. */
export function reachable(roots: readonly Value[], known: Pick<ReadonlySet<Node>, 'has'> = new Set()): Node[] {
  const seen = new Set<Node>()
  const stack = roots.map(value => value.node)
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (seen.has(node) || known.has(node)) continue
    seen.add(node)
    for (const value of node.inputs) stack.push(value.node)
  }
  return [...seen].sort((a, b) => a.id - b.id)
}

export function specOf(value: Value): Spec {
  return value.node.outputs[value.index]
}
