// Nets 2 and 3 as tests: what several files do, so that they run beside each other, each on a device of its own.
import { afterAll, beforeAll, describe, test } from 'vitest'
import { type Device, currentDevice } from '../../engine/node.ts'
import type { OpCase } from './draw.ts'
import { expectMet, holds, onDevice } from './run.ts'

export function describeOnDevice(cases: readonly OpCase[]): void {
  let device: Device
  beforeAll(async () => { device = await currentDevice() })
  afterAll(() => device.close())

  describe('the device gives what float64 gives, and gradients that its own differences find', () => {
    for (const of of cases) {
      test(of.name, { timeout: 600_000 }, async () => {
        let number = 0
        await holds(of, device.traits.f16, async drawn => {
          for await (const report of onDevice(drawn, number++)) expectMet(of, drawn, [report])
        })
      })
    }
  })

  test('half precision is checked too', ({ skip }) => {
    skip(!device.traits.f16, `${device.info.name} has no shader-f16`)
  })
}
