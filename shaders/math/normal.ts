// Normal numbers of random bits.

export const normals: Readonly<Record<string, string>> = {
  normal_quantile: `
// The normal number below which a share (word + ½) · 2⁻³² of all lies: from the distance to the middle near it, from
// the square root of the logarithm in the tails; relative error 3e-7.
fn normal_quantile(word: u32) -> f32 {
  let upper = word >= 0x80000000u;
  let below = select(word, ~word, upper);
  let p = (f32(below) + 0.5) * 2.3283064365386963e-10;
  let middle = (f32(0x80000000u - below) - 0.5) * 4.656612873077393e-10;
  let w = -log_f32(min(4.0 * p * (1.0 - p), 1.0));
  let t = w - 2.5;
  let near = middle * (2.1233134 + t * (0.3488024 + t * (-0.005907706 + t * (-0.0017723029 + t * (0.00030873725
    + t * (-0.0000066821017 + t * (-0.000004877672 + t * (5.946499e-7 + t * (3.095093e-8 + t * -8.2403142e-9)))))))));
  let s = sqrt(w) - 3.0;
  let far = 4.006187 + s * (1.4179784 + s * (0.009683914 + s * (-0.00487022 + s * (0.001582719
    + s * (-0.0002925497 + s * (-0.0000053412068 + s * 0.000010139045))))));
  let z = select(far, near, w < 6.0);
  return select(-z, z, upper);
}`,
}
