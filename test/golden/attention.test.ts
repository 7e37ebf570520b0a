// Attention against PyTorch's: outputs, gradients and second derivatives in float64; the kernels are compared with the
// same float64 in test/gradcheck and test/shaders.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { attention, grad, tensor } from '../../engine/index.ts'
import { reference } from '../../engine/reference.ts'
import { sizeOf } from '../../engine/shape.ts'
import type { Tensor } from '../../engine/tensor.ts'
import { largestDifference } from '../support/differences.ts'
import { patternUnits, patternWords } from '../support/pattern.ts'

interface Case {
  readonly name: string
  readonly batch: number
  readonly heads: number
  readonly keyHeads: number
  readonly queries: number
  readonly keys: number
  readonly headSize: number
  readonly causal?: boolean
  readonly mask?: readonly number[]
  readonly bias?: readonly number[]
  readonly scale?: number
}

interface Expected {
  readonly output: readonly number[]
  readonly gradients: Readonly<Record<string, readonly number[]>>
  readonly second: Readonly<Record<string, readonly number[]>>
}

const read = (name: string): unknown => JSON.parse(readFileSync(new URL(`attention/${name}`, import.meta.url), 'utf8'))
const cases = read('cases.json') as readonly Case[]
const expected = (read('expected.json') as { readonly cases: Readonly<Record<string, Expected>> }).cases

/** The files have eight digits. */
const BAR = 1e-6

for (const { name, batch, heads, keyHeads, queries, keys, headSize, causal, mask, bias, scale } of cases) {
  test(name, () => {
    const values = (part: string, shape: readonly number[], factor = 1): Tensor =>
      tensor(
        Float32Array.from(patternUnits(`${name}.${part}`, sizeOf(shape)), x => factor * x),
        shape,
      )
    const bits = (shape: readonly number[]): Tensor =>
      tensor(
        Int32Array.from(patternWords(`${name}.mask`, sizeOf(shape)), (word, at) =>
          word % 3 > 0 || at % shape[shape.length - 1] === 0 ? 1 : 0,
        ),
        shape,
      )
    const shapes: Record<string, readonly number[]> = {
      q: [batch, queries, heads, headSize],
      k: [batch, keys, keyHeads, headSize],
      v: [batch, keys, keyHeads, headSize],
      ...(bias ? { bias } : {}),
    }
    const names = Object.keys(shapes)
    const given = names.map(key => values(key, shapes[key], 2))
    const [q, k, v, added] = given
    const upstream = values('upstream', q.shape)
    const output = attention(q, k, v, { causal, mask: mask && bits(mask), bias: added, scale })
    const first = grad(output, given, upstream)
    const loss = first
      .map((gradient, i) => gradient.mul(values(`${names[i]}.direction`, shapes[names[i]])).sum())
      .reduce((sum, part) => sum.add(part))
    const second = grad(loss, [...given, upstream])
    const [o, ...gradients] = reference([output, ...first, ...second])
    const wanted = expected[name]
    expect(largestDifference(o, wanted.output), 'output').toBeLessThan(BAR)
    for (const [i, key] of names.entries())
      expect(largestDifference(gradients[i], wanted.gradients[key]), `gradient of ${key}`).toBeLessThan(BAR)
    for (const [i, key] of [...names, 'upstream'].entries())
      expect(largestDifference(gradients[names.length + i], wanted.second[key]), `second, ${key}`).toBeLessThan(BAR)
  })
}
