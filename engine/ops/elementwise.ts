// Elementwise ops: a table row for each, with its WGSL, float64 value and gradient. Broadcasting follows NumPy. Here are
// arithmetic, comparisons and what has attributes; functions of one float are in functions.ts and activations.ts,
// operations on bits in bits.ts.
import type { UniformScalar } from '../../shaders/expression.ts'
import { type DType, isFloat } from '../../shaders/kernel.ts'
import { computed } from '../../shaders/wgsl.ts'
import { UserError } from '../errors.ts'
import { type GradientContext, type PlainOpName, defineOp, specOf } from '../graph.ts'
import { HALF_OVERFLOW, needRepresentable } from '../numbers.ts'
import { OnDemand } from '../on-demand.ts'
import { broadcastShapes, showSpec } from '../shape.ts'
import { Tensor, apply } from '../tensor.ts'
import { sumTo } from './reduce.ts'

/** The operands `a` and `b` (the same for an op of one), the output and its upstream gradient. */
export interface RuleContext {
  readonly a: Tensor
  readonly b: Tensor
  readonly y: Tensor
  readonly dy: Tensor
}

/** The gradient of one operand, in the output's shape, before undoing broadcasts. */
type Rule = (context: RuleContext) => Tensor | undefined

export interface Row {
  /** `float`: operands are f32, or f16 widened to it, not integers. May call the functions of shaders/math.ts. */
  readonly wgsl: (a: string, b: string, float: boolean, uniforms: readonly string[]) => string
  readonly value: (a: number, b: number, float: boolean) => number
  readonly gradients?: readonly Rule[]
  readonly uniforms?: readonly UniformScalar[]
  readonly costly?: true
  readonly rounding?: 'none' | 'result'
  /** What has to be loaded before its WGSL is used. */
  readonly functions?: OnDemand<unknown>
  /** The dtypes it accepts; any when left out. */
  readonly takes?: 'floats' | 'signed numbers' | 'integers'
  /** The dtype of the result; that of the operands when left out. */
  readonly gives?: DType
}

/** The functions in shaders/math/. */
export const mathLibrary = new OnDemand(() => import('../../shaders/math/library.ts'))

/** A uniform, so that compilers don't see the negation (see neg_f32 in shaders/math.ts). */
const SIGN_BIT: UniformScalar = { type: 'u32', value: 0x80000000 }

/** The dtype of arithmetic between two dtypes: floats widen to f32, others have to match. Throws a UserError. */
function commonDType(name: string, a: DType, b: DType): DType {
  if (a === b) return a
  if (isFloat(a) && isFloat(b)) return 'f32'
  throw new UserError(`${name}: ${a} and ${b} can't be combined: cast one of them`)
}

/**
 * Applies the rules of the inputs that need a gradient, and sums over the axes that broadcasting repeated. Rules
 * compute in the widest dtype; gradients have their input's.
 */
function gradientOf(rules: readonly Rule[]) {
  return ({ inputs, outputs: [y], upstream: [dy], needs }: GradientContext): (Tensor | undefined)[] =>
    inputs.map((x, i) => {
      if (!needs[i] || !dy || !isFloat(x.dtype)) return undefined
      const [a, b = a] = inputs
      const dx = rules.at(i)?.({ a, b, y, dy })
      return dx && castBack(sumTo(dx, x.shape), x.dtype)
    })
}

/** A gradient in its input's dtype. If it was f16 before it was widened, returns that, without a pass over memory. */
function castBack(dx: Tensor, dtype: DType): Tensor {
  const { op, inputs } = dx.value.node
  const widened = op === cast && dx.dtype === 'f32' && specOf(inputs[0]).dtype === 'f16'
  return widened && dtype === 'f16' ? new Tensor(inputs[0]) : dx.cast(dtype)
}

declare module '../graph.ts' {
  interface OpAttributes extends Record<RowName | 'where' | 'detach', NoAttributes> {
    readonly cast: { readonly dtype: DType }
    readonly scalar: { readonly number: number; readonly dtype: DType }
    readonly range: { readonly length: number }
  }
}

