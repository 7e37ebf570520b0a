// The error function in float64, for the reference: Abramowitz & Stegun 7.1.6 (a series without cancellation) near 0,
// the continued fraction 7.1.14 of erfc further out.

/** erfc(x) for x ≥ 2 by its continued fraction, evaluated from the far end. */
function erfcFar(x: number): number {
  let tail = x
  for (let k = 120; k >= 1; k--) tail = x + k / 2 / tail
  return Math.exp(-x * x) / (tail * Math.sqrt(Math.PI))
}

/** erf(x), relative error about 1e-15. */
export function erf64(x: number): number {
  const a = Math.abs(x)
  if (Number.isNaN(x)) return x
  if (a >= 2.5) return Math.sign(x) * (1 - erfcFar(a))
  let term = a
  let sum = a
  for (let n = 1; term > sum * 1e-18; n++) {
    term *= (2 * a * a) / (2 * n + 1)
    sum += term
  }
  return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-a * a) * sum
}

/** The normal distribution's Φ(x). */
export function normalCdf64(x: number): number {
  const z = x / Math.SQRT2
  return z <= -2.5 ? erfcFar(-z) / 2 : (1 + erf64(z)) / 2
}
