// What a longest text cuts, and the estimate of an epoch's time against batches that are made by hand.
import { describe, expect, test } from 'vitest'
import { batchSizeFor, makeBatches, rowsFor } from '../../../train/batches.ts'
import { type CutOptions, epochCost, lostAt } from '../../../train/overview/cuts.ts'
import { stream } from '../../../train/random.ts'

const options: CutOptions = { batchSize: 4, seed: 3, widths: { hidden: 16, intermediate: 64 } }
const random = stream(1, 'lengths')
const lengths = Array.from({ length: 203 }, () => 3 + random.below(300))

test('texts and tokens that a length cuts off', () => {
  expect(lostAt(10, [3, 10, 11, 30])).toEqual({ texts: 2, tokens: 21, of: 54 })
  expect(lostAt(30, [3, 10, 11, 30])).toEqual({ texts: 0, tokens: 0, of: 54 })
})

describe('the cost of an epoch', () => {
  test('is that of the batches of the first epoch, padded as they are', () => {
    const maxLength = 96
    const cut = lengths.map(length => Math.min(length, maxLength))
    const batching = { ...options, maxLength }
    const batches = makeBatches(cut, rowsFor(batching), stream(3, 'epoch 0'))
    const sizes = batches.map(batch =>
      batchSizeFor(
        batch.map(i => cut[i]),
        batching,
      ),
    )
    const cost = epochCost(maxLength, lengths, options)
    expect(cost).toMatchObject({ batches: 51, tokens: cut.reduce((a, b) => a + b, 0) })
    expect(cost.padded).toBe(sizes.reduce((sum, { batch, sequence }) => sum + batch * sequence, 0))
    // Of one layer: four products of hidden², two of hidden × intermediate, two of attention, each of 2 operations.
    const operations = sizes.map(
      ({ batch, sequence }) => 2 * batch * sequence * (4 * 16 * 16 + 2 * 16 * 64 + 2 * 16 * sequence),
    )
    expect(cost.work).toBe(operations.reduce((a, b) => a + b, 0))
  })

  test('grows with the length until nothing is cut', () => {
    const works = [64, 128, 256, 303, 512].map(length => epochCost(length, lengths, options).work)
    expect(works.slice(0, 3)).toEqual(works.slice(0, 3).toSorted((a, b) => a - b))
    expect(new Set(works.slice(0, 4)).size).toBe(4)
    const whole = [320, 512].map(length => epochCost(length, lengths, options))
    expect(whole[0].work).toBe(whole[1].work)
  })

  test('doubles with the length, and a little more, where all texts are cut: attention is quadratic', () => {
    const long = new Array<number>(64).fill(1000)
    const ratio = epochCost(512, long, options).work / epochCost(256, long, options).work
    const perToken = (sequence: number): number => 8 * 16 * 16 + 4 * 16 * 64 + 4 * 16 * sequence
    expect(ratio).toBeCloseTo((2 * perToken(512)) / perToken(256), 12)
    expect(ratio).toBeGreaterThan(2)
  })

  test('follows tokens per batch, where they are asked for', () => {
    const cost = epochCost(64, lengths, { ...options, batchTokens: 1024 })
    expect(cost.batches).toBeLessThan(epochCost(64, lengths, options).batches)
  })
})
