// Elementwise ops: one row a function, with its WGSL, its float64 value and its gradient. Broadcasting follows NumPy.
import type { DType } from '../../shaders/kernel.ts'
import { UserError } from '../errors.ts'
import { type ElementwiseOp, type GradientContext, defineOp, specOf } from '../graph.ts'
import { broadcastShapes, showSpec } from '../shape.ts'
import { Tensor, apply, scalar } from '../tensor.ts'
import { erf64, normalCdf64 } from './erf.ts'
import { sumTo } from './reduce.ts'

/** Gradient of one input: (inputs, output, upstream) to a tensor of the output's shape, before broadcasting is undone. */
type Rule = (x: readonly Tensor[], y: Tensor, dy: Tensor) => Tensor | undefined

interface Row {
  readonly wgsl: (a: string, b: string, c: string) => string
  readonly value: (a: number, b: number, c: number) => number
  readonly gradients?: readonly Rule[]
  readonly helpers?: readonly string[]
}

const isFloat = (dtype: DType): boolean => dtype === 'f32' || dtype === 'f16'

/** The dtype of arithmetic between two: floats widen to f32, everything else must agree. */
function commonDType(name: string, a: DType, b: DType): DType {
  if (a === b) return a
  if (isFloat(a) && isFloat(b)) return 'f32'
  throw new UserError(`${name}: ${a} and ${b} do not mix: cast one of them`)
}

/**
 * Applies each rule where it is asked for, and sums over the axes that broadcasting repeated. Rules compute in the widest
 * dtype; a gradient has its input's own.
 */
function gradientOf(rules: readonly Rule[] | undefined): ((context: GradientContext) => (Tensor | undefined)[]) | undefined {
  if (!rules) return undefined
  return ({ inputs, outputs, upstream, needs }) => inputs.map((x, i) => {
    const [dy] = upstream
    const rule = rules[i]
    if (!needs[i] || !dy || !rule || !isFloat(x.dtype)) return undefined
    const dx = rule(inputs, outputs[0], dy)
    return dx && castBack(sumTo(dx, x.shape), x.dtype)
  })
}

/** A gradient in its input's dtype. What was f16 before it was widened is itself again, without a pass over memory. */
function castBack(dx: Tensor, dtype: DType): Tensor {
  const { op, inputs: [from] } = dx.value.node
  const widened = op.name === 'cast' && dx.dtype === 'f32' && specOf(from).dtype === 'f16'
  return widened && dtype === 'f16' ? new Tensor(from) : dx.cast(dtype)
}

function unary(name: string, row: Row, floatsOnly: boolean): void {
  defineOp({
    name,
    kind: 'elementwise',
    infer: ([x]) => {
      if (floatsOnly && !isFloat(x.dtype)) throw new UserError(`${name} takes floats, not ${showSpec(x)}`)
      if (x.dtype === 'u32' && name === 'neg') throw new UserError('neg takes signed numbers, not u32')
      return [{ shape: x.shape, dtype: x.dtype }]
    },
    wgsl: ([a]) => row.wgsl(a, '', ''),
    scalar: ([a]) => row.value(a, 0, 0),
    helpers: row.helpers,
    gradient: gradientOf(row.gradients),
  } satisfies ElementwiseOp)
}

function binary(name: string, row: Row, result?: DType): void {
  defineOp({
    name,
    kind: 'elementwise',
    infer: ([a, b]) => {
      const dtype = commonDType(name, a.dtype, b.dtype)
      if (name === 'pow' && !isFloat(dtype)) throw new UserError(`pow takes floats, not ${dtype}`)
      return [{ shape: broadcastShapes(name, [a.shape, b.shape]), dtype: result ?? dtype }]
    },
    wgsl: ([a, b]) => row.wgsl(a, b, ''),
    scalar: ([a, b]) => row.value(a, b, 0),
    helpers: row.helpers,
    gradient: gradientOf(row.gradients),
  } satisfies ElementwiseOp)
}

const one = (condition: boolean): number => (condition ? 1 : 0)

