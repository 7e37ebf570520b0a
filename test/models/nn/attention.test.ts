// Multi-head attention as a layer: a cache gives what the whole sequence gives; torch's layer is in golden/layers.
import { afterAll, describe, expect, test } from 'vitest'
import { type Tensor, compile, currentDevice, range, tensor } from '../../../engine/node/index.ts'
import { type AttendOptions, type KeyValueCache, MultiHeadAttention } from '../../../models/nn.ts'
import { largestDifference } from '../../support/differences.ts'
import { patternUnits } from '../../support/pattern.ts'

afterAll(async () => (await currentDevice()).close())

const [BATCH, LENGTH, WIDTH] = [2, 7, 8]
const units = (name: string, shape: readonly number[]): Tensor =>
  tensor(
    new Float32Array(
      patternUnits(
        name,
        shape.reduce((a, b) => a * b),
      ),
    ),
    shape,
  )
const x = units('x', [BATCH, LENGTH, WIDTH])
const part = (from: number, to: number): Tensor => x.slice([0, from], [BATCH, to])

/** Rows `from` … `to` of every item. */
const rows = (data: ArrayLike<number>, from: number, to: number): number[] =>
  Array.from(data).filter((_, i) => {
    const row = Math.floor(i / WIDTH) % LENGTH
    return row >= from && row < to
  })

describe('a cache', () => {
  const layer = new MultiHeadAttention(WIDTH, 4, { kvHeads: 2, causal: true })
  const cached = (cache: KeyValueCache, options: AttendOptions = {}) =>
    compile((input: Tensor) => layer.attend(input, { ...options, cache }))

  test('gives token by token, after a prompt, what the whole sequence gives', async () => {
    const whole = await layer.forward(x).data()
    const cache = layer.cache(BATCH, 9)
    const step = cached(cache)
    expect(largestDifference(await (await step(part(0, 3))).data(), rows(whole, 0, 3))).toBeLessThan(2e-6)
    for (let at = 3; at < LENGTH; at++) {
      const found = await (await step(part(at, at + 1))).data()
      expect(largestDifference(found, rows(whole, at, at + 1)), `token ${at}`).toBeLessThan(2e-6)
    }
    expect(await cache.length()).toBe(LENGTH)
    // Several at once, which attend to what is there and to one another.
    await cache.clear()
    await step(part(0, 1))
    const found = await (await step(part(1, LENGTH))).data()
    expect(largestDifference(found, rows(whole, 1, LENGTH))).toBeLessThan(2e-6)
    cache.release()
  })

  test('may have masked positions, such as the padding before a short prompt', async () => {
    const mask = range(LENGTH).greater(1).broadcastTo([BATCH, LENGTH])
    const whole = await layer.attend(x, { mask }).data()
    const cache = layer.cache(BATCH, LENGTH)
    const step = cached(cache, { mask })
    await step(part(0, 5))
    for (const at of [5, 6]) {
      const found = await (await step(part(at, at + 1))).data()
      expect(largestDifference(found, rows(whole, at, at + 1)), `token ${at}`).toBeLessThan(2e-6)
    }
  })

  test('that is too small gives NaN until it is cleared', async () => {
    const cache = layer.cache(BATCH, 2)
    const step = cached(cache)
    const first = await (await step(part(0, 1))).data()
    await step(part(1, 2))
    expect(Array.from(await (await step(part(2, 3))).data()).every(Number.isNaN)).toBe(true)
    expect(Array.from(await (await step(part(2, 3))).data()).every(Number.isNaN)).toBe(true)
    await cache.clear()
    expect(await (await step(part(0, 1))).data()).toEqual(first)
    expect(() => layer.attend(part(0, 3), { cache })).toThrow(
      'a cache for [2, 2, 2, 2] does not take keys and values [2, 3, 2, 2]',
    )
  })
})

test('heads that do not divide are refused', () => {
  expect(() => new MultiHeadAttention(8, 3)).toThrow('MultiHeadAttention: 3 heads do not divide a width of 8')
  expect(() => new MultiHeadAttention(8, 4, { kvHeads: 3 })).toThrow('3 heads of keys do not divide 4 of queries')
})
