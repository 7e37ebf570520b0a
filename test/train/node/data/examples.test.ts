// Labels as people spell them; balanced samples and stratified splits.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../../../engine/errors.ts'
import { balancedSample, parseLabel, splitValidation } from '../../../../train/node/data/examples.ts'
import type { Example } from '../../../../train/node/data/examples.ts'
import { stream } from '../../../../train/random.ts'

const labels = fc.array(fc.constantFrom<0 | 1>(0, 1), { minLength: 2, maxLength: 60 })
const asExamples = (classes: readonly (0 | 1)[]): Example[] =>
  classes.map((label, i) => ({ text: `review ${i}`, label }))
const positives = (examples: readonly Example[]) => examples.filter(({ label }) => label === 1).length

describe('labels', () => {
  test('may be 0 and 1, neg and pos, negative and positive, or booleans', () => {
    for (const cell of [0, 0n, '0', 'neg', 'Negative', ' NEG ', false]) expect(parseLabel(cell)).toBe(0)
    for (const cell of [1, 1n, '1', 'pos', 'Positive', 'POS', true]) expect(parseLabel(cell)).toBe(1)
    for (const cell of [-1, -1n, '-1']) expect(parseLabel(cell)).toBe(-1)
  })

  test('may be nothing else', () => {
    for (const cell of [2, 0.5, NaN, '', '2', 'good', '0.0', null, undefined, {}])
      expect(parseLabel(cell)).toBeUndefined()
  })
})

describe('a balanced sample', () => {
  test('has n different examples, half of each class, or says what is missing', () => {
    fc.assert(
      fc.property(labels, fc.integer({ min: 1, max: 60 }), fc.nat(), (classes, n, seed) => {
        const examples = asExamples(classes)
        const available = [classes.length - positives(examples), positives(examples)]
        const draw = () => balancedSample(examples, n, stream(seed, 'sample'))
        if (Math.floor(n / 2) > available[0] || Math.ceil(n / 2) > available[1]) {
          expect(draw).toThrow(UserError)
          return
        }
        const sample = draw()
        expect(sample).toHaveLength(n)
        expect(new Set(sample).size).toBe(n)
        expect(positives(sample)).toBe(Math.ceil(n / 2))
        expect(draw()).toEqual(sample)
      }),
    )
  })

  test('comes in shuffled order and differs from seed to seed', () => {
    const examples = asExamples(Array.from({ length: 200 }, (_, i) => (i < 100 ? 0 : 1)))
    const sample = balancedSample(examples, 60, stream(1, 'sample'))
    const changes = sample.filter((example, i) => i > 0 && example.label !== sample[i - 1].label).length
    expect(changes).toBeGreaterThan(15)
    expect(balancedSample(examples, 60, stream(2, 'sample'))).not.toEqual(sample)
  })

  test('cannot be larger than the set, nor empty', () => {
    const examples = asExamples([0, 1, 1])
    expect(() => balancedSample(examples, 4, stream(1, ''))).toThrow('Cannot draw 4 examples from a set of 3')
    expect(() => balancedSample(asExamples([1, 1, 1, 0]), 4, stream(1, ''))).toThrow(
      'need 2 negative ones, the set has 1',
    )
    expect(() => balancedSample(examples, 0, stream(1, ''))).toThrow('at least 1 example')
  })
})

describe('a validation split', () => {
  test('parts the set without loss, keeps its order, and gives each class its share', () => {
    const part = fc.oneof(fc.double({ min: 0.01, max: 0.9, noNaN: true }), fc.integer({ min: 1, max: 59 }))
    fc.assert(
      fc.property(labels, part, fc.nat(), (classes, part, seed) => {
        const examples = asExamples(classes)
        const count = part < 1 ? Math.max(1, Math.round(part * classes.length)) : part
        const split = () => splitValidation(examples, part, stream(seed, 'split'))
        if (count >= classes.length) {
          expect(split).toThrow(UserError)
          return
        }
        const { train, validation } = split()
        expect(validation).toHaveLength(count)
        const order = (part: Example[]) => part.map((example) => examples.indexOf(example))
        expect([...order(train), ...order(validation)].toSorted((a, b) => a - b)).toEqual(examples.map((_, i) => i))
        for (const half of [train, validation]) expect(order(half)).toEqual(order(half).toSorted((a, b) => a - b))
        expect(Math.abs(positives(validation) - (count * positives(examples)) / classes.length)).toBeLessThanOrEqual(
          1,
        )
        expect(split().validation).toEqual(validation)
      }),
    )
  })

  test('of 0 takes nothing aside, and one that leaves nothing to train on is refused', () => {
    const examples = asExamples([0, 1, 0, 1])
    expect(splitValidation(examples, 0, stream(1, ''))).toEqual({ train: examples, validation: [] })
    expect(() => splitValidation(examples, 4, stream(1, ''))).toThrow('Cannot set 4 of 4 examples aside')
    for (const part of [-1, 1.5, NaN]) expect(() => splitValidation(examples, part, stream(1, ''))).toThrow(UserError)
  })
})
