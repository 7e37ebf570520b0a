// Random tensors from the counter-based generator (shaders/random.ts): functions of a key and of each element's number
// alone, so that the same key gives the same numbers on every adapter. They are part of the kernel that reads them.
import type { DType } from '../../shaders/kernel.ts'
import { randomWord } from '../../shaders/random.ts'
import { UserError } from '../errors.ts'
import { defineOp } from '../graph.ts'
import { needArray, needOptions } from '../options.ts'
import { normalizeAxes, showSpec } from '../shape.ts'
import { Tensor, apply, needTensors } from '../tensor.ts'
import { mathLibrary } from './elementwise.ts'
import { normalCdf64 } from './erf.ts'
import { floatOf } from './matmul.ts'
import { tensor } from './source.ts'

declare module '../graph.ts' {
  interface OpAttributes {
    readonly randomBits: { readonly shape: readonly number[]; readonly stream: number; readonly seed: number }
    readonly fractionOfBits: NoAttributes
    readonly normalOfBits: NoAttributes
  }
}

// 32 random bits for each element, from the step (u32 []).
defineOp({
  name: 'randomBits',
  kind: 'elementwise',
  rounding: 'none',
  infer: ([step], { shape }) => {
    if (step.dtype !== 'u32' || step.shape.length !== 0)
      throw new UserError(`random numbers: the step is ${showSpec(step)}, but u32[] was expected`)
    return [{ shape, dtype: 'u32' }]
  },
  uniforms: ({ stream, seed }) => [
    { type: 'u32', value: stream },
    { type: 'u32', value: seed },
  ],
  wgsl: ([step], { random, uniforms: [stream, seed] }) => random(stream, step, seed),
  scalar: ([step], { stream, seed }, index) => randomWord(index, stream, step, seed),
})

// A number in [0, 1), of the 24 highest bits.
defineOp({
  name: 'fractionOfBits',
  kind: 'elementwise',
  rounding: 'none',
  infer: ([bits]) => [{ shape: bits.shape, dtype: 'f32' }],
  wgsl: ([bits]) => `(f32(${bits} >> 8u) * 5.9604644775390625e-8)`,
  scalar: ([bits]) => Math.floor(bits / 256) * 2 ** -24,
})

// A normal number: the quantile of (bits + ½)·2⁻³².
defineOp({
  name: 'normalOfBits',
  kind: 'elementwise',
  costly: true,
  functions: mathLibrary,
  infer: ([bits]) => [{ shape: bits.shape, dtype: 'f32' }],
  wgsl: ([bits]) => `normal_quantile(${bits})`,
  scalar: ([bits]) => {
    const isUpper = bits >= 2 ** 31
    const p = ((isUpper ? 2 ** 32 - 1 - bits : bits) + 0.5) * 2 ** -32
    return isUpper ? -lowerQuantile(p) : lowerQuantile(p)
  },
})

/** z with Φ(z) = p, for p up to ½: Newton's method on the logarithm of Φ, which is concave. */
function lowerQuantile(p: number): number {
  let z = -Math.sqrt(-2 * Math.log(2 * p))
  for (let i = 0; i < 12; i++) {
    const below = normalCdf64(z)
    const density = Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI)
    z -= (Math.log(below / p) * below) / density
  }
  return z
}

/** Which numbers are drawn. Draws with equal keys and shapes are equal. */
export interface RandomKey {
  /** A 32-bit integer, like the other two. */
  readonly seed: number
  /** Tells apart what is drawn from one seed: layers, purposes; 0 by default. */
  readonly stream?: number
  /**
   * Tells apart times; 0 by default. A compiled function draws the same numbers at each call unless its step is a tensor
   * u32 [] that changes.
   */
  readonly step?: number | Tensor
}

