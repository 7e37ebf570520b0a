// Functions of one and of two numbers, and their gradients, against PyTorch's: the conventions at kinks, and the methods
// of Tensor that are formulas of others. In float64, as golden/functions; kernels have tests of their own.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { type Tensor, grad, tensor } from '../../engine/index.ts'
import { reference } from '../../engine/reference.ts'

type Numbers = readonly (number | string)[]
interface Slopes {
  readonly y: Numbers
  readonly gradients: readonly Numbers[]
}
interface Expected {
  readonly points: readonly number[]
  readonly others: readonly number[]
  readonly words: readonly number[]
  readonly shifts: readonly number[]
  readonly unary: Readonly<Record<string, Slopes>>
  readonly binary: Readonly<Record<string, Slopes>>
  readonly logic: Readonly<Record<string, readonly number[]>>
  readonly bits: Readonly<Record<string, readonly number[]>>
}
const expected = JSON.parse(readFileSync(new URL('functions/expected.json', import.meta.url), 'utf8')) as Expected

/** `leakyRelu 0.2` and the like: a method's name and its arguments. */
function method(name: string): (x: Tensor, y?: Tensor) => Tensor {
  const special: Record<string, (x: Tensor, y?: Tensor) => Tensor> = {
    'clamp -2 0.7': x => x.clamp(-2, 0.7),
    'clamp from -2': x => x.clamp(-2),
    'clamp to 0.7': x => x.clamp(undefined, 0.7),
    'clamp from other': (x, y) => x.clamp(y),
    'clamp to other': (x, y) => x.clamp(undefined, y),
    prelu: (x, y) => x.leakyRelu(y),
  }
  if (name in special) return special[name]
  const [own, word] = name.split(' ')
  const argument = word === undefined || word === 'tanh' ? word : Number(word)
  return (x, y) => {
    const call = x[own as keyof Tensor] as (argument?: unknown) => Tensor
    return argument === undefined && y === undefined ? call.call(x) : call.call(x, argument ?? y)
  }
}

/** PyTorch gives a clamp by numbers no gradient at a bound itself; here it is half, as with tensors. */
const isBound = (name: string, x: number): boolean => name.startsWith('clamp') && x === -2

function expectSlopes(name: string, { y, gradients }: Slopes, inputs: readonly (readonly number[])[]): void {
  const given = inputs.map(numbers => tensor(Float32Array.from(numbers)))
  const out = method(name)(given[0], given[1])
  const found = reference([out, ...grad(out.sum(), given)])
  ;[y, ...gradients].forEach((numbers, k) =>
    numbers.forEach((text, i) => {
      const [number, own] = [Number(text), found[k][i]]
      // Outside of its domain a function has no slope.
      if (k > 0 && y[i] === 'NaN') return
      const what = `${k === 0 ? name : `gradient ${k} of ${name}`} at ${inputs.map(list => list[i]).join(', ')}`
      if (Number.isFinite(number) && !isBound(name, inputs[0][i]))
        expect(Math.abs(own - number), `${what}: ${own}, ${number} by PyTorch`).toBeLessThan(
          1e-6 * (1e-3 + Math.abs(number)),
        )
      else if (!Number.isFinite(number)) expect(own, what).toBe(number)
    }),
  )
}

describe('values and slopes are those of PyTorch', () => {
  for (const [name, slopes] of Object.entries(expected.unary))
    test(name, () => expectSlopes(name, slopes, [expected.points]))
  for (const [name, slopes] of Object.entries(expected.binary))
    test(`${name} of two`, () => expectSlopes(name, slopes, [expected.points, expected.others]))
})

test('a clamp without bounds is refused', () => {
  expect(() => tensor([1, 2]).clamp()).toThrow('clamp: neither min nor max is given')
})

const whole = (numbers: readonly number[]): Tensor => tensor(Int32Array.from(numbers))

test.each(Object.entries(expected.logic))('%s of what is 0 and what is not is that of PyTorch', (name, numbers) => {
  const [a, b] = [whole([0, 0, 2, -3]), whole([0, 5, 0, 7])]
  for (const dtype of ['i32', 'f32'] as const) {
    const y = method(name)(a.cast(dtype), name === 'logicalNot' ? undefined : b.cast(dtype))
    expect(y.dtype).toBe('u32')
    expect(Array.from(reference([y])[0])).toEqual(numbers)
  }
})

test.each(Object.entries(expected.bits))('%s of integers is that of PyTorch', (name, numbers) => {
  const b = name === 'mod' ? [3, -3, 7, -7, 4, 100, 100, -9, 10] : expected.shifts
  const y = method(name)(whole(expected.words), name === 'bitwiseNot' ? undefined : whole(b))
  expect(Array.from(reference([y])[0])).toEqual(numbers)
})

test('operations on bits refuse floats, functions refuse integers', () => {
  expect(() => tensor([1, 2]).bitwiseAnd(1)).toThrow('bitwiseAnd takes integers, not f32')
  expect(() => whole([1, 2]).sin()).toThrow('sin takes floats, not i32[2]')
})
