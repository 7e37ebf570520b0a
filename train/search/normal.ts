// Logarithms of probabilities of the standard normal distribution, exact in the tails too, where the probabilities
// themselves are 0 in float64.

const LOG_SQRT_2PI = Math.log(2 * Math.PI) / 2

/** Φ(x) − 1/2 by its Taylor series about 0, with terms of one sign; for |x| up to 3 or so. */
function centralMass(x: number): number {
  let term = x
  let sum = x
  for (let k = 3; Math.abs(term) > 1e-17 * Math.abs(sum); k += 2) {
    term *= (x * x) / k
    sum += term
  }
  return sum * Math.exp((-x * x) / 2 - LOG_SQRT_2PI)
}

/** Mills' ratio (1 − Φ(x)) / φ(x) by Laplace's continued fraction, from the inside out; for x of at least 2. */
function millsRatio(x: number): number {
  let denominator = x
  for (let k = Math.ceil(10 + 320 / (x * x)); k > 0; k--) denominator = x + k / denominator
  return 1 / denominator
}

/** log Φ(x). */
export function logCumulative(x: number): number {
  if (x < -2) return (-x * x) / 2 - LOG_SQRT_2PI + Math.log(millsRatio(-x))
  if (x > 2) return Math.log1p(-Math.exp(logCumulative(-x)))
  return Math.log(0.5 + centralMass(x))
}

/** log φ(x). */
export const logDensity = (x: number): number => (-x * x) / 2 - LOG_SQRT_2PI

/** log (Φ(b) − Φ(a)), for a below b. */
export function logMass(a: number, b: number): number {
  // The right tail is the left one's mirror image, and only the left one is precise.
  if (a > 0) return logMass(-b, -a)
  if (b > 0) return Math.log(cumulativeFromZero(b) + cumulativeFromZero(-a))
  const upper = logCumulative(b)
  return upper + Math.log1p(-Math.exp(logCumulative(a) - upper))
}

/** Φ(x) − 1/2, for x of at least 0. */
const cumulativeFromZero = (x: number): number => (x > 2 ? 0.5 - Math.exp(logCumulative(-x)) : centralMass(x))
