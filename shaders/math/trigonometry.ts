// Sines and their inverses. WGSL promises of its own sin and cos no more than an absolute error of 2⁻¹¹ between −π and π.
// These have a relative error of at most 1e-6 for every f32 (test/shaders/math.test.ts), except that the sine of a
// multiple of π and the like is as small as the distance to that multiple.

export const trigonometry: Readonly<Record<string, string>> = {
  product_high: `
// The upper 32 bits of a product.
fn product_high(a: u32, b: u32) -> u32 {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let first = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let second = (a & 0xffffu) * (b >> 16u) + (first & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (first >> 16u) + (second >> 16u);
}`,
  quarter_turns: `
// |x| in quarter turns (Payne & Hanek 1983): the angle beyond the nearest whole number of them, in [-π/4, π/4], and that
// number modulo 4. For |x| ≥ 2^-12. The mantissa is multiplied by those 96 bits of 2/π that decide for its exponent:
// integers round nothing, and compilers don't reorder them.
fn quarter_turns(x: f32) -> vec2<f32> {
  let bits = bitcast<u32>(x) & 0x7fffffffu;
  let mantissa = (bits & 0x7fffffu) | 0x800000u;
  // Bits that stand for multiples of four quarter turns are left out.
  let first = max(bits >> 23u, 115u) - 88u;
  var words: vec4<u32>;
  switch (first >> 5u) {
    case 0u: { words = vec4<u32>(0u, 0u, 0xa2f9836eu, 0x4e441529u); }
    case 1u: { words = vec4<u32>(0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u); }
    case 2u: { words = vec4<u32>(0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u); }
    case 3u: { words = vec4<u32>(0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u); }
    case 4u: { words = vec4<u32>(0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u); }
    default: { words = vec4<u32>(0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu); }
  }
  let left = first & 31u;
  let window = (words.xyz << vec3<u32>(left)) | ((words.yzw >> vec3<u32>(1u)) >> vec3<u32>(31u - left));
  let low = mantissa * window.y + product_high(mantissa, window.z);
  let carry = select(0u, 1u, low < mantissa * window.y);
  let high = mantissa * window.x + product_high(mantissa, window.y) + carry;
  let turns = (high + 0x20000000u) >> 30u;
  let rest = high - (turns << 30u);
  let negative = rest >= 0x80000000u;
  let upper = f32(select(rest, ~rest, negative)) * 9.3132257461547852e-10;
  let lower = f32(select(low, ~low, negative)) * 2.1684043449710089e-19;
  let angle = (upper + lower) * 1.5707964;
  return vec2<f32>(select(angle, -angle, negative), f32(turns));
}`,
  sin_near: `
// sin on [-π/4, π/4], relative error 4e-9 before rounding.
fn sin_near(x: f32) -> f32 {
  let z = x * x;
  return x + x * z * (-0.16666655 + z * (0.008332189 + z * -0.00019518286));
}`,
  cos_near: `
// cos on [-π/4, π/4], relative error 1.2e-10 before rounding.
fn cos_near(x: f32) -> f32 {
  let z = x * x;
  return 1.0 - 0.5 * z + z * z * (0.041666646 + z * (-0.001388731 + z * 0.000024432327));
}`,
  with_sign: `
// The value, its sign flipped where the highest bit is set; NaN where x is not finite.
fn with_sign(value: f32, bit: u32, x: f32) -> f32 {
  let flipped = bitcast<u32>(value) ^ (bit & 0x80000000u);
  return bitcast<f32>(select(flipped, 0x7fc00000u, (bitcast<u32>(x) & 0x7fffffffu) >= 0x7f800000u));
}`,
  sin_f32: `
fn sin_f32(x: f32) -> f32 {
  let angle = quarter_turns(x);
  let turns = u32(angle.y);
  let value = select(sin_near(angle.x), cos_near(angle.x), (turns & 1u) == 1u);
  return select(with_sign(value, (turns << 30u) ^ bitcast<u32>(x), x), x, abs(x) < 0.000244140625);
}`,
  cos_f32: `
fn cos_f32(x: f32) -> f32 {
  let angle = quarter_turns(x);
  let turns = u32(angle.y);
  let value = select(cos_near(angle.x), sin_near(angle.x), (turns & 1u) == 1u);
  return select(with_sign(value, (turns + 1u) << 30u, x), 1.0, abs(x) < 0.000244140625);
}`,
  tan_f32: `
fn tan_f32(x: f32) -> f32 {
  let angle = quarter_turns(x);
  let odd = (u32(angle.y) & 1u) == 1u;
  let s = sin_near(angle.x);
  let c = cos_near(angle.x);
  let value = select(s, -c, odd) / select(c, s, odd);
  return select(with_sign(value, bitcast<u32>(x), x), x, abs(x) < 0.000244140625);
}`,
  asin_near: `
// asin of r, whose square is z ≤ 1/4, relative error 5e-9 before rounding.
fn asin_near(r: f32, z: f32) -> f32 {
  return r + r * z * (0.16666752 + z * (0.074953064 + z * (0.045469772 + z * (0.024180776 + z * 0.042166404))));
}`,
  outside_unit: `
// NaN where |x| > 1 or x is NaN, else the value.
fn outside_unit(value: f32, x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  return bitcast<f32>(select(bitcast<u32>(value), bits | 0x7fc00000u, (bits & 0x7fffffffu) > 0x3f800000u));
}`,
  asin_f32: `
// From 1/2 on asin(a) = π/2 - 2·asin(√((1 - a)/2)).
fn asin_f32(x: f32) -> f32 {
  let a = abs(x);
  let half = max(0.5 - 0.5 * a, 0.0);
  let far = 1.5707964 - 2.0 * asin_near(sqrt(half), half);
  return outside_unit(sign(x) * select(far, asin_near(a, a * a), a < 0.5), x);
}`,
  acos_f32: `
// Near ±1 from √((1 - |x|)/2), where π/2 - asin(x) would cancel.
fn acos_f32(x: f32) -> f32 {
  let half = max(0.5 - 0.5 * abs(x), 0.0);
  let far = 2.0 * asin_near(sqrt(half), half);
  let value = select(select(far, 3.1415927 - far, x < 0.0), 1.5707964 - asin_near(x, x * x), abs(x) < 0.5);
  return outside_unit(value, x);
}`,
  atan_ratio: `
// atan(a / b) for 0 ≤ a ≤ b: from tan(π/8) on π/4 + atan((a - b)/(a + b)); relative error 2e-8 before rounding.
fn atan_ratio(a: f32, b: f32) -> f32 {
  let far = a > 0.41421356 * b;
  let t = select(a, a - b, far) / select(b, a + b, far);
  let z = t * t;
  return select(0.0, 0.78539816, far) + (t + t * z * (-0.33332947 + z * (0.19977607 + z * (-0.13876419 + z * 0.08049249))));
}`,
  atan_f32: `
fn atan_f32(x: f32) -> f32 {
  let a = abs(x);
  let ratio = atan_ratio(min(a, 1.0), clamp(a, 1.0, 1e30));
  return keep_nan(sign(x) * select(ratio, 1.5707964 - ratio, a > 1.0), x);
}`,
  atan2_f32: `
// The angle of (x, y), as in C for zeros of either sign and infinities, too. Numbers are scaled by 2^±64 where their
// quotient might leave the range of f32 on the way; subnormal ones are taken as their bits.
fn atan2_f32(y: f32, x: f32) -> f32 {
  let ax = bitcast<u32>(x) & 0x7fffffffu;
  let ay = bitcast<u32>(y) & 0x7fffffffu;
  let small = min(ax, ay);
  let large = max(ax, ay);
  let tiny = large < 0x00800000u;
  let infinite = large == 0x7f800000u;
  let scale = select(select(1.0, 5.421010862427522e-20, large >= 0x5f800000u), 18446744073709551616.0, large < 0x20000000u);
  let a = select(select(bitcast<f32>(small) * scale, f32(small), tiny), select(0.0, 1.0, small == large), infinite);
  let b = select(select(bitcast<f32>(large) * scale, max(f32(large), 1.0), tiny), 1.0, infinite);
  let ratio = atan_ratio(a, b);
  let first = select(ratio, 1.5707964 - ratio, ay > ax);
  let upper = select(first, 3.1415927 - first, bitcast<u32>(x) >= 0x80000000u);
  let angle = bitcast<u32>(upper) | (bitcast<u32>(y) & 0x80000000u);
  return bitcast<f32>(select(bitcast<u32>(x) | bitcast<u32>(y), angle, ordered(x, y)));
}`,
}
