// Functions of one and of two numbers, reductions, scans and losses, and their gradients, against PyTorch's: the conventions
// at kinks, and what is a formula of other ops. In float64, as golden/functions; kernels have tests of their own.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  type LossOptions,
  type Tensor,
  bceWithLogitsLoss,
  crossEntropyLoss,
  grad,
  huberLoss,
  klDivLoss,
  l1Loss,
  mseLoss,
  tensor,
} from '../../engine/index.ts'
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
  readonly rows: readonly (readonly number[])[]
  readonly reductions: Readonly<Record<string, Slopes>>
  readonly targets: readonly (readonly number[])[]
  readonly labels: readonly number[]
  readonly weights: readonly number[]
  readonly losses: Readonly<Record<string, Slopes>>
  readonly batchMean: Slopes
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

/** Fails where numbers are not PyTorch's: a value's, or those of its gradient in `x`. */
function expectSame(what: string, { y, gradients }: Slopes, x: Tensor, value: Tensor): void {
  const found = reference([value, ...grad(value.sum(), [x])])
  ;[y, ...gradients].forEach((numbers, k) => {
    const name = k === 0 ? what : `gradient of ${what}`
    expect(found[k].length, name).toBe(numbers.length)
    numbers.forEach((number, i) => expect(found[k][i], `${name}, element ${i}`).toBeCloseTo(Number(number), 6))
  })
}

const x = tensor(expected.rows)
const reductions: Readonly<Record<string, Tensor>> = {
  prod: x.prod(1),
  logSumExp: x.logSumExp(1),
  variance: x.variance(1),
  'variance 0': x.variance(1, false, 0),
  std: x.std(1),
  norm: x.norm(1),
  'norm 1': x.norm(1, false, 1),
  'norm 3': x.norm(1, false, 3),
  'norm inf': x.norm(1, false, Infinity),
  'norm -inf': x.norm(1, false, -Infinity),
  cumsum: x.cumsum(1),
  cumprod: x.cumprod(1),
  'std of equal numbers': x.mul(0).std(1),
  'norm of zeros': x.mul(0).norm(1),
  'norm 3 of zeros': x.mul(0).norm(1, false, 3),
}
test.each(Object.entries(expected.reductions))('%s of rows is that of PyTorch', (name, slopes) => {
  expectSame(name, slopes, x, reductions[name])
})

test('reductions of all elements, of kept axes, and of what is 0', () => {
  const [all, kept, empty, any, every, zeros] = reference([
    x.logSumExp(),
    x.variance(-1, true),
    tensor([-Infinity, -Infinity]).logSumExp(),
    tensor([
      [0, 0],
      [0, NaN],
    ]).any(1),
    tensor([
      [1, 0],
      [2, 3],
    ]).all(1),
    x.norm(1, false, 0),
  ])
  expect(all[0]).toBeCloseTo(Math.log(expected.rows.flat().reduce((sum, v) => sum + Math.exp(v), 0)), 10)
  expect(x.variance(-1, true).shape).toEqual([3, 1])
  expect(kept).toEqual(reference([reductions.variance])[0])
  expect(Array.from(empty)).toEqual([-Infinity])
  expect([any, every].map(bits => Array.from(bits))).toEqual([
    [0, 1],
    [0, 1],
  ])
  expect(Array.from(zeros)).toEqual([4, 3, 2])
  expect(() => tensor([1, 2], undefined, 'i32').std()).toThrow('std takes floats, not i32')
})

const [targets, labels] = [tensor(expected.targets), tensor([...expected.labels], undefined, 'i32')]
const classWeights = expected.weights
const losses: Readonly<Record<string, (options: LossOptions) => Tensor>> = {
  mse: options => mseLoss(x, targets, options),
  l1: options => l1Loss(x, targets, options),
  huber: options => huberLoss(x, targets, options),
  'huber 0.5': options => huberLoss(x, targets, { delta: 0.5, ...options }),
  bce: options => bceWithLogitsLoss(x, targets, options),
  'bce weighted': options => bceWithLogitsLoss(x, targets, { positiveWeights: expected.weights, ...options }),
  kl: options => klDivLoss(x.logSoftmax(), targets, options),
  'kl logs': options => klDivLoss(x.logSoftmax(), targets, { logTargets: true, ...options }),
  crossEntropy: options => crossEntropyLoss(x, labels, options),
  'crossEntropy weighted': options => crossEntropyLoss(x, labels, { classWeights, ...options }),
  'crossEntropy smoothed': options => crossEntropyLoss(x, labels, { labelSmoothing: 0.2, ...options }),
  'crossEntropy both': options => crossEntropyLoss(x, labels, { classWeights, labelSmoothing: 0.2, ...options }),
}
test.each(Object.entries(expected.losses))('the loss %s is that of PyTorch', (name, slopes) => {
  const [what, reduction] = name.split(', ')
  expectSame(name, slopes, x, losses[what]({ reduction: reduction as 'none' | 'sum' | 'mean' }))
})

test('losses: means of a batch, more axes, no row that counts, and operands that do not fit', () => {
  expectSame('kl', expected.batchMean, x, klDivLoss(x.logSoftmax(), targets, { reduction: 'batchMean' }))
  const deep = crossEntropyLoss(x.reshape([3, 1, 4]), labels.reshape([3, 1]), { reduction: 'none' })
  expect(deep.shape).toEqual([3, 1])
  const ignored = tensor([-100, -100, -100], undefined, 'i32')
  expect(reference([crossEntropyLoss(x, ignored)])[0][0]).toBe(0)
  expect(() => mseLoss(x, targets.reshape([4, 3]))).toThrow('mseLoss: f32[3, 4] and f32[4, 3] differ in shape')
  expect(() => huberLoss(x, targets, { delta: 0 })).toThrow('huberLoss: delta is 0')
  expect(() => crossEntropyLoss(x, labels.reshape([3, 1]))).toThrow(
    'crossEntropyLoss: labels are i32[3, 1], but i32[3] was expected (logits are f32[3, 4])',
  )
  expect(() => crossEntropyLoss(x, labels, { classWeights: [1] })).toThrow('1 class weights for 4 classes')
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