const binaries: Record<string, Row> = {
  add: { wgsl: (a, b) => `(${a} + ${b})`, value: (a, b) => a + b, gradients: [(_x, _y, dy) => dy, (_x, _y, dy) => dy] },
  sub: { wgsl: (a, b) => `(${a} - ${b})`, value: (a, b) => a - b, gradients: [(_x, _y, dy) => dy, (_x, _y, dy) => dy.neg()] },
  mul: { wgsl: (a, b) => `(${a} * ${b})`, value: (a, b) => a * b, gradients: [([, b], _y, dy) => dy.mul(b), ([a], _y, dy) => dy.mul(a)] },
  div: {
    wgsl: (a, b) => `(${a} / ${b})`,
    value: (a, b) => a / b,
    gradients: [([, b], _y, dy) => dy.div(b), ([, b], y, dy) => dy.mul(y).div(b).neg()],
  },
  pow: {
    wgsl: (a, b) => `pow_f32(${a}, ${b})`,
    value: (a, b) => a ** b,
    helpers: ['pow_f32'],
    // Like PyTorch's: the base's gradient is 0 where the exponent is 0, the exponent's where the base is 0.
    gradients: [
      ([a, b], _y, dy) => dy.mul(b.equal(0).where(0, b.mul(a.pow(b.equal(0).where(1, b).sub(1))))),
      ([a], y, dy) => dy.mul(y).mul(a.equal(0).where(0, a.equal(0).where(1, a).log())),
    ],
  },
  // Equal operands share the gradient, half each, as in PyTorch.
  maximum: {
    wgsl: (a, b) => `max(${a}, ${b})`,
    value: (a, b) => Math.max(a, b),
    gradients: [([a, b], _y, dy) => dy.mul(winner(a, b)), ([a, b], _y, dy) => dy.mul(winner(b, a))],
  },
  minimum: {
    wgsl: (a, b) => `min(${a}, ${b})`,
    value: (a, b) => Math.min(a, b),
    gradients: [([a, b], _y, dy) => dy.mul(winner(b, a)), ([a, b], _y, dy) => dy.mul(winner(a, b))],
  },
}

/** 1 where a > b, ½ where they are equal, 0 elsewhere. */
function winner(a: Tensor, b: Tensor): Tensor {
  return a.greater(b).where(1, a.equal(b).where(0.5, 0))
}

const comparisons: Record<string, Row> = {
  equal: { wgsl: (a, b) => `select(0u, 1u, ${a} == ${b})`, value: (a, b) => one(a === b) },
  notEqual: { wgsl: (a, b) => `select(0u, 1u, ${a} != ${b})`, value: (a, b) => one(a !== b) },
  less: { wgsl: (a, b) => `select(0u, 1u, ${a} < ${b})`, value: (a, b) => one(a < b) },
  lessEqual: { wgsl: (a, b) => `select(0u, 1u, ${a} <= ${b})`, value: (a, b) => one(a <= b) },
  greater: { wgsl: (a, b) => `select(0u, 1u, ${a} > ${b})`, value: (a, b) => one(a > b) },
  greaterEqual: { wgsl: (a, b) => `select(0u, 1u, ${a} >= ${b})`, value: (a, b) => one(a >= b) },
}

const anyNumber: Record<string, Row> = {
  neg: { wgsl: a => `(-${a})`, value: a => -a, gradients: [(_x, _y, dy) => dy.neg()] },
  abs: { wgsl: a => `abs(${a})`, value: Math.abs, gradients: [([x], _y, dy) => dy.mul(x.sign())] },
}

const floats: Record<string, Row> = {
  sign: { wgsl: a => `sign(${a})`, value: Math.sign },
  exp: { wgsl: a => `exp(${a})`, value: Math.exp, gradients: [(_x, y, dy) => dy.mul(y)] },
  log: { wgsl: a => `log_f32(${a})`, value: Math.log, helpers: ['log_f32'], gradients: [([x], _y, dy) => dy.div(x)] },
  square: { wgsl: a => `(${a} * ${a})`, value: a => a * a, gradients: [([x], _y, dy) => dy.mul(x).mul(2)] },
  sqrt: { wgsl: a => `sqrt(${a})`, value: Math.sqrt, gradients: [(_x, y, dy) => dy.div(y).mul(0.5)] },
  rsqrt: {
    wgsl: a => `inverseSqrt(${a})`,
    value: a => 1 / Math.sqrt(a),
    gradients: [(_x, y, dy) => dy.mul(y).mul(y).mul(y).mul(-0.5)],
  },
  reciprocal: { wgsl: a => `(1.0 / ${a})`, value: a => 1 / a, gradients: [(_x, y, dy) => dy.mul(y).mul(y).neg()] },
  tanh: {
    wgsl: a => `tanh_f32(${a})`,
    value: Math.tanh,
    helpers: ['tanh_f32'],
    gradients: [(_x, y, dy) => dy.mul(scalar(1).sub(y.mul(y)))],
  },
  sigmoid: {
    wgsl: a => `(1.0 / (1.0 + exp(-${a})))`,
    value: a => 1 / (1 + Math.exp(-a)),
    gradients: [(_x, y, dy) => dy.mul(y).mul(scalar(1).sub(y))],
  },
  // NaN stays NaN, which max need not do.
  relu: { wgsl: a => `select(${a}, 0.0, ${a} < 0.0)`, value: a => (a < 0 ? 0 : a), gradients: [([x], _y, dy) => x.greater(0).where(dy, 0)] },
  erf: {
    wgsl: a => `erf_f32(${a})`,
    value: erf64,
    helpers: ['erf_f32'],
    gradients: [([x], _y, dy) => dy.mul(x.square().neg().exp()).mul(2 / Math.sqrt(Math.PI))],
  },
  gelu: {
    wgsl: a => `(${a} * normal_cdf(${a}))`,
    value: a => a * normalCdf64(a),
    helpers: ['normal_cdf'],
    gradients: [([x], _y, dy) => dy.mul(apply('geluSlope', [x]))],
  },
  // Φ(x) + x·φ(x): an op of its own so that GELU's gradient is one expression, not five.
  geluSlope: {
    wgsl: a => `(normal_cdf(${a}) + ${a} * 0.3989422804 * exp(-0.5 * ${a} * ${a}))`,
    value: a => normalCdf64(a) + a * Math.exp(-0.5 * a * a) / Math.sqrt(2 * Math.PI),
    helpers: ['normal_cdf'],
    // d²/dx² GELU = φ(x)·(2 − x²).
    gradients: [([x], _y, dy) => dy.mul(x.square().mul(-0.5).exp()).mul(scalar(2).sub(x.square())).mul(1 / Math.sqrt(2 * Math.PI))],
  },
  geluTanh: {
    // (1 + tanh u) / 2 as 1 / (1 + exp(−2u)), which does not cancel where u is far below 0.
    wgsl: a => `(${a} / (1.0 + exp(${-2 * TANH_SCALE} * (${a} + ${TANH_CUBE} * ${a} * ${a} * ${a}))))`,
    value: a => a / (1 + Math.exp(-2 * TANH_SCALE * (a + TANH_CUBE * a ** 3))),
    gradients: [([x], _y, dy) => {
      const t = x.add(x.mul(x).mul(x).mul(TANH_CUBE)).mul(TANH_SCALE).tanh()
      const inner = x.square().mul(3 * TANH_CUBE).add(1).mul(TANH_SCALE)
      return dy.mul(t.add(1).add(x.mul(scalar(1).sub(t.square())).mul(inner)).mul(0.5))
    }],
  },
}

