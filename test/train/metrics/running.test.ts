// Running figures: weighted means and speed.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Mean, Throughput } from '../../../train/metrics/running.ts'

describe('a running mean', () => {
  test('of batch means, weighted by rows, is the mean of all rows', () => {
    const batches = fc.array(fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { maxLength: 9 }), {
      minLength: 1,
    })
    fc.assert(
      fc.property(batches, batches => {
        const rows = batches.flat()
        fc.pre(rows.length > 0)
        const mean = new Mean()
        for (const batch of batches) mean.add(batch.reduce((sum, row) => sum + row, 0) / batch.length, batch.length)
        expect(mean.value).toBeCloseTo(rows.reduce((sum, row) => sum + row, 0) / rows.length, 9)
        expect(mean.weight).toBe(rows.length)
      }),
    )
  })

  test('of nothing is not a number', () => expect(new Mean().value).toBeNaN())
})

describe('the throughput meter', () => {
  test('tells the speed of the last seconds and of the whole run', () => {
    let time = 1000
    const meter = new Throughput(10, () => time)
    expect(meter.recent).toEqual({ examplesPerSecond: 0, tokensPerSecond: 0 })
    for (let second = 0; second < 100; second++) {
      time += 1000
      meter.add(second < 80 ? 4 : 16, second < 80 ? 400 : 800)
    }
    expect(meter.recent).toEqual({ examplesPerSecond: 16, tokensPerSecond: 800 })
    expect(meter.overall).toEqual({ examplesPerSecond: 6.4, tokensPerSecond: 480 })
    expect([meter.examples, meter.tokens, meter.seconds]).toEqual([640, 48_000, 100])
  })

  test('measures steps longer than its window too', () => {
    let time = 0
    const meter = new Throughput(1, () => time)
    for (let step = 0; step < 3; step++) {
      time += 5000
      meter.add(10, 100)
    }
    expect(meter.recent.examplesPerSecond).toBe(2)
  })
})