/** The key may be left out, as programs in JavaScript can, only to be asked for by name. */
function bits(shape: readonly number[], key: Partial<RandomKey> = {}): Tensor {
  needArray('random numbers', shape)
  needOptions('random numbers', key, 'seed', 'stream', 'step')
  const { seed = NaN, stream = 0, step = 0 } = key
  const isWord = (n: number): boolean => Number.isInteger(n) && n >= 0 && n < 2 ** 32
  for (const [name, n] of Object.entries({ seed, stream, ...(step instanceof Tensor ? {} : { step }) })) {
    if (!isWord(n))
      throw new UserError(`random numbers: the ${name} is ${n}, but an integer from 0 to 2³² − 1 was expected`)
  }
  const now = step instanceof Tensor ? step : tensor(Uint32Array.of(step), [])
  return apply('randomBits', [now], { shape: [...shape], stream, seed })
}

const uniform = (shape: readonly number[], key: RandomKey): Tensor => apply('fractionOfBits', [bits(shape, key)])

/**
 * Numbers that are uniform in [low, high), f32 unless f16 is asked for: multiples of 2⁻²⁴ of the interval, of which the
 * last may be rounded to `high`. Throws a UserError on a key that does not consist of 32-bit integers.
 */
export function randomUniform(
  shape: readonly number[],
  key: RandomKey,
  options: { readonly low?: number; readonly high?: number; readonly dtype?: DType } = {},
): Tensor {
  needOptions('randomUniform', options, 'low', 'high', 'dtype')
  const { low = 0, high = 1, dtype = 'f32' } = options
  const scaled = uniform(shape, key).mul(high - low)
  return (low === 0 ? scaled : scaled.add(low)).cast(floatOf(dtype, 'randomUniform'))
}

/** Normal numbers of this mean and standard deviation, up to 6.3 deviations from it. As `randomUniform` otherwise. */
export function randomNormal(
  shape: readonly number[],
  key: RandomKey,
  options: { readonly mean?: number; readonly deviation?: number; readonly dtype?: DType } = {},
): Tensor {
  needOptions('randomNormal', options, 'mean', 'deviation', 'dtype')
  const { mean = 0, deviation = 1, dtype = 'f32' } = options
  const scaled = apply('normalOfBits', [bits(shape, key)]).mul(deviation)
  return (mean === 0 ? scaled : scaled.add(mean)).cast(floatOf(dtype, 'randomNormal'))
}

/**
 * 1 with these probabilities, else 0. They are numbers in [0, 1]: a tensor, whose shape and dtype the result has, or one
 * for all of `shape`, in f32.
 */
export function randomBernoulli(probabilities: Tensor, key: RandomKey): Tensor
export function randomBernoulli(probability: number, key: RandomKey, shape: readonly number[]): Tensor
export function randomBernoulli(probability: Tensor | number, key: RandomKey, shape: readonly number[] = []): Tensor {
  if (!(probability instanceof Tensor)) {
    if (!(probability >= 0 && probability <= 1))
      throw new UserError(`randomBernoulli: ${probability} is not a probability`)
    return uniform(shape, key).less(probability).cast('f32')
  }
  const dtype = floatOf(probability.dtype, 'randomBernoulli')
  return uniform(probability.shape, key).less(probability.cast('f32')).cast(dtype)
}

/**
 * The index (i32) of one class of each row of logits along an axis, drawn with the probabilities that their softmax gives:
 * the largest of the logits with noise of Gumbel's distribution added. [...] without the axis. A logit of −∞ is never
 * drawn unless all are −∞.
 */
export function randomCategorical(logits: Tensor, key: RandomKey, axis = -1): Tensor {
  needTensors('randomCategorical', { logits })
  floatOf(logits.dtype, 'randomCategorical')
  const [at] = normalizeAxes('randomCategorical', [axis], logits.rank)
  // Not 0, of which the noise would be −∞.
  const share = uniform(logits.shape, key).maximum(2 ** -25)
  return logits.cast('f32').add(share.log().neg().log().neg()).argmax(at)
}

/** 0, 1, … length − 1 in random order, i32 [length]; equally likely but for equal ones among as many 32-bit keys. */
export function randomPermutation(length: number, key: RandomKey): Tensor {
  return bits([length], key).argsort()
}
