// Data loaders: order, batches, and what is prepared ahead.
import { describe, expect, test } from 'vitest'
import { type Tensor, UserError, tensor } from '../../engine/index.ts'
import { payloadOf } from '../../engine/payload.ts'
import { DataLoader, columns, examples } from '../../train/loader.ts'

const numbers = (length: number): number[] => Array.from({ length }, (_, i) => i)
const list = (length: number) => examples(numbers(length), chosen => chosen)
const all = async <T>(batches: AsyncIterable<T>): Promise<T[]> => {
  const found: T[] = []
  for await (const batch of batches) found.push(batch)
  return found
}
const dataOf = (t: Tensor): unknown => {
  const payload = payloadOf(t.value.node)
  return payload.kind === 'constant' && [t.dtype, t.shape, [...payload.data]]
}

describe('an epoch', () => {
  test('has every example once, in order, with a short last batch or without', async () => {
    const loader = new DataLoader(list(7), { batchSize: 3 })
    expect([await all(loader), loader.length]).toEqual([[[0, 1, 2], [3, 4, 5], [6]], 3])
    const whole = new DataLoader(list(7), { batchSize: 3, dropLast: true })
    expect([await all(whole), whole.length]).toEqual([
      [
        [0, 1, 2],
        [3, 4, 5],
      ],
      2,
    ])
    expect(await all(new DataLoader(list(2), { batchSize: 3, dropLast: true }))).toEqual([])
  })

  test('has another order each time where it is shuffled, which seed and number decide', async () => {
    const loader = new DataLoader(list(20), { batchSize: 20, shuffle: true, seed: 5 })
    const [[first], [second], [again]] = [await all(loader), await all(loader), await all(loader.epoch(0))]
    expect(first).not.toEqual(second)
    expect(first).not.toEqual(numbers(20))
    expect(again).toEqual(first)
    expect([...first].sort((a, b) => a - b)).toEqual(numbers(20))
    const other = new DataLoader(list(20), { batchSize: 20, shuffle: true, seed: 6 })
    expect((await all(other))[0]).not.toEqual(first)
  })
})

describe('batches', () => {
  test('of columns are tensors of their rows', async () => {
    const source = columns({
      x: tensor([
        [1, 2],
        [3, 4],
        [5, 6],
      ]),
      y: tensor([7n, 8n, 9n]),
    })
    const [one, two] = await all(new DataLoader(source, { batchSize: 2 }))
    expect([dataOf(one.x), dataOf(one.y)]).toEqual([
      ['f32', [2, 2], [1, 2, 3, 4]],
      ['i32', [2], [7, 8]],
    ])
    expect(dataOf(two.x)).toEqual(['f32', [1, 2], [5, 6]])
    expect(() => columns({ x: tensor([1, 2]), y: tensor([1]) })).toThrow(
      new UserError('columns: y has 1 rows, and x 2'),
    )
    expect(() => columns({ x: tensor(1) })).toThrow('has no rows')
    expect(() => columns({})).toThrow(UserError)
  })

  test('of examples are stacked, or made by a function, and examples may come later', async () => {
    const flowers = [
      { x: [1, 2], y: 3n },
      { x: [4, 5], y: 6n },
    ]
    const [batch] = await all(new DataLoader(examples(flowers), { batchSize: 2 }))
    expect([dataOf(batch.x), dataOf(batch.y)]).toEqual([
      ['f32', [2, 2], [1, 2, 4, 5]],
      ['i32', [2], [3, 6]],
    ])
    const later = { length: 4, at: async (i: number) => i * 10 }
    const sums = examples(later, chosen => chosen.reduce((a, b) => a + b, 0))
    expect(await all(new DataLoader(sums, { batchSize: 2 }))).toEqual([10, 50])
  })

  test('are prepared ahead, so many and no more', async () => {
    const asked: number[] = []
    const source = { length: 8, batch: (indices: readonly number[]) => asked.push(indices[0]) }
    for (const [ahead, after] of [
      [0, 1],
      [3, 4],
    ]) {
      asked.length = 0
      for await (const _ of new DataLoader(source, { batchSize: 1, ahead })) break
      expect(asked).toEqual(numbers(after))
    }
  })

  test('that fail do so in their turn, and not at all if the loop ends before', async () => {
    const failing = examples(
      { length: 3, at: async (i: number) => (i === 1 ? Promise.reject(new Error('lost')) : i) },
      c => c,
    )
    const loader = new DataLoader(failing, { batchSize: 1 })
    for await (const batch of loader) {
      expect(batch).toEqual([0])
      break
    }
    await expect(all(loader)).rejects.toThrow('lost')
    await new Promise(resolve => setTimeout(resolve, 0))
  })

  test('have a size', () => {
    for (const batchSize of [0, 1.5]) expect(() => new DataLoader(list(1), { batchSize })).toThrow(UserError)
    expect(() => new DataLoader(list(1), { batchSize: 1, ahead: -1 })).toThrow(UserError)
  })
})
