import { expect, test } from 'vitest'
import { OnDemand } from '../../engine/on-demand.ts'

test('a module is loaded once, and again only after a failure', async () => {
  let loads = 0
  const module = new OnDemand(async () => {
    if (++loads === 1) throw new Error('offline')
    return Promise.resolve({ answer: 42 })
  })
  expect(() => module.module).toThrow('before they are loaded')
  await expect(module.load()).rejects.toThrow('offline')
  expect(module.isLoaded).toBe(false)
  await module.load()
  await module.load()
  expect([module.isLoaded, module.module.answer, loads]).toEqual([true, 42, 2])
})
