// The best values of a training that nothing resumes.
import { expect, test } from 'vitest'
import type { ValueEntry } from '../../train/state.ts'
import { BestInMemory } from '../../train/best-in-memory.ts'

/** A parameter that holds these numbers. */
function entryOf(name: string, values: number[]): ValueEntry & { readonly now: () => number[] } {
  let held = Float32Array.from(values)
  return {
    name,
    now: () => [...held],
    variable: {
      shape: [values.length],
      read: async () => held,
      write: async data => {
        held = data
      },
    },
  }
}

test('are those that were saved last in the first place, whatever becomes of the parameters', async () => {
  const store = new BestInMemory()
  const [a, b] = [entryOf('a', [1, 2]), entryOf('b', [3])]
  await store.saveBest([a, b], { place: 0, most: 2 })
  await a.variable.write(Float32Array.of(5, 6))
  await store.saveBest([a, b], { place: 1, most: 2 })
  await store.loadBest([a, b])
  expect([a.now(), b.now()]).toEqual([[1, 2], [3]])
  await b.variable.write(Float32Array.of(9))
  await store.saveBest([a, b], { place: 0, most: 2 })
  await b.variable.write(Float32Array.of(0))
  await store.loadBest([a, b])
  expect(b.now()).toEqual([9])
})

test('cannot be loaded before any were saved, and there is no state to continue from', async () => {
  const store = new BestInMemory()
  await expect(store.loadBest([entryOf('a', [1])])).rejects.toThrow('no best value of a was saved')
  await expect(store.load()).rejects.toThrow('cannot be continued')
})
