// Probabilities of the normal distribution, also where float64 has no number for them.
import { expect, test } from 'vitest'
import { logCumulative, logMass } from '../../../train/search/normal.ts'

/** By SciPy 1.17.1: scipy.special.log_ndtr. */
const CUMULATIVES = [
  [-300, -45006.62273211866],
  [-30, -454.32124395634327],
  [-3, -6.60772622151035],
  [-1, -1.8410216450092634],
  [0, -0.6931471805599453],
  [1.5, -0.06914345561223399],
  [5, -2.8665161296376294e-7],
] as const

test.each(CUMULATIVES)('log Φ(%d)', (x, expected) => {
  expect(Math.abs(logCumulative(x) / expected - 1)).toBeLessThan(1e-13)
})

test('the mass of a large interval is the sum of its parts', () => {
  for (const [a, b] of [
    [-9, -7],
    [-3, 1],
    [-0.5, 0.5],
    [1, 4],
    [20, 21],
  ] as const) {
    const parts = Array.from({ length: 8 }, (_, i) => logMass(a + ((b - a) * i) / 8, a + ((b - a) * (i + 1)) / 8))
    const largest = Math.max(...parts)
    const sum = largest + Math.log(parts.reduce((total, part) => total + Math.exp(part - largest), 0))
    expect(Math.abs(sum - logMass(a, b))).toBeLessThan(1e-12)
  }
})
