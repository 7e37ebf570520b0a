// Attention against PyTorch's: outputs and gradients in float64; the kernels are compared with the same float64
// in test/gradcheck and test/shaders.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { attention, grad, tensor } from '../../engine/index.ts'
import { reference } from '../../engine/reference.ts'
import { sizeOf } from '../../engine/shape.ts'
import type { Tensor } from '../../engine/tensor.ts'
import { largestDifference } from '../support/differences.ts'
import { patternUnits } from '../support/pattern.ts'

interface Case {
  readonly name: string
  readonly batch: number
  readonly heads: number
  readonly queries: number
  readonly keys: number
  readonly headSize: number
  readonly causal?: boolean
}

interface Expected {
  readonly output: readonly number[]
  readonly gradients: Readonly<Record<string, readonly number[]>>
}

const read = (name: string): unknown => JSON.parse(readFileSync(new URL(`attention/${name}`, import.meta.url), 'utf8'))
const cases = read('cases.json') as readonly Case[]
const expected = (read('expected.json') as { readonly cases: Readonly<Record<string, Expected>> }).cases

/** The files have eight digits. */
const BAR = 1e-6

for (const { name, batch, heads, queries, keys, headSize, causal } of cases) {
  test(name, () => {
    const values = (part: string, shape: readonly number[], factor = 1): Tensor =>
      tensor(
        Float32Array.from(patternUnits(`${name}.${part}`, sizeOf(shape)), x => factor * x),
        shape,
      )
    const shapes: Record<string, readonly number[]> = {
      q: [batch, queries, heads, headSize],
      k: [batch, keys, heads, headSize],
      v: [batch, keys, heads, headSize],
    }
    const names = Object.keys(shapes)
    const given = names.map(key => values(key, shapes[key], 2))
    const [q, k, v] = given
    const upstream = values('upstream', q.shape)
    const output = attention(q, k, v, { causal })
    const first = grad(output, given, upstream)
    const [o, ...gradients] = reference([output, ...first])
    const wanted = expected[name]
    expect(largestDifference(o, wanted.output), 'output').toBeLessThan(BAR)
    for (const [i, key] of names.entries())
      expect(largestDifference(gradients[i], wanted.gradients[key]), `gradient of ${key}`).toBeLessThan(BAR)
  })
}
