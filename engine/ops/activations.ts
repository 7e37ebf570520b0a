// Activation functions. Those that are a formula of others are methods of Tensor alone.
import { type Tensor, apply, defineMethods, lift, scalar } from '../tensor.ts'
import { type Row, defineRows, mathLibrary } from './elementwise.ts'
import { normalCdf64 } from './erf.ts'

declare module '../graph.ts' {
  interface OpAttributes extends Record<keyof typeof activations, NoAttributes> {}
}

// GELU's tanh approximation: 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).
const TANH_SCALE = 0.7978845608028654
const TANH_CUBE = 0.044715

const sigmoid64 = (a: number): number => 1 / (1 + Math.exp(-a))

const activations = {
  sigmoid: {
    wgsl: a => `(1.0 / (1.0 + exp_f32(-${a})))`,
    value: sigmoid64,
    gradients: [({ y, dy }) => dy.mul(y).mul(scalar(1).sub(y))],
  },
  // NaN stays NaN and passes its gradient on, as in PyTorch.
  relu: {
    wgsl: a => `relu_f32(${a})`,
    value: a => (a < 0 ? 0 : a),
    rounding: 'none',
    gradients: [({ a, dy }) => a.lessEqual(0).where(0, dy)],
  },
  gelu: {
    wgsl: a => `(${a} * normal_cdf(${a}))`,
    value: a => a * normalCdf64(a),
    costly: true,
    gradients: [({ a, dy }) => dy.mul(geluDerivative(a))],
  },
  // GELU's derivative Φ(x) + x·φ(x): an op of its own, so that the gradient is one op instead of five.
  geluDerivative: {
    wgsl: a => `(normal_cdf(${a}) + ${a} * 0.3989422804 * exp(-0.5 * ${a} * ${a}))`,
    value: a => normalCdf64(a) + (a * Math.exp(-0.5 * a * a)) / Math.sqrt(2 * Math.PI),
    costly: true,
    // d²/dx² GELU = φ(x)·(2 − x²).
    gradients: [
      ({ a, dy }) => {
        const square = a.square()
        return dy
          .mul(square.mul(-0.5).exp())
          .mul(scalar(2).sub(square))
          .mul(1 / Math.sqrt(2 * Math.PI))
      },
    ],
  },
  geluTanh: {
    // (1 + tanh u) / 2 as 1 / (1 + exp(−2u)), which does not cancel for very negative u.
    wgsl: a => `(${a} / (1.0 + exp(${-2 * TANH_SCALE} * (${a} + ${TANH_CUBE} * ${a} * ${a} * ${a}))))`,
    value: a => a / (1 + Math.exp(-2 * TANH_SCALE * (a + TANH_CUBE * a ** 3))),
    gradients: [
      ({ a, dy }) => {
        const t = a.add(a.mul(a).mul(a).mul(TANH_CUBE)).mul(TANH_SCALE).tanh()
        const inner = a
          .square()
          .mul(3 * TANH_CUBE)
          .add(1)
          .mul(TANH_SCALE)
        const rest = a.mul(scalar(1).sub(t.square())).mul(inner)
        return dy.mul(t.add(1).add(rest).mul(0.5))
      },
    ],
  },
  silu: {
    wgsl: a => `(${a} / (1.0 + exp_f32(-${a})))`,
    value: a => a / (1 + Math.exp(-a)),
    costly: true,
    gradients: [({ a, dy }) => dy.mul(siluDerivative(a))],
  },
  // σ(x)·(1 + x·σ(−x)): an op of its own, as GELU's.
  siluDerivative: {
    wgsl: a => `((1.0 + ${a} / (1.0 + exp_f32(${a}))) / (1.0 + exp_f32(-${a})))`,
    value: a => sigmoid64(a) * (1 + a * sigmoid64(-a)),
    costly: true,
    // σ(x)·σ(−x)·(2 + x·(σ(−x) − σ(x))).
    gradients: [
      ({ a, dy }) => {
        const [up, down] = [a.sigmoid(), a.neg().sigmoid()]
        return dy.mul(up).mul(down).mul(down.sub(up).mul(a).add(2))
      },
    ],
  },
  // log(1 + eˣ), which neither overflows nor cancels.
  softplus: {
    wgsl: a => `(max_f32(${a}, 0.0) + log1p_f32(exp_f32(-abs(${a}))))`,
    value: a => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
    functions: mathLibrary,
    costly: true,
    gradients: [({ a, dy }) => dy.mul(a.sigmoid())],
  },
  // x where it is positive, else alpha·(eˣ − 1) for the second operand alpha.
  elu: {
    wgsl: (a, b) => `select(${a}, ${b} * expm1_f32(${a}), ${a} <= 0.0)`,
    value: (a, b) => (a <= 0 ? b * Math.expm1(a) : a),
    functions: mathLibrary,
    costly: true,
    gradients: [
      ({ a, b, dy }) => dy.mul(a.lessEqual(0).where(b.mul(a.minimum(0).exp()), 1)),
      ({ a, dy }) => dy.mul(a.minimum(0).expm1()),
    ],
  },
  // x where it is positive, else slope·x for the second operand slope.
  prelu: {
    wgsl: (a, b) => `select(${a}, ${b} * ${a}, ${a} <= 0.0)`,
    value: (a, b) => (a <= 0 ? b * a : a),
    gradients: [({ a, b, dy }) => dy.mul(a.lessEqual(0).where(b, 1)), ({ a, dy }) => dy.mul(a.minimum(0))],
  },
} satisfies Record<string, Row>

defineRows(activations, { takes: 'floats' })

// Of declared types, because the types of ops come from these rows.
function geluDerivative(x: Tensor): Tensor {
  return apply('geluDerivative', [x])
}
function siluDerivative(x: Tensor): Tensor {
  return apply('siluDerivative', [x])
}

defineMethods({
  logSigmoid() {
    return this.neg().softplus().neg()
  },
  relu6() {
    return this.greaterEqual(6).where(6, this.relu())
  },
  leakyRelu(slope = 0.01) {
    return apply('prelu', [this, lift('leakyRelu', slope, this.dtype)])
  },
  elu(alpha = 1) {
    return apply('elu', [this, lift('elu', alpha, this.dtype)])
  },
  selu() {
    return this.elu(1.6732632423543772).mul(1.0507009873554805)
  },
  softplus(beta = 1) {
    if (beta === 1) return apply('softplus', [this])
    return apply('softplus', [this.mul(beta)]).div(beta)
  },
  mish() {
    return this.mul(this.softplus().tanh())
  },
  hardSigmoid() {
    return this.add(3).relu6().div(6)
  },
  hardSwish() {
    return this.mul(this.hardSigmoid())
  },
})