const one = (condition: boolean): number => (condition ? 1 : 0)

const arithmetic = {
  add: { wgsl: (a, b) => `(${a} + ${b})`, value: (a, b) => a + b, gradients: [({ dy }) => dy, ({ dy }) => dy] },
  sub: {
    wgsl: (a, b, float, [signBit]) => (float ? `(${a} + neg_f32(${b}, ${signBit}))` : `(${a} - ${b})`),
    value: (a, b) => a - b,
    uniforms: [SIGN_BIT],
    gradients: [({ dy }) => dy, ({ dy }) => dy.neg()],
  },
  mul: {
    wgsl: (a, b) => `(${a} * ${b})`,
    value: (a, b, float) => (float ? a * b : Math.imul(a, b)),
    gradients: [({ b, dy }) => dy.mul(b), ({ a, dy }) => dy.mul(a)],
  },
  // Integer division truncates, and gives 0 if the divisor is 0, as in NumPy.
  div: {
    wgsl: (a, b, float) => (float ? `(${a} / ${b})` : `select(${a} / ${b}, ${b}, ${b} == 0)`),
    value: (a, b) => a / b,
    gradients: [({ b, dy }) => dy.div(b), ({ b, y, dy }) => dy.mul(y).div(b).neg()],
  },
  // As in PyTorch: the base's gradient is 0 if the exponent is 0; the exponent's is 0 if the base is 0 and the exponent
  // is not negative.
  pow: {
    wgsl: (a, b) => `pow_f32(${a}, ${b})`,
    // As in C and NumPy; JavaScript's 1 ** NaN and (±1) ** ±∞ are NaN.
    value: (a, b) => (a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : a ** b),
    functions: mathLibrary,
    costly: true,
    takes: 'floats',
    gradients: [
      ({ a, b, dy }) => dy.mul(b.equal(0).where(0, b.mul(a.pow(b.equal(0).where(1, b).sub(1))))),
      ({ a, b, y, dy }) => {
        const flat = a.equal(0).mul(b.greaterEqual(0))
        return dy.mul(y).mul(flat.where(0, flat.where(1, a).log()))
      },
    ],
  },
  // As in PyTorch: the result is NaN if either operand is, and then both get the whole gradient; equal operands get
  // half each.
  maximum: {
    wgsl: (a, b, float) => (float ? `max_f32(${a}, ${b})` : `max(${a}, ${b})`),
    value: (a, b) => Math.max(a, b),
    rounding: 'none',
    gradients: [({ a, b, dy }) => dy.mul(share(a.less(b), a, b)), ({ a, b, dy }) => dy.mul(share(b.less(a), a, b))],
  },
  minimum: {
    wgsl: (a, b, float) => (float ? `min_f32(${a}, ${b})` : `min(${a}, ${b})`),
    value: (a, b) => Math.min(a, b),
    rounding: 'none',
    gradients: [({ a, b, dy }) => dy.mul(share(b.less(a), a, b)), ({ a, b, dy }) => dy.mul(share(a.less(b), a, b))],
  },
  // The remainder of a ÷ b with b's sign, as Python's % and PyTorch's remainder. Of integers 0 if the divisor is 0.
  mod: {
    wgsl: (a, b, float) => {
      const rest = `(${a} % ${b})`
      if (float) return `mod_f32(${a}, ${b})`
      return `select(${rest}, ${rest} + ${b}, ${rest} != 0 && (${rest} ^ ${b}) < 0)`
    },
    value: remainder,
    functions: mathLibrary,
    costly: true,
    rounding: 'result',
    gradients: [({ dy }) => dy, ({ a, b, y, dy }) => dy.mul(a.sub(y).div(b).round()).neg()],
  },
  neg: {
    wgsl: (a, _b, float, [signBit]) => (float ? `neg_f32(${a}, ${signBit})` : `(-${a})`),
    value: a => -a,
    uniforms: [SIGN_BIT],
    rounding: 'none',
    takes: 'signed numbers',
    gradients: [({ dy }) => dy.neg()],
  },
  abs: { wgsl: a => `abs(${a})`, value: Math.abs, rounding: 'none', gradients: [({ a, dy }) => dy.mul(a.sign())] },
} satisfies Record<string, Row>

