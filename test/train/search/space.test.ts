// Spaces: how many points, which, and draws from them.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { stream } from '../../../train/random.ts'
import { contains, drawPoint, intervalOf, keyOf, pointsIn, pointsOf, valueAt } from '../../../train/search/space.ts'
import type { Range, Space, Values } from '../../../train/search/types.ts'

const DROPOUT: Range = { min: 0, max: 0.3, step: 0.1 }

test('steps are counted from the lower end, without the noise of binary fractions', () => {
  expect(pointsOf({ dropout: DROPOUT })).toEqual([0, 0.1, 0.2, 0.3].map(dropout => ({ dropout })))
  expect(pointsOf({ layers: { min: 2, max: 7, step: 2, integer: true } }).map(({ layers }) => layers)).toEqual([
    2, 4, 6,
  ])
})

test('all points of a space, the last parameter fastest', () => {
  const space: Space = { tune: { values: ['lora', 'full'] }, rank: { min: 1, max: 3, integer: true } }
  expect(pointsOf(space).map(({ tune, rank }) => `${tune} ${rank}`)).toEqual([
    'lora 1',
    'lora 2',
    'lora 3',
    'full 1',
    'full 2',
    'full 3',
  ])
  expect(pointsIn(space)).toBe(6)
  expect(pointsIn({ ...space, lr: { min: 1e-5, max: 1e-3, scale: 'log' } })).toBe(Infinity)
  expect(() => pointsOf({ lr: { min: 0, max: 1 } })).toThrow(RangeError)
})

test('equal settings have equal keys, in whatever order; different ones do not', () => {
  expect(keyOf({ a: 1, b: 'x' })).toBe(keyOf({ b: 'x', a: 1 }))
  expect(keyOf({ a: 1 })).not.toBe(keyOf({ a: '1' }))
})

describe('a draw', () => {
  const draws = (space: Space, count = 4000) => {
    const random = stream(7, 'draws')
    return Array.from({ length: count }, () => drawPoint(space, random))
  }

  test('is a point of its space, whatever the range', () => {
    const range = fc
      .record({
        min: fc.double({ min: 1e-6, max: 1e3, noNaN: true }),
        factor: fc.double({ min: 1, max: 1e5, noNaN: true }),
        scale: fc.constantFrom('log' as const, 'linear' as const),
        integer: fc.boolean(),
      })
      .map(({ min, factor, scale, integer }) => ({
        min,
        max: Math.max(min * factor, integer ? min + 1 : 0),
        scale,
        integer,
      }))
    fc.assert(
      fc.property(range, fc.integer({ min: 0, max: 1e6 }), (x, seed) => {
        const point = drawPoint({ x }, stream(seed, 'point'))
        expect(contains({ x }, point)).toBe(true)
        if (x.integer) expect(Number.isInteger(point.x)).toBe(true)
      }),
    )
  })

  test('on a log scale falls as often into one decade as into another', () => {
    const rates = draws({ lr: { min: 1e-5, max: 1e-2, scale: 'log' } }).map(({ lr }) => Math.log10(Number(lr)))
    const decades = [-5, -4, -3].map(low => rates.filter(rate => rate >= low && rate < low + 1).length)
    for (const count of decades) expect(Math.abs(count - 4000 / 3)).toBeLessThan(120)
  })

  test('hits the steps at the ends as often as the others', () => {
    const counts = Map.groupBy(draws({ dropout: DROPOUT }), ({ dropout }) => dropout)
    expect([...counts.keys()].toSorted()).toEqual([0, 0.1, 0.2, 0.3])
    for (const found of counts.values()) expect(Math.abs(found.length - 1000)).toBeLessThan(110)
  })
})

test('a number without steps keeps five digits, and more where the range is narrow', () => {
  const rate = intervalOf({ min: 1e-5, max: 1e-1, scale: 'log' })
  expect(valueAt(rate, Math.log(Math.PI / 1e4))).toBe(0.00031416)
  expect(valueAt(intervalOf({ min: 0, max: 1 }), Math.PI / 10)).toBe(0.3142)
  expect(valueAt(intervalOf({ min: 1000, max: 1000.01 }), 1000.001234567)).toBe(1000.0012346)
})

test('a point of another space is not contained', () => {
  const space: Space = { tune: { values: ['lora'] }, rank: { min: 1, max: 8, integer: true } }
  expect(contains(space, { tune: 'lora', rank: 8 })).toBe(true)
  const others: readonly Values[] = [
    { tune: 'lora' },
    { tune: 'full', rank: 8 },
    { tune: 'lora', rank: 9 },
    { tune: 'lora', lr: 1 },
  ]
  for (const values of others) expect(contains(space, values)).toBe(false)
})