// GELU's tanh approximation: 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).
const TANH_SCALE = 0.7978845608028654
const TANH_CUBE = 0.044715

for (const [name, row] of Object.entries(binaries)) binary(name, row)
for (const [name, row] of Object.entries(comparisons)) binary(name, row, 'u32')
for (const [name, row] of Object.entries(anyNumber)) unary(name, row, false)
for (const [name, row] of Object.entries(floats)) unary(name, row, true)

// By bits, because compilers may assume that floats are finite, and fold x - x or x == x.
defineOp({
  name: 'isFinite',
  kind: 'elementwise',
  infer: ([x]) => {
    if (!isFloat(x.dtype)) throw new UserError(`isFinite takes floats, not ${showSpec(x)}`)
    return [{ shape: x.shape, dtype: 'u32' }]
  },
  wgsl: ([a]) => `select(0u, 1u, (bitcast<u32>(${a}) & 0x7f800000u) != 0x7f800000u)`,
  scalar: ([a]) => one(Number.isFinite(a)),
} satisfies ElementwiseOp)

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
  gradient: gradientOf([
    () => undefined,
    ([c], _y, dy) => c.where(dy, 0),
    ([c], _y, dy) => c.where(0, dy),
  ]),
} satisfies ElementwiseOp)

interface CastAttributes { readonly [name: string]: string; readonly dtype: DType }

defineOp({
  name: 'cast',
  kind: 'elementwise',
  infer: ([x], { dtype }) => [{ shape: x.shape, dtype }],
  // What is stored as f16 is rounded there.
  wgsl: ([a], { output, stored }) => (output !== 'f16' ? `${output}(${a})` : stored ? `f32(${a})` : `round_f16(f32(${a}))`),
  helpers: ({ output, stored }) => (output === 'f16' && !stored ? ['round_f16'] : []),
  scalar: ([a], { dtype }) => (isFloat(dtype) ? a : Math.trunc(a)),
  gradient: ({ inputs: [x], attributes, upstream: [dy] }) => [dy && isFloat(attributes.dtype) && isFloat(x.dtype) ? castBack(dy, x.dtype) : undefined],
} satisfies ElementwiseOp<CastAttributes>)

defineOp({
  name: 'detach',
  kind: 'elementwise',
  infer: ([x]) => [x],
  wgsl: ([a]) => a,
  scalar: ([a]) => a,
} satisfies ElementwiseOp)

interface ScalarAttributes { readonly [name: string]: number | string; readonly number: number; readonly dtype: DType }

const uniformType = (dtype: DType): 'f32' | 'i32' | 'u32' => (dtype === 'f16' ? 'f32' : dtype)

defineOp({
  name: 'scalar',
  kind: 'elementwise',
  infer: (_, { dtype }) => [{ shape: [], dtype }],
  uniforms: ({ number, dtype }) => [{ type: uniformType(dtype), value: number }],
  wgsl: (_, { uniforms }) => uniforms[0],
  scalar: (_, { number }) => number,
} satisfies ElementwiseOp<ScalarAttributes>)

interface RangeAttributes { readonly [name: string]: number; readonly length: number }

defineOp({
  name: 'range',
  kind: 'elementwise',
  infer: (_, { length }) => [{ shape: [length], dtype: 'i32' }],
  wgsl: (_, { index }) => `i32(${index})`,
  scalar: (_args, _attributes, index) => index,
} satisfies ElementwiseOp<RangeAttributes>)

/** 0, 1, … length − 1 as i32 [length]. */
export function range(length: number): Tensor {
  return apply('range', [], { length })
}