function remainder(a: number, b: number, float: boolean): number {
  const rest = a % b
  if (!float && b === 0) return 0
  return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest
}

/** An operand's share of the gradient of a maximum or minimum: 0 if it lost, ½ if both are equal, else 1. */
function share(lost: Tensor, a: Tensor, b: Tensor): Tensor {
  return lost.where(0, a.equal(b).where(0.5, 1))
}

/** By IEEE 754, NaN is unordered, also with itself. `operator` is WGSL. */
const comparison = (operator: string, value: (a: number, b: number) => boolean): Row => ({
  wgsl: (a, b, float) => `select(0u, 1u, ${a} ${operator} ${b}${float ? ` && ordered(${a}, ${b})` : ''})`,
  value: (a, b) => one(value(a, b)),
  rounding: 'none',
  gives: 'u32',
})

/** By its bits, because compilers may assume that floats are finite, and fold x - x or x == x. */
const classification = (bits: string, value: (a: number) => boolean): Row => ({
  wgsl: a => `select(0u, 1u, (bitcast<u32>(${a}) & 0x7fffffffu) ${bits})`,
  value: a => one(value(a)),
  rounding: 'none',
  takes: 'floats',
  gives: 'u32',
})

const predicates = {
  equal: comparison('==', (a, b) => a === b),
  // Not with !=, which Tint compiles to a comparison that is false for NaN.
  notEqual: {
    ...comparison('!=', (a, b) => a !== b),
    wgsl: (a, b, float) => `select(1u, 0u, ${a} == ${b}${float ? ` && ordered(${a}, ${b})` : ''})`,
  },
  less: comparison('<', (a, b) => a < b),
  lessEqual: comparison('<=', (a, b) => a <= b),
  greater: comparison('>', (a, b) => a > b),
  greaterEqual: comparison('>=', (a, b) => a >= b),
  isFinite: classification('< 0x7f800000u', Number.isFinite),
  isInfinite: classification('== 0x7f800000u', a => Math.abs(a) === Infinity),
  isNaN: classification('> 0x7f800000u', Number.isNaN),
} satisfies Record<string, Row>

const rows = { ...arithmetic, ...predicates }
type RowName = keyof typeof rows

/** Whether a dtype is not among those that a row takes. */
const isRefused = (dtype: DType, takes: Row['takes']): boolean =>
  (takes === 'floats' && !isFloat(dtype)) ||
  (takes === 'integers' && isFloat(dtype)) ||
  (takes === 'signed numbers' && dtype === 'u32')

function defineRow<N extends PlainOpName>(
  name: N,
  { wgsl, value, gradients, uniforms, functions, costly, rounding, takes, gives }: Row,
): void {
  defineOp({
    name,
    kind: 'elementwise',
    infer: inputs => {
      const [a, b] = inputs
      const dtype = b ? commonDType(name, a.dtype, b.dtype) : a.dtype
      if (isRefused(dtype, takes)) throw new UserError(`${name} takes ${takes}, not ${b ? dtype : showSpec(a)}`)
      return [{ shape: b ? broadcastShapes(name, [a.shape, b.shape]) : a.shape, dtype: gives ?? dtype }]
    },
    wgsl: ([a, b = ''], context) => wgsl(a, b, isFloat(context.inputs[0]), context.uniforms),
    uniforms: uniforms && (() => uniforms),
    functions,
    scalar: ([a, b = 0], _attributes, _index, [dtype]) => value(a, b, isFloat(dtype)),
    costly,
    rounding,
    gradient: gradients && gradientOf(gradients),
  })
}

/** Defines an op for each row, by its name. `common` is what they share. */
export function defineRows<N extends PlainOpName>(named: Readonly<Record<N, Row>>, common: Partial<Row> = {}): void {
  for (const name of Object.keys(named) as N[]) defineRow(name, { ...common, ...named[name] })
}

defineRows(rows)

