// Word embeddings from counts: the counts and the information of a text that can be checked by hand, eigenvectors by
// what defines them, and tokens that are used alike ending up alike.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  countNear,
  countTogether,
  countTokens,
  logShares,
  positiveInformation,
  scaleTo,
} from '../../train/cooccurrence.ts'
import { type SparseRows, eigenOf, factorise } from '../../train/eigenvectors.ts'
import { stream } from '../../train/random.ts'
import { SEED } from '../support/seed.ts'

const special = new Set([0])

test('pairs within the window count by distance, in both directions, and special tokens not at all', () => {
  const counts = new Float32Array(16)
  countNear(counts, [{ ids: [0, 1, 2, 3, 1, 0] }], { window: 2, special })
  // 1–2 next to each other, 2–3 too; 1–3 once at a distance of two and once side by side; 2–1 at a distance of two.
  expect(Array.from(counts)).toEqual([0, 0, 0, 0, 0, 0, 1.5, 1.5, 0, 1.5, 0, 1, 0, 1.5, 1, 0])
})

test('different tokens of a row count once, by how many it has, and special tokens not at all', () => {
  const counts = new Float32Array(16)
  countTogether(counts, [{ ids: [0, 1, 2, 2, 1, 0] }, { ids: [3, 1, 0, 2, 3] }, { ids: [3, 3] }], { special })
  const third = Math.fround(1 / 3)
  const twice = Math.fround(1 / 2 + 1 / 3)
  expect(Array.from(counts)).toEqual([0, 0, 0, 0, 0, 0, twice, third, 0, twice, 0, third, 0, third, third, 0])
})

test('shares are of all tokens that count, and a token that never occurs has half of one', () => {
  const counts = countTokens([{ ids: [0, 1, 2, 2, 0] }, { ids: [2] }], 4, special)
  expect(Array.from(counts)).toEqual([0, 1, 3, 0])
  expect(Array.from(logShares(counts))).toEqual([0.5, 1, 3, 0.5].map(n => Math.fround(Math.log(n / 5))))
})

/** A sparse matrix in full. */
function whole({ starts, columns, values }: SparseRows): number[][] {
  return Array.from({ length: starts.length - 1 }, (_, row) => {
    const out = new Array<number>(starts.length - 1).fill(0)
    for (let at = starts[row]; at < starts[row + 1]; at++) out[columns[at]] = values[at]
    return out
  })
}

test('information is what the definition gives, negative values cut, and symmetric', () => {
  const counts = Float32Array.of(0, 4, 1, 4, 2, 0, 1, 0, 8)
  const sums = [5, 6, 9]
  const total = sums.reduce((a, b) => a + b ** 0.75, 0)
  const information = (i: number, j: number): number =>
    Math.max(0, Math.log(counts[3 * i + j] / (sums[i] * (sums[j] ** 0.75 / total))))
  const found = whole(positiveInformation(counts, 3))
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) expect(found[i][j]).toBeCloseTo((information(i, j) + information(j, i)) / 2, 5)
  }
  expect(found.flat().filter(value => value === 0).length).toBeGreaterThan(2)
})

test('eigenvectors are orthonormal, and are what their matrix stretches by the eigenvalues', () => {
  const entries = fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 36, maxLength: 36 })
  fc.assert(
    fc.property(entries, drawn => {
      const n = 6
      const matrix = Float64Array.from(
        { length: n * n },
        (_, at) => drawn[at] + drawn[(at % n) * n + Math.floor(at / n)],
      )
      const { values, vectors } = eigenOf(matrix, n)
      for (let a = 0; a < n; a++) {
        for (let row = 0; row < n; row++) {
          let image = 0
          for (let k = 0; k < n; k++) image += matrix[row * n + k] * vectors[k * n + a]
          expect(image).toBeCloseTo(values[a] * vectors[row * n + a], 8)
        }
        for (let b = 0; b < n; b++) {
          let product = 0
          for (let k = 0; k < n; k++) product += vectors[k * n + a] * vectors[k * n + b]
          expect(product).toBeCloseTo(a === b ? 1 : 0, 9)
        }
      }
    }),
    { seed: SEED, numRuns: 30 },
  )
})

test('a matrix of low rank is rebuilt from its embeddings', async () => {
  const [rows, rank] = [40, 3]
  const random = stream(3, 'factors')
  const factors = Float64Array.from({ length: rows * rank }, () => random.normal())
  const values = Float32Array.from({ length: rows * rows }, (_, at) => {
    const [i, j] = [Math.floor(at / rows), at % rows]
    return factors.slice(i * rank, (i + 1) * rank).reduce((sum, one, k) => sum + one * factors[j * rank + k], 0)
  })
  const matrix = {
    starts: Int32Array.from({ length: rows + 1 }, (_, i) => i * rows),
    columns: Int32Array.from(values, (_, at) => at % rows),
    values,
  }
  const embeddings = await factorise(matrix, rank, random)
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < rows; j++) {
      let product = 0
      for (let k = 0; k < rank; k++) product += embeddings[i * rank + k] * embeddings[j * rank + k]
      expect(product).toBeCloseTo(values[i * rows + j], 3)
    }
  }
  scaleTo(embeddings, 0.05)
  expect(Math.sqrt(embeddings.reduce((sum, value) => sum + value * value, 0) / embeddings.length)).toBeCloseTo(0.05, 6)
})

test('tokens that are used alike become alike', async () => {
  // Two topics of five tokens; a row is of one of them.
  const random = stream(4, 'topics')
  const rows = Array.from({ length: 400 }, (_, i) => ({
    ids: Array.from({ length: 12 }, () => 1 + 5 * (i % 2) + random.below(5)),
  }))
  const counts = new Float32Array(11 * 11)
  countNear(counts, rows.slice(0, 150), { window: 4, special })
  countNear(counts, rows.slice(150), { window: 4, special })
  const embeddings = await factorise(positiveInformation(counts, 11), 2, random)
  const cosine = (a: number, b: number): number => {
    const [x, y] = [a, b].map(row => embeddings.subarray(2 * row, 2 * row + 2))
    return (x[0] * y[0] + x[1] * y[1]) / Math.hypot(x[0], x[1]) / Math.hypot(y[0], y[1])
  }
  const first = [1, 2, 3, 4, 5]
  for (const a of first) {
    const others = first.map(b => cosine(a, b + 5))
    expect(Math.min(...first.map(b => cosine(a, b)))).toBeGreaterThan(Math.max(...others) + 0.3)
  }
})
