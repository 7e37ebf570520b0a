// Functions of one float, and of two where only floats make sense: exponentials, logarithms, roots, sines and their
// inverses, rounding.
//
// Relative errors in f32 are at most 1e-5 wherever the result is a normal number, mostly 3e-7 (shaders/math/;
// test/shaders/math.test.ts). Only pow's grows with the exponent of its result.
import { UserError } from '../errors.ts'
import { defineMethods, scalar } from '../tensor.ts'
import { type Row, defineRows, mathLibrary } from './elementwise.ts'
import { erf64 } from './erf.ts'

declare module '../graph.ts' {
  interface OpAttributes extends Record<keyof typeof functions | keyof typeof transcendental, NoAttributes> {}
}

/** A step function: the gradient is 0 wherever there is one. */
const rounded = (wgsl: string, value: (a: number) => number): Row => ({
  wgsl: a => `keep_nan(${wgsl}(${a}), ${a})`,
  value,
  rounding: 'none',
})

/** To the nearest whole number, of two to the even one. */
function roundEven(a: number): number {
  const down = Math.floor(a)
  const rest = a - down
  return rest < 0.5 || (rest === 0.5 && down % 2 === 0) ? down : down + 1
}

const functions = {
  // NaN for NaN, as in NumPy and JAX; PyTorch gives 0.
  sign: { wgsl: a => `sign_f32(${a})`, value: Math.sign, rounding: 'none' },
  square: {
    wgsl: a => `(${a} * ${a})`,
    value: a => a * a,
    gradients: [({ a, dy }) => dy.mul(a).mul(2)],
  },
  sqrt: {
    wgsl: a => `sqrt_f32(${a})`,
    value: Math.sqrt,
    gradients: [({ y, dy }) => dy.div(y).mul(0.5)],
  },
  rsqrt: {
    wgsl: a => `rsqrt_f32(${a})`,
    value: a => 1 / Math.sqrt(a),
    gradients: [({ y, dy }) => dy.mul(y).mul(y).mul(y).mul(-0.5)],
  },
  reciprocal: {
    wgsl: a => `(1.0 / ${a})`,
    value: a => 1 / a,
    gradients: [({ y, dy }) => dy.mul(y).mul(y).neg()],
  },
  exp: { wgsl: a => `exp_f32(${a})`, value: Math.exp, gradients: [({ y, dy }) => dy.mul(y)] },
  log: {
    wgsl: a => `log_f32(${a})`,
    value: Math.log,
    costly: true,
    gradients: [({ a, dy }) => dy.div(a)],
  },
  tanh: {
    wgsl: a => `tanh_f32(${a})`,
    value: Math.tanh,
    costly: true,
    gradients: [({ y, dy }) => dy.mul(scalar(1).sub(y.mul(y)))],
  },
  erf: {
    wgsl: a => `erf_f32(${a})`,
    value: erf64,
    costly: true,
    gradients: [({ a, dy }) => dy.mul(a.square().neg().exp()).mul(2 / Math.sqrt(Math.PI))],
  },
  // x²/2 up to |x| = 1, then |x| − 1/2.
  huber: {
    wgsl: a => `select(abs(${a}) - 0.5, 0.5 * ${a} * ${a}, abs(${a}) <= 1.0)`,
    value: a => (Math.abs(a) <= 1 ? 0.5 * a * a : Math.abs(a) - 0.5),
    gradients: [({ a, dy }) => dy.mul(a.clamp(-1, 1))],
  },
  floor: rounded('floor', Math.floor),
  ceil: rounded('ceil', Math.ceil),
  round: rounded('round', roundEven),
  trunc: rounded('trunc', Math.trunc),
} satisfies Record<string, Row>

defineRows(functions, { takes: 'floats' })

/** Those that call functions of shaders/math/. */
const transcendental = {
  exp2: {
    wgsl: a => `exp2_f32(${a})`,
    value: a => 2 ** a,
    gradients: [({ y, dy }) => dy.mul(y).mul(Math.LN2)],
  },
  expm1: {
    wgsl: a => `expm1_f32(${a})`,
    value: Math.expm1,
    gradients: [({ y, dy }) => dy.mul(y.add(1))],
  },
  log2: {
    wgsl: a => `log2_f32(${a})`,
    value: Math.log2,
    gradients: [({ a, dy }) => dy.div(a).mul(Math.LOG2E)],
  },
  log1p: {
    wgsl: a => `log1p_f32(${a})`,
    value: Math.log1p,
    gradients: [({ a, dy }) => dy.div(a.add(1))],
  },
  sin: {
    wgsl: a => `sin_f32(${a})`,
    value: Math.sin,
    gradients: [({ a, dy }) => dy.mul(a.cos())],
  },
  cos: {
    wgsl: a => `cos_f32(${a})`,
    value: Math.cos,
    gradients: [({ a, dy }) => dy.mul(a.sin()).neg()],
  },
  tan: {
    wgsl: a => `tan_f32(${a})`,
    value: Math.tan,
    gradients: [({ y, dy }) => dy.mul(y.square().add(1))],
  },
  asin: {
    wgsl: a => `asin_f32(${a})`,
    value: Math.asin,
    gradients: [({ a, dy }) => dy.mul(scalar(1).sub(a).mul(a.add(1)).rsqrt())],
  },
  acos: {
    wgsl: a => `acos_f32(${a})`,
    value: Math.acos,
    gradients: [({ a, dy }) => dy.mul(scalar(1).sub(a).mul(a.add(1)).rsqrt()).neg()],
  },
  atan: {
    wgsl: a => `atan_f32(${a})`,
    value: Math.atan,
    gradients: [({ a, dy }) => dy.div(a.square().add(1))],
  },
  // The angle of the point (b, a).
  atan2: {
    wgsl: (a, b) => `atan2_f32(${a}, ${b})`,
    value: Math.atan2,
    gradients: [
      ({ a, b, dy }) => dy.mul(b).div(a.square().add(b.square())),
      ({ a, b, dy }) => dy.mul(a).div(a.square().add(b.square())).neg(),
    ],
  },
  sinh: {
    wgsl: a => `sinh_f32(${a})`,
    value: Math.sinh,
    gradients: [({ a, dy }) => dy.mul(a.cosh())],
  },
  cosh: {
    wgsl: a => `cosh_f32(${a})`,
    value: Math.cosh,
    gradients: [({ a, dy }) => dy.mul(a.sinh())],
  },
  asinh: {
    wgsl: a => `asinh_f32(${a})`,
    value: Math.asinh,
    gradients: [({ a, dy }) => dy.mul(a.square().add(1).rsqrt())],
  },
  acosh: {
    wgsl: a => `acosh_f32(${a})`,
    value: Math.acosh,
    gradients: [({ a, dy }) => dy.mul(a.sub(1).mul(a.add(1)).rsqrt())],
  },
  atanh: {
    wgsl: a => `atanh_f32(${a})`,
    value: Math.atanh,
    gradients: [({ a, dy }) => dy.div(scalar(1).sub(a).mul(a.add(1)))],
  },
} satisfies Record<string, Row>

defineRows(transcendental, { takes: 'floats', functions: mathLibrary, costly: true })

defineMethods({
  log10() {
    return this.log().mul(Math.LOG10E)
  },
  clamp(min, max) {
    if (min === undefined && max === undefined) throw new UserError('clamp: neither min nor max is given')
    const above = min === undefined ? this : this.maximum(min)
    return max === undefined ? above : above.minimum(max)
  },
})
