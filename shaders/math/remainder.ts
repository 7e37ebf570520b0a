// Remainders, by the bits of floats.

export const remainders: Readonly<Record<string, string>> = {
  mod_f32: `
// x - y·⌊x / y⌋, with y's sign as in Python: exact, whatever the quotient (for |x| < |y| of opposite signs x + y, which
// rounds). The mantissa of x, shifted by the difference of the exponents, is reduced eight bits at a time.
fn mod_f32(x: f32, y: f32) -> f32 {
  let a = bitcast<u32>(x) & 0x7fffffffu;
  let b = bitcast<u32>(y) & 0x7fffffffu;
  let infinite = b == 0x7f800000u;
  let opposite = ((bitcast<u32>(x) ^ bitcast<u32>(y)) >> 31u) == 1u;
  let divisor = max((b & 0x7fffffu) | select(0u, 0x800000u, b >= 0x800000u), 1u);
  let place = max(b >> 23u, 1u);
  var rest = (a & 0x7fffffu) | select(0u, 0x800000u, a >= 0x800000u);
  var shift = max(a >> 23u, 1u);
  let within = a < b || infinite;
  if (!within) {
    shift -= place;
    rest = rest % divisor;
    while (shift > 0u) {
      let step = min(shift, 8u);
      rest = (rest << step) % divisor;
      shift -= step;
    }
    shift = place;
    if (opposite && rest != 0u) { rest = divisor - rest; }
  }
  // Back to a float: the highest bit goes to place 23 unless that would pass the smallest exponent.
  let up = min(countLeadingZeros(max(rest, 1u)) - 8u, shift - 1u);
  let raised = rest << up;
  let magnitude = select(raised, (raised & 0x7fffffu) | ((shift - up) << 23u), raised >= 0x800000u);
  let complement = select(bitcast<u32>(bitcast<f32>(b) - bitcast<f32>(a)), b, infinite);
  let signed = select(magnitude, complement, within && opposite && a != 0u) | (bitcast<u32>(y) & 0x80000000u);
  return bitcast<f32>(select(signed, 0x7fc00000u, a >= 0x7f800000u || b == 0u || b > 0x7f800000u));
}`,
}
