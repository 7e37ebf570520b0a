// Exponentials, logarithms and powers that WGSL lacks or promises little of, and hyperbolic functions: relative error at
// most 1e-6 for every f32, and 1e-5 where the adapter's own exp is part of it (test/shaders/math.test.ts).

export const exponentials: Readonly<Record<string, string>> = {
  scaled_power: `
// 2^n · 2^f for a whole n from -126 to 128: for |f| ≤ 1/2 a polynomial, relative error 3e-9 before rounding.
fn scaled_power(n: f32, f: f32) -> f32 {
  let power = 1.0 + f * (0.6931472 + f * (0.24022648 + f * (0.0555036 + f * (0.009618506 + f * (0.0013390806
    + f * 0.00015326463)))));
  return bitcast<f32>(min(bitcast<u32>(power) + (bitcast<u32>(i32(n)) << 23u), 0x7f800000u));
}`,
  exp2_f32: `
// 0 below 2^-126.
fn exp2_f32(x: f32) -> f32 {
  let n = round(clamp(x, -126.0, 128.0));
  let power = bitcast<f32>(select(bitcast<u32>(scaled_power(n, x - n)), 0x7f800000u, x >= 128.0));
  return keep_nan(select(power, 0.0, x < -126.0), x);
}`,
  expm1_f32: `
// By a polynomial near 0, relative error 2e-8 before rounding.
fn expm1_f32(x: f32) -> f32 {
  let near = x + x * x * (0.49999997 + x * (0.16666526 + x * (0.041667417 + x * (0.008368952 + x * 0.001387587))));
  return keep_nan(select(exp(x) - 1.0, near, abs(x) < 0.35), x);
}`,
  atanh_series: `
// atanh(s) / s of z = s², for |s| < 0.18: relative error 2e-9 before rounding.
fn atanh_series(z: f32) -> f32 {
  return 1.0 + z * (0.33333333 + z * (0.2 + z * (0.14285714 + z * 0.11111111)));
}`,
  log1p_f32: `
// Near 0 by log(1 + x) = 2·atanh(x / (2 + x)), whose argument might be subnormal where x is not.
fn log1p_f32(x: f32) -> f32 {
  let twice = x / (1.0 + 0.5 * x);
  return select(log_f32(1.0 + x), twice * atanh_series(0.25 * twice * twice), abs(x) < 0.25);
}`,
  binary_parts: `
// A positive number as 2^e · m with m between √½ and √2: e and m. A subnormal one is a whole number of 2^-149.
fn binary_parts(x: f32) -> vec2<f32> {
  let bits = bitcast<u32>(x);
  let tiny = bits < 0x00800000u;
  let above = select(bits, bitcast<u32>(f32(bits)), tiny) - 0x3f3504f3u;
  let exponent = f32(bitcast<i32>(above) >> 23u) - select(0.0, 149.0, tiny);
  return vec2<f32>(exponent, bitcast<f32>((above & 0x7fffffu) + 0x3f3504f3u));
}`,
  log2_f32: `
// The exponent and the logarithm of the mantissa: whole for powers of two. -∞ for 0, NaN below it.
fn log2_f32(x: f32) -> f32 {
  let parts = binary_parts(x);
  let s = (parts.y - 1.0) / (parts.y + 1.0);
  let positive = bitcast<u32>(parts.x + 2.88539008 * s * atanh_series(s * s));
  let bits = bitcast<u32>(x);
  let other = select(bits | 0x7fc00000u, 0xff800000u, (bits & 0x7fffffffu) == 0u);
  return bitcast<f32>(select(positive, select(other, bits, bits == 0x7f800000u), bits - 1u >= 0x7f7fffffu));
}`,
  leading: `
// The upper twelve bits of a mantissa: products of two such numbers are exact.
fn leading(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}`,
  positive_power: `
// x^y for x > 0 other than 1, as 2^(y·log2(x)). The logarithm has some 32 bits, as a sum of parts whose products with those of
// y are exact, since an error of the exponent is a relative error of the power. 0 below 2^-126.
fn positive_power(x: f32, y: f32) -> f32 {
  let parts = binary_parts(x);
  let e = parts.x;
  let f = parts.y - 1.0;
  let d = parts.y + 1.0;
  // log2(m) = 2/ln 2 · atanh(s) for s = f / d = high + low.
  let s = f / d;
  let high = leading(s);
  let dHigh = leading(d);
  let low = ((f - high * dHigh) - high * (parts.y - (dHigh - 1.0))) / d;
  let z = s * s;
  let series = s * z * (0.33333333 + z * (0.2 + z * (0.14285714 + z * 0.11111111)));
  let product = high * 2.884765625;
  let log = leading(product);
  let rest = (product - log) + (high * 0.0006244568 + (low + series) * 2.88539008);
  let b = clamp(y, -4294967296.0, 4294967296.0); // past that all powers are 0 or infinite
  let bHigh = leading(b);
  let bLow = b - bHigh;
  let whole = b * (e + (log + rest));
  let n = round(clamp(whole, -126.0, 128.0));
  let fraction = ((bHigh * e - n) + bHigh * log) + (bLow * e + (bLow * log + b * rest));
  let power = bitcast<f32>(select(bitcast<u32>(scaled_power(n, fraction)), 0x7f800000u, whole >= 128.0));
  return select(power, 0.0, whole < -126.0);
}`,
  half_exp: `
// √(e^x / 2), which does not overflow where e^x / 2 is finite.
fn half_exp(x: f32) -> f32 {
  return exp(0.5 * x) * 0.70710678;
}`,
  sinh_f32: `
// By a polynomial near 0, relative error 3e-8 before rounding.
fn sinh_f32(x: f32) -> f32 {
  let a = abs(x);
  let z = x * x;
  let near = x + x * z * (0.16666716 + z * (0.0083302725 + z * 0.00020373036));
  let root = half_exp(min(a, 200.0));
  return keep_nan(select(sign(x) * (root * root - 0.25 / (root * root)), near, a < 1.0), x);
}`,
  cosh_f32: `
fn cosh_f32(x: f32) -> f32 {
  let root = half_exp(min(abs(x), 200.0));
  return keep_nan(root * root + 0.25 / (root * root), x);
}`,
  asinh_f32: `
// log(a + √(a² + 1)), as log1p for small numbers and as log(2a) for those whose square might overflow.
fn asinh_f32(x: f32) -> f32 {
  let a = abs(x);
  let b = min(a, 4096.0);
  let near = log1p_f32(b + b * b / (1.0 + sqrt(b * b + 1.0)));
  return keep_nan(sign(x) * select(near, log_f32(a) + 0.69314718, a > 4096.0), x);
}`,
  acosh_f32: `
// log(x + √(x² - 1)), as log1p near 1. NaN below 1.
fn acosh_f32(x: f32) -> f32 {
  let b = clamp(x, 1.0, 4096.0) - 1.0;
  let near = log1p_f32(b + sqrt(b * (b + 2.0)));
  let value = bitcast<u32>(select(near, log_f32(x) + 0.69314718, x > 4096.0));
  let bits = bitcast<u32>(x);
  return bitcast<f32>(select(bits | 0x7fc00000u, value, bits >= 0x3f800000u && bits <= 0x7f800000u));
}`,
  atanh_f32: `
// log((1 + x) / (1 - x)) / 2, and the series near 0. ±∞ for ±1, NaN beyond.
fn atanh_f32(x: f32) -> f32 {
  let a = min(abs(x), 1.0);
  let far = bitcast<u32>(0.5 * log_f32((1.0 + a) / (1.0 - a)));
  let outer = select(far, 0x7f800000u, a == 1.0) | (bitcast<u32>(x) & 0x80000000u);
  let value = select(bitcast<f32>(outer), x * atanh_series(x * x), abs(x) < 0.125);
  return outside_unit(value, x);
}`,
}
