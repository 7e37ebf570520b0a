// Batches: every example once, like with like, padded to few lengths.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UserError } from '../../engine/errors.ts'
import { IGNORED } from '../../models/index.ts'
import { evaluationBatches, makeBatches, padLength, rowsFor } from '../../train/batches.ts'
import { stream } from '../../train/random.ts'
import { collate } from '../support/training.ts'

const lengthLists = fc.array(fc.integer({ min: 1, max: 512 }), { maxLength: 300 })
const batchSizes = fc.integer({ min: 1, max: 33 })

/** Rows that padding every batch to its longest text would compute. */
const padded = (batches: readonly number[][], lengths: readonly number[]) =>
  batches.reduce((sum, batch) => sum + batch.length * Math.max(...batch.map(i => lengths[i])), 0)

describe('batches of an epoch', () => {
  test('hold every example once, all full but the last', () => {
    fc.assert(
      fc.property(lengthLists, batchSizes, fc.nat(), (lengths, batchSize, seed) => {
        const batches = makeBatches(lengths, batchSize, stream(seed, 'epoch'))
        expect(batches.flat().toSorted((a, b) => a - b)).toEqual(lengths.map((_, i) => i))
        for (const batch of batches.slice(0, -1)) expect(batch).toHaveLength(batchSize)
        expect(batches).toHaveLength(Math.ceil(lengths.length / batchSize))
        expect(makeBatches(lengths, batchSize, stream(seed, 'epoch'))).toEqual(batches)
      }),
    )
  })

  test('put texts of like length together, in an order that lengths do not tell', () => {
    const random = stream(7, 'lengths')
    const lengths = Array.from({ length: 3200 }, () => 16 + random.below(240))
    const batches = makeBatches(lengths, 16, stream(7, 'epoch'))
    const tokens = lengths.reduce((sum, length) => sum + length, 0)
    expect(padded(batches, lengths)).toBeLessThan(1.05 * tokens)
    const longest = batches.map(batch => Math.max(...batch.map(i => lengths[i])))
    const climbs = longest.filter((length, i) => i > 0 && length > longest[i - 1]).length
    expect(climbs).toBeGreaterThan(0.35 * batches.length)
    expect(climbs).toBeLessThan(0.65 * batches.length)
  })

  test('differ from epoch to epoch in their company, even in a short set', () => {
    const lengths = Array.from({ length: 64 }, (_, i) => i + 1)
    const company = (epoch: number) =>
      makeBatches(lengths, 8, stream(1, `epoch ${epoch}`)).map(batch => batch.toSorted((a, b) => a - b).join())
    expect(company(0).toSorted()).not.toEqual(company(1).toSorted())
  })

  test('of an evaluation hold every example once, longest first', () => {
    fc.assert(
      fc.property(lengthLists, batchSizes, (lengths, batchSize) => {
        const batches = evaluationBatches(lengths, batchSize)
        const order = batches.flat()
        expect(order.toSorted((a, b) => a - b)).toEqual(lengths.map((_, i) => i))
        order.forEach((index, i) => i > 0 && expect(lengths[index]).toBeLessThanOrEqual(lengths[order[i - 1]]))
        for (const batch of batches.slice(0, -1)) expect(batch).toHaveLength(batchSize)
      }),
    )
  })

  test('a batch size below 1 is refused', () => {
    for (const batchSize of [0, -2, 1.5]) {
      expect(() => makeBatches([1], batchSize, stream(1, ''))).toThrow(UserError)
      expect(() => evaluationBatches([1], batchSize)).toThrow(UserError)
    }
  })
})

describe('padded lengths', () => {
  test('round up in steps of 8, 16, 32 and 64', () => {
    const cases = [
      [1, 8],
      [8, 8],
      [9, 16],
      [63, 64],
      [64, 64],
      [65, 80],
      [128, 128],
      [129, 160],
      [256, 256],
      [257, 320],
      [500, 512],
    ]
    for (const [n, expected] of cases) expect(padLength(n, 512)).toBe(expected)
  })

  test('hold the text, never pass the maximum, grow with it, and are at most 20 for BERT', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 600 }), fc.nat(600), (maxLength, n) => {
        if (n > maxLength) {
          expect(() => padLength(n, maxLength)).toThrow(RangeError)
          return
        }
        const length = padLength(n, maxLength)
        expect(length >= n && length <= maxLength && length >= 1).toBe(true)
        if (n < maxLength) expect(padLength(n + 1, maxLength)).toBeGreaterThanOrEqual(length)
      }),
    )
    expect(new Set(Array.from({ length: 512 }, (_, i) => padLength(i + 1, 512))).size).toBe(20)
  })
})