defineOp({
  name: 'where',
  kind: 'elementwise',
  infer: ([condition, yes, no]) => {
    if (isFloat(condition.dtype)) throw new UserError(`where: the condition is u32 or i32, not ${condition.dtype}`)
    const dtype = commonDType('where', yes.dtype, no.dtype)
    return [{ shape: broadcastShapes('where', [condition.shape, yes.shape, no.shape]), dtype }]
  },
  wgsl: ([c, yes, no], { inputs }) => `select(${no}, ${yes}, ${c} != 0${inputs[0] === 'u32' ? 'u' : 'i'})`,
  scalar: ([c, yes, no]) => (c !== 0 ? yes : no),
  gradient: gradientOf([() => undefined, ({ a, dy }) => a.where(dy, 0), ({ a, dy }) => a.where(0, dy)]),
  rounding: 'none',
})

/**
 * A float as an integer: truncated, clamped to the dtype's range, 0 for NaN, as in JAX and Rust. It is undefined in C,
 * and so in NumPy and PyTorch.
 */
function saturated(a: number, dtype: DType): number {
  if (Number.isNaN(a)) return 0
  const [least, most] = dtype === 'u32' ? [0, 2 ** 32 - 1] : [-(2 ** 31), 2 ** 31 - 1]
  return Math.min(Math.max(Math.trunc(a), least), most)
}

const cast = defineOp({
  name: 'cast',
  kind: 'elementwise',
  rounding: 'result',
  infer: ([x], { dtype }) => [{ shape: x.shape, dtype }],
  // Storing a value as f16 rounds it, WGSL's f32() does not; its own conversions to integers don't clamp.
  wgsl: ([a], { inputs: [from], output, stored }) => {
    if (output === 'f16') return stored ? `f32(${a})` : `round_f16(f32(${a}))`
    return isFloat(from) && !isFloat(output) ? `to_${output}(${a})` : `${output}(${a})`
  },
  scalar: ([a], { dtype }, _index, [from]) => {
    if (isFloat(from) && !isFloat(dtype)) return saturated(a, dtype)
    return dtype === 'f16' && Math.abs(a) >= HALF_OVERFLOW ? Math.sign(a) * Infinity : a
  },
  gradient: ({ inputs: [x], attributes, upstream: [dy] }) => [
    dy && isFloat(attributes.dtype) && isFloat(x.dtype) ? castBack(dy, x.dtype) : undefined,
  ],
})

/** The same value, with no gradient; also how the compiler copies a value. */
export const detach = defineOp({
  name: 'detach',
  kind: 'elementwise',
  rounding: 'none',
  infer: ([x]) => [x],
  wgsl: ([a]) => a,
  scalar: ([a]) => a,
})

defineOp({
  name: 'scalar',
  kind: 'elementwise',
  infer: (_, { dtype }) => [{ shape: [], dtype }],
  uniforms: ({ number, dtype }) => [{ type: computed(dtype), value: number }],
  wgsl: (_, { uniforms }) => uniforms[0],
  scalar: (_, { number }) => number,
  number: { of: ({ number }) => number, replaced: (attributes, number) => ({ ...attributes, number }) },
  rounding: 'none',
})

defineOp({
  name: 'range',
  kind: 'elementwise',
  infer: (_, { length }) => [{ shape: [length], dtype: 'i32' }],
  wgsl: (_, { index }) => `i32(${index})`,
  scalar: (_args, _attributes, index) => index,
  rounding: 'none',
})

/**
 * 0, 1, … length − 1 as i32 [length], or the integers from `start` on, before `end`, by steps of `step`, as PyTorch's
 * `arange`. Throws a UserError on what is not an integer, and if steps do not lead from start to end.
 */
export function range(length: number): Tensor
export function range(start: number, end: number, step?: number): Tensor
export function range(start: number, end?: number, step = 1): Tensor {
  if (end === undefined) return apply('range', [], { length: start })
  for (const number of [start, end, step]) needRepresentable(number, 'i32', 'range: ')
  // The sum makes 0 of −0.
  const length = Math.ceil((end - start) / step) + 0
  return apply('range', [], { length }).mul(step).add(start)
}
