// The mathematics that WGSL lacks: functions that expressions may call, by name. Polynomials are fitted for the least
// relative error in f32.
//
// WGSL lets compilers assume that no float is NaN or infinite, and they do: SwiftShader's exp(NaN) is ∞ and its log(0)
// is −88, Mesa's a − a is 0 for an infinite a, and max drops NaN everywhere. So these functions recognize such numbers
// by their bits and write them into results as bits.
//
// Functions that few programs call are in math/, and are added when they are needed (math/library.ts).

const functions: Record<string, string> = {
  erf_near: `
// erf on [-1, 1]: x · p(x²), relative error 1.2e-9 before rounding.
fn erf_near(x: f32) -> f32 {
  let z = x * x;
  return x * (1.1283791 + z * (-0.37612626 + z * (0.11283585 + z * (-0.02685381 + z * (0.0051883277
    + z * (-0.00080101925 + z * 0.000078538576))))));
}`,
  erfc_far: `
// erfc for x ≥ 1: exp(-x²) · p(1 / (1 + x/2)), relative error 5.6e-9 before rounding.
fn erfc_far(x: f32) -> f32 {
  let t = 1.0 / (1.0 + 0.5 * x);
  return exp(-x * x) * (-0.0000041034255 + t * (0.2821994 + t * (0.28099075 + t * (0.25296742 + t * (0.15804118
    + t * (0.10534301 + t * (0.02505987 + t * (-0.1850404 + t * 0.08089112))))))));
}`,
  erf_f32: `
fn erf_f32(x: f32) -> f32 {
  // By select, which passes NaN on: min and max may lose it.
  let a = select(abs(x), 6.0, abs(x) > 6.0);
  return select(sign(x) * (1.0 - erfc_far(select(a, 1.0, a < 1.0))), erf_near(clamp(x, -1.0, 1.0)), a < 1.0);
}`,
  // Φ(x) = erfc(-x/√2) / 2: from erfc on the negative side, where 1 + erf would cancel.
  normal_cdf: `
fn normal_cdf(x: f32) -> f32 {
  let z = x * 0.70710678;
  let tail = 0.5 * erfc_far(clamp(abs(z), 1.0, 10.0));
  return select(select(tail, 1.0 - tail, z > 0.0), 0.5 + 0.5 * erf_near(clamp(z, -1.0, 1.0)), abs(z) < 1.0);
}`,
  tanh_f32: `
// tanh without the cancellation near 0 and the overflow far out that a built-in one may have.
fn tanh_f32(x: f32) -> f32 {
  let z = x * x;
  let near = x * (1.0 + z * (-0.3333323 + z * (0.13330415 + z * (-0.05366528 + z * (0.020415189 + z * -0.0054682638)))));
  let far = sign(x) * (1.0 - 2.0 / (exp(2.0 * min(abs(x), 15.0)) + 1.0));
  return keep_nan(select(near, far, abs(x) >= 0.65), x);
}`,
  round_f16: `
// The nearest f16, of two the even one, by bits: compilers may take a conversion there and back for nothing at all, and
// quantizeToF16 makes 0 of all that is below the normal range, where halves lie 2^-24 apart.
fn round_f16(x: f32) -> f32 {
  let bits = bitcast<u32>(x) & 0x7fffffffu;
  let rounded = (bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u;
  let magnitude = select(select(rounded, 0x7f800000u, rounded > 0x477fe000u), bits, bits > 0x7f800000u);
  let normal = bitcast<f32>(magnitude | (bitcast<u32>(x) & 0x80000000u));
  return select(normal, round(x * 16777216.0) * 5.9604644775390625e-8, bits < 0x38800000u);
}`,
  is_nan: `
fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}`,
  ordered: `
// Neither is NaN.
fn ordered(a: f32, b: f32) -> bool {
  return max(bitcast<u32>(a) & 0x7fffffffu, bitcast<u32>(b) & 0x7fffffffu) <= 0x7f800000u;
}`,
  keep_nan: `
// NaN where x is NaN, else the value.
fn keep_nan(value: f32, x: f32) -> f32 {
  return bitcast<f32>(select(bitcast<u32>(value), bitcast<u32>(x), is_nan(x)));
}`,
  neg_f32: `
// Flips the sign bit, which comes as a uniform: if Mesa's compiler can see the negation, it turns a + (-a) into 0 and
// (a + b) + (-a) into b, for an infinite a too.
fn neg_f32(x: f32, signBit: u32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) ^ signBit);
}`,
  max_f32: `
// The bits of NaN and of any other number together are NaN.
fn max_f32(a: f32, b: f32) -> f32 {
  return bitcast<f32>(select(bitcast<u32>(a) | bitcast<u32>(b), bitcast<u32>(max(a, b)), ordered(a, b)));
}`,
  min_f32: `
fn min_f32(a: f32, b: f32) -> f32 {
  return bitcast<f32>(select(bitcast<u32>(a) | bitcast<u32>(b), bitcast<u32>(min(a, b)), ordered(a, b)));
}`,
  sign_f32: `
fn sign_f32(x: f32) -> f32 {
  return keep_nan(sign(x), x);
}`,
  relu_f32: `
// 0 for numbers from -∞ up to the one before -0; NaN of either sign stays.
fn relu_f32(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  return bitcast<f32>(select(bits, 0u, bits - 0x80000001u < 0x7f800000u));
}`,
  exp_f32: `
fn exp_f32(x: f32) -> f32 {
  return keep_nan(exp(x), x);
}`,
  sqrt_f32: `
fn sqrt_f32(x: f32) -> f32 {
  return outside_roots(sqrt(x), x);
}`,
  rsqrt_f32: `
fn rsqrt_f32(x: f32) -> f32 {
  return outside_roots(inverseSqrt(x), x);
}`,
  outside_roots: `
// NaN where x is NaN or below 0, else the value.
fn outside_roots(value: f32, x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  return bitcast<f32>(select(bitcast<u32>(value), bits | 0x7fc00000u, bits > 0x7f800000u && bits != 0x80000000u));
}`,
  log_f32: `
// log with full relative precision near 1, where the built-in promises only an absolute error. Subnormal numbers are
// taken as their bits, a whole number of 2^-149. -∞ for 0, NaN below it.
fn log_f32(x: f32) -> f32 {
  let d = x - 1.0;
  let s = d / (2.0 + d);
  let z = s * s;
  let near = 2.0 * s * (1.0 + z * (0.33333333 + z * (0.2 + z * (0.14285714 + z * 0.11111111))));
  let bits = bitcast<u32>(x);
  let tiny = bits < 0x00800000u;
  let far = log(select(x, f32(bits), tiny)) - select(0.0, 103.27893, tiny);
  let positive = bitcast<u32>(select(far, near, abs(d) < 0.25));
  let other = select(bits | 0x7fc00000u, 0xff800000u, (bits & 0x7fffffffu) == 0u);
  return bitcast<f32>(select(positive, select(other, bits, bits == 0x7f800000u), bits - 1u >= 0x7f7fffffu));
}`,
  pow_f32: `
// As in C: 1 to any power and anything to the power 0 are 1, NaN too; negative numbers have whole powers only,
// but -∞ has all.
fn pow_f32(x: f32, y: f32) -> f32 {
  let base = bitcast<u32>(x) & 0x7fffffffu;
  let exponent = bitcast<u32>(y) & 0x7fffffffu;
  let negative = bitcast<u32>(x) >= 0x80000000u;
  let grows = (base > 0x3f800000u) == (bitcast<u32>(y) < 0x80000000u);
  let extreme = base == 0u || base == 0x7f800000u || base == 0x3f800000u || exponent == 0x7f800000u;
  let limit = select(select(0u, 0x7f800000u, grows), 0x3f800000u, base == 0x3f800000u);
  let magnitude = select(bitcast<u32>(positive_power(abs(x), y)), limit, extreme);
  let odd = exponent < 0x4b800000u && abs(y) % 2.0 == 1.0; // from 2^24 on all are even
  let real = !negative || base == 0u || base >= 0x7f800000u || exponent >= 0x4b800000u || y == floor(y);
  let power = select(magnitude | 0x7fc00000u, select(magnitude, magnitude | 0x80000000u, negative && odd), real);
  let defined = select(bitcast<u32>(x) | bitcast<u32>(y), power, ordered(x, y));
  return bitcast<f32>(select(defined, 0x3f800000u, exponent == 0u || bitcast<u32>(x) == 0x3f800000u));
}`,
  order_key: `
// Unsigned numbers in the order of the floats; NaN is above all, and zeros of both signs are one.
fn order_key(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let key = select(bits | 0x80000000u, ~bits, bits > 0x80000000u);
  return select(key, 0xffffffffu, (bits & 0x7fffffffu) > 0x7f800000u);
}`,
  to_i32: `
// Truncated, clamped to what i32 holds; NaN becomes 0.
fn to_i32(x: f32) -> i32 {
  let kept = select(select(i32(x), 2147483647, x >= 2147483648.0), -2147483647 - 1, x <= -2147483648.0);
  return select(kept, 0, is_nan(x));
}`,
  to_u32: `
// Truncated, clamped to what u32 holds; NaN becomes 0.
fn to_u32(x: f32) -> u32 {
  return select(select(u32(x), 4294967295u, x >= 4294967296.0), 0u, x <= 0.0 || is_nan(x));
}`,
}

/** By name: the others that a function calls. */
const calls = new Map<string, readonly string[]>()

/** Adds functions, by their names. */
export function addFunctions(added: Readonly<Record<string, string>>): void {
  Object.assign(functions, added)
  const names = Object.keys(functions)
  for (const [name, text] of Object.entries(functions))
    calls.set(
      name,
      names.filter(other => other !== name && new RegExp(`\\b${other}\\(`).test(text)),
    )
}
addFunctions({})

/** The names of those functions that a WGSL expression calls. */
export const functionsIn = (wgsl: string): string[] =>
  Array.from(wgsl.matchAll(/\w+(?=\()/g), ([name]) => name).filter(name => Object.hasOwn(functions, name))

/** The text of functions, each a name from here or WGSL of its own, and of all that they call. */
export function functionsText(names: readonly string[]): string {
  const all = new Set<string>()
  const visit = (name: string): void => {
    for (const called of calls.get(name) ?? []) visit(called)
    all.add(name)
  }
  names.forEach(visit)
  return [...all].map(name => (functions[name] ?? name).trim()).join('\n\n')
}