describe('batches by tokens', () => {
  const budget = { batchSize: 1, batchTokens: 512, maxLength: 256 }

  test('hold every example once, and no more tokens than asked for, padding included', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 256 }), { minLength: 1, maxLength: 200 }),
        fc.nat(),
        (lengths, seed) => {
          for (const batches of [
            makeBatches(lengths, rowsFor(budget), stream(seed, 'epoch')),
            evaluationBatches(lengths, rowsFor(budget)),
          ]) {
            expect(batches.flat().toSorted((a, b) => a - b)).toEqual(lengths.map((_, i) => i))
            for (const batch of batches) {
              const sequence = padLength(Math.max(...batch.map(i => lengths[i])), 256)
              expect(batch.length * sequence).toBeLessThanOrEqual(512)
            }
          }
        },
      ),
    )
  })

  test('hold a text that is longer than the budget alone', () => {
    expect(evaluationBatches([200, 100, 8], rowsFor({ ...budget, batchTokens: 128 }))).toEqual([[0], [1], [2]])
  })

  test('are fewer where texts are short', () => {
    const batches = (length: number): number =>
      evaluationBatches(new Array<number>(64).fill(length), rowsFor(budget)).length
    expect([batches(8), batches(64), batches(256)]).toEqual([1, 8, 32])
  })
})

describe('collating', () => {
  test('keeps each token, its segment and its label in place, and masks all else', () => {
    const text = fc
      .array(fc.tuple(fc.integer({ min: 1, max: 30000 }), fc.constantFrom(0, 1)), { minLength: 1, maxLength: 12 })
      .chain(tokens => fc.record({ tokens: fc.constant(tokens), label: fc.constantFrom(0, 1), typed: fc.boolean() }))
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 6 }), fc.nat(3), fc.nat(5), (texts, extra, slack) => {
        const tokenised = texts.map(({ tokens, label, typed }) => ({
          ids: tokens.map(([id]) => id),
          ...(typed ? { typeIds: tokens.map(([, type]) => type) } : {}),
          target: label,
        }))
        const indices = texts.map((_, i) => texts.length - 1 - i)
        const sequence = Math.max(...tokenised.map(({ ids }) => ids.length)) + slack
        const batch = collate(tokenised, indices, { padId: 77, sequence, batchSize: texts.length + extra })
        expect(batch).toMatchObject({ rows: texts.length, batch: texts.length + extra, sequence })
        expect(batch.tokens).toBe(tokenised.reduce((sum, { ids }) => sum + ids.length, 0))
        for (let row = 0; row < batch.batch; row++) {
          const source = row < indices.length ? tokenised[indices[row]] : undefined
          expect(batch.arrays.labels.data[row]).toBe(source?.target ?? IGNORED)
          for (let i = 0; i < sequence; i++) {
            const inside = source !== undefined && i < source.ids.length
            const at = row * sequence + i
            expect(batch.mask[at]).toBe(inside ? 1 : 0)
            expect(batch.ids[at]).toBe(inside ? source.ids[i] : 77)
            expect(batch.typeIds[at]).toBe((inside && source.typeIds?.[i]) || 0)
          }
        }
      }),
    )
  })

  test('a text or a batch that does not fit is refused', () => {
    const tokenised = [{ ids: [1, 2, 3], target: 0 }]
    expect(() => collate(tokenised, [0], { padId: 0, sequence: 2, batchSize: 1 })).toThrow(
      'Text 0 of the batch has 3 tokens',
    )
    expect(() => collate(tokenised, [0, 0], { padId: 0, sequence: 4, batchSize: 1 })).toThrow('2 rows do not fit')
  })
})
