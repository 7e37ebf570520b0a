// Nets 2 and 3 as tests: what several files do, so that they run beside each other, each on a device of its own.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Device, currentDevice } from '../../engine/node/index.ts'
import { everyConfig } from './configs.ts'
import type { OpCase } from './draw.ts'
import { Explorer } from './explore.ts'
import { RUNS, expectMet, holds, onDevice } from './run.ts'

/** `kernels`: those that these cases must have tried every config of. */
export function describeOnDevice(cases: readonly OpCase[], kernels?: RegExp): void {
  let device: Device
  beforeAll(async () => {
    device = await currentDevice()
  })
  afterAll(() => device.close())
  const explorer = new Explorer()
  const done = new Set<OpCase>()
  /** Of the draws: those in half precision. */
  let halves = 0

  describe('the device gives what float64 gives, and gradients that its own differences find', () => {
    for (const of of cases) {
      test(of.name, { timeout: 600_000 }, async () => {
        let number = 0
        await holds(of, device.traits.f16, async drawn => {
          for await (const report of onDevice(of, drawn, number++, explorer)) expectMet(of, drawn, [report()])
          if (drawn.half) halves++
        })
        done.add(of)
      })
    }
  })

  if (kernels) {
    test('every config of the kernels was tried, those for GPUs and those for CPUs', ({ skip }) => {
      skip(done.size < cases.length, 'not all cases ran')
      skip(RUNS < 12, 'so few draws do not reach all of them')
      const all = [...everyConfig(device.traits)].filter(config => kernels.test(config))
      expect(all.length).toBeGreaterThan(0)
      expect(
        all.filter(config => !explorer.ran.has(config)),
        'configs that no draw ran',
      ).toEqual([])
    })
  }

  test('half precision is checked too', ({ skip }) => {
    skip(!device.traits.f16, `${device.info.name} has no shader-f16`)
    skip(done.size < cases.length || RUNS < 12, 'not all cases ran, or few draws of each')
    expect(halves).toBeGreaterThan(0)
  })
}
