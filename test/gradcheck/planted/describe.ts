// Mistakes as tests: what several files do, so that they run beside each other. Each prints its part of the table.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Device, currentDevice } from '../../../engine/node/index.ts'
import { type Outcome, isFine, plantedHeader, plantedRow, sow } from './catch.ts'
import type { Plant } from './plant.ts'

export function describePlanted(plants: readonly Plant[]): void {
  let device: Device
  const outcomes: Outcome[] = []
  beforeAll(async () => {
    device = await currentDevice()
  })
  afterAll(() => {
    console.log([plantedHeader, ...outcomes.map(plantedRow)].join('\n'))
    device.close()
  })

  describe('a mistake does not get through the nets', () => {
    for (const plant of plants) {
      test(`${plant.where}: ${plant.name}`, { timeout: 600_000 }, async ({ skip }) => {
        const outcome = await sow(plant, device)
        outcomes.push(outcome)
        if (outcome.kind === 'hidden') skip(outcome.why)
        expect(isFine(outcome), plantedRow(outcome)).toBe(true)
      })
    }
  })

  test('and no two mistakes have one name', () => {
    const names = plants.map(({ where, name }) => `${where}: ${name}`)
    expect(new Set(names).size).toBe(names.length)
  })
}
